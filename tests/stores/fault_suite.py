"""What every store over a network must do when network and server fail it.

Inherit `FaultSuite`, give a fixture `server` (the URL of an HTTP server) and a method `store_at`.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

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
    Stall,
    Storm,
)

from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository, Settings
from emberkeep.stores.base import Store, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable

DATA = repeatable("faults")(300_000)
OBJECT = r"/d/name($|\?)"
LISTING = r"\?(.*&)?prefix="
BUSY = Refuse(503, (("Retry-After", "1"),))

# What any request may meet, and what those meet that carry bytes.
ANY = (Refuse(500), Refuse(502), BUSY, Stall(), LoseAnswer(), ResetRequest(0))
SENDING = (*ANY, Stall(done=False), ResetRequest(100_000))
RECEIVING = (*ANY, ResetAnswer(0), ResetAnswer(1), CutAnswer(0), CutAnswer(1))


def faults(some: tuple[Fault, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", some, ids=str)


class FaultSuite:
    """The right result or a `StoreError`: never other bytes, never a lost acknowledged object."""

    def store_at(self, url: str, place: str) -> Store:
        """The store in bucket or container `place` of the server at `url`.

        It waits at most about a second for an answer, and hardly before it asks again.
        """
        raise NotImplementedError

    @pytest.fixture
    def proxy(self, server: str) -> Iterator[FaultProxy]:
        with FaultProxy(server) as proxy:
            yield proxy

    @pytest.fixture
    def place(self) -> str:
        return f"faults-{Random().randbytes(6).hex()}"

    @pytest.fixture
    def direct(self, server: str, place: str) -> Store:
        """What lies at the server, seen without faults; the bucket is there."""
        store = self.store_at(server, place)
        store.put("there", b"x")
        return store

    @pytest.fixture
    def store(self, proxy: FaultProxy, place: str, direct: Store) -> Store:
        """The same place through the proxy."""
        return self.store_at(proxy.url, place)

    @faults(SENDING)
    def test_a_put_outlives(
        self, fault: Fault, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        rule = proxy.inject("PUT", OBJECT, fault, times=2)
        store.put("d/name", DATA)
        assert rule.struck == 2
        assert direct.get("d/name") == DATA

    @faults(SENDING)
    def test_a_put_that_never_gets_through_says_so(
        self, fault: Fault, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        rule = proxy.inject("PUT", OBJECT, fault, times=ALWAYS)
        with pytest.raises(StoreError, match="name"):
            store.put("d/name", DATA)
        assert rule.struck > 1
        # Whole or not at all; and the same bytes can be put when the fault is over.
        left = [item.size for item in direct.list("d/")]
        assert left in ([], [len(DATA)])
        proxy.heal()
        store.put("d/name", DATA)
        assert direct.get("d/name") == DATA

    @faults(SENDING)
    def test_nothing_is_overwritten_by_a_put_that_is_sent_again(
        self, fault: Fault, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        direct.put("d/name", b"first")
        proxy.inject("PUT", OBJECT, fault)
        with pytest.raises(ObjectExists):
            store.put("d/name", DATA)
        assert direct.get("d/name") == b"first"

    @faults(RECEIVING)
    @pytest.mark.parametrize(
        ("offset", "length"), [(0, None), (7, None), (1000, 200_000), (-5000, None), (-9, 3)]
    )
    def test_a_get_outlives(
        self,
        fault: Fault,
        offset: int,
        length: int | None,
        proxy: FaultProxy,
        store: Store,
        direct: Store,
    ) -> None:
        direct.put("d/name", DATA)
        rule = proxy.inject("GET", OBJECT, fault, times=2)
        start = offset if offset >= 0 else len(DATA) + offset
        wanted = DATA[start:] if length is None else DATA[start : start + length]
        assert store.get("d/name", offset=offset, length=length) == wanted
        assert rule.struck == 2

    @faults(RECEIVING)
    def test_a_get_that_never_gets_through_says_so(
        self, fault: Fault, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        direct.put("d/name", DATA)
        proxy.inject("GET", OBJECT, fault, times=ALWAYS)
        with pytest.raises(StoreError, match="name") as error:
            store.get("d/name")
        assert not isinstance(error.value, ObjectNotFound)

    @faults(ANY)
    def test_a_stat_outlives(
        self, fault: Fault, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        direct.put("d/name", DATA)
        rule = proxy.inject("HEAD", OBJECT, fault, times=2)
        assert store.stat("d/name") == StoredObject("d/name", len(DATA))
        assert rule.struck == 2

    @faults(RECEIVING)
    def test_a_listing_outlives(
        self, fault: Fault, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        names = [f"d/{number}" for number in range(9)]
        for name in names:
            direct.put(name, b"x")
        rule = proxy.inject("GET", LISTING, fault, times=2)
        assert [item.name for item in store.list("d/")] == names
        assert rule.struck == 2

    @faults(ANY)
    def test_a_delete_outlives(
        self, fault: Fault, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        direct.put("d/name", DATA)
        rule = proxy.inject("DELETE", OBJECT, fault, times=2)
        store.delete("d/name")
        assert rule.struck == 2
        with pytest.raises(ObjectNotFound):
            direct.stat("d/name")

    @pytest.mark.parametrize(
        ("method", "verb"),
        [
            ("HEAD", lambda store: store.stat("d/name")),
            ("DELETE", lambda store: store.delete("d/name")),
            ("GET", lambda store: list(store.list("d/"))),
        ],
    )
    def test_a_verb_that_never_gets_through_says_so(
        self,
        method: str,
        verb: Callable[[Store], object],
        proxy: FaultProxy,
        store: Store,
        direct: Store,
    ) -> None:
        direct.put("d/name", DATA)
        proxy.inject(method, r"d/name|prefix=", Refuse(500), times=ALWAYS)
        with pytest.raises(StoreError) as error:
            verb(store)
        assert not isinstance(error.value, ObjectNotFound)

    def test_an_object_that_is_not_found_at_first_is_never_other_bytes(
        self, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        direct.put("d/name", DATA)
        for method, verb in (("GET", store.get), ("HEAD", store.stat)):
            proxy.inject(method, OBJECT, Refuse(404))
            with suppress(ObjectNotFound):
                assert verb("d/name") in (DATA, StoredObject("d/name", len(DATA)))
        assert store.get("d/name") == DATA

    def test_a_stale_listing_may_lack_something_but_what_was_put_is_there(
        self, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        direct.put("d/before", b"x")
        assert [item.name for item in store.list("d/")] == ["d/before"]
        stale = proxy.record.first("GET", LISTING)
        store.put("d/name", DATA)
        rule = proxy.inject("GET", LISTING, Repeat(stale))
        assert [item.name for item in store.list("d/")][:1] == ["d/before"]
        assert rule.struck == 1
        assert store.get("d/name") == DATA

    def test_in_a_storm_what_is_acknowledged_is_there(
        self, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        storm = Storm(Random(4), (Refuse(500), LoseAnswer(), ResetAnswer(1), CutAnswer(1)), 0.3)
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            proxy.inject(method, "/d/", storm, times=ALWAYS)
        lock = threading.Lock()
        acknowledged: dict[str, bytes] = {}
        refused: list[StoreError] = []

        def work(number: int) -> None:
            draw = repeatable(f"storm {number}")
            for count in range(6):
                name, data = f"d/{number}.{count}", draw(1000 * count + 1)
                try:
                    store.put(name, data)
                    with lock:
                        acknowledged[name] = data
                    assert store.get(name) == data
                    assert store.get(name, offset=-1) == data[-1:]
                    if count % 3 == 0:
                        with lock:
                            del acknowledged[name]
                        store.delete(name)
                except StoreError as error:
                    refused.append(error)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert storm.struck > 10
        assert not any(isinstance(error, ObjectNotFound) for error in refused)
        proxy.heal()
        assert {name: direct.get(name) for name in acknowledged} == acknowledged
        assert len(acknowledged) > 20

    def test_a_backup_through_a_storm_restores_byte_for_byte(
        self, proxy: FaultProxy, store: Store, direct: Store
    ) -> None:
        """Back up, change, back up, delete the first, collect, restore: all of it in a storm."""
        storm = Storm(Random(5), (Refuse(500), LoseAnswer(), ResetAnswer(1), CutAnswer(1)), 0.2)
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            proxy.inject(method, "/(d/|format)", storm, times=ALWAYS)
        ledger, random = MemoryLedger(), repeatable("storm")
        waited: list[float] = []
        repository = Repository.create(
            store, a_key_manager(), ledger=a_ledger(ledger), random=random, sleep=waited.append
        )
        domain = repository.create_domain()
        settings = Settings(chunk_size=32 << 10, segment_size=1 << 20, workers=2)
        first = repeatable("image")(3 << 20)
        second = first[: 1 << 20] + repeatable("changes")(100_000) + first[(1 << 20) + 100_000 :]
        description = {"volume_id": "v"}
        full = repository.back_up(
            Image(first), domain=domain, description=description, settings=settings
        )
        increment = repository.back_up(
            Image(second), domain=domain, description=description, settings=settings, base=full.root
        )
        repository.delete(domain, full.root)
        repository.collect(domain)
        disk = Disk(len(second))
        repository.restore(domain, increment.root, disk, sha256=increment.sha256)
        assert bytes(disk.data) == second
        assert storm.struck > 5
        proxy.heal()
        disk = Disk(len(second))
        reopened = Repository.open(direct, a_key_manager(), ledger=a_ledger(ledger))
        reopened.restore(domain, increment.root, disk, sha256=increment.sha256)
        assert bytes(disk.data) == second
