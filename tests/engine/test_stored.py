"""Which generation of a segment is read, and what is said of one that is not as it should be."""

import struct

import numpy as np
import pytest
import zstandard
from tests.engine.place import CHUNK, Place, flipped, pattern

from emberkeep.engine import blockmap, checkpoints, compaction, damage, keys, layout, marks
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.marks import Marks
from emberkeep.engine.repository import Repository, Settings, Written
from emberkeep.engine.segments import ChunkIds, Footer
from emberkeep.engine.stored import SegmentReader
from emberkeep.testing.engine import a_key_manager, repeatable

SETTINGS = Settings(chunk_size=CHUNK, segment_size=20 * CHUNK, workers=0)
DATA = pattern(60 * CHUNK)


@pytest.fixture
def place() -> Place:
    return Place()


def compacted(place: Place) -> tuple[Written, bytes]:
    """A backup that needs a few chunks of its deleted base, of which the rest was collected."""
    data = bytearray(pattern(60 * CHUNK, "changed"))
    for number in range(0, 60, 10):
        data[number * CHUNK : (number + 1) * CHUNK] = DATA[number * CHUNK : (number + 1) * CHUNK]
    base = place.back_up(DATA, settings=SETTINGS)
    written = place.back_up(bytes(data), base=base, settings=SETTINGS)
    place.repository.delete(place.domain, base.root)
    place.repository.collect(place.domain)
    assert any(name.rpartition(".")[2] != "0" for name in place.names("s"))
    return written, bytes(data)


def stray(place: Place, *, keep: int) -> str:
    """What a later collection that failed at its gate leaves: a generation with too few records."""
    name = next(name for name in place.names("s") if not name.endswith(".0"))
    segment, generation = layout.parse_segment_name(name)
    reader = place.repository._reader(place.domain)
    live = reader.tail_of(segment, generation).footer.records["index"][:keep]
    data = compaction.compacted(
        reader, segment, generation, live.astype(np.intp), below=1, new_generation="9-00000000",
        random=repeatable("stray"),
    )  # fmt: skip
    assert data is not None
    stray = layout.segment_name(place.domain, segment, "9-00000000")
    place.store.put(stray, data)
    return stray


def without_ledger(place: Place) -> None:
    place.repository = Repository.open(place.store, a_key_manager())


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_without_a_ledger_a_failed_collections_generation_is_no_trap(
    place: Place, keep: int
) -> None:
    written, data = compacted(place)
    stray(place, keep=keep)
    without_ledger(place)
    assert place.restored(written) == data


def test_without_a_ledger_a_damaged_generation_does_not_hide_a_whole_one(place: Place) -> None:
    written, data = compacted(place)
    place.tamper(stray(place, keep=2), flipped(-20))
    without_ledger(place)
    assert place.restored(written) == data


def test_with_unreadable_gens_likewise(place: Place) -> None:
    written, data = compacted(place)
    stray(place, keep=1)
    (gens,) = place.names("g")
    place.tamper(gens, flipped(20))
    assert place.restored(written) == data
    verified = place.repository.verify(place.domain)
    assert verified.quarantined == ()
    assert gens in verified.damaged[0]


def test_a_record_that_no_generation_has_is_missing(place: Place) -> None:
    written, _data = compacted(place)
    name = stray(place, keep=1)
    segment, _generation = layout.parse_segment_name(name)
    for other in place.names("s"):
        if other.startswith(name.rpartition(".")[0]) and other != name:
            place.store.delete(other)
    without_ledger(place)
    with pytest.raises(DamagedObject, match=f"{segment.session}.*record [0-9]+ is missing"):
        place.restored(written)


def test_a_node_that_cannot_be_read_is_told_to_every_backup_that_needs_it(place: Place) -> None:
    first = place.back_up(DATA, settings=SETTINGS)
    second = place.back_up(DATA, base=first, settings=SETTINGS)
    roots = [place.repository.describe(place.domain, root) for root in (first.root, second.root)]
    top = roots[0].layout.top
    assert top is not None
    assert top == roots[1].layout.top
    place.tamper(layout.segment_name(place.domain, top.segment), flipped(top.offset + 9))
    reader, reached = place.repository._reader(place.domain), Marks()
    for root in roots:
        told: list[str] = []
        marks.walk(
            blockmap.Nodes(reader), root.layout, reached,
            damaged=lambda _place, error, told=told: told.append(str(error)),  # type: ignore[misc]
            checkpoint=lambda: None,
        )  # fmt: skip
        assert len(told) == 1
        assert str(top.segment.session) in told[0]


def packed(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(plain)


@pytest.mark.parametrize(
    "plain",
    [b"", b"\0" * 9, struct.pack("<IIH", 2**32 - 1, 1, 0), struct.pack("<IIH", 1, 1, 9) + b"v",
     struct.pack("<IIH", 0, 1, 0) + b"more", struct.pack("<IIH", 0, 1, 1) + b"\xff"],
)  # fmt: skip
def test_a_footer_that_is_none_is_damage(plain: bytes) -> None:
    with pytest.raises(DamagedObject, match="segment x"):
        Footer.decode(packed(plain), "segment x")


@pytest.mark.parametrize("plain", [b"", b"\0\0", struct.pack("<I", 2**32 - 1), bytes(5)])
def test_an_ids_record_that_is_none_is_damage(plain: bytes) -> None:
    with pytest.raises(DamagedObject, match="segment x"):
        ChunkIds.decode(plain, "segment x")


NOT_RIGHT = [b"", b"\xff", b"{", b"7", b"null", b'"text"', b'{"x": {}}', b'[["x"]]', b"{}"]


@pytest.mark.parametrize("plain", NOT_RIGHT)
def test_sealed_json_that_is_not_right_is_damage(place: Place, plain: bytes) -> None:
    key, domain, session = place.repository._metadata_key, place.domain, SessionId("ab" * 16)

    def put(name: str) -> str:
        place.store.put(name, keys.seal(key.object_key(name), plain, repeatable("seal")))
        return name

    if plain != b"{}":
        reader = SegmentReader(place.store, key, domain, None)
        with pytest.raises(DamagedObject, match="/g/"):
            reader.gens(put(layout.gens_name(domain, "7-01234567", session)))
        segment = SegmentId(session, 3)
        bad = damage.read(place.store, key, [put(layout.bad_name(domain, segment, "01234567"))])
        assert (segment, 12) in bad
    put(layout.checkpoint_name(domain, session, 1))
    origin = checkpoints.Origin("point", None, 1, CHUNK)
    assert checkpoints.newest(place.store, key, domain, [session], origin) is None
    root = layout.root_name(domain, RootId(session))
    sealed = keys.seal(key.layout_key(domain, session), plain, repeatable("root"))
    data = b"EMBRKROO" + struct.pack("<II", 1, len(sealed)) + sealed + bytes(4)
    place.store.put(root, data)
    with pytest.raises(DamagedObject, match=root):
        place.repository.describe(domain, RootId(session))


def test_a_node_that_is_none_is_damage() -> None:
    from emberkeep.engine.errors import MALFORMED

    one = blockmap.no_entries()
    one["length"][0] = 1
    data = bytearray(blockmap.Node(1, one, None, bytes(16)).encode())
    data[1] = 0  # no segment in the table
    for plain in (b"", b"\1", bytes(34), bytes(data), bytes(data[:35]) + bytes(data[59:])):
        with pytest.raises(MALFORMED):
            blockmap.Node.decode(plain)
