"""A bucket of an S3 service in memory, which can be told to answer otherwise.

    with FakeS3() as service:
        service.next(Answer(503), method="PUT")
        store_at(service.url).put("d/name", b"...")
        assert service.requests[0].headers["If-None-Match"] == "*"

It knows just what a store asks for, by path, and signatures are not looked at.
"""

import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "backups"
PAGE = 3  # objects in one page of a listing


@dataclass(frozen=True)
class Request:
    method: str
    key: str
    query: dict[str, str]
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Answer:
    """`cut`: only so much of the body is sent.  `lost`: nothing is, and the connection ends."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    lost: bool = False


def refusal(status: int, code: str, **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>So it is.</Message></Error>"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body.encode(), named)


Told = Answer | Callable[[Request], Answer]


class FakeS3:
    def __init__(self, certificate: Path | None = None, *, conditional: bool = True) -> None:
        """`conditional`: whether it knows `If-None-Match`, or answers that it does not."""
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self._conditional = conditional
        self._told: list[tuple[str, Told]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"s3+{scheme}://127.0.0.1:{self._server.server_port}/{BUCKET}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "FakeS3":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self, *answers: Told, method: str) -> None:
        """Answer the next requests of this method so, in turn."""
        self._told += [(method, answer) for answer in answers]

    def asked(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            told = next((item for item in self._told if item[0] == request.method), None)
            if told is not None:
                self._told.remove(told)
        if told is None:
            return self.do(request)
        return told[1] if isinstance(told[1], Answer) else told[1](request)

    def do(self, request: Request) -> Answer:
        """What a service does."""
        with self._lock:
            match request.method:
                case "PUT":
                    return self._put(request)
                case "DELETE":
                    self.objects.pop(request.key, None)
                    return Answer(204)
                case _ if not request.key:
                    return self._list(request.query)
                case _:
                    return self._get(request)

    def _put(self, request: Request) -> Answer:
        if "If-None-Match" in request.headers:
            if not self._conditional:
                return refusal(501, "NotImplemented")
            if request.key in self.objects:
                return refusal(412, "PreconditionFailed")
        self.objects[request.key] = request.body
        return Answer(200, headers={"ETag": '"tag"'})

    def _get(self, request: Request) -> Answer:
        data = self.objects.get(request.key)
        if data is None:
            return refusal(404, "NoSuchKey")
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if asked is None:
            return Answer(200, data)
        if asked[1]:
            begin, end = int(asked[1]), min(len(data), int(asked[2] or len(data)) + 1)
        else:
            begin, end = max(0, len(data) - int(asked[2])), len(data)
        if begin >= end:
            return refusal(416, "InvalidRange")
        told = {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}
        return Answer(206, data[begin:end], told)

    def _list(self, query: dict[str, str]) -> Answer:
        after, prefix = query.get("start-after", ""), query.get("prefix", "")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        page = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>"
            for key in keys[:PAGE]
        )
        more = str(len(keys) > PAGE).lower()
        body = f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{page}</ListBucketResult>"
        return Answer(200, body.encode())


def _handler(service: FakeS3) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            answer = service.answer(
                Request(
                    method=self.command,
                    key=unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/"),
                    query={name: values[0] for name, values in query.items()},
                    headers=self.headers,
                    body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
                )
            )
            self.close_connection = answer.lost or answer.cut is not None
            if answer.lost:
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut])

        do_GET = do_HEAD = do_PUT = do_DELETE = handle_one  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    return Handler
