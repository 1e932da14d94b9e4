"""What the engine promises, seen from its face."""

import json
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
import zstandard

from emberkeep.engine import blockmap, keys, layout, segments
from emberkeep.engine.errors import (
    DamagedObject,
    NotARepository,
    SourceError,
    TargetError,
    WrongKey,
)
from emberkeep.engine.ledger import State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.protocols import Extent
from emberkeep.engine.repository import DomainId, Progress, Repository, SessionId, Settings, Written
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.writer import default_chunk_size
from emberkeep.stores.base import Buffer
from emberkeep.stores.errors import StoreFull
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import Disk, Image, a_key_manager, a_ledger, repeatable

CHUNK = 32 << 10
SMALL = Settings(chunk_size=CHUNK, workers=2)


class Place:
    """A repository in memory with one domain."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.ledger = MemoryLedger()
        self.repository = Repository.create(
            self.store, a_key_manager(), ledger=a_ledger(self.ledger), random=repeatable("place")
        )
        self.domain = self.repository.create_domain()

    def back_up(
        self,
        data: bytes,
        *,
        base: Written | None = None,
        settings: Settings = SMALL,
        **more: object,
    ) -> Written:
        return self.repository.back_up(
            Image(data),
            domain=self.domain,
            session=self.repository.new_session(),
            description={"volume_id": "v"},
            base=base.root if base else None,
            settings=settings,
            **more,
        )

    def restored(self, written: Written, *, over: bytes | None = None) -> bytes:
        disk = Disk(written.size, content=over)
        self.repository.restore(self.domain, written.root, disk, sha256=written.sha256)
        assert disk.flushed
        return bytes(disk.data)

    def give_up(self) -> None:
        """What nobody is going to end is aborted."""
        for session, state in self.ledger.sessions(self.domain).items():
            if state == State.ACTIVE:
                self.ledger.abort(session)

    def names(self, kind: str) -> list[str]:
        return [item.name for item in self.store.list(f"d/{self.domain}/{kind}/")]


@pytest.fixture
def place() -> Place:
    return Place()


def pattern(size: int, seed: str = "pattern") -> bytes:
    return repeatable(seed)(size)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 300 * CHUNK + 12_345])
def test_a_backup_of_any_size_is_restored_byte_for_byte(place: Place, size: int) -> None:
    data = pattern(size)
    written = place.back_up(data)
    assert place.restored(written) == data
    assert place.restored(written, over=b"\xff" * size) == data


def test_a_small_backup_is_one_object_and_the_root(place: Place) -> None:
    written = place.back_up(pattern(5 * CHUNK))
    assert (written.segments, len(place.names("s")), len(place.names("r"))) == (1, 1, 1)


def test_an_unchanged_volume_stores_nothing_but_a_root(place: Place) -> None:
    data = pattern(700 * CHUNK)
    first = place.back_up(data)
    again = place.back_up(data, base=first)
    assert (again.segments, again.new_chunks, len(place.names("s"))) == (0, 0, first.segments)
    assert place.restored(again) == data


def test_a_changed_volume_stores_its_changed_chunks_and_the_nodes_above(place: Place) -> None:
    data = bytearray(pattern(1000 * CHUNK))
    first = place.back_up(bytes(data))
    data[512 * CHUNK + 5] ^= 1
    again = place.back_up(bytes(data), base=first)
    assert (again.new_chunks, again.segments) == (1, 1)
    assert again.stored_bytes < CHUNK + 30_000  # one chunk, a leaf, the node above, the root
    assert place.restored(again) == data
    assert place.restored(first) != data


def test_what_became_zero_is_zero_wherever_it_is_restored(place: Place) -> None:
    data = bytearray(pattern(300 * CHUNK))
    full = place.back_up(bytes(data))
    data[3 * CHUNK : 280 * CHUNK] = bytes(277 * CHUNK)
    incremental = place.back_up(bytes(data), base=full)
    assert incremental.new_chunks == 0
    for there in (None, bytes(pattern(len(data), "other")), pattern(len(data))):
        assert place.restored(incremental, over=there) == data


def test_every_zero_range_is_zeroed_on_an_existing_target(place: Place) -> None:
    size = 600 * CHUNK + 77
    holes = (Extent(0, 5 * CHUNK), Extent(6 * CHUNK, 400 * CHUNK), Extent(500 * CHUNK, size))
    data = bytearray(size)
    for first, after in pairwise(holes):
        data[first.end : after.offset] = pattern(after.offset - first.end)
    written = place.repository.back_up(
        Image(bytes(data), holes=holes),
        domain=place.domain,
        session=place.repository.new_session(),
        description={},
        settings=SMALL,
    )
    assert place.restored(written, over=b"\xff" * size) == data
    empty = place.back_up(bytes(size))
    assert place.restored(empty, over=b"\xff" * size) == bytes(size)


def test_bytes_beyond_the_backup_are_left_alone(place: Place) -> None:
    written = place.back_up(pattern(CHUNK + 10))
    disk = Disk(3 * CHUNK, content=b"\xee" * 3 * CHUNK)
    place.repository.restore(place.domain, written.root, disk)
    assert bytes(disk.data) == pattern(CHUNK + 10) + b"\xee" * (2 * CHUNK - 10)


def test_a_smaller_target_is_refused_before_anything_is_written(place: Place) -> None:
    written = place.back_up(pattern(CHUNK))
    disk = Disk(CHUNK - 1)
    with pytest.raises(TargetError, match="take a larger one"):
        place.repository.restore(place.domain, written.root, disk)
    assert bytes(disk.data) == bytes(CHUNK - 1)


@pytest.mark.parametrize(("before", "after"), [(10, 700), (700, 10), (255, 257), (256, 300)])
def test_a_volume_may_grow_and_shrink_between_backups(
    place: Place, before: int, after: int
) -> None:
    data = pattern(max(before, after) * CHUNK)
    first = place.back_up(data[: before * CHUNK - 100])
    again = place.back_up(data[: after * CHUNK - 100], base=first)
    assert place.restored(again) == data[: after * CHUNK - 100]
    assert place.restored(first) == data[: before * CHUNK - 100]
    assert again.new_chunks <= max(1, after - before + 1)


def test_increments_keep_the_chunk_size_of_their_lineage(place: Place) -> None:
    first = place.back_up(pattern(10 * CHUNK))
    again = place.back_up(pattern(10 * CHUNK), base=first, settings=Settings(chunk_size=1 << 20))
    assert place.repository.describe(place.domain, again.root).chunk_size == CHUNK


@pytest.mark.parametrize(
    ("size", "chunk"),
    [(1 << 30, 64), (4 << 40, 64), ((4 << 40) + 1, 128), (16 << 40, 128), ((16 << 40) + 1, 256)],
)
def test_the_chunk_size_follows_the_volumes_size(size: int, chunk: int) -> None:
    assert default_chunk_size(size) == chunk << 10


class Hollow:
    """A volume of any size that is one hole, and cannot be read."""

    change_id = None

    def __init__(self, size: int) -> None:
        self.size = size

    def extents(self) -> Iterator[Extent]:
        return iter(())

    def read_into(self, offset: int, buffer: memoryview) -> None:
        raise AssertionError("a hole was read")


def test_64_tib_of_nothing_are_a_root(place: Place) -> None:
    written = place.repository.back_up(
        Hollow(64 << 40), domain=place.domain, session=place.repository.new_session(),
        description={},
    )  # fmt: skip
    assert (written.segments, written.chunks) == (0, 0)
    assert place.repository.describe(place.domain, written.root).size == 64 << 40


def test_any_backup_may_be_deleted_and_the_others_stay_whole(place: Place) -> None:
    data = bytearray(pattern(600 * CHUNK))
    images, chain = [bytes(data)], [place.back_up(bytes(data))]
    for number in range(1, 5):
        data[number * 100 * CHUNK : (number * 100 + 30) * CHUNK] = pattern(30 * CHUNK, str(number))
        images.append(bytes(data))
        chain.append(place.back_up(bytes(data), base=chain[-1]))
    for gone in (0, 2, 1, 4):
        place.repository.delete(place.domain, chain[gone].root)
        place.repository.collect(place.domain)
        for number, written in enumerate(chain):
            if written.root in place.repository.roots(place.domain):
                assert place.restored(written) == images[number]
    place.repository.delete(place.domain, chain[3].root)
    place.repository.collect(place.domain)
    assert place.names("s") == []


def test_a_collection_removes_what_a_failed_backup_left(place: Place) -> None:
    kept = place.back_up(pattern(10 * CHUNK))

    def stop() -> None:
        if len(place.names("s")) > 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        place.back_up(
            pattern(400 * CHUNK, "other"),
            settings=Settings(chunk_size=CHUNK, segment_size=10 * CHUNK, workers=2),
            checkpoint=stop,
        )
    assert len(place.names("r")) == 1
    assert len(place.names("s")) > 1
    place.give_up()
    place.repository.collect(place.domain)
    assert len(place.names("s")) == 1
    assert place.restored(kept) == pattern(10 * CHUNK)


def test_a_root_that_cannot_be_read_stops_a_collection_before_it_removes_anything(
    place: Place,
) -> None:
    first = place.back_up(pattern(10 * CHUNK))
    second = place.back_up(pattern(10 * CHUNK, "other"))
    place.repository.delete_root(place.domain, second.root)
    place.repository.delete(place.domain, first.root)
    with pytest.raises(DamagedObject, match=f"nothing was collected.*{second.root}"):
        place.repository.collect(place.domain)
    assert len(place.names("s")) == 2


def test_a_pointer_never_leaves_its_domain(place: Place) -> None:
    base = place.back_up(pattern(CHUNK))
    place.domain = place.repository.create_domain()
    with pytest.raises(DamagedObject):
        place.back_up(pattern(CHUNK), base=base)
    assert place.names("r") == []


@pytest.mark.parametrize(
    ("seq", "stored_anew"), [(1, range(100, 101)), (3, range(600))], ids=["chunks", "nodes"]
)
def test_a_damaged_base_is_not_trusted_and_heals(
    place: Place, seq: int, stored_anew: range
) -> None:
    data = pattern(600 * CHUNK)
    small = Settings(chunk_size=CHUNK, segment_size=100 * CHUNK, workers=2)
    base = place.back_up(data, settings=small)
    lost = layout.segment_name(place.domain, layout.SegmentId(SessionId(base.root), seq))
    place.store.delete(lost)
    again = place.back_up(data, base=base, settings=small)
    assert again.new_chunks in stored_anew
    assert [lost in text for text in again.damaged] == [True]
    assert place.restored(again) == data
    with pytest.raises(DamagedObject, match=f"{base.root}.*{lost} is missing"):
        place.restored(base)


@pytest.mark.parametrize("failing", ["source", "store", "checkpoint"])
def test_a_failure_is_passed_on_and_nothing_is_published(place: Place, failing: str) -> None:
    class Broken(Image):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            if failing == "source" and offset > 100 * CHUNK:
                raise SourceError("sector 5")
            super().read_into(offset, buffer)

    class Full(MemoryStore):
        def put(self, name: str, data: Buffer) -> None:
            if failing == "store" and "/s/" in name:
                raise StoreFull("full")
            super().put(name, data)

    def checkpoint() -> None:
        if failing == "checkpoint":
            raise KeyboardInterrupt

    place.store = Full()
    place.repository = Repository.create(place.store, a_key_manager(), ledger=a_ledger())
    place.domain = place.repository.create_domain()
    threads = threading.active_count()
    wanted = {"source": SourceError, "store": StoreFull, "checkpoint": KeyboardInterrupt}
    with pytest.raises(wanted[failing]):
        place.repository.back_up(
            Broken(pattern(300 * CHUNK)),
            domain=place.domain,
            session=place.repository.new_session(),
            description={},
            settings=SMALL,
            checkpoint=checkpoint,
        )
    assert place.names("r") == []
    assert threading.active_count() == threads


def test_the_root_is_put_after_everything_else(place: Place) -> None:
    order: list[str] = []

    class Noting(MemoryStore):
        def put(self, name: str, data: Buffer) -> None:
            super().put(name, data)
            order.append(name.split("/")[2])

    noting = Noting()
    noting._objects = place.store._objects
    repository = Repository.open(noting, a_key_manager(), ledger=a_ledger())
    repository.back_up(
        Image(pattern(300 * CHUNK)),
        domain=place.domain,
        session=repository.new_session(),
        description={},
        settings=Settings(chunk_size=CHUNK, segment_size=20 * CHUNK),
    )
    assert order.count("s") > 10
    assert order[-1] == "r"
    assert order.count("r") == 1


def test_progress_only_rises_and_ends_at_the_whole(place: Place) -> None:
    seen: list[Progress] = []
    written = place.back_up(pattern(700 * CHUNK), progress=seen.append)
    restored: list[Progress] = []
    place.repository.restore(
        place.domain, written.root, Disk(written.size), progress=restored.append
    )
    for steps in (seen, restored):
        assert [step.done for step in steps] == sorted(step.done for step in steps)
        assert steps[-1].done == steps[-1].total == written.size


def test_a_restore_can_be_interrupted(place: Place) -> None:
    written = place.back_up(pattern(700 * CHUNK))
    threads = threading.active_count()

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        place.repository.restore(place.domain, written.root, Disk(written.size), checkpoint=stop)
    assert threading.active_count() == threads


def test_the_description_is_read_back_and_encrypted(place: Place) -> None:
    secret = "a very particular name"
    written = place.repository.back_up(
        Image(b"x"), domain=place.domain, session=place.repository.new_session(),
        description={"name": secret, "size": 1},
    )  # fmt: skip
    root = place.repository.describe(place.domain, written.root, sha256=written.sha256)
    assert root.description == {"name": secret, "size": 1}
    for item in place.store.list(""):
        assert secret.encode() not in place.store.get(item.name)
    with pytest.raises(DamagedObject, match="not the object that was written"):
        place.repository.describe(place.domain, written.root, sha256="0" * 64)


def test_equal_chunks_are_stored_under_different_bytes(place: Place) -> None:
    """Ciphertexts tell nothing: each record has its own nonce under its session's key."""
    data = pattern(CHUNK) * 2
    place.back_up(data)
    (name,) = place.names("s")
    stored = place.store.get(name)
    first = stored[64 + 1 : 64 + 1 + CHUNK]
    assert first not in stored[64 + 1 + CHUNK :]
    assert pattern(CHUNK)[:64] not in stored


def test_another_key_opens_nothing(place: Place) -> None:
    with pytest.raises(WrongKey, match="emberkeep key import"):
        Repository.open(place.store, a_key_manager("another"))


def test_an_empty_store_holds_no_repository() -> None:
    with pytest.raises(NotARepository):
        Repository.open(MemoryStore(), a_key_manager())


def test_creating_twice_opens_the_first(place: Place) -> None:
    assert (
        Repository.create(place.store, a_key_manager(), ledger=a_ledger()).id == place.repository.id
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": 2}, NotARepository),
        ({"features": ["new"]}, NotARepository),
        ({"cipher": "none"}, NotARepository),
        ({"incarnation": 2}, DamagedObject),
        ({"title": "x"}, DamagedObject),
        ({"repository": "0" * 32}, DamagedObject),
        ({"metadata_key": "00"}, DamagedObject),
    ],
)
def test_a_changed_format_opens_nothing(
    place: Place, change: dict[str, object], error: type[Exception]
) -> None:
    content = {**json.loads(place.store.get("format")), **change}
    place.store.delete("format")
    place.store.put("format", json.dumps(content).encode())
    with pytest.raises(error):
        Repository.open(place.store, a_key_manager())


def test_a_domain_without_keys_is_reported(place: Place) -> None:
    with pytest.raises(DamagedObject, match="no keys"):
        place.repository.describe(DomainId("0" * 32), place.back_up(b"x").root)


@pytest.mark.parametrize("chunk", [1, 1 << 14, 1 << 21, 100_000])
def test_a_chunk_size_out_of_range_is_refused(chunk: int) -> None:
    with pytest.raises(ValueError, match="32 KiB"):
        Settings(chunk_size=chunk)


def test_a_root_names_the_sessions_that_its_map_points_into_and_no_others(place: Place) -> None:
    data = bytearray(pattern(300 * CHUNK))
    first = place.back_up(bytes(data))
    data[CHUNK] ^= 1
    second = place.back_up(bytes(data), base=first)
    sessions = place.repository.describe(place.domain, second.root).layout.sessions
    assert set(sessions) == {first.root, second.root}
    third = place.back_up(pattern(300 * CHUNK, "all other"), base=second)
    assert place.repository.describe(place.domain, third.root).layout.sessions == (third.root,)
    nothing = place.back_up(bytes(10), base=third)
    assert place.repository.describe(place.domain, nothing.root).layout.sessions == ()


def test_a_map_rewritten_by_who_has_no_domain_key_is_noticed(place: Place) -> None:
    """The metadata key opens nodes, but makes no digest: a child can't be left out unseen."""
    data = pattern(600 * CHUNK)
    written = place.back_up(data)
    root = place.repository.describe(place.domain, written.root)
    top = root.layout.top
    assert top is not None
    metadata_key = place.repository._metadata_key
    cipher = metadata_key.node_cipher(place.domain, top.segment.session)
    honest = blockmap.Nodes(SegmentReader(place.store, metadata_key, place.domain, None)).read(
        top, 2
    )
    entries, digests = honest.entries.copy(), honest.digests.copy()  # type: ignore[union-attr]
    entries[0], digests[0] = blockmap.no_entries()[0], 0
    forged = blockmap.Node(2, entries, digests, honest.digest)
    padded = forged.encode()
    size = top.length - segments.OVERHEAD
    for level in range(1, 20):
        shrunk = zstandard.ZstdCompressor(level=level).compress(padded)
        if len(shrunk) <= size:
            break
    shrunk += b"\x50\x2a\x4d\x18" + (size - len(shrunk) - 8).to_bytes(4, "little")
    record = bytes((layout.Codec.ZSTD,)) + cipher.encrypt(
        keys.record_nonce(top.segment.seq, top.index),
        shrunk.ljust(size, b"\0"),
        bytes((layout.Kind.NODE, layout.Codec.ZSTD)),
    )
    name = layout.segment_name(place.domain, top.segment)
    stored = bytearray(place.store.get(name))
    stored[top.offset : top.offset + top.length] = record
    place.store.delete(name)
    place.store.put(name, stored)
    with pytest.raises(DamagedObject, match="not the one which its parent was made with"):
        place.restored(written)


def test_of_two_repositories_made_at_once_the_one_that_stays_counts() -> None:
    """Swift takes both puts of `format` if each begins before the other ends."""
    other = MemoryStore()
    first = Repository.create(other, a_key_manager())
    store = MemoryStore()
    store.settles_within = 60.0

    def overwritten(seconds: float) -> None:
        assert seconds > 0
        store._objects |= other._objects

    made = Repository.create(store, a_key_manager(), sleep=overwritten)
    assert made.id == first.id
