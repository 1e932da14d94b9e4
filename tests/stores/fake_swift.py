"""As much of Swift and Keystone as `SwiftStore` asks for, in memory; slow tests ask a real one.

It checks what a real one checks: tokens, checksums, `If-None-Match`, containers, quotas.
"""

import hashlib
import json
import re
import secrets
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.stores.faults import LocalServer

USER, PASSWORD = "test:tester", "an-open-sesame"
APPLICATION_SECRET = "a-secret-of-an-application"


@dataclass(slots=True)
class State:
    containers: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    logins: list[str] = field(default_factory=list)  # the methods
    page: int = 4  # items of a listing
    quota: int | None = None  # bytes of a container
    lock: threading.Lock = field(default_factory=threading.Lock)


class FakeSwift(LocalServer):
    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.state = State()
        super().__init__(_Handler, tls=tls)

    def expire_tokens(self) -> None:
        self.state.tokens.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeSwift

    def _handle(self) -> None:
        self.state = self.server.state
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        with self.state.lock:
            if parts.path == "/auth/v1.0":
                self._log_in_v1()
            elif parts.path == "/v3/auth/tokens":
                self._log_in_v3(json.loads(body))
            elif self.headers.get("X-Auth-Token") not in self.state.tokens:
                self._answer(401)
            else:
                _empty, _v1, _account, container, *name = parts.path.split("/", 4)
                if name:
                    self._object(unquote(container), unquote(name[0]), body)
                else:
                    self._container(unquote(container), parse_qs(parts.query))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _token(self, method: str) -> str:
        token = secrets.token_hex(16)
        self.state.tokens.add(token)
        self.state.logins.append(method)
        return token

    def _storage_url(self) -> str:
        scheme = urlsplit(self.server.url).scheme
        return f"{scheme}://{self.headers['Host']}/v1/AUTH_test"

    def _log_in_v1(self) -> None:
        if (self.headers.get("X-Auth-User"), self.headers.get("X-Auth-Key")) != (USER, PASSWORD):
            self._answer(401)
            return
        self._answer(200, {"X-Auth-Token": self._token("v1"), "X-Storage-Url": self._storage_url()})

    def _log_in_v3(self, body: dict[str, Any]) -> None:
        identity = body["auth"]["identity"]
        method = identity["methods"][0]
        secret = PASSWORD if method == "password" else APPLICATION_SECRET
        given = identity[method].get("user", identity[method])
        if given.get("password", given.get("secret")) != secret:
            self._answer(401)
            return
        endpoint = {
            "id": "e",
            "interface": "public",
            "region": "one",
            "region_id": "one",
            "url": self._storage_url(),
        }
        token = {
            "methods": [method],
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": USER, "domain": {"id": "default", "name": "Default"}},
            "catalog": [{"id": "s", "type": "object-store", "endpoints": [endpoint]}],
        }
        headers = {"X-Subject-Token": self._token(method)}
        self._answer(201, headers, json.dumps({"token": token}).encode())

    def _container(self, name: str, query: dict[str, list[str]]) -> None:
        if self.command == "PUT":
            self._answer(202 if name in self.state.containers else 201)
            self.state.containers.setdefault(name, {})
        elif (objects := self.state.containers.get(name)) is None:
            self._answer(404)
        elif self.command == "DELETE":
            self._answer(409 if objects else 204)
        else:
            prefix, marker = query.get("prefix", [""])[0], query.get("marker", [""])[0]
            found = sorted(n for n in objects if n.startswith(prefix) and n > marker)
            listed = [{"name": n, "bytes": len(objects[n])} for n in found[: self.state.page]]
            quota = self.state.quota
            headers = {
                "X-Container-Bytes-Used": str(sum(map(len, objects.values()))),
                **({} if quota is None else {"X-Container-Meta-Quota-Bytes": str(quota)}),
                "Content-Type": "application/json; charset=utf-8",
            }
            self._answer(200, headers, json.dumps(listed).encode())

    def _object(self, container: str, name: str, body: bytes) -> None:
        objects = self.state.containers.get(container)
        if objects is None or (self.command != "PUT" and name not in objects):
            self._answer(404)
        elif self.command == "PUT":
            self._put(objects, name, body)
        elif self.command == "DELETE":
            del objects[name]
            self._answer(204)
        else:
            self._read(objects[name])

    def _put(self, objects: dict[str, bytes], name: str, body: bytes) -> None:
        checksum = _md5(body)
        used = sum(map(len, objects.values()))
        if self.headers.get("If-None-Match") == "*" and name in objects:
            self._answer(412)
        elif self.headers.get("ETag", checksum) != checksum:
            self._answer(422)
        elif self.state.quota is not None and used + len(body) > self.state.quota:
            self._answer(413)
        else:
            objects[name] = body
            self._answer(201, {"ETag": checksum})

    def _read(self, data: bytes) -> None:
        headers = {"ETag": _md5(data), "Content-Type": "application/octet-stream"}
        told = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not told or self.command == "HEAD" or (not data and not told[1]):
            self._answer(200, headers, data)
            return
        if told[1]:
            begin, end = int(told[1]), min(int(told[2] or len(data)) + 1, len(data))
        else:
            begin, end = max(0, len(data) - int(told[2])), len(data)
        if begin >= len(data):
            self._answer(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
        self._answer(206, headers, data[begin:end])

    def _answer(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-Trans-Id", "tx-of-the-fake")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
