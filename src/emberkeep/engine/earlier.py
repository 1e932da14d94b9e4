"""What earlier, unfinished sessions of the same backup stored, to be found again by content.

Their data segments are in the volume's order, so one segment's ids a session are held at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from emberkeep.engine import blockmap, layout
from emberkeep.engine.blockmap import FANOUT
from emberkeep.engine.damage import Bad
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import SessionId
from emberkeep.engine.keys import DomainKeys
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.segments import ChunkIds, Footer
from emberkeep.engine.stored import SegmentReader
from emberkeep.stores.errors import ObjectNotFound

Known = dict[bytes, Any]  # a chunk's id → its entry


@dataclass(frozen=True, slots=True)
class _Segment:
    segment: SegmentId
    footer: Footer
    ids: ChunkIds


class Earlier:
    """Chunks of one pinned session.  Asked for ascending leaves; used by one thread."""

    def __init__(
        self, reader: SegmentReader, domain_keys: DomainKeys, session: SessionId, bad: Bad
    ) -> None:
        self._reader = reader
        self._keys = domain_keys
        self._bad = bad
        self._segments = self._read(session)
        self._current = next(self._segments, None)

    def chunks(self, leaf: int) -> Known:
        """The chunks stored for this leaf's places."""
        first, end = leaf * FANOUT, (leaf + 1) * FANOUT
        known: Known = {}
        while self._current is not None and self._current.ids.numbers[0] < end:
            self._add(known, self._current, first, end)
            if self._current.ids.numbers[-1] >= end:
                break
            self._current = next(self._segments, None)
        return known

    def _add(self, known: Known, found: _Segment, first: int, end: int) -> None:
        ids = found.ids
        for row in np.flatnonzero((ids.numbers >= first) & (ids.numbers < end)):
            index = int(ids.indexes[row])
            record = found.footer.find(index)
            if record is None:
                continue
            offset, length = int(record["offset"]), int(record["length"])
            place = Pointer(found.segment, found.footer.key, index, offset, length)
            if (found.segment, index) not in self._bad:
                known[bytes(ids.ids[row])] = blockmap.entry(place)

    def _read(self, session: SessionId) -> Iterator[_Segment]:
        """The session's segments with chunks, as first written: a pointer's offset is theirs.

        A listing that misses some only costs storing their chunks again.
        """
        prefix = layout.session_prefix(self._reader.domain, session)
        for item in self._reader.store.list(prefix):
            segment, generation = layout.parse_segment_name(item.name)
            try:
                if generation != "0" or self._reader.generation(segment) != generation:
                    continue
                tail = self._reader.tail_of(segment, generation)
                ids = self._reader.ids(tail, self._keys)
            except (DamagedObject, ObjectNotFound):
                continue  # also a segment of nodes, which has no ids
            if len(ids.numbers):
                yield _Segment(segment, tail.footer, ids)
