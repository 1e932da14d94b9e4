"""What a check of a store tells of stores that are well and of stores that are not."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.stores.fake_s3 import BUCKET, FakeS3
from tests.stores.fake_swift import PASSWORD, USER, FakeSwift
from tests.stores.faults import ALWAYS, FaultProxy, Refuse

from emberkeep.stores.base import Buffer, Store, StoredObject
from emberkeep.stores.check import check
from emberkeep.stores.errors import ObjectNotFound, StoreError, StoreFull
from emberkeep.stores.findings import Finding, Result
from emberkeep.stores.memory import MemoryStore
from emberkeep.stores.open import open_store
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.posix import PosixStore

VERBS = [
    *("put", "get", "ranges", "stat", "list", "write once", "delete", "latency", "throughput"),
]


class Time:
    """A clock that goes on whenever it is looked at."""

    def __init__(self, tick: float = 0.4) -> None:
        self.now = 0.0
        self.tick = tick

    def clock(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def checked(store: Store, time: Time | None = None) -> dict[str, Finding]:
    time = time or Time()
    return {one.step: one for one in check(store, clock=time.clock, sleep=time.sleep)}


def results(found: dict[str, Finding]) -> dict[str, Result]:
    """Of what is not fine."""
    return {step: one.result for step, one in found.items() if one.result != Result.FINE}


def test_a_store_that_is_well_passes_and_keeps_nothing() -> None:
    store = MemoryStore()
    store.put("format", b"x")
    found = checked(store)
    assert list(found) == VERBS
    assert results(found) == {}
    assert list(store.list("")) == [StoredObject("format", 1)]
    assert "MiB/s to put" in found["throughput"].text


def test_a_check_that_is_broken_off_keeps_nothing() -> None:
    store = MemoryStore()
    checking = check(store)
    next(checking)
    assert list(store.list("check/"))
    checking.close()
    assert not list(store.list(""))


class Overwriting(MemoryStore):
    def put(self, name: str, data: Buffer) -> None:
        self._objects[name] = bytes(data)


class Full(MemoryStore):
    def put(self, name: str, data: Buffer) -> None:
        raise StoreFull("it is full; free some space")


class Late(MemoryStore):
    """Finds an object only when it was asked for it `late` times; so do its listings."""

    def __init__(self, late: int, settles_within: float = 60.0) -> None:
        super().__init__()
        self.settles_within = settles_within
        self.late = late
        self.asked = 0

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self.asked += 1
        if self.asked <= self.late:
            raise ObjectNotFound(name)
        return super().get(name, offset=offset, length=length)


class ListingLate(MemoryStore):
    def __init__(self, late: int) -> None:
        super().__init__()
        self.late = late
        self.asked = 0

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self.asked += 1
        return super().list(prefix) if self.asked > self.late else iter(())


class Undeletable(MemoryStore):
    def delete(self, name: str) -> None:
        """Keep it."""


class Forbidding(MemoryStore):
    def delete(self, name: str) -> None:
        raise StoreError("delete: the service answered 403")


class WithoutSuffixes(MemoryStore):
    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return super().get(name, offset=max(0, offset), length=length)


class WithWrongSizes(MemoryStore):
    def stat(self, name: str) -> StoredObject:
        return StoredObject(name, super().stat(name).size + 1)


@pytest.mark.parametrize(
    ("store", "steps", "told"),
    [
        (Overwriting(), ["write once"], "took other bytes; such a store can lose backups"),
        (Full(), ["put"], "it is full; free some space"),
        (Late(1, settles_within=0), ["get"], "set store_settles_within"),
        (Late(10**6), ["get"], "was not found within 60 s"),
        (ListingLate(10**6), ["list"], "shows 0 of the 2 objects"),
        (Undeletable(), ["delete"], "still there 5 s after it was removed"),
        (Forbidding(), ["delete", "cleaning"], "could not be removed"),
        (WithoutSuffixes(), ["ranges"], "bytes were read that are not the 100 put there"),
        (WithWrongSizes(), ["stat"], "the size that it tells is not the object's"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MemoryStore) else "",
)
def test_a_store_that_is_not_well_is_told(store: Store, steps: list[str], told: str) -> None:
    found = checked(store)
    wrong = [step for step, one in found.items() if one.result == Result.WRONG]
    assert set(steps) <= set(wrong)
    assert told in found[steps[-1]].text
    if isinstance(store, Full):
        assert list(found) == ["put"]


def test_what_is_found_late_but_in_time_is_no_error() -> None:
    found = checked(Late(3))
    assert results(found) == {}
    assert "was found after" in found["get"].text


def test_a_listing_that_lags_a_little_is_noted() -> None:
    assert results(checked(ListingLate(2))) == {"list": Result.NOTE}


def test_a_slow_store_is_noted() -> None:
    assert results(checked(MemoryStore(), Time(tick=2))) == {"latency": Result.NOTE}


def test_a_directory_is_checked_and_left_as_it_was(tmp_path: Path) -> None:
    private = tmp_path / "a" / "store"
    private.mkdir(parents=True, mode=0o700)
    found = checked(PosixStore(private))
    assert list(found) == ["directory", "file system", "room", *VERBS]
    assert results(found) == {}
    assert list(private.iterdir()) == []


def test_directories_that_were_made_are_removed_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    found = checked(PosixStore(tmp_path / "b" / "store"))
    assert results(found) == {"directory": Result.NOTE}
    assert "it is made when the first object is put" in found["directory"].text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "result", "told"),
    [(0o750, Result.NOTE, "may see the objects' names"), (0o770, Result.WRONG, "may remove what")],
)
def test_a_directory_that_is_open_to_others_is_told(
    tmp_path: Path, mode: int, result: Result, told: str
) -> None:
    tmp_path.chmod(mode)
    found = checked(PosixStore(tmp_path))
    assert results(found) == {"directory": result}
    assert told in found["directory"].text
    assert f"chmod 700 {tmp_path}" in found["directory"].text


def test_what_is_no_directory_ends_the_check(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    found = checked(PosixStore(tmp_path / "file" / "store"))
    assert results(found) == {"directory": Result.UNREACHABLE}
    assert list(found) == ["directory"]


def test_a_directory_that_is_not_for_writing_ends_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    found = checked(PosixStore(tmp_path))
    assert results(found) == {"directory": Result.UNREACHABLE}
    assert "may not write to" in found["directory"].text


def test_a_file_system_without_hard_links_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(_source: object, _target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    tmp_path.chmod(0o700)
    found = checked(PosixStore(tmp_path))
    assert results(found) == {"file system": Result.WRONG, "put": Result.WRONG}
    assert "cannot sync files and link them" in found["file system"].text
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("numbers", "told"),
    [({"f_bavail": 1}, "make some, or expire"), ({"f_favail": 1}, "but only 1 more files")],
)
def test_a_file_system_that_is_nearly_full_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: dict[str, int], told: str
) -> None:
    about = {name: getattr(os.statvfs(tmp_path), name) for name in dir(os.statvfs(tmp_path))}
    about |= {"f_blocks": 1000, "f_bavail": 900, "f_files": 1000, "f_favail": 900, **numbers}
    monkeypatch.setattr(os, "statvfs", lambda _path: type("statvfs", (), about))
    tmp_path.chmod(0o700)
    found = checked(PosixStore(tmp_path))
    assert results(found) == {"room": Result.NOTE}
    assert told in found["room"].text


@pytest.fixture
def swift() -> Iterator[FakeSwift]:
    fake = FakeSwift()
    yield fake
    fake.close()


def of_swift(url: str) -> StoreOptions:
    return StoreOptions(auth_url=f"{url}/auth/v1.0", username=USER, password=PASSWORD, retries=0)


def test_the_way_to_swift_is_told(swift: FakeSwift) -> None:
    options = replace(of_swift(swift.url), retries=1)
    found = checked(open_store("swift:///backups/az1", options))
    assert list(found) == ["login server", "login", "container", *VERBS]
    assert results(found) == {"container": Result.NOTE}
    assert swift.state.containers == {"backups": {}}
    swift.state.quota = 1 << 30
    found = checked(open_store("swift:///backups/az1", options))
    assert results(found) == {}
    assert found["room"].text == "0.0 GiB of a quota of 1.0 GiB are used"
    swift.state.containers["backups"]["other"] = bytes(1000)
    swift.state.quota = 1001
    found = checked(open_store("swift:///backups/az1", options))
    assert results(found) == {"room": Result.NOTE, "put": Result.WRONG}


def test_an_endpoint_elsewhere_is_looked_at_too(swift: FakeSwift) -> None:
    with FaultProxy(swift.url) as other:
        elsewhere = (("X-Storage-Url", f"{other.url}/v1/AUTH_test"), ("X-Auth-Token", "t"))
        swift.state.tokens.add("t")
        with FaultProxy(swift.url) as login:
            login.inject("GET", "/auth", Refuse(200, elsewhere), times=ALWAYS)
            options = replace(of_swift(login.url), retries=1)
            found = checked(open_store("swift:///backups", options))
            assert list(found)[:4] == ["login server", "login", "network", "container"]
            assert "put" in found
            assert login.record.headers("PUT", "") == []


@pytest.mark.parametrize(
    ("change", "step", "told"),
    [
        ({"password": "wrong"}, "login", "answered 401; check the user"),
        (
            {"auth_url": "http://no-such-host.invalid/v3", "project_name": "p"},
            "login server",
            "no k",
        ),
        ({"auth_url": "http://127.0.0.1:{closed}/auth/v1.0"}, "login server", "Connection refused"),
        ({"auth_url": "https://127.0.0.1:{open}/auth/v1.0"}, "login", "127.0.0.1"),
    ],
)
def test_where_the_way_to_swift_ends_is_told(
    swift: FakeSwift, change: dict[str, str], step: str, told: str
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        ports = {"closed": held.getsockname()[1], "open": swift.server_address[1]}
        options = replace(
            of_swift(swift.url), **{name: text.format(**ports) for name, text in change.items()}
        )
        found = checked(open_store("swift:///backups", options))
    last = list(found.values())[-1]
    assert (last.step, last.result) == (step, Result.UNREACHABLE)
    assert told in last.text


def test_a_container_that_is_forbidden_ends_the_check(swift: FakeSwift) -> None:
    with FaultProxy(swift.url) as proxy:
        proxy.inject("HEAD", "/backups$", Refuse(403))
        found = checked(open_store("swift:///backups", of_swift(proxy.url)))
    assert results(found) == {"container": Result.UNREACHABLE}
    assert "give the user a role" in found["container"].text


def test_the_way_to_s3_is_told() -> None:
    options = StoreOptions(access_key="key", secret_key="secret", retries=0)
    with FakeS3() as service:
        found = checked(open_store(f"{service.url}/az1", options))
        assert list(found) == ["network", "bucket", *VERBS]
        assert results(found) == {}
        assert service.objects == {}
        with FaultProxy(service.url.removeprefix("s3+").removesuffix(f"/{BUCKET}")) as proxy:
            proxy.inject("GET", "", Refuse(403))
            found = checked(open_store(f"s3+{proxy.url}/{BUCKET}", options))
            assert results(found) == {"bucket": Result.UNREACHABLE}
