"""What every store over a network must do when network and server fail it.

Inherit `FaultSuite`, give a fixture `server` (the URL of an HTTP server, for all of the class) and
a method `store_at`.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import pytest
from tests.stores.faults import (
    ALWAYS,
    CutAnswer,
    Fault,
    FaultProxy,
    LoseAnswer,
    Refuse,
    Repeat,
    ResetAnswer,
    ResetRequest,
    Rule,
    Stall,
    Storm,
)

from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import DomainId, Repository, Settings, Written
from emberkeep.stores.base import Store, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable

_T = TypeVar("_T")

DATA = repeatable("faults")(300_000)
BUSY = Refuse(503, (("Retry-After", "1"),))

# What any request may meet, and what those meet that carry bytes.
ANY = (Refuse(500), Refuse(502), BUSY, Stall(), LoseAnswer(), ResetRequest(0))
SENDING = (*ANY, Stall(done=False), ResetRequest(100_000))
RECEIVING = (*ANY, ResetAnswer(0), ResetAnswer(1), CutAnswer(0), CutAnswer(1))
RANGES = [(0, None), (7, None), (1000, 200_000), (-5000, None), (-9, 3)]


def faults(some: tuple[Fault, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", some, ids=str)


@dataclass(frozen=True, slots=True)
class Site:
    """One place of the server, through the proxy and without, and names there for one test."""

    proxy: FaultProxy
    store: Store
    direct: Store
    home: str

    @property
    def name(self) -> str:
        return f"d/{self.home}/name"

    def list(self, store: Store) -> list[str]:
        prefix = f"d/{self.home}/"
        return [item.name.removeprefix(prefix) for item in store.list(prefix)]

    def inject(self, method: str, fault: Fault, *, times: int = 1) -> Rule:
        """Into the requests for the object `name`."""
        return self.proxy.inject(method, rf"/d/{self.home}/name($|\?)", fault, times=times)

    def inject_listing(self, fault: Fault, *, times: int = 1) -> Rule:
        return self.proxy.inject("GET", self.listing, fault, times=times)

    @property
    def listing(self) -> str:
        return f"prefix=[^&]*{self.home}"


class FaultSuite:
    """The right result or a `StoreError`: never other bytes, never a lost acknowledged object."""

    @classmethod
    def store_at(cls, url: str, place: str) -> Store:
        """The store in bucket, container or prefix `place` of the server at `url`.

        It waits at most about a second for an answer, and hardly before it asks again.
        """
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def proxy(cls, server: str) -> Iterator[FaultProxy]:
        with FaultProxy(server) as proxy:
            yield proxy

    @pytest.fixture(scope="class")
    @classmethod
    def stores(cls, server: str, proxy: FaultProxy) -> tuple[Store, Store]:
        """Through the proxy, and without.  For all tests, since some clients are slow to make."""
        return cls._a_place(server, proxy)

    @pytest.fixture
    def site(self, proxy: FaultProxy, stores: tuple[Store, Store]) -> Iterator[Site]:
        yield Site(proxy, *stores, home=_random_name())
        proxy.heal()

    @pytest.fixture
    def empty_site(self, server: str, proxy: FaultProxy) -> Iterator[Site]:
        """A place of its own, for a repository."""
        yield Site(proxy, *self._a_place(server, proxy), home="")
        proxy.heal()

    @classmethod
    def _a_place(cls, server: str, proxy: FaultProxy) -> tuple[Store, Store]:
        place = f"faults-{_random_name()}"
        direct = cls.store_at(server, place)
        direct.put("there", b"x")
        return cls.store_at(proxy.url, place), direct

    @faults(SENDING)
    def test_a_put_outlives(self, fault: Fault, site: Site) -> None:
        rule = site.inject("PUT", fault, times=2)
        site.store.put(site.name, DATA)
        assert rule.struck == 2
        assert site.direct.get(site.name) == DATA

    @faults(SENDING)
    def test_a_put_that_never_gets_through_says_so(self, fault: Fault, site: Site) -> None:
        rule = site.inject("PUT", fault, times=ALWAYS)
        with pytest.raises(StoreError, match="name"):
            site.store.put(site.name, DATA)
        assert rule.struck > 1
        # Whole or not at all; and the same bytes can be put when the fault is over.
        if site.list(site.direct):
            assert site.direct.get(site.name) == DATA
        site.proxy.heal()
        site.store.put(site.name, DATA)
        assert site.direct.get(site.name) == DATA

    @faults(SENDING)
    def test_nothing_is_overwritten_by_a_put_that_is_sent_again(
        self, fault: Fault, site: Site
    ) -> None:
        site.direct.put(site.name, b"first")
        rule = site.inject("PUT", fault)
        with pytest.raises(ObjectExists):
            site.store.put(site.name, DATA)
        assert rule.struck == 1
        assert site.direct.get(site.name) == b"first"

    @faults(RECEIVING)
    @pytest.mark.parametrize(("offset", "length"), RANGES)
    def test_a_get_outlives(
        self, fault: Fault, offset: int, length: int | None, site: Site
    ) -> None:
        site.direct.put(site.name, DATA)
        rule = site.inject("GET", fault, times=2)
        start = offset if offset >= 0 else len(DATA) + offset
        wanted = DATA[start:] if length is None else DATA[start : start + length]
        assert site.store.get(site.name, offset=offset, length=length) == wanted
        assert rule.struck == 2

    @faults(RECEIVING)
    def test_a_get_that_never_gets_through_says_so(self, fault: Fault, site: Site) -> None:
        site.direct.put(site.name, DATA)
        rule = site.inject("GET", fault, times=ALWAYS)
        with pytest.raises(StoreError, match="name") as error:
            site.store.get(site.name)
        assert not isinstance(error.value, ObjectNotFound)
        assert rule.struck > 1

    @faults(ANY)
    def test_a_stat_outlives(self, fault: Fault, site: Site) -> None:
        site.direct.put(site.name, DATA)
        rule = site.inject("HEAD", fault, times=2)
        assert site.store.stat(site.name) == StoredObject(site.name, len(DATA))
        assert rule.struck == 2

    @faults(RECEIVING)
    def test_a_listing_outlives(self, fault: Fault, site: Site) -> None:
        names = [str(number) for number in range(9)]
        for name in names:
            site.direct.put(f"d/{site.home}/{name}", b"x")
        rule = site.inject_listing(fault, times=2)
        assert site.list(site.store) == names
        assert rule.struck == 2

    @faults(ANY)
    def test_a_delete_outlives(self, fault: Fault, site: Site) -> None:
        site.direct.put(site.name, DATA)
        rule = site.inject("DELETE", fault, times=2)
        site.store.delete(site.name)
        assert rule.struck == 2
        with pytest.raises(ObjectNotFound):
            site.direct.stat(site.name)

    @pytest.mark.parametrize("verb", ["stat", "delete", "list"])
    def test_a_verb_that_never_gets_through_says_so(self, verb: str, site: Site) -> None:
        site.direct.put(site.name, DATA)
        for method in ("HEAD", "DELETE"):
            site.inject(method, Refuse(500), times=ALWAYS)
        site.inject_listing(Refuse(500), times=ALWAYS)
        ask = {
            "stat": lambda: site.store.stat(site.name),
            "delete": lambda: site.store.delete(site.name),
            "list": lambda: site.list(site.store),
        }
        with pytest.raises(StoreError) as error:
            ask[verb]()
        assert not isinstance(error.value, ObjectNotFound)

    def test_an_object_that_is_not_found_at_first_is_never_other_bytes(self, site: Site) -> None:
        site.direct.put(site.name, DATA)
        rules = [site.inject(method, Refuse(404)) for method in ("GET", "HEAD")]
        with suppress(ObjectNotFound):
            assert site.store.get(site.name) == DATA
        with suppress(ObjectNotFound):
            assert site.store.stat(site.name) == StoredObject(site.name, len(DATA))
        assert [rule.struck for rule in rules] == [1, 1]
        assert site.store.get(site.name) == DATA

    def test_a_stale_listing_may_lack_something_but_what_was_put_is_there(self, site: Site) -> None:
        site.direct.put(f"d/{site.home}/before", b"x")
        assert site.list(site.store) == ["before"]
        stale = site.proxy.record.first("GET", site.listing)
        site.store.put(site.name, DATA)
        rule = site.inject_listing(Repeat(stale))
        assert site.list(site.store)[:1] == ["before"]
        assert rule.struck == 1
        assert site.store.get(site.name) == DATA

    def test_in_a_storm_what_is_acknowledged_is_there(self, site: Site) -> None:
        storm = Storm(Random(4), (Refuse(500), LoseAnswer(), ResetAnswer(1), CutAnswer(1)), 0.3)
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            site.proxy.inject(method, f"/d/{site.home}/", storm, times=ALWAYS)
        lock = threading.Lock()
        acknowledged: dict[str, bytes] = {}
        refused: list[StoreError] = []

        def work(number: int) -> None:
            draw = repeatable(f"storm {number}")
            for count in range(6):
                name, data = f"d/{site.home}/{number}.{count}", draw(1000 * count + 1)
                try:
                    site.store.put(name, data)
                    with lock:
                        acknowledged[name] = data
                    assert site.store.get(name) == data
                    assert site.store.get(name, offset=-1) == data[-1:]
                    if count % 3 == 0:
                        with lock:
                            del acknowledged[name]
                        site.store.delete(name)
                except StoreError as error:
                    refused.append(error)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert storm.struck > 10
        assert not any(isinstance(error, ObjectNotFound) for error in refused)
        site.proxy.heal()
        assert {name: site.direct.get(name) for name in acknowledged} == acknowledged
        assert len(acknowledged) > 20

    def test_a_backup_through_a_storm_restores_byte_for_byte(self, empty_site: Site) -> None:
        """Back up, change, back up, delete the first, collect, restore: all of it in a storm."""
        site = empty_site
        storm = Storm(Random(5), (Refuse(500), LoseAnswer(), ResetAnswer(1), CutAnswer(1)), 0.2)
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            site.proxy.inject(method, "", storm, times=ALWAYS)
        ledger = MemoryLedger()
        repository = _insisting(
            lambda: Repository.create(
                site.store, a_key_manager(), ledger=a_ledger(ledger), sleep=lambda _seconds: None
            )
        )
        domain = _insisting(repository.create_domain)
        settings = Settings(chunk_size=32 << 10, segment_size=1 << 20, workers=2)
        first = repeatable("image")(3 << 20)
        second = first[: 1 << 20] + repeatable("changes")(100_000) + first[(1 << 20) + 100_000 :]

        def back_up(data: bytes, base: Written | None = None) -> Written:
            return repository.back_up(
                Image(data),
                domain=domain,
                base=base.root if base else None,
                description={},
                settings=settings,
            )

        full = _insisting(lambda: back_up(first))
        increment = _insisting(lambda: back_up(second, full))
        _insisting(lambda: repository.delete(domain, full.root))
        _insisting(lambda: repository.collect(domain))
        assert _insisting(lambda: _restored(repository, domain, increment)) == second
        assert storm.struck > 5
        site.proxy.heal()
        reopened = Repository.open(site.direct, a_key_manager(), ledger=a_ledger(ledger))
        assert _restored(reopened, domain, increment) == second


def _insisting(do: Callable[[], _T]) -> _T:
    """What comes of it in the end: a store may give up, and then it is tried anew."""
    for _attempt in range(20):
        with suppress(StoreError):
            return do()
    return do()


def _restored(repository: Repository, domain: DomainId, written: Written) -> bytes:
    disk = Disk(written.size)
    repository.restore(domain, written.root, disk, sha256=written.sha256)
    return bytes(disk.data)


def _random_name() -> str:
    return secrets.token_hex(6)
