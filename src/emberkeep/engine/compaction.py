"""Compaction: the records of a sparse segment that live, copied as they are.

Indexes never change and ciphertext is not touched, so no map and no other backup is, either, and no
domain key is needed.
"""

from collections.abc import Iterator

import google_crc32c
import numpy as np
import numpy.typing as npt

from emberkeep.engine import layout, segments
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.keys import Random
from emberkeep.engine.layout import Kind, SegmentId
from emberkeep.engine.segments import FOOTER_COLUMNS, Footer
from emberkeep.engine.stored import SegmentReader, Tail
from emberkeep.engine.work import MIB

_READ = 4 * MIB


def compacted(
    reader: SegmentReader,
    segment: SegmentId,
    generation: str,
    live: npt.NDArray[np.intp],
    *,
    below: float,
    new_generation: str,
    random: Random,
) -> bytes | None:
    """The segment as `new_generation` with just its `live` records, and the ids record.

    None if it would keep more than the share `below` of its records' bytes.
    Raises `DamagedObject` if a record is damaged or missing: then it is to be left alone.
    """
    tail = reader.tail_of(segment, generation)
    rows = tail.footer.records
    kept = rows[np.isin(rows["index"], live) | (rows["kind"] == Kind.IDS)]
    if int(kept["length"].sum()) > below * int(rows["length"].sum()):
        return None
    if missing := set(live.tolist()) - set(rows["index"].tolist()):
        raise DamagedObject(f"{tail.name}: record {min(missing)} is missing")
    data = bytearray(layout.segment_header(reader.domain, segment))
    records = np.empty(len(kept), FOOTER_COLUMNS)
    for place, (row, stored) in enumerate(stored_records(reader, tail, kept)):
        if not intact(row, stored):
            raise DamagedObject(f"{tail.name}: record {row['index']} is damaged")
        records[place] = (row["index"], len(data), row["length"], row["kind"], row["crc"])
        data += stored
    footer = Footer(tail.footer.volume, tail.footer.key, records)
    data += segments.sealed_end(
        footer, reader.metadata_key, reader.domain, segment, new_generation, random
    )
    return bytes(data)


def intact(row: np.void, stored: memoryview) -> bool:
    """Whether a record's bytes are those that the footer's row tells of."""
    return bool(len(stored) == row["length"] and google_crc32c.value(bytes(stored)) == row["crc"])


def stored_records(
    reader: SegmentReader, tail: Tail, rows: npt.NDArray[np.void]
) -> Iterator[tuple[np.void, memoryview]]:
    """Each row of a footer with the record's bytes, or what there is of them."""
    for first, end in _runs(rows):
        begin = int(rows[first]["offset"])
        length = int(rows[end - 1]["offset"]) + int(rows[end - 1]["length"]) - begin
        data = memoryview(reader.store.get(tail.name, offset=begin, length=length))
        for row in rows[first:end]:
            start = int(row["offset"]) - begin
            yield row, data[start : start + int(row["length"])]


def _runs(rows: npt.NDArray[np.void]) -> Iterator[tuple[int, int]]:
    """Split ascending rows into (first, end) of what is read at once."""
    first = 0
    for at in range(1, len(rows) + 1):
        if (
            at == len(rows)
            or int(rows[at]["offset"]) + int(rows[at]["length"]) - int(rows[first]["offset"])
            > _READ
        ):
            yield first, at
            first = at
