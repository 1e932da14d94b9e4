import numpy as np
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.engine import blockmap
from emberkeep.engine.blockmap import FANOUT, Map, MapWriter, Node, Nodes, Top
from emberkeep.engine.ids import DomainId, SessionId
from emberkeep.engine.keys import MetadataKey
from emberkeep.engine.layout import Codec, Pointer, SegmentId
from emberkeep.engine.segments import SegmentBuilder, shrink
from emberkeep.engine.stored import SegmentReader
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import repeatable

DOMAIN = DomainId("d" * 32)
KEY = MetadataKey(b"k" * 32)

pointers = st.builds(
    Pointer,
    segment=st.builds(
        SegmentId,
        session=st.sampled_from([SessionId(f"{n:032x}") for n in range(1, 6)]),
        seq=st.integers(0, 2**32 - 1),
    ),
    key=st.integers(1, 2**32 - 1),
    index=st.integers(0, 2**32 - 1),
    offset=st.integers(0, 2**48),
    length=st.integers(1, 2**31 - 1),
)


@given(
    st.dictionaries(st.integers(0, FANOUT - 1), pointers, max_size=40),
    st.booleans(),
    st.binary(min_size=16, max_size=16),
)
def test_a_node_is_read_back_as_it_was_written(
    places: dict[int, Pointer], is_leaf: bool, digest: bytes
) -> None:
    entries = blockmap.no_entries()
    digests = None if is_leaf else np.zeros((FANOUT, 16), "u1")
    for slot, place in places.items():
        entries[slot] = blockmap.entry(place)
        if digests is not None:
            digests[slot] = slot % 7 + 1
    node = Node(1 if is_leaf else 2, entries, digests, digest)
    again = Node.decode(node.encode())
    assert again.height == node.height
    assert again.digest == digest
    assert {slot: blockmap.pointer(again.entries[slot]) for slot in places} == places
    assert again.entries.tobytes() == entries.tobytes()
    if digests is not None:
        assert again.digests is not None
        assert again.digests.tobytes() == digests.tobytes()


@given(st.lists(pointers, max_size=40))
def test_entries_give_the_pointers_that_they_were_made_from(places: list[Pointer]) -> None:
    rows = np.zeros(len(places), blockmap.ENTRY)
    for row, place in enumerate(places):
        rows[row] = blockmap.entry(place)
    assert blockmap.pointers(rows) == places
    assert [blockmap.pointer(row) for row in rows] == places


@given(st.binary(max_size=400))
def test_what_is_no_node_is_refused(data: bytes) -> None:
    node = Node(1, blockmap.no_entries(), None, bytes(16)).encode()
    for damaged in (node[:-1], node + data[:1] + b"x"):
        with pytest.raises(ValueError, match=r"wrong length|buffer"):
            Node.decode(damaged)


def test_a_node_of_a_sequential_backup_takes_few_bytes() -> None:
    entries = blockmap.no_entries()
    offset = 64
    for slot in range(FANOUT):
        length = 26_000 + slot * 7919 % 4001
        segment = SegmentId(SessionId("a" * 32), 3)
        entries[slot] = blockmap.entry(Pointer(segment, 1, slot, offset, length))
        offset += length

    _codec, data = shrink(
        Node(1, entries, None, bytes(16)).encode(), zstandard.ZstdCompressor(level=3)
    )
    assert len(data) < 3 * FANOUT


class Maps:
    """Writes maps into a store in memory, one session each."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.nodes = Nodes(SegmentReader(self.store, KEY, DOMAIN, None))
        self.sessions = 0
        self.nodes_written = 0

    def write(self, leaves: dict[int, dict[int, int]], height: int, base: Map | None) -> Map:
        """A map whose leaf `number` has at `slot` a chunk named by an integer."""
        self.sessions += 1
        session = SessionId(f"{self.sessions:032x}")
        cipher = KEY.node_cipher(DOMAIN, session)
        builder = SegmentBuilder(
            DOMAIN,
            SegmentId(session, 0),
            size=1 << 20,
            key=1,
            volume="v",
            record_cipher=cipher,
            node_cipher=cipher,
        )
        self.nodes_written = 0

        def write_node(codec: Codec, data: bytes) -> Pointer:
            self.nodes_written += 1
            return builder.add_node(codec, data)

        writer = MapWriter(
            height, base=base, write=write_node, identify=self.identify, damaged=pytest.fail
        )
        for number in sorted(leaves):
            entries, ids = blockmap.no_entries(), np.zeros((FANOUT, 16), "u1")
            for slot, chunk in leaves[number].items():
                segment = SegmentId(SessionId("c" * 32), chunk)
                entries[slot] = blockmap.entry(Pointer(segment, 1, 0, 64, 100))
                ids[slot] = chunk % 255 + 1
            writer.add_leaf(number, entries, ids)
        top = writer.finish()
        name = f"d/{DOMAIN}/s/{session[:2]}/{session}/00000000.0"
        self.store.put(name, builder.finish(KEY, repeatable(session)))
        return Map(self.nodes, top)

    @staticmethod
    def identify(data: bytes) -> bytes:
        return blake3(data).digest(16)


def content(found: Map) -> dict[int, dict[int, int]]:
    leaves = {}
    for number, leaf in found.leaves(Maps.identify):
        places = {
            int(slot): blockmap.pointer(leaf.entries[slot])
            for slot in np.flatnonzero(leaf.entries["length"])
        }
        leaves[number] = {slot: place.segment.seq for slot, place in places.items() if place}
    return leaves


leaf_numbers = st.one_of(st.integers(0, 5), st.integers(254, 258), st.integers(0, FANOUT**2 - 1))
some_leaves = st.dictionaries(
    leaf_numbers,
    st.dictionaries(st.integers(0, FANOUT - 1), st.integers(1, 2**31), min_size=1, max_size=3),
    max_size=8,
)


@given(some_leaves, some_leaves)
def test_maps_hold_what_was_written_with_and_without_a_base(
    first: dict[int, dict[int, int]], changes: dict[int, dict[int, int]]
) -> None:
    maps = Maps()
    base = maps.write(first, 3, None)
    assert content(base) == first
    second = {**first, **changes}
    assert content(maps.write(second, 3, base)) == second
    # Growth by a level: the old top becomes child 0.
    grown = maps.write(second, 4, base)
    assert content(grown) == second
    # Shrinkage, with a base that is higher.
    low = {number: slots for number, slots in second.items() if number < FANOUT}
    assert content(maps.write(low, 2, grown)) == low


def test_what_did_not_change_is_shared_whole() -> None:
    maps = Maps()
    leaves = {number: {0: number + 1} for number in (0, 1, 255, 256, 700, 65_535)}
    base = maps.write(leaves, 3, None)
    assert maps.write(leaves, 3, base).top == base.top
    assert maps.nodes_written == 0
    maps.write({**leaves, 700: {5: 1}}, 3, base)
    assert maps.nodes_written == 3  # the leaf and the two above it
    grown = maps.write(leaves, 4, base)
    assert maps.nodes_written == 1
    child = grown.child(3, 0)
    assert child is not None
    assert blockmap.pointer(child[0]) == base.top.place


def test_an_empty_map_has_no_node() -> None:
    maps = Maps()
    assert maps.write({}, 2, None).top == Top(2, None, bytes(16))
    assert list(maps.write({}, 2, maps.write({3: {1: 1}}, 2, None)).leaves(Maps.identify)) == []


@pytest.mark.parametrize(
    ("size", "height"),
    [(0, 1), (1, 1), (16 << 20, 1), ((16 << 20) + 1, 2), (4 << 30, 2), ((4 << 30) + 1, 3),
     (1 << 40, 3), ((1 << 40) + 1, 4)],
)  # fmt: skip
def test_heights_at_64_kib(size: int, height: int) -> None:
    assert blockmap.height_for(size, 64 << 10) == height
