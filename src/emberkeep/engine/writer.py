"""The writer: from a source's bytes to a root in the repository.

Worker threads take a batch of chunks each and do all of it: read, test for zeros, identify, look
whether it is stored, compress.  One packer, the caller's thread, takes the batches in the volume's
order, encrypts into the open segment and builds the map; two threads put segments.

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
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from emberkeep.engine import blockmap, checkpoints, dedup, hints, layout, leaves, roots
from emberkeep.engine.blockmap import FANOUT, Map, MapWriter, Nodes
from emberkeep.engine.checkpoints import Counters, Origin, Saved
from emberkeep.engine.chunks import BATCH, Batch, Found, New, Stored, Worker, batches
from emberkeep.engine.damage import Bad
from emberkeep.engine.dedup import Dedup, Pin
from emberkeep.engine.earlier import Earlier
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.hints import Samples
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.leaves import BaseIds, Leaves
from emberkeep.engine.ledger import Begun
from emberkeep.engine.pinned import Pinned
from emberkeep.engine.protocols import Source
from emberkeep.engine.roots import Layout, Root
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.uploads import PUTS, Place, Uploads
from emberkeep.engine.work import Checkpoint, Progress, Report, Settings

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
    pin: Pin,
    base: Root | None,
    bad: Bad,
    description: Mapping[str, Any],
    volume: str,
    settings: Settings,
    report: Report,
    checkpoint: Checkpoint,
) -> Written:
    """Write a backup of all of the source; it shares with `base` what did not change.

    `base` is the root that `begun` holds; `pin` pins other sessions' segsets for it.  Records in
    `bad` are stored anew.
    Raises what the source, the store or `checkpoint` raises; then no root was put.
    """
    chunk = base.chunk_size if base else settings.chunk_size or default_chunk_size(source.size)
    uploads = Uploads(place, settings, checkpoint, volume=volume)
    with contextlib.closing(uploads):
        packer = _Packer(
            place, reader, source, begun, pin, base, bad, chunk, uploads, settings, checkpoint
        )
        packer.pack(report)
        uploads.flush()
        checkpoint()
        return packer.commit(description)


class _Packer:
    """Brings batches to the workers and what they found into segments and the map."""

    def __init__(
        self,
        place: Place,
        reader: SegmentReader,
        source: Source,
        begun: Begun,
        pin: Pin,
        base: Root | None,
        bad: Bad,
        chunk: int,
        uploads: Uploads,
        settings: Settings,
        checkpoint: Checkpoint,
    ) -> None:
        self._place = place
        self._source = source
        self._base = base
        self._chunk = chunk
        self._uploads = uploads
        self._checkpoint = checkpoint
        self._settings = settings
        self._damaged: dict[str, None] = {}
        base_map = None if base is None else Map(Nodes(reader), base.top)
        self._map = MapWriter(
            blockmap.height_for(source.size, chunk),
            base=base_map,
            write=uploads.add_node,
            identify=place.keys.identify,
            damaged=self._note,
        )
        self._dedup = Dedup(place, reader, pin)
        self._samples = Samples(place)
        self._read = self._chunks = self._new = 0
        self._top = blockmap.Top(1, None, blockmap.ZERO_DIGEST)
        self._origin = Origin(source.change_id, begun.base, source.size, chunk)
        self._before = Counters()  # what predecessors did of it
        self._first_leaf = self._saved = 0
        self._saved_bytes, self._saved_at = 0, place.clock()
        earlier = (*begun.predecessors, *((begun.pinned,) if begun.pinned else ()))
        self._inherited_pins = earlier
        self._resume(begun)
        pinned = [Pinned(reader, place.keys, row) for row in map(pin, earlier) if row is not None]
        self._leaves = Leaves(
            source,
            chunk=chunk,
            first=self._first_leaf,
            base=base_map,
            base_ids=BaseIds(reader, place.keys),
            bad=bad,
            earlier=[Earlier(reader, one, first_leaf=self._first_leaf) for one in pinned],
            damaged=self._note,
        )

    def _resume(self, begun: Begun) -> None:
        """Go on at the last checkpoint of a predecessor, if there is one that fits."""
        place = self._place
        saved = checkpoints.newest(
            place.store, place.metadata_key, place.domain, begun.predecessors, self._origin
        )
        if saved is not None:
            self._map.restore(saved.map)
            self._samples.restore(saved.samples)
            self._first_leaf = saved.leaf
            self._before = saved.counters
            self._inherited_pins += saved.pins  # which passed to this session, too

    @property
    def _pins(self) -> tuple[SessionId, ...]:
        """The sessions that the map may rely on, beside the base and this one."""
        return tuple(dict.fromkeys((*self._inherited_pins, *self._dedup.pins)))

    def pack(self, report: Report) -> None:
        """Deal with all of the source."""
        keys, settings = self._place.keys, self._settings
        worker = Worker(self._source, self._chunk, keys, self._dedup, settings)
        window = _window(settings)
        pending: deque[tuple[Batch, Future[list[Found]]]] = deque()
        with settings.pool(settings.threads, "chunks") as threads:
            try:
                for batch in batches(self._leaves, self._chunk):
                    pending.append((batch, threads.submit(worker.find, batch)))
                    if len(pending) >= window:
                        self._take(*pending.popleft(), report)
                while pending:
                    self._take(*pending.popleft(), report)
            except BaseException:
                threads.shutdown(wait=True, cancel_futures=True)
                raise
        self._top = self._map.finish()
        report(self._progress(self._source.size))

    def commit(self, description: Mapping[str, Any]) -> Written:
        """Put the root; everything that it refers to has been acknowledged."""
        place, base, done = self._place, self._base, self._counters()
        if done.segments > 1:  # less is not worth an object
            self._samples.put()
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

    def _progress(self, done: int) -> Progress:
        return Progress(done, self._source.size, self._uploads.bytes, self._uploads.count)

    def _take(self, batch: Batch, future: Future[list[Found]], report: Report) -> None:
        """Bring what a worker found into the leaf, and the leaf into the map if it is whole."""
        leaf = batch.leaf
        for slot, found in enumerate(future.result(), batch.first):
            match found:
                case None:
                    continue
                case Stored(chunk_id, entry):
                    leaf.entries[slot] = entry
                case New(chunk_id, codec, data):
                    self._new += 1
                    number = leaf.number * FANOUT + slot
                    place = self._uploads.add_chunk(number, chunk_id, codec, data)
                    self._samples.add(chunk_id, place.segment)
                    leaf.entries[slot] = blockmap.entry(place)
            self._chunks += 1
            leaf.ids[slot] = np.frombuffer(chunk_id, np.uint8)
        done = (leaf.number * FANOUT + batch.first + batch.count) * self._chunk
        self._read += batch.count * self._chunk
        if batch.last:
            self._map.add_leaf(leaf.number, leaf.entries, leaf.ids)
            self._save_now_and_then(leaf.number + 1)
        self._checkpoint()
        report(self._progress(min(done, self._source.size)))

    def _save_now_and_then(self, leaf: int) -> None:
        """Put a checkpoint if it is time: all before `leaf` is in the map."""
        place, settings = self._place, self._settings
        if self._origin.change_id is None:
            return  # nobody could go on: the next attempt reads another point in time
        if (
            self._uploads.bytes - self._saved_bytes < settings.checkpoint_bytes
            and place.clock() - self._saved_at < settings.checkpoint_seconds
        ):
            return
        self._uploads.flush()
        self._saved += 1
        saved = Saved(
            self._origin,
            leaf,
            self._map.save(),
            self._counters(),
            self._pins,
            self._samples.save(),
        )
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


def _window(settings: Settings) -> int:
    """How many batches may be under way, so that all of the work stays within the budget."""
    ids = leaves.IDS_KEPT + dedup.KEPT + hints.KEPT
    fixed = (2 + PUTS) * settings.segment_size + ids + settings.threads * BATCH
    return max(1, min(4 * settings.threads, (settings.memory_budget - fixed) // BATCH))
