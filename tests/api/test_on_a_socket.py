"""What a real server and the application do together with what a socket may bring."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.api.conftest import PROJECT
from tests.api.fixtures import ServiceAtRest
from waitress import wasyncore

from emberkeep.api.server import LARGEST_RECEIVED, create_server

PATIENCE = 30.0  # seconds
WHO = f"X-Auth-Token: ada:{PROJECT}\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """The application under waitress, as `emberkeep serve` runs it; its address."""
    service = ServiceAtRest()
    service.start_fixture()
    sockets: dict[int, Any] = {}
    server = create_server(
        service.app, largest_body=114688, host="127.0.0.1", port=0, threads=2, map=sockets
    )
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            wasyncore.loop(timeout=PATIENCE, map=sockets, count=1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ("127.0.0.1", server.effective_port)
    finally:
        ended.set()
        server.pull_trigger()
        thread.join()
        server.task_dispatcher.shutdown()
        wasyncore.close_all(sockets)
        service.stop_fixture()


@pytest.fixture
def say(server: tuple[str, int]) -> Callable[..., tuple[int, str]]:
    """Sends bytes and reads until the server has said all; the status and the whole answer."""

    def say(*parts: bytes) -> tuple[int, str]:
        with socket.create_connection(server, timeout=PATIENCE) as connection:
            with contextlib.suppress(ConnectionError):  # it may answer before it has read all
                for part in parts:
                    connection.sendall(part)
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(65536):
                    answer += data
        text = answer.decode("latin-1")
        found = re.match(r"HTTP/1\.[01] (\d{3}) ", text)
        assert found, text[:200]
        return int(found[1]), text

    return say


def request(first: str, headers: str = "", body: bytes = b"") -> bytes:
    sent = f"Host: localhost\r\n{WHO}Connection: close\r\n{headers}"
    return f"{first} HTTP/1.1\r\n{sent}\r\n".encode("latin-1") + body


def test_a_request_is_answered(say):
    status, answer = say(request("GET /v3/backups"))
    assert status == 200
    assert answer.endswith('{"backups": []}')


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n",
        b"get / http/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /v3/backups HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET /v3/backups HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        b"GET /v3/backups HTTP/1.1\r\n Host: localhost\r\n\r\n",
        b"POST /v3/backups HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v3/backups HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v3/backups HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v3/backups HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /v3/backups HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(say, raw):
    status, _ = say(raw)
    assert 400 <= status < 500 or status == 501


@pytest.mark.parametrize("target", ["/v3/backups/%", "/v3/backups/%zz", "/v3/%2e%2e/x", "*"])
def test_any_target(say, target):
    status, _ = say(request(f"GET {target}"))
    assert 400 <= status < 500


def test_a_large_body_is_refused(say):
    length = 10_000_000
    head = request(
        "POST /v3/backups", f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
    )
    status, answer = say(head, b"x" * length)
    assert status == 413
    assert "Request is too large. Larger than max_request_body_size (%s)." in answer


def test_a_body_that_would_fill_the_disk_is_not_even_received(say):
    status, answer = say(request("POST /v3/backups", f"Content-Length: {LARGEST_RECEIVED + 1}\r\n"))
    assert status == 413
    assert "Request is too large" not in answer


def test_a_large_body_in_chunks_is_refused(say):
    head = request(
        "POST /v3/backups", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    status, answer = say(head, chunk * 160, b"0\r\n\r\n")
    assert status == 413
    assert "Request is too large" in answer


def test_a_body_in_chunks_is_read(say):
    head = request(
        "POST /v3/backups", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    )
    status, answer = say(head, b'5\r\n{"bac\r\n7\r\nkup": 1\r\n1\r\n}\r\n0\r\n\r\n')
    assert status == 400
    assert "1 is not of type 'object'" in answer


def test_a_flood_of_headers_is_refused(say):
    flood = "".join(f"X-{number}: {'x' * 1000}\r\n" for number in range(1000))
    status, _ = say(request("GET /v3/backups", flood))
    assert status in (400, 431)


def test_many_headers_are_no_flood(say):
    many = "".join(f"X-{number}: x\r\n" for number in range(1000))
    assert say(request("GET /v3/backups", many))[0] == 200
