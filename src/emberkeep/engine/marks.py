"""Which records the maps of backups reach: one bit for each.

Pointer records need the metadata key only, so nobody who collects can read what was backed up.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from emberkeep.engine import blockmap
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import SessionId
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.roots import Layout
from emberkeep.engine.work import Checkpoint


class Marks:
    """A set of records."""

    def __init__(self) -> None:
        self._bits: dict[SegmentId, npt.NDArray[np.uint8]] = {}
        self._bytes: dict[SegmentId, int] = {}
        self._ends: dict[SegmentId, int] = {}
        self._seqs: dict[SessionId, set[int]] = {}
        self.unread: dict[Pointer, DamagedObject] = {}  # nodes in the set, and what is wrong

    def __contains__(self, place: Pointer) -> bool:
        bits = self._bits.get(place.segment)
        at, bit = divmod(place.index, 8)
        return bits is not None and at < len(bits) and bool(bits[at] >> bit & 1)

    def add(
        self,
        segment: SegmentId,
        indexes: npt.NDArray[np.integer[npt.NBitBase]],
        lengths: npt.NDArray[np.integer[npt.NBitBase]],
        *,
        end: int,
    ) -> None:
        """Add records of one segment; `lengths`: bytes stored, up to `end` in generation 0."""
        bits = self._bits.get(segment)
        wanted = int(indexes.max()) // 8 + 1
        if bits is None:
            bits = np.zeros(wanted, np.uint8)
            self._seqs.setdefault(segment.session, set()).add(segment.seq)
        elif wanted > len(bits):
            bits = np.concatenate((bits, np.zeros(wanted - len(bits), np.uint8)))
        self._bits[segment] = bits
        at, masks = indexes // 8, np.left_shift(1, indexes % 8).astype(np.uint8)
        new = (bits[at] & masks) == 0
        _indexes, first = np.unique(indexes, return_index=True)
        counted = np.zeros(len(indexes), bool)
        counted[first] = True
        np.bitwise_or.at(bits, at, masks)
        self._bytes[segment] = self._bytes.get(segment, 0) + int(lengths[new & counted].sum())
        self._ends[segment] = max(end, self._ends.get(segment, 0))

    def add_one(self, place: Pointer) -> bool:
        """Add a record; False if it was there."""
        if place in self:
            return False
        end = place.offset + place.length
        self.add(place.segment, np.array([place.index]), np.array([place.length]), end=end)
        return True

    def holds(
        self, segment: SegmentId, indexes: npt.NDArray[np.integer[npt.NBitBase]]
    ) -> npt.NDArray[np.bool_]:
        """For each of a segment's records, whether it is in the set."""
        bits = self._bits.get(segment, np.zeros(0, np.uint8))
        at = indexes // 8
        found = np.zeros(len(indexes), bool)
        inside = at < len(bits)
        found[inside] = bits[at[inside]] >> (indexes[inside] % 8) & 1
        return found

    def add_all(self, other: "Marks") -> None:
        """Add the records of another set, not counting their bytes."""
        for segment, more in other._bits.items():
            bits = self._bits.get(segment, np.zeros(0, np.uint8))
            longer, shorter = (bits, more) if len(bits) > len(more) else (more, bits)
            self._bits[segment] = longer.copy()
            self._bits[segment][: len(shorter)] |= shorter
            self._seqs.setdefault(segment.session, set()).add(segment.seq)

    def seqs(self, session: SessionId) -> list[int]:
        """The numbers of the session's segments with a record in the set."""
        return sorted(self._seqs.get(session, ()))

    def sessions(self) -> list[SessionId]:
        """The sessions with a record in the set."""
        return sorted(self._seqs)

    def indexes(self, segment: SegmentId) -> npt.NDArray[np.intp]:
        """The indexes of the segment's records in the set, ascending."""
        bits = self._bits.get(segment)
        if bits is None:
            return np.zeros(0, np.intp)
        return np.flatnonzero(np.unpackbits(bits, bitorder="little"))

    def stored(self, segment: SegmentId) -> int:
        """Bytes of the segment's records in the set."""
        return self._bytes.get(segment, 0)

    def all_stored(self) -> int:
        """Bytes of all records in the set."""
        return sum(self._bytes.values())

    def end(self, segment: SegmentId) -> int:
        """Where in the segment's generation 0 the last of its records in the set ends, in bytes."""
        return self._ends.get(segment, 0)


def walk(
    nodes: Nodes,
    part: Layout,
    marks: Marks,
    *,
    damaged: Callable[[Pointer, DamagedObject], None],
    checkpoint: Checkpoint,
) -> None:
    """Mark what a backup's map reaches, nodes and chunks; what is marked is not read again.

    `damaged` is told of each node that can't be read, also if another backup's walk came upon it,
    and may raise; what that one points to is not marked.
    """
    pending = [] if part.top is None else [(part.top, part.height)]
    while pending:
        place, height = pending.pop()
        if not marks.add_one(place):
            if place in marks.unread:
                damaged(place, marks.unread[place])
            continue
        checkpoint()
        try:
            node = nodes.read(place, height)
        except DamagedObject as error:
            marks.unread[place] = error
            damaged(place, error)
            continue
        if height > 1:
            pending += [(child, height - 1) for child in _pointers(node.entries)]
            continue
        present = node.entries[node.entries["length"] > 0]
        numbers = blockmap.segment_numbers(present)
        for number in range(int(numbers.max()) + 1 if len(numbers) else 0):
            rows = present[numbers == number]
            first = blockmap.pointer(rows[0])
            assert first is not None
            end = int((rows["offset"] + rows["length"]).max())
            marks.add(first.segment, rows["index"].astype(np.int64), rows["length"], end=end)


def _pointers(entries: blockmap.Entries) -> Iterator[Pointer]:
    for row in entries[entries["length"] > 0]:
        place = blockmap.pointer(row)
        assert place is not None
        yield place
