"""Requests as a server hands them to the application: any bytes that a socket may bring.

The client of `conftest.Api` is polite; this one is not.  `check` says what every answer has.
"""

import io
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from emberkeep.api.faults import ANY_OTHER_KEY, KEYS

_REQUEST_ID = re.compile("req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    app: Any,
    method: str,
    target: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    length: str | None = None,
    chunked: bool = False,
) -> Answer:
    """Send it.  `target` is raw: percent escapes may stand for any bytes.

    `length` is what Content-Length says, if not the truth; a `chunked` body says none.
    """
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8776",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8776",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if chunked:
        environ["wsgi.input_terminated"] = True
    elif body or length is not None:
        environ["CONTENT_LENGTH"] = str(len(body)) if length is None else length
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, sent: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, sent))
        return lambda _data: None

    chunks = app(environ, start_response)
    try:
        content = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, sent = started[-1]
    return Answer(int(status[:3]), {name.lower(): value for name, value in sent}, content)


def check(answer: Answer) -> Answer:
    """Fail unless it is an answer that a client can rely on, whatever was asked."""
    told = answer.body[:500]
    assert answer.status < 500, told
    assert _REQUEST_ID.fullmatch(answer.headers["x-openstack-request-id"]), answer.headers
    for name, value in answer.headers.items():
        assert not re.search("[\r\n\0]", value), (name, value)
    if (by_controller := answer.headers.get("x-compute-request-id")) is None:
        return answer
    assert by_controller == answer.headers["x-openstack-request-id"]
    if answer.body:
        assert "json" in answer.headers["content-type"]
        document = answer.json
        assert isinstance(document, dict), told
        if answer.status >= 400:
            _check_fault(answer, document)
    else:
        assert answer.status in (200, 202, 204, 302), answer.status
    if answer.status not in (400, 403, 406):  # a version that was not understood has no echo
        version = answer.headers.get("openstack-api-version", "volume 3.71")
        assert re.fullmatch(r"volume 3\.\d+", version)
    return answer


def _check_fault(answer: Answer, document: dict[str, Any]) -> None:
    ((key, fault),) = document.items()
    assert key == KEYS.get(answer.status, ANY_OTHER_KEY)
    assert fault["code"] == answer.status
    assert isinstance(fault["message"], str)
    assert fault["message"]
    if answer.status == 413:
        assert fault["retryAfter"] == answer.headers["retry-after"] == "0"
