"""A proxy between a store and its server that does to requests what networks and servers do.

    with FaultProxy(server_url) as proxy:
        rule = proxy.inject("PUT", "/d/name$", LoseAnswer())
        a_store_at(proxy.url).put("d/name", b"...")
        assert rule.struck == 1

A rule strikes the requests whose method and target (path and query) match, from the `first` on,
`times` times; the first rule that strikes decides.  Everything else passes unchanged.
"""

import http.client
import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

ALWAYS = 1 << 30
_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class LocalServer(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1 that leaves nothing behind when it is closed."""

    daemon_threads = False  # so that closing waits for them

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        if tls is not None:
            self.url = self.url.replace("http:", "https:")
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.errors: list[BaseException] = []  # of the tests' own code
        self.most_connections = 0  # at once
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        assert not self.errors

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
            self.most_connections = max(self.most_connections, len(self._open))
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a client that went away
            assert error is not None
            self.errors.append(error)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class HungUp(OSError):
    """The connection is to be reset."""


class Exchange:
    """One request, and how it may be answered."""

    def __init__(self, handler: "_Handler") -> None:
        self._handler = handler
        self._left = int(handler.headers.get("Content-Length") or 0)
        self.method = handler.command
        self.target = handler.path
        self.headers = handler.headers

    def receive(self, most: int | None = None) -> bytes:
        """The request's body, or what comes of the next `most` bytes of it."""
        wanted = self._left if most is None else min(most, self._left)
        data = self._handler.rfile.read(wanted)
        self._left -= len(data)
        return data

    def forward(self, change: Callable[[bytes], bytes] = bytes) -> Answer:
        """Have the server do it, perhaps with other bytes than were sent."""
        return self._handler.server.forward(
            self.method, self.target, self._handler, change(self.receive())
        )

    def answer(self, answer: Answer, *, only: int | None = None) -> None:
        """Give this answer, or just the first `only` bytes of its body."""
        self.receive()
        handler = self._handler
        handler.send_response_only(answer.status)
        told = {name.lower() for name, _value in answer.headers}
        for name, value in answer.headers:
            handler.send_header(name, value)
        if "content-length" not in told and answer.status not in (204, 304):
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        if self.method != "HEAD":
            handler.wfile.write(answer.body[:only])
        handler.wfile.flush()

    def reset(self) -> None:
        """Break the connection off."""
        linger = struct.pack("ii", 1, 0)
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        raise HungUp

    def hang_up(self) -> None:
        """End the connection as if all was well."""
        self._handler.close_connection = True

    def wait_for_client(self) -> None:
        """Return when the client has closed the connection."""
        self.receive()
        with suppress(OSError):
            self._handler.connection.recv(1)


class Fault(Protocol):
    def __call__(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True, slots=True)
class Refuse:
    """The server is not asked; this is the answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()

    def __call__(self, exchange: Exchange) -> None:
        exchange.answer(Answer(self.status, self.headers))


@dataclass(frozen=True, slots=True)
class Stall:
    """The server does it, or not (`done`), but no answer comes before the client gives up."""

    done: bool = True

    def __call__(self, exchange: Exchange) -> None:
        if self.done:
            exchange.forward()
        exchange.wait_for_client()
        exchange.hang_up()


@dataclass(frozen=True, slots=True)
class ResetAnswer:
    """The connection breaks after this much of the answer's body."""

    after: int

    def __call__(self, exchange: Exchange) -> None:
        exchange.answer(exchange.forward(), only=self.after)
        exchange.reset()


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """The connection breaks after this much of the request's body; the server never sees it."""

    after: int

    def __call__(self, exchange: Exchange) -> None:
        exchange.receive(self.after)
        exchange.reset()


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The server does it; the client sees the connection break."""

    def __call__(self, exchange: Exchange) -> None:
        exchange.forward()
        exchange.reset()


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """This much of the answer's body comes, then an orderly end, though more was announced."""

    after: int

    def __call__(self, exchange: Exchange) -> None:
        exchange.answer(exchange.forward(), only=self.after)
        exchange.hang_up()


@dataclass(frozen=True, slots=True)
class ChangeAnswer:
    """The body of the server's answer is changed, and the headers tell the new length."""

    change: Callable[[bytes], bytes]

    def __call__(self, exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.answer(Answer(answer.status, answer.headers, self.change(answer.body)))


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """The server gets other bytes than were sent."""

    change: Callable[[bytes], bytes]

    def __call__(self, exchange: Exchange) -> None:
        exchange.answer(exchange.forward(self.change))


@dataclass(frozen=True, slots=True)
class Repeat:
    """An earlier answer comes again, as from a cache or a disk that is behind."""

    answer: Answer

    def __call__(self, exchange: Exchange) -> None:
        exchange.answer(self.answer)


@dataclass(slots=True)
class Storm:
    """Of all requests, about `share` meets one of the faults."""

    random: Random
    faults: Sequence[Fault]
    share: float
    struck: int = 0

    def __call__(self, exchange: Exchange) -> None:
        if self.random.random() < self.share:
            self.struck += 1
            self.random.choice(self.faults)(exchange)
        else:
            exchange.answer(exchange.forward())


@dataclass(slots=True)
class Rule:
    method: str
    target: re.Pattern[str]
    fault: Fault
    first: int
    times: int
    matched: int = 0
    struck: int = 0

    def strikes(self, exchange: Exchange) -> bool:
        if self.method != exchange.method or not self.target.search(exchange.target):
            return False
        self.matched += 1
        if not self.first <= self.matched < self.first + self.times:
            return False
        self.struck += 1
        return True


@dataclass(slots=True)
class Record:
    """What passed through the proxy."""

    requests: list[tuple[str, str, Message]] = field(default_factory=list)
    answers: list[tuple[str, str, Answer]] = field(default_factory=list)

    def first(self, method: str, target: str) -> Answer:
        """The server's first answer to such a request."""
        return next(a for m, t, a in self.answers if m == method and re.search(target, t))

    def headers(self, method: str, target: str) -> list[Message]:
        """The headers of all such requests."""
        return [h for m, t, h in self.requests if m == method and re.search(target, t)]


class FaultProxy(LocalServer):
    """See the module."""

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server).netloc
        self._rules: list[Rule] = []
        self._rules_lock = threading.Lock()
        self.record = Record()
        super().__init__(_Handler)

    def __enter__(self) -> "FaultProxy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def inject(
        self, method: str, target: str, fault: Fault, *, first: int = 1, times: int = 1
    ) -> Rule:
        """`target`: a regular expression that is searched for in path and query."""
        rule = Rule(method, re.compile(target), fault, first, times)
        with self._rules_lock:
            self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """No more faults."""
        with self._rules_lock:
            self._rules.clear()

    def handle(self, exchange: Exchange) -> None:
        with self._rules_lock:
            self.record.requests.append((exchange.method, exchange.target, exchange.headers))
            rule = next((rule for rule in self._rules if rule.strikes(exchange)), None)
        if rule is None:
            exchange.answer(exchange.forward())
        else:
            rule.fault(exchange)

    def forward(
        self, method: str, target: str, handler: BaseHTTPRequestHandler, body: bytes
    ) -> Answer:
        connection = http.client.HTTPConnection(self._server, timeout=60)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                if name.lower() not in _NOT_PASSED_ON | {"expect"}:
                    connection.putheader(name, value)
            if body or "Content-Length" in handler.headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            data = response.read()
            headers = [(n, v) for n, v in response.getheaders() if n.lower() not in _NOT_PASSED_ON]
            if method == "HEAD" and (length := response.getheader("Content-Length")):
                headers.append(("Content-Length", length))
        finally:
            connection.close()
        answer = Answer(response.status, tuple(headers), data)
        with self._rules_lock:
            self.record.answers.append((method, target, answer))
        return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def _handle(self) -> None:
        self.server.handle(Exchange(self))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""
