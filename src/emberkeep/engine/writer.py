"""The writer: from a source's bytes to a root in the repository.

Worker threads take a batch of chunks each and do all of it: read, test for zeros, identify, compare
with the base, compress.  One packer, the caller's thread, takes the batches in the volume's order,
encrypts into the open segment and builds the map; two threads put segments.

A successor of an unfinished session goes on at its last checkpoint if the source is the same point
in time; else it finds by content what was stored.

Invariants
* the root is put last, after every segment was acknowledged, and a checkpoint likewise;
* nothing is inherited that was not compared: a chunk keeps its place in the base only if the
  source's bytes have the id that the base's record has;
* what is held in memory is bounded by the budget, never by the volume's size.
"""

import contextlib
import hashlib
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from emberkeep.engine import blockmap, checkpoints, layout, roots, segments
from emberkeep.engine.blockmap import FANOUT, Entries, Map, MapWriter, Nodes
from emberkeep.engine.checkpoints import Counters, Origin, Saved
from emberkeep.engine.damage import Bad
from emberkeep.engine.earlier import Earlier, Known
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import ID_SIZE, DomainKeys
from emberkeep.engine.layout import Codec, SegmentId
from emberkeep.engine.ledger import Begun
from emberkeep.engine.protocols import Source
from emberkeep.engine.roots import Layout, Root
from emberkeep.engine.segments import ChunkIds
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.uploads import PUTS, Place, Uploads
from emberkeep.engine.work import MIB, Checkpoint, Progress, Report, Settings

BATCH = MIB  # bytes that a worker takes at a time
IDS_KEPT = 32 * MIB  # bytes of the base's ids in memory

_CHUNKS = ((4 << 40, 64 << 10), (16 << 40, 128 << 10))  # volumes up to, chunks of


@dataclass(frozen=True, slots=True)
class Written:
    """What a backup wrote.  Sizes are bytes; `segments` counts data objects, not the root."""

    root: RootId
    sha256: str  # of the root object
    size: int
    chunks: int  # that are not zero
    new_chunks: int
    segments: int
    stored_bytes: int
    read_bytes: int
    base: RootId | None
    damaged: tuple[str, ...]  # what of the base could not be read, and so was stored anew
    # What the ledger's `commit` wants to know.
    pins: tuple[SessionId, ...]
    uses: tuple[SessionId, ...]


def default_chunk_size(size: int) -> int:
    """Bytes of a chunk of a volume that is backed up first (docs/format.md)."""
    return next((chunk for limit, chunk in _CHUNKS if size <= limit), 256 << 10)


def back_up(
    place: Place,
    reader: SegmentReader,
    source: Source,
    *,
    begun: Begun,
    base: Root | None,
    bad: Bad,
    description: Mapping[str, Any],
    volume: str,
    settings: Settings,
    report: Report,
    checkpoint: Checkpoint,
) -> Written:
    """Write a backup of all of the source; it shares with `base` what did not change.

    `base` is the root that `begun` holds.  Records in `bad` are stored anew.
    Raises what the source, the store or `checkpoint` raises; then no root was put.
    """
    chunk = base.chunk_size if base else settings.chunk_size or default_chunk_size(source.size)
    uploads = Uploads(place, settings, checkpoint, volume=volume)
    with contextlib.closing(uploads):
        packer = _Packer(
            place, reader, source, begun, base, bad, chunk, uploads, settings, checkpoint
        )
        packer.pack(report)
        uploads.flush()
        checkpoint()
        return packer.commit(description)


# What a worker found of one chunk: None if it is zero, else its id and, unless it is there already,
# what to store.
_Found = tuple[bytes, Codec, bytes] | tuple[bytes, None, None] | None


@dataclass(slots=True)
class _Leaf:
    """A leaf in the making."""

    number: int
    base: Entries | None  # where its chunks may be inherited from
    expected: list[bytes | None]  # the ids of the base's chunks, where they are known
    known: Known  # chunks that earlier sessions stored
    entries: Entries = field(default_factory=blockmap.no_entries)
    ids: npt.NDArray[np.uint8] = field(
        default_factory=lambda: np.zeros((FANOUT, ID_SIZE), np.uint8)
    )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Chunks of one leaf, side by side, that a worker takes.  `last` ends the leaf."""

    leaf: _Leaf
    first: int  # slot
    count: int
    last: bool


class _Packer:
    """Brings batches to the workers and what they found into segments and the map."""

    def __init__(
        self,
        place: Place,
        reader: SegmentReader,
        source: Source,
        begun: Begun,
        base: Root | None,
        bad: Bad,
        chunk: int,
        uploads: Uploads,
        settings: Settings,
        checkpoint: Checkpoint,
    ) -> None:
        self._place = place
        self._begun = begun
        self._bad = bad
        self._source = source
        self._base = base
        self._chunk = chunk
        self._uploads = uploads
        self._checkpoint = checkpoint
        self._settings = settings
        self._damaged: dict[str, None] = {}
        self._base_map: Map | None = None
        if base is not None:
            self._base_map = Map(Nodes(reader), base.top)
        self._base_ids = _BaseIds(reader, place.keys)
        self._map = MapWriter(
            blockmap.height_for(source.size, chunk),
            base=self._base_map,
            write=uploads.add_node,
            identify=place.keys.identify,
            damaged=self._note,
        )
        self._read = self._chunks = self._new = 0
        self._top = blockmap.Top(1, None, blockmap.ZERO_DIGEST)
        self._origin = Origin(source.change_id, begun.base, source.size, chunk)
        self._before = Counters()  # what predecessors did of it
        self._first_leaf = self._saved = 0
        self._saved_bytes, self._saved_at = 0, place.clock()
        self._pins = (*begun.predecessors, *((begun.pinned,) if begun.pinned else ()))
        self._resume()
        self._earlier = [Earlier(reader, place.keys, session, bad) for session in self._pins]

    def _resume(self) -> None:
        """Go on at the last checkpoint of a predecessor, if there is one that fits."""
        place = self._place
        saved = checkpoints.newest(
            place.store, place.metadata_key, place.domain, self._begun.predecessors, self._origin
        )
        if saved is not None:
            self._map.restore(saved.map)
            self._first_leaf = saved.leaf
            self._before = saved.counters

    def pack(self, report: Report) -> None:
        """Deal with all of the source."""
        worker = _Worker(self._source, self._chunk, self._place.keys, self._settings)
        window = _window(self._settings)
        pending: deque[tuple[_Batch, Future[list[_Found]]]] = deque()
        with self._settings.pool(self._settings.threads, "chunks") as threads:
            try:
                for batch in self._batches():
                    pending.append((batch, threads.submit(worker.find, batch)))
                    if len(pending) >= window:
                        self._take(*pending.popleft(), report)
                while pending:
                    self._take(*pending.popleft(), report)
            except BaseException:
                threads.shutdown(wait=True, cancel_futures=True)
                raise
        self._top = self._map.finish()
        report(Progress(self._source.size, self._source.size, self._uploads.bytes))

    def commit(self, description: Mapping[str, Any]) -> Written:
        """Put the root; everything that it refers to has been acknowledged."""
        place, base, done = self._place, self._base, self._counters()
        root = RootId(place.session)
        part = Layout(
            domain=place.domain,
            root=root,
            key=place.key,
            size=self._source.size,
            chunk_size=self._chunk,
            height=self._top.height,
            top=self._top.place,
            base=base.layout.root if base else None,
            sessions=tuple(self._map.sessions),
            counters={
                "chunks": done.chunks,
                "new_chunks": done.new_chunks,
                "segments": done.segments,
                "stored_bytes": done.stored,
            },
        )
        data = roots.encode(
            part,
            content_digest=self._top.digest,
            change_id=self._source.change_id,
            description=description,
            metadata_key=place.metadata_key,
            domain_keys=place.keys,
            random=place.random,
        )
        place.store.put(layout.root_name(place.domain, root), data)
        return Written(
            root=root,
            sha256=hashlib.sha256(data).hexdigest(),
            size=part.size,
            chunks=done.chunks,
            new_chunks=done.new_chunks,
            segments=done.segments,
            stored_bytes=done.stored + len(data),
            read_bytes=self._read,
            base=part.base,
            damaged=tuple(self._damaged),
            pins=self._pins,
            uses=part.sessions,
        )

    def _counters(self) -> Counters:
        before = self._before
        return Counters(
            chunks=before.chunks + self._chunks,
            new_chunks=before.new_chunks + self._new,
            segments=before.segments + self._uploads.count,
            stored=before.stored + self._uploads.bytes,
        )

    def _batches(self) -> Iterator[_Batch]:
        """The chunks that may hold data, in batches, ascending; all others are zero."""
        per_batch = max(1, BATCH // self._chunk)
        for number, slots in self._leaves():
            if number < self._first_leaf:
                continue
            leaf = self._leaf(number)
            runs = [
                (first, min(per_batch, end - first))
                for begin, end in slots
                for first in range(begin, end, per_batch)
            ]
            for place, (first, count) in enumerate(runs):
                yield _Batch(leaf, first, count, last=place == len(runs) - 1)

    def _leaves(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yield (leaf, runs of its slots) for the leaves that extents touch."""
        leaf, slots = -1, list[tuple[int, int]]()
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

    def _leaf(self, number: int) -> _Leaf:
        """The leaf, with what the base and earlier sessions have there."""
        known: Known = {}
        for earlier in self._earlier:
            known.update(earlier.chunks(number))
        leaf = _Leaf(number, None, [None] * FANOUT, known)
        if self._base_map is None or number >= FANOUT ** (self._base_map.top.height - 1):
            return leaf
        try:
            node = self._base_map.node(1, number)
        except DamagedObject as error:
            self._note(error)
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
                self._note(error)
        return leaf

    def _take(self, batch: _Batch, future: Future[list[_Found]], report: Report) -> None:
        """Bring what a worker found into the leaf, and the leaf into the map if it is whole."""
        leaf = batch.leaf
        for slot, found in enumerate(future.result(), batch.first):
            if found is None:
                continue
            self._chunks += 1
            chunk_id, codec, data = found
            leaf.ids[slot] = np.frombuffer(chunk_id, np.uint8)
            if codec is None or data is None:
                if chunk_id == leaf.expected[slot]:
                    assert leaf.base is not None
                    leaf.entries[slot] = leaf.base[slot]
                else:
                    leaf.entries[slot] = leaf.known[chunk_id]
            else:
                self._new += 1
                number = leaf.number * FANOUT + slot
                place = self._uploads.add_chunk(number, chunk_id, codec, data)
                leaf.entries[slot] = blockmap.entry(place)
        done = (leaf.number * FANOUT + batch.first + batch.count) * self._chunk
        self._read += batch.count * self._chunk
        if batch.last:
            self._map.add_leaf(leaf.number, leaf.entries, leaf.ids)
            self._save_now_and_then(leaf.number + 1)
        self._checkpoint()
        total = self._source.size
        report(Progress(min(done, total), total, self._uploads.bytes))

    def _save_now_and_then(self, leaf: int) -> None:
        """Put a checkpoint if it is time: all before `leaf` is in the map."""
        place, settings = self._place, self._settings
        if (
            self._uploads.bytes - self._saved_bytes < settings.checkpoint_bytes
            and place.clock() - self._saved_at < settings.checkpoint_seconds
        ):
            return
        self._uploads.flush()
        self._saved += 1
        saved = Saved(self._origin, leaf, self._map.save(), self._counters())
        checkpoints.put(
            place.store,
            place.metadata_key,
            place.domain,
            place.session,
            self._saved,
            saved,
            place.random,
        )
        self._saved_bytes, self._saved_at = self._uploads.bytes, place.clock()

    def _note(self, error: DamagedObject) -> None:
        self._damaged[str(error)] = None


class _Worker:
    """What the threads do with a batch; each thread has its own buffer and compressor."""

    def __init__(self, source: Source, chunk: int, keys: DomainKeys, settings: Settings) -> None:
        self._source = source
        self._size = source.size
        self._chunk = chunk
        self._keys = keys
        self._level = settings.compression_level
        self._zeros = bytes(chunk)
        self._own = threading.local()

    def find(self, batch: _Batch) -> list[_Found]:
        """Read, identify and compress the batch's chunks."""
        if not hasattr(self._own, "buffer"):
            self._own.buffer = bytearray(max(BATCH, self._chunk))
            self._own.compressor = zstandard.ZstdCompressor(level=self._level)
        buffer, compressor = self._own.buffer, self._own.compressor
        start = (batch.leaf.number * FANOUT + batch.first) * self._chunk
        length = min(batch.count * self._chunk, self._size - start)
        found: list[_Found] = []
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
                    leaf = batch.leaf
                    expected = leaf.expected[batch.first + number]
                    if chunk_id == expected or chunk_id in leaf.known:
                        found.append((chunk_id, None, None))
                    else:
                        found.append((chunk_id, *segments.shrink(chunk, compressor)))
        return found


class _BaseIds:
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


def _window(settings: Settings) -> int:
    """How many batches may be under way, so that all of the work stays within the budget."""
    fixed = (1 + PUTS) * settings.segment_size + IDS_KEPT + settings.threads * BATCH
    return max(1, min(4 * settings.threads, (settings.memory_budget - fixed) // BATCH))
