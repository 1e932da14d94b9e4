"""What a session may point to in the segments of another, which it has pinned.

While a segset is pinned no collection changes what is left of it, so what the pin told of it holds.

Only segments as they were first written count.  A pointer's offset holds for those, and a later
generation does not tell it any more: a made-up one would mislead a restore, which reads in the
order of the offsets, and a verification, which looks whether a segment is long enough.  Little is
lost by that, as a collection writes anew only segments of which little was needed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emberkeep.engine import damage
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.keys import DomainKeys
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.ledger import Segset
from emberkeep.engine.stored import SegmentReader
from emberkeep.stores.errors import StoreError


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of one segment that may be pointed to, in columns, ascending by index."""

    segment: SegmentId
    key: int
    numbers: npt.NDArray[np.uint64]  # in their volume
    ids: npt.NDArray[np.uint8]  # of shape (n, 16)
    records: npt.NDArray[Any]  # of segments.FOOTER_COLUMNS

    def __len__(self) -> int:
        return len(self.ids)

    def pointer(self, row: int) -> Pointer:
        record = self.records[row]
        index, offset, length = int(record["index"]), int(record["offset"]), int(record["length"])
        return Pointer(self.segment, self.key, index, offset, length)


class Pinned:
    """A segset that a session has pinned.  May be used from many threads."""

    def __init__(self, reader: SegmentReader, domain_keys: DomainKeys, segset: Segset) -> None:
        """`segset`: what the pin returned."""
        self.session = segset.session
        self._reader = reader
        self._keys = domain_keys
        self._gens = segset.gens
        self._bad = damage.read(reader.store, reader.metadata_key, segset.bad)

    def chunks(self, seq: int) -> Chunks | None:
        """Those of a segment; None if it is not there any more, or can't be read, or has none."""
        segment = SegmentId(self.session, seq)
        try:
            if self._gens is not None and self._reader.gens(self._gens).get(seq) != "0":
                return None
            tail = self._reader.tail_of(segment, "0")
            ids = self._reader.ids(tail, self._keys)
        except (StoreError, DamagedObject):
            return None  # also a segment of nodes, which has no ids
        records = tail.footer.records
        kept = np.isin(ids.indexes, records["index"])
        if self._bad:
            kept &= [(segment, int(index)) not in self._bad for index in ids.indexes]
        if not kept.any():
            return None
        rows = np.searchsorted(records["index"], ids.indexes[kept])
        return Chunks(segment, tail.footer.key, ids.numbers[kept], ids.ids[kept], records[rows])
