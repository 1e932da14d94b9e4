"""Block maps: where each chunk of a volume's image lies in the repository.

A map is a tree of nodes with FANOUT entries.  An entry is zero (all of its range reads as zeros) or
the pointer of a record: of a chunk in a leaf (height 1), of a node above.  So the size of a map
follows what was written, not how large the volume is.  Nodes never change; two backups share every
subtree in which they agree.

A node ends with its content digest: the id function over the ids of its chunks (zeros for a zero
chunk), or over the digests of its children.  A restore computes it anew, so a chunk in the wrong
place can't pass.

Invariants
* a node is written after everything that it points to;
* a position that no node covers reads as zeros;
* what a node says is authenticated before it is believed.
"""

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from emberkeep.engine import segments
from emberkeep.engine.errors import MALFORMED, DamagedObject
from emberkeep.engine.ids import SessionId
from emberkeep.engine.keys import ID_SIZE, Cipher
from emberkeep.engine.layout import Codec, Kind, Pointer, SegmentId
from emberkeep.engine.stored import SegmentReader

FANOUT = 256
NODE_LIMIT = 64 << 10  # bytes; no node is larger, decompressed

# One entry; all zeros for a range of zeros.
ENTRY = np.dtype(
    [
        ("session", "u1", 16),
        ("key", "<u4"),
        ("seq", "<u4"),
        ("index", "<u4"),
        ("length", "<u4"),
        ("offset", "<u8"),
    ]
)
_SEGMENT_BYTES = 24  # session, key, seq
_HEAD = struct.Struct("<BH")  # height, segments in the table
ZERO_DIGEST = bytes(ID_SIZE)

Entries = npt.NDArray[Any]  # of ENTRY, shape (FANOUT,)


def height_for(size: int, chunk_size: int) -> int:
    """The height of the map of a volume of `size` bytes: the least whose range holds it, from 1."""
    height = 1
    while FANOUT**height * chunk_size < size:
        height += 1
    return height


def no_entries() -> Entries:
    return np.zeros(FANOUT, ENTRY)


def entry(pointer: Pointer) -> Any:
    """The pointer as an entry."""
    row = np.zeros(1, ENTRY)
    row["session"] = np.frombuffer(bytes.fromhex(pointer.segment.session), "u1")
    row["key"], row["seq"] = pointer.key, pointer.segment.seq
    row["index"], row["length"], row["offset"] = pointer.index, pointer.length, pointer.offset
    return row[0]


def pointer(row: Any) -> Pointer | None:
    """The entry's pointer, or None if it is zero."""
    if not row["length"]:
        return None
    segment = SegmentId(SessionId(row["session"].tobytes().hex()), int(row["seq"]))
    return Pointer(
        segment, int(row["key"]), int(row["index"]), int(row["offset"]), int(row["length"])
    )


def pointers(rows: npt.NDArray[Any]) -> list[Pointer]:
    """The pointers of entries none of which is zero; those into one segment share its id."""
    table, numbers = _table(rows)
    segments_of = [
        SegmentId(SessionId(row[:16].tobytes().hex()), int.from_bytes(row[20:].tobytes(), "little"))
        for row in table
    ]
    columns = (rows[name].tolist() for name in ("key", "index", "offset", "length"))
    return [
        Pointer(segments_of[number], key, index, offset, length)
        for number, key, index, offset, length in zip(numbers.tolist(), *columns, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Node:
    """One node.  `digests` are its children's, of shape (FANOUT, 16); a leaf has none."""

    height: int
    entries: Entries
    digests: npt.NDArray[np.uint8] | None
    digest: bytes

    def encode(self) -> bytes:
        """The node as it is compressed and encrypted."""
        mask = self.entries["length"] > 0
        present = self.entries[mask]
        table, numbers = _table(present)
        ends = present["offset"] + present["length"]
        gaps = present["offset"].astype("<i8") - np.concatenate(([0], ends[:-1])).astype("<i8")
        parts = [
            _HEAD.pack(self.height, len(table)),
            np.packbits(mask).tobytes(),
            table.tobytes(),
            _planes(numbers.astype("<u2")),
            _planes(np.diff(present["index"].astype("<i8"), prepend=0).astype("<i8")),
            _planes(gaps.astype("<i8")),
            _planes(np.diff(present["length"].astype("<i8"), prepend=0).astype("<i4")),
        ]
        if self.digests is not None:
            parts.append(self.digests[mask].tobytes())
        return b"".join((*parts, self.digest))

    @classmethod
    def decode(cls, data: bytes) -> "Node":
        """Raises one of `MALFORMED` if `data` is no node."""
        height, segment_count = _HEAD.unpack_from(data)
        place = _HEAD.size
        mask = np.unpackbits(np.frombuffer(data, "u1", FANOUT // 8, place)).astype(bool)
        place += FANOUT // 8
        count = int(mask.sum())
        table = np.frombuffer(data, "u1", segment_count * _SEGMENT_BYTES, place)
        place += table.nbytes
        columns = []
        for kind in ("<u2", "<i8", "<i8", "<i4"):
            column = _from_planes(data, kind, count, place)
            place += column.nbytes
            columns.append(column)
        numbers, indexes, gaps, lengths = columns
        present = np.zeros(count, ENTRY)
        rows = table.reshape(segment_count, _SEGMENT_BYTES)[numbers]
        present["session"] = rows[:, :16]
        present["key"] = np.ascontiguousarray(rows[:, 16:20]).view("<u4")[:, 0]
        present["seq"] = np.ascontiguousarray(rows[:, 20:24]).view("<u4")[:, 0]
        present["index"] = np.cumsum(indexes)
        present["length"] = np.cumsum(lengths)
        before = np.concatenate(([0], present["length"][:-1])).astype("<i8")
        present["offset"] = np.cumsum(gaps + before)
        entries = no_entries()
        entries[mask] = present
        digests = None
        if height > 1:
            digests = np.zeros((FANOUT, ID_SIZE), "u1")
            digests[mask] = np.frombuffer(data, "u1", count * ID_SIZE, place).reshape(
                count, ID_SIZE
            )
            place += count * ID_SIZE
        if len(data) != place + ID_SIZE:
            raise ValueError("wrong length")
        return cls(height, entries, digests, data[place:])


def _table(present: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp]]:
    """The distinct (session, key, seq) of the entries, and each entry's number in them."""
    rows = np.empty((len(present), _SEGMENT_BYTES), "u1")
    rows[:, :16] = present["session"]
    rows[:, 16:20] = np.ascontiguousarray(present["key"]).view("u1").reshape(-1, 4)
    rows[:, 20:24] = np.ascontiguousarray(present["seq"]).view("u1").reshape(-1, 4)
    # As one value a row: many times faster than along an axis.
    distinct, numbers = np.unique(rows.view(f"V{_SEGMENT_BYTES}")[:, 0], return_inverse=True)
    return distinct.view("u1").reshape(-1, _SEGMENT_BYTES), numbers.reshape(-1)


def segment_numbers(entries: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """A number for each entry, the same for entries of the same segment."""
    return _table(entries)[1]


def _planes(column: npt.NDArray[Any]) -> bytes:
    """All first bytes, then all second bytes, …: what compresses best."""
    return column.view("u1").reshape(len(column), column.itemsize).T.tobytes()


def _from_planes(data: bytes, kind: str, count: int, place: int) -> npt.NDArray[Any]:
    size = np.dtype(kind).itemsize
    planes = np.frombuffer(data, "u1", count * size, place).reshape(size, count)
    return np.ascontiguousarray(planes.T).view(kind).reshape(count)


class Nodes:
    """Reads a domain's nodes, and keeps the latest in memory.  May be used from many threads."""

    def __init__(self, reader: SegmentReader, *, kept: int = 256) -> None:
        self._reader = reader
        self._kept = kept
        self._nodes: OrderedDict[Pointer, Node] = OrderedDict()
        self._ciphers: dict[SessionId, Cipher] = {}
        self._lock = threading.Lock()

    def read(self, place: Pointer, height: int) -> Node:
        """The node at `place`.  Raises `DamagedObject`."""
        with self._lock:
            if place in self._nodes:
                self._nodes.move_to_end(place)
                return self._nodes[place]
            session = place.segment.session
            if session not in self._ciphers:
                reader = self._reader
                self._ciphers[session] = reader.metadata_key.node_cipher(reader.domain, session)
            cipher = self._ciphers[session]
        node = self._read(place, height, cipher)
        with self._lock:
            self._nodes[place] = node
            if len(self._nodes) > self._kept:
                self._nodes.popitem(last=False)
        return node

    def _read(self, place: Pointer, height: int, cipher: Cipher) -> Node:
        stored = self._reader.record(place)
        name = self._reader.name(place.segment)
        plain = segments.open_record(cipher, Kind.NODE, place, stored, limit=NODE_LIMIT, name=name)
        try:
            node = Node.decode(plain)
        except MALFORMED as error:
            raise DamagedObject(f"{name}: record {place.index} is no node") from error
        if node.height != height:
            raise DamagedObject(f"{name}: record {place.index} is a node of another height")
        return node


@dataclass(frozen=True, slots=True)
class Top:
    """The top of a map: where its highest node lies (None: all zeros) and its content digest."""

    height: int
    place: Pointer | None
    digest: bytes


class Map:
    """A backup's map, to read.  May be used from many threads."""

    def __init__(self, nodes: Nodes, top: Top) -> None:
        self.top = top
        self._nodes = nodes

    def node(self, height: int, index: int) -> Node | None:
        """The `index`-th node of a height; None if it is zero.  Raises `DamagedObject`."""
        found = self.child(height, index)
        if found is None:
            return None
        place = pointer(found[0])
        assert place is not None
        return self._nodes.read(place, height)

    def child(self, height: int, index: int) -> tuple[Any, bytes] | None:
        """The entry and digest of the `index`-th node of a height; None if it is zero."""
        if height > self.top.height:
            raise ValueError(f"the map is {self.top.height} high, not {height}")
        if height == self.top.height:
            if index or self.top.place is None:
                return None
            return entry(self.top.place), self.top.digest
        parent = self.node(height + 1, index // FANOUT)
        if parent is None or not parent.entries[index % FANOUT]["length"]:
            return None
        assert parent.digests is not None
        return parent.entries[index % FANOUT], parent.digests[index % FANOUT].tobytes()

    def leaves(self, identify: Callable[[bytes], bytes]) -> Iterator[tuple[int, Node]]:
        """Yield (number, leaf) of all leaves that are not zero, ascending.

        Each node's digest is compared with what its parent says, and above the leaves computed anew
        from its children's by `identify`, the id function; whoever restores a leaf does so with its
        chunks.  Then nobody without the domain's keys can have changed the map.
        Raises `DamagedObject`.
        """
        if self.top.place is not None:
            yield from self._leaves(self.top.place, self.top.height, 0, self.top.digest, identify)

    def _leaves(
        self,
        place: Pointer,
        height: int,
        index: int,
        digest: bytes,
        identify: Callable[[bytes], bytes],
    ) -> Iterator[tuple[int, Node]]:
        node = self._nodes.read(place, height)
        computed = digest if node.digests is None else identify(node.digests.tobytes())
        if not node.digest == digest == computed:
            raise DamagedObject(
                f"segment {place.segment.session}/{place.segment.seq:08x}, record {place.index}: "
                "a node that is not the one which its parent was made with"
            )
        if height == 1:
            yield index, node
            return
        assert node.digests is not None
        for slot in np.flatnonzero(node.entries["length"]):
            below = pointer(node.entries[slot])
            assert below is not None
            yield from self._leaves(
                below,
                height - 1,
                index * FANOUT + int(slot),
                node.digests[slot].tobytes(),
                identify,
            )


@dataclass(frozen=True, slots=True)
class MapState:
    """A map in the making, between two leaves.

    `open`: the nodes above that are not full, with their indexes; `top`: of a map that is one leaf
    high and has it; `sessions`: whose segments it points into.
    """

    open: tuple[tuple[int, Node], ...]
    top: Top | None
    sessions: tuple[SessionId, ...]


class MapWriter:
    """Makes a backup's map from its leaves in ascending order, sharing what the base has.

    `write` puts a node into a segment and returns its place; `identify` is the id function.
    """

    def __init__(
        self,
        height: int,
        *,
        base: Map | None,
        write: Callable[[Codec, bytes], Pointer],
        identify: Callable[[bytes], bytes],
        damaged: Callable[[DamagedObject], None],
    ) -> None:
        self._height = height
        self._base = base
        self._write = write
        self._identify = identify
        self._damaged = damaged
        self._open: dict[int, tuple[int, Entries, npt.NDArray[np.uint8]]] = {}
        self._top: tuple[Any, bytes] | None = None
        self._sessions: set[bytes] = set()
        self._compressor = zstandard.ZstdCompressor(level=3)

    def add_leaf(self, number: int, entries: Entries, ids: npt.NDArray[np.uint8]) -> None:
        """Add the `number`-th leaf; `ids` of shape (FANOUT, 16), zeros where the entry is."""
        present = entries[entries["length"] > 0]
        if not len(present):
            return
        sessions = np.ascontiguousarray(present["session"]).view("V16")
        self._sessions |= {bytes(session) for session in np.unique(sessions)}
        digest = self._identify(ids.tobytes())
        self._add(Node(1, entries, None, digest), number)

    @property
    def sessions(self) -> list[SessionId]:
        """The sessions whose segments the map points into, so far."""
        return sorted(SessionId(session.hex()) for session in self._sessions)

    def save(self) -> MapState:
        """What `restore` needs to go on from here."""
        nodes = (
            (index, Node(height, entries.copy(), digests.copy(), ZERO_DIGEST))
            for height, (index, entries, digests) in sorted(self._open.items())
        )
        top = self._top and Top(self._height, pointer(self._top[0]), self._top[1])
        return MapState(tuple(nodes), top, tuple(self.sessions))

    def restore(self, state: MapState) -> None:
        """Go on where another writer of the same map was."""
        for index, node in state.open:
            assert node.digests is not None
            self._open[node.height] = (index, node.entries, node.digests)
        if state.top is not None and state.top.place is not None:
            self._top = (entry(state.top.place), state.top.digest)
        self._sessions = {bytes.fromhex(session) for session in state.sessions}

    def finish(self) -> Top:
        """Write what is open, and return the top."""
        while self._open:
            self._close(min(self._open))
        if self._top is None:
            return Top(self._height, None, ZERO_DIGEST)
        return Top(self._height, pointer(self._top[0]), self._top[1])

    def _add(self, node: Node, index: int) -> None:
        shared = self._shared(node, index)
        if shared is None:
            codec, data = segments.shrink(node.encode(), self._compressor)
            shared = entry(self._write(codec, data))
        self._place(node.height, index, shared, node.digest)

    def _shared(self, node: Node, index: int) -> Any:
        """The base's entry for this node, if the base has the same there."""
        if self._base is None or node.height > self._base.top.height:
            return None
        try:
            old = self._base.node(node.height, index)
            if old is None or old.digest != node.digest:
                return None
            if old.entries.tobytes() != node.entries.tobytes():
                return None
            found = self._base.child(node.height, index)
        except DamagedObject as error:
            self._damaged(error)
            return None
        return None if found is None else found[0]

    def _place(self, height: int, index: int, row: Any, digest: bytes) -> None:
        """Enter a node into its parent; what lies wholly before it is closed first."""
        self._sessions.add(row["session"].tobytes())
        leaf = index * FANOUT ** (height - 1)
        for lower in sorted(self._open):
            if lower not in self._open:
                continue
            if lower <= height or self._open[lower][0] != leaf // FANOUT ** (lower - 1):
                self._close(lower)
        if height == self._height:
            self._top = (row, digest)
            return
        parent, slot = divmod(index, FANOUT)
        if height + 1 not in self._open:
            digests = np.zeros((FANOUT, ID_SIZE), "u1")
            self._open[height + 1] = (parent, no_entries(), digests)
        _index, entries, digests = self._open[height + 1]
        entries[slot] = row
        digests[slot] = np.frombuffer(digest, "u1")

    def _close(self, height: int) -> None:
        index, entries, digests = self._open.pop(height)
        self._add(Node(height, entries, digests, self._identify(digests.tobytes())), index)
