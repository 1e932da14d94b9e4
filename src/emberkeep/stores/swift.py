"""A store in a container of OpenStack Swift.

Swift keeps several copies of an object and answers when most of them are written, so a read may
meet a disk that does not have the object yet: a 404 is believed only after all copies were asked
for the newest (`X-Newest`), and even then the object may turn up within a minute.

Invariants
* a put is acknowledged only with the checksum of what was sent, and by enough disks;
* bytes are returned only if all that were asked for came and, of a whole object, with its checksum.

Swift looks whether a name is taken before it takes the bytes.  So of several who put other bytes
under one name in the same moment, all may be told that it is done, and the last one's bytes stay.
Within a process they wait for each other here; between processes nobody must contend for a name.
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from swiftclient import client
from swiftclient.utils import LengthWrapper

from emberkeep.stores.base import Buffer, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError
from emberkeep.stores.findings import Finding, Result, gib
from emberkeep.stores.names import checked, is_name
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.reach import network
from emberkeep.stores.retries import Passing, Retries
from emberkeep.stores.swift_account import Account, Refused
from emberkeep.stores.turns import Turns

_SETTLES_WITHIN = 60.0  # seconds
_NEARLY_FULL = 0.95
_NEWEST = {"X-Newest": "true"}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_MD5 = re.compile(r"[0-9a-f]{32}")

_T = TypeVar("_T")


class SwiftStore:
    """A container, or what lies under a prefix in it.  Any number of processes may share it."""

    def __init__(
        self,
        container: str,
        prefix: str,
        options: StoreOptions,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use `container`, which is made when the first object is put.

        Raises `StoreError` if options are missing.
        """
        if not container or "/" in container or len(container.encode()) > 256:
            raise StoreError(f"{container!r} is no name of a Swift container")
        self.container = container
        self.account = Account(options)
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._settles_within = (
            _SETTLES_WITHIN if options.settles_within is None else options.settles_within
        )
        self._retries = Retries(attempts=options.retries + 1)
        self._sleep = sleep
        self._turns = Turns()

    @classmethod
    def at(cls, url: str, options: StoreOptions) -> "SwiftStore":
        """The store at swift:///CONTAINER[/PREFIX]; the options say where Swift is."""
        parts = urlsplit(url)
        container, _, prefix = unquote(parts.path).removeprefix("/").partition("/")
        if parts.netloc or parts.query or parts.fragment or not container:
            raise StoreError("a Swift URL is swift:///CONTAINER[/PREFIX]; auth_url says where")
        return cls(container, prefix, options)

    @property
    def settles_within(self) -> float:
        return self._settles_within

    def put(self, name: str, data: Buffer) -> None:
        checked(name)
        view = memoryview(data).cast("B")
        checksum = _md5(view)
        tried = False

        def attempt() -> None:
            nonlocal tried
            # After an attempt that failed in whatever way these very bytes may lie on some of the
            # disks.  They are put over themselves, so that "done" means on enough of them.
            over = tried and self._has(name, view.nbytes, checksum)
            tried = True
            try:
                self._put(name, view, checksum, over=over)
            except Refused as error:
                if error.status != 412:
                    raise
                if not self._has(name, view.nbytes, checksum):
                    raise Passing(f"{error}; yet it has no such object") from error
                self._put(name, view, checksum, over=True)

        with self._turns.turn(name):
            self._persist(attempt)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        checked(name)
        if length == 0:
            self.stat(name)
            return b""
        return self._newest(lambda headers: self._get(name, offset, length, headers))

    def stat(self, name: str) -> StoredObject:
        checked(name)
        found = self._newest(lambda headers: self._head(name, headers))
        return StoredObject(name, int(found["content-length"]))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        start = self._prefix + prefix
        last = ""
        while page := self._persist(partial(self._page, start, last)):
            for full_name, size in page:
                name = full_name[len(self._prefix) :]
                if is_name(name):  # else it is not one of ours
                    yield StoredObject(name, size)
            last = page[-1][0]

    def delete(self, name: str) -> None:
        checked(name)

        def attempt() -> None:
            with contextlib.suppress(ObjectNotFound):
                self._ask(name, client.delete_object)

        self._persist(attempt)

    def reached(self) -> Iterator[Finding]:
        """See `stores.check`."""
        auth_url = self.account.auth_url
        yield (login_server := network("login server", auth_url))
        if login_server.result == Result.UNREACHABLE:
            return
        try:
            endpoint = self._persist(self.account.endpoint)
        except StoreError as error:
            yield Finding("login", Result.UNREACHABLE, str(error))
            return
        yield Finding("login", Result.FINE, f"accepted; the account is {endpoint}")
        if urlsplit(endpoint).netloc != urlsplit(auth_url).netloc:
            yield (server := network("network", endpoint))
            if server.result == Result.UNREACHABLE:
                return
        yield from self._container_reached()

    def _container_reached(self) -> Iterator[Finding]:
        def ask() -> Mapping[str, str]:
            found: Mapping[str, str] = self.account.ask(
                self._at(""), client.head_container, self.container
            )
            return found

        try:
            headers = self._persist(ask)
        except Refused as error:
            if error.status == 404:
                text = f"{self.container} is not there yet; it is made now"
                yield Finding("container", Result.NOTE, text)
            else:
                yield Finding("container", Result.UNREACHABLE, str(error))
            return
        except StoreError as error:
            yield Finding("container", Result.UNREACHABLE, str(error))
            return
        yield Finding("container", Result.FINE, f"{self.container} is there")
        yield _room(headers)

    def _put(self, name: str, view: memoryview, checksum: str, *, over: bool) -> None:
        """Send it once, whatever lies there (`over`) or if nothing does."""
        answer: dict[str, Any] = {}
        try:
            stored = self._ask(
                name,
                client.put_object,
                LengthWrapper(_Bytes(view), view.nbytes) if view.nbytes else b"",
                etag=checksum,
                content_length=view.nbytes,
                content_type="application/octet-stream",
                headers={} if over else {"If-None-Match": "*"},
                response_dict=answer,
            )
        except ObjectNotFound:
            self._make_container()
        if answer["status"] != 201:  # 202: it has, or had, something later than this request
            raise Passing(f"{self._at(name)}: Swift has seen a later request for this name")
        if stored != checksum:
            raise StoreError(
                f"{self._at(name)}: Swift stored other bytes (checksum {stored}) than it was sent "
                f"({checksum}); something in between changes them"
            )

    def _has(self, name: str, size: int, checksum: str) -> bool:
        """Whether these bytes lie there.  Raises `ObjectExists` if others do."""
        try:
            found = self._head(name, _NEWEST)
        except ObjectNotFound:
            return False
        if (int(found["content-length"]), _checksum(found)) != (size, checksum):
            raise ObjectExists(f"{self._at(name)} exists with other bytes")
        return True

    def _make_container(self) -> NoReturn:
        """Make it, and ask for the put to be sent again."""
        self.account.ask(self._at(""), client.put_container, self.container)
        raise Passing(f"{self._at('')}: the container is not there, though it was made")

    def _get(self, name: str, offset: int, length: int | None, headers: Mapping[str, str]) -> bytes:
        answer: dict[str, Any] = {}
        try:
            found, data = self._ask(
                name,
                client.get_object,
                headers={**headers, **_range(offset, length), "Accept-Encoding": "identity"},
                response_dict=answer,
            )
        except Refused as error:
            if error.status == 416:  # all of the range lies beyond the end
                return b""
            raise
        if answer["status"] == 200:
            begin, end = 0, int(found.get("content-length", len(data)))
            size = end
        elif told := _RANGE.fullmatch(found.get("content-range", "")):
            begin, end, size = int(told[1]), int(told[2]) + 1, int(told[3])
        else:
            raise Passing(f"{self._at(name)}: Swift does not tell which bytes it sent")
        if len(data) != end - begin:
            raise Passing(f"{self._at(name)}: {len(data)} of {end - begin} bytes came")
        if len(data) == size and _checksum(found) not in (None, _md5(data)):
            raise Passing(f"{self._at(name)}: what came does not have the object's checksum")
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        stop = size if length is None else min(size, start + length)
        if start < begin or stop > end:
            raise Passing(f"{self._at(name)}: bytes {begin} to {end} came, not {start} to {stop}")
        part: bytes = data[start - begin : stop - begin]
        return part

    def _head(self, name: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        found: Mapping[str, str] = self._ask(name, client.head_object, headers=headers)
        return found

    def _page(self, start: str, last: str) -> Sequence[tuple[str, int]]:
        """The names (with the prefix) and sizes after `last`; none if there are no more."""
        what = f"listing of {self._at('')}"
        try:
            _headers, items = self.account.ask(
                what, client.get_container, self.container, prefix=start, marker=last
            )
            page = [(str(item["name"]), int(item["bytes"])) for item in items]
        except Refused as error:
            if error.status == 404:
                return []  # no container: no objects
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise Passing(f"{what}: Swift's answer is no listing") from error
        names = [last, *(name for name, _size in page)]
        if any(after <= before for before, after in pairwise(names)):
            raise Passing(f"{what}: Swift's answer is not what comes after {last or 'the start'}")
        if not all(name.startswith(start) for name, _size in page):
            raise Passing(f"{what}: Swift's answer has other names than were asked for")
        return page

    def _newest(self, ask: Callable[[Mapping[str, str]], _T]) -> _T:
        """What `ask` returns; if the object is not found, what it returns for the newest copy."""
        try:
            return self._persist(lambda: ask({}))
        except ObjectNotFound:
            return self._persist(lambda: ask(_NEWEST))

    def _ask(self, name: str, request: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Send a request about an object.  Raises like `Account.ask`, and `ObjectNotFound`."""
        try:
            return self.account.ask(
                self._at(name), request, self.container, self._prefix + name, *arguments, **named
            )
        except Refused as error:
            if error.status == 404:
                raise ObjectNotFound(f"{self._at(name)} is not there") from error
            raise

    def _persist(self, ask: Callable[[], _T]) -> _T:
        return self._retries.persist(ask, sleep=self._sleep)

    def _at(self, name: str) -> str:
        return f"swift:///{self.container}/{self._prefix}{name}"


class _Bytes:
    """A view as a file, so that it is sent without being copied."""

    def __init__(self, view: memoryview) -> None:
        self._left = view

    def read(self, size: int) -> memoryview:
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def _room(container: Mapping[str, str]) -> Finding:
    used = int(container.get("x-container-bytes-used", 0))
    quota = container.get("x-container-meta-quota-bytes")
    if quota is None:
        return Finding("room", Result.FINE, f"{gib(used)} are used; the container has no quota")
    text = f"{gib(used)} of a quota of {gib(int(quota))} are used"
    if used > _NEARLY_FULL * int(quota):
        return Finding("room", Result.NOTE, f"{text}; raise it, or expire backups")
    return Finding("room", Result.FINE, text)


def _range(offset: int, length: int | None) -> dict[str, str]:
    if offset < 0:
        return {"Range": f"bytes={offset}"}
    if length is not None:
        return {"Range": f"bytes={offset}-{offset + length - 1}"}
    return {"Range": f"bytes={offset}-"} if offset else {}


def _checksum(headers: Mapping[str, str]) -> str | None:
    """The MD5 that Swift tells of an object; None for one that is put together of others."""
    if "x-static-large-object" in headers or "x-object-manifest" in headers:
        return None
    etag = headers.get("etag", "").strip('"')
    return etag if _MD5.fullmatch(etag) else None


def _md5(data: Buffer) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
