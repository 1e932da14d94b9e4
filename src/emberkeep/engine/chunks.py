"""What is done with the bytes of a source: read, tested for zeros, identified, compressed.

Each batch is gone through once; a chunk that is stored already is not compressed.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import zstandard

from emberkeep.engine import blockmap, segments
from emberkeep.engine.blockmap import FANOUT
from emberkeep.engine.dedup import Dedup
from emberkeep.engine.keys import DomainKeys
from emberkeep.engine.layout import Codec
from emberkeep.engine.leaves import Leaf, Runs
from emberkeep.engine.protocols import Source
from emberkeep.engine.work import MIB, Settings

BATCH = MIB  # bytes that a worker takes at a time


@dataclass(frozen=True, slots=True)
class Batch:
    """Chunks of one leaf, side by side.  `last` ends the leaf."""

    leaf: Leaf
    first: int  # slot
    count: int
    last: bool


def batches(leaves: Iterable[tuple[Leaf, Runs]], chunk: int) -> Iterator[Batch]:
    """The leaves' chunks that may hold data, ascending.  `chunk`: bytes of one."""
    most = max(1, BATCH // chunk)
    for leaf, runs in leaves:
        parts = [
            (first, min(most, end - first))
            for begin, end in runs
            for first in range(begin, end, most)
        ]
        for place, (first, count) in enumerate(parts):
            yield Batch(leaf, first, count, last=place == len(parts) - 1)


class Stored(NamedTuple):
    """A chunk that is stored already."""

    chunk_id: bytes
    entry: Any


class New(NamedTuple):
    """A chunk to store."""

    chunk_id: bytes
    codec: Codec
    data: bytes


Found = Stored | New | None  # None: it is zero


class Worker:
    """Deals with batches.  May be used from many threads, each with buffer and compressor."""

    def __init__(
        self, source: Source, chunk: int, keys: DomainKeys, dedup: Dedup, settings: Settings
    ) -> None:
        self._source = source
        self._size = source.size
        self._chunk = chunk
        self._keys = keys
        self._dedup = dedup
        self._level = settings.compression_level
        self._zeros = bytes(chunk)
        self._own = threading.local()

    def find(self, batch: Batch) -> list[Found]:
        """What there is of each of the batch's chunks."""
        if not hasattr(self._own, "buffer"):
            self._own.buffer = bytearray(max(BATCH, self._chunk))
            self._own.compressor = zstandard.ZstdCompressor(level=self._level)
        buffer, compressor = self._own.buffer, self._own.compressor
        start = (batch.leaf.number * FANOUT + batch.first) * self._chunk
        length = min(batch.count * self._chunk, self._size - start)
        found: list[Found] = []
        with memoryview(buffer) as view:
            self._source.read_into(start, view[:length])
            if length < batch.count * self._chunk:  # the last chunk is padded with zeros
                view[length : batch.count * self._chunk] = bytes(batch.count * self._chunk - length)
            for number in range(batch.count):
                begin = number * self._chunk
                if buffer.startswith(self._zeros, begin):
                    found.append(None)
                    continue
                with view[begin : begin + self._chunk] as chunk:
                    chunk_id = self._keys.identify(chunk)
                    entry = self._stored(batch.leaf, batch.first + number, chunk_id)
                    if entry is None:
                        found.append(New(chunk_id, *segments.shrink(chunk, compressor)))
                    else:
                        found.append(Stored(chunk_id, entry))
        return found

    def _stored(self, leaf: Leaf, slot: int, chunk_id: bytes) -> Any | None:
        entry = leaf.stored(slot, chunk_id)
        if entry is None:
            place = self._dedup.find(chunk_id)
            return None if place is None else blockmap.entry(place)
        return entry
