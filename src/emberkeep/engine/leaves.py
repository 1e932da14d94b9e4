"""What is known of the leaves of a backup's map before their chunks are read.

The source says which chunks may hold data; the base and earlier sessions say what is stored already
for the same places.

Invariant: what the base has is taken only where the id of its record is known and the record is not
damaged.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from emberkeep.engine import blockmap
from emberkeep.engine.blockmap import FANOUT, Entries, Map
from emberkeep.engine.damage import Bad
from emberkeep.engine.earlier import Earlier, Known
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.keys import ID_SIZE, DomainKeys
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.protocols import Source
from emberkeep.engine.segments import ChunkIds
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.work import MIB

IDS_KEPT = 32 * MIB  # bytes of the base's ids in memory

Runs = list[tuple[int, int]]  # of slots: first and end


@dataclass(slots=True)
class Leaf:
    """A leaf in the making."""

    number: int
    base: Entries | None  # where its chunks may be inherited from
    expected: list[bytes | None]  # the ids of the base's chunks, where they are known
    known: Known  # chunks that earlier sessions stored
    entries: Entries = field(default_factory=blockmap.no_entries)
    ids: npt.NDArray[np.uint8] = field(
        default_factory=lambda: np.zeros((FANOUT, ID_SIZE), np.uint8)
    )

    def stored(self, slot: int, chunk_id: bytes) -> Any | None:
        """The entry of the chunk if the base has it at this place, or an earlier session had."""
        if self.base is not None and chunk_id == self.expected[slot]:
            return self.base[slot]
        return self.known.get(chunk_id)


class Leaves:
    """The leaves of a source, ascending.  Used by one thread."""

    def __init__(
        self,
        source: Source,
        *,
        chunk: int,
        first: int,
        base: Map | None,
        base_ids: "BaseIds",
        bad: Bad,
        earlier: Sequence[Earlier],
        damaged: Callable[[DamagedObject], None],
    ) -> None:
        """`chunk`: bytes of one; `first`: the leaf to begin with; `bad`: stored anew."""
        self._source = source
        self._chunk = chunk
        self._first = first
        self._base = base
        self._base_ids = base_ids
        self._bad = bad
        self._earlier = earlier
        self._damaged = damaged

    def __iter__(self) -> Iterator[tuple[Leaf, Runs]]:
        """Yield each leaf with a chunk that may hold data, and where those are in it."""
        for number, slots in self._touched():
            if number >= self._first:
                yield self._leaf(number), slots

    def _touched(self) -> Iterator[tuple[int, Runs]]:
        leaf, slots = -1, Runs()
        for extent in self._source.extents():
            first = extent.offset // self._chunk
            end = -(-min(extent.end, self._source.size) // self._chunk)
            while first < end:
                number, slot = divmod(first, FANOUT)
                stop = min(end - number * FANOUT, FANOUT)
                if number != leaf:
                    if slots:
                        yield leaf, slots
                    leaf, slots = number, []
                if slots and slots[-1][1] >= slot:  # two extents in one chunk
                    slots[-1] = (slots[-1][0], max(stop, slots[-1][1]))
                else:
                    slots.append((slot, stop))
                first = number * FANOUT + stop
        if slots:
            yield leaf, slots

    def _leaf(self, number: int) -> Leaf:
        known: Known = {}
        for earlier in self._earlier:
            known.update(earlier.chunks(number))
        leaf = Leaf(number, None, [None] * FANOUT, known)
        if self._base is None or number >= FANOUT ** (self._base.top.height - 1):
            return leaf
        try:
            node = self._base.node(1, number)
        except DamagedObject as error:
            self._damaged(error)
            return leaf
        if node is None:
            return leaf
        leaf.base = node.entries
        for slot in np.flatnonzero(node.entries["length"]):
            place = blockmap.pointer(node.entries[slot])
            assert place is not None
            if (place.segment, place.index) in self._bad:
                continue
            try:
                leaf.expected[slot] = self._base_ids.of(place.segment, place.index)
            except DamagedObject as error:
                self._damaged(error)
        return leaf


class BaseIds:
    """The ids of the base's chunks, by segment; the latest are kept.  Used by one thread."""

    def __init__(self, reader: SegmentReader, domain_keys: DomainKeys) -> None:
        self._reader = reader
        self._keys = domain_keys
        self._kept: OrderedDict[SegmentId, ChunkIds | DamagedObject] = OrderedDict()
        self._size = 0

    def of(self, segment: SegmentId, index: int) -> bytes | None:
        """The id of the chunk.  Raises `DamagedObject`."""
        if segment in self._kept:
            self._kept.move_to_end(segment)
        else:
            self._kept[segment] = self._read(segment)
        ids = self._kept[segment]
        if isinstance(ids, DamagedObject):
            raise ids
        return ids.of(index)

    def _read(self, segment: SegmentId) -> ChunkIds | DamagedObject:
        try:
            ids = self._reader.chunk_ids(segment, self._keys)
        except DamagedObject as error:
            return error
        self._size += ids.size
        while self._size > IDS_KEPT and self._kept:
            _segment, oldest = self._kept.popitem(last=False)
            self._size -= 0 if isinstance(oldest, DamagedObject) else oldest.size
        return ids
