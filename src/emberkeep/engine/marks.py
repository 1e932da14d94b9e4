"""Which records the maps of backups reach: one bit for each.

Pointer records need the metadata key only, so nobody who collects can read what was backed up.
"""

from array import array
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


class _Session:
    """What is marked of one session: a bit for each record of each of its segments, by their seq.

    `stored`: bytes of those records; `ends`: where the last of them ends in generation 0.
    """

    def __init__(self) -> None:
        self.bits: list[bytearray | None] = []
        self.stored = array("Q")
        self.ends = array("Q")

    def segment(self, seq: int, index: int) -> bytearray:
        """The bits of a segment, with room for a record of this index."""
        more = seq + 1 - len(self.bits)
        if more > 0:
            self.bits += [None] * more
            self.stored.extend((0,) * more)
            self.ends.extend((0,) * more)
        bits = self.bits[seq]
        if bits is None:
            bits = self.bits[seq] = bytearray()
        bits += bytes(max(0, index // 8 + 1 - len(bits)))
        return bits


class Marks:
    """A set of records."""

    def __init__(self) -> None:
        self._sessions: dict[SessionId, _Session] = {}
        self.unread: dict[Pointer, DamagedObject] = {}  # nodes in the set, and what is wrong

    def __contains__(self, place: Pointer) -> bool:
        bits = self._bits(place.segment)
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
        distinct, first = np.unique(indexes, return_index=True)
        session, seq = self._session(segment), segment.seq
        bits = np.frombuffer(session.segment(seq, int(distinct[-1])), np.uint8)
        at, masks = distinct >> 3, np.left_shift(1, distinct & 7).astype(np.uint8)
        new = (bits[at] & masks) == 0
        np.bitwise_or.at(bits, at, masks)
        session.stored[seq] += int(lengths[first][new].sum())
        session.ends[seq] = max(end, session.ends[seq])

    def add_one(self, place: Pointer) -> bool:
        """Add a record; False if it was there."""
        if place in self:
            return False
        session, seq = self._session(place.segment), place.segment.seq
        session.segment(seq, place.index)[place.index // 8] |= 1 << place.index % 8
        session.stored[seq] += place.length
        session.ends[seq] = max(place.offset + place.length, session.ends[seq])
        return True

    def holds(
        self, segment: SegmentId, indexes: npt.NDArray[np.integer[npt.NBitBase]]
    ) -> npt.NDArray[np.bool_]:
        """For each of a segment's records, whether it is in the set."""
        bits = np.frombuffer(self._bits(segment) or b"", np.uint8)
        at = indexes // 8
        found = np.zeros(len(indexes), bool)
        inside = at < len(bits)
        found[inside] = bits[at[inside]] >> (indexes[inside] % 8) & 1
        return found

    def add_all(self, other: "Marks") -> None:
        """Add the records of another set, not counting their bytes."""
        for name, session in other._sessions.items():
            for seq, more in enumerate(session.bits):
                if more:
                    segment = SegmentId(name, seq)
                    bits = self._session(segment).segment(seq, 8 * len(more) - 1)
                    mine = np.frombuffer(bits, np.uint8)[: len(more)]
                    mine |= np.frombuffer(more, np.uint8)

    def seqs(self, session: SessionId) -> list[int]:
        """The numbers of the session's segments with a record in the set."""
        found = self._sessions.get(session)
        bits = [] if found is None else found.bits
        return [seq for seq, marked in enumerate(bits) if marked is not None]

    def sessions(self) -> list[SessionId]:
        """The sessions with a record in the set."""
        return sorted(self._sessions)

    def indexes(self, segment: SegmentId) -> npt.NDArray[np.intp]:
        """The indexes of the segment's records in the set, ascending."""
        bits = np.frombuffer(self._bits(segment) or b"", np.uint8)
        return np.flatnonzero(np.unpackbits(bits, bitorder="little"))

    def stored(self, segment: SegmentId) -> int:
        """Bytes of the segment's records in the set."""
        if self._bits(segment) is None:
            return 0
        return self._sessions[segment.session].stored[segment.seq]

    def all_stored(self) -> int:
        """Bytes of all records in the set."""
        return sum(sum(session.stored) for session in self._sessions.values())

    def end(self, segment: SegmentId) -> int:
        """Where in the segment's generation 0 the last of its records in the set ends, in bytes."""
        if self._bits(segment) is None:
            return 0
        return self._sessions[segment.session].ends[segment.seq]

    def _session(self, segment: SegmentId) -> _Session:
        if segment.session not in self._sessions:
            self._sessions[segment.session] = _Session()
        return self._sessions[segment.session]

    def _bits(self, segment: SegmentId) -> bytearray | None:
        found = self._sessions.get(segment.session)
        if found is None or segment.seq >= len(found.bits):
            return None
        return found.bits[segment.seq]


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
