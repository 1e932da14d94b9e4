"""What earlier, unfinished sessions of the same backup stored, to be found again by content.

Their data segments are in the volume's order, so one segment's ids a session are held at a time.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from emberkeep.engine import blockmap, layout
from emberkeep.engine.blockmap import FANOUT
from emberkeep.engine.pinned import Chunks, Pinned
from emberkeep.engine.stored import SegmentReader

Known = dict[bytes, Any]  # a chunk's id → its entry

_Seqs = npt.NDArray[np.uint32]


class Earlier:
    """Chunks of one pinned session.  Asked for ascending leaves; used by one thread."""

    def __init__(self, reader: SegmentReader, pinned: Pinned, *, first_leaf: int) -> None:
        """`first_leaf`: none before it will be asked for."""
        self._pinned = pinned
        seqs = np.fromiter(_listed(reader, pinned), np.uint32)
        if first_leaf:
            ends = range(len(seqs))
            first = bisect_left(ends, first_leaf * FANOUT, key=lambda at: self._end(seqs[at:]))
            seqs = seqs[first:]
        self._segments = self._read(seqs)
        self._current = next(self._segments, None)

    def chunks(self, leaf: int) -> Known:
        """The chunks stored for this leaf's places."""
        first, end = leaf * FANOUT, (leaf + 1) * FANOUT
        known: Known = {}
        while self._current is not None and self._current.numbers[0] < end:
            numbers = self._current.numbers
            for row in np.flatnonzero((numbers >= first) & (numbers < end)):
                chunk_id = self._current.ids[row].tobytes()
                known[chunk_id] = blockmap.entry(self._current.pointer(int(row)))
            if numbers[-1] >= end:
                break
            self._current = next(self._segments, None)
        return known

    def _read(self, seqs: _Seqs) -> Iterator[Chunks]:
        """Those of the segments that have chunks."""
        found = (self._pinned.chunks(int(seq)) for seq in seqs)
        return (chunks for chunks in found if chunks is not None)

    def _end(self, seqs: _Seqs) -> int:
        """The last chunk's number in the first of the segments that has chunks."""
        return next((int(chunks.numbers[-1]) for chunks in self._read(seqs)), 1 << 64)


def _listed(reader: SegmentReader, pinned: Pinned) -> Iterator[int]:
    """The session's segments, ascending.

    A listing that misses some only costs storing their chunks again.
    """
    prefix = layout.session_prefix(reader.domain, pinned.session)
    listed = layout.named(reader.store, prefix, layout.parse_segment_name)
    return (segment.seq for _item, (segment, generation) in listed if generation == "0")
