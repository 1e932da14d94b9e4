"""The segments that one session writes: filled by the packer, put by a thread or two.

A session's first segment takes chunks and nodes, so a small backup is one object plus the root;
after it data and map segments are apart, so that a walk of the map reads large pieces.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from emberkeep.engine import layout
from emberkeep.engine.ids import DomainId, SessionId
from emberkeep.engine.keys import Cipher, DomainKeys, MetadataKey, Random
from emberkeep.engine.layout import Codec, Pointer, SegmentId
from emberkeep.engine.segments import SegmentBuilder
from emberkeep.engine.work import Checkpoint, Settings
from emberkeep.stores.base import Buffer, Store

PUTS = 2  # at once


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session writes, and with which keys."""

    store: Store
    domain: DomainId
    session: SessionId
    metadata_key: MetadataKey
    keys: DomainKeys
    key: int  # the number of the data key that it uses
    record_cipher: Cipher
    node_cipher: Cipher
    random: Random
    clock: Callable[[], float]  # seconds, monotonic


class Uploads:
    """The open segments of a session and those under way.  Used by one thread, the packer."""

    def __init__(
        self, place: Place, settings: Settings, checkpoint: Checkpoint, *, volume: str
    ) -> None:
        self.count = 0  # segments put
        self.bytes = 0  # of them
        self._place = place
        self._settings = settings
        self._checkpoint = checkpoint
        self._volume = volume
        self._seq = 0
        self._data: SegmentBuilder | None = None
        self._nodes: SegmentBuilder | None = None
        self._threads = settings.pool(PUTS, "put")
        self._under_way: deque[Future[None]] = deque()

    def add_chunk(self, number: int, chunk_id: bytes, codec: Codec, data: Buffer) -> Pointer:
        """Store a chunk; returns its place once it is encrypted, before it is put."""
        if self._data is None:
            self._data = self._begin()
            if self._data.segment.seq == 0:
                self._nodes = self._data
        found = self._data.add_chunk(number, chunk_id, codec, data)
        if self._data.full:
            self._end(self._data)
        return found

    def add_node(self, codec: Codec, data: Buffer) -> Pointer:
        """Store a node of the map, likewise."""
        if self._nodes is None:
            self._nodes = self._begin()
        found = self._nodes.add_node(codec, data)
        if self._nodes.full:
            self._end(self._nodes)
        return found

    def flush(self) -> None:
        """Put what is open, and return when all segments were acknowledged."""
        for segment in (self._data, self._nodes):
            if segment is not None and segment in (self._data, self._nodes):
                self._end(segment)
        while self._under_way:
            self._under_way.popleft().result()

    def close(self) -> None:
        """End the threads; what is under way is finished, what waits is not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> SegmentBuilder:
        place = self._place
        segment = SegmentId(place.session, self._seq)
        self._seq += 1
        return SegmentBuilder(
            place.domain,
            segment,
            size=self._settings.segment_size,
            key=place.key,
            volume=self._volume,
            record_cipher=place.record_cipher,
            node_cipher=place.node_cipher,
        )

    def _end(self, segment: SegmentBuilder) -> None:
        self._checkpoint()
        if segment is self._data:
            self._data = None
        if segment is self._nodes:
            self._nodes = None
        while len(self._under_way) >= PUTS:
            self._under_way.popleft().result()
        data = segment.finish(self._place.metadata_key, self._place.random)
        name = layout.segment_name(self._place.domain, segment.segment)
        self.count += 1
        self.bytes += len(data)
        self._under_way.append(self._threads.submit(self._place.store.put, name, data))
