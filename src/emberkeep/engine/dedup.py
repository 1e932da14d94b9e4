"""Dedup: chunks that other sessions of the domain stored, found by content.

A chunk that hints tell of leads to a segment, whose session is pinned; then the ids of the segment
are known, and once one of its chunks was found, those of the segments beside it, too: what was
written side by side is likely to be read side by side.  The ids of the segments that were of use
last are kept.

Invariants
* a chunk is found only in a segment that the session has pinned before it looked into it;
* what is held in memory is bounded by KEPT and by what `hints` says.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import inf

import numpy as np

from emberkeep.engine import hints
from emberkeep.engine.hints import Hints
from emberkeep.engine.ids import SessionId
from emberkeep.engine.keys import ID_SIZE
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.ledger import Segset
from emberkeep.engine.pinned import Chunks, Pinned
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.uploads import Place
from emberkeep.engine.work import MIB

KEPT = 12 * MIB  # bytes of ids in memory
REFUSED_FOR = 60  # seconds until a pin that was refused is asked for again

_CHUNK_BYTES = 176  # of them: the id, its place in the dictionary, the columns
_SEGMENT_BYTES = 1024

Pin = Callable[[SessionId], Segset | None]  # the ledger's, for the session that writes


class _Opened:
    """A segment that was looked into."""

    def __init__(self, chunks: Chunks | None) -> None:
        self.chunks = chunks
        self.followed = False  # whether the segments beside it were opened, too

    @property
    def size(self) -> int:
        """Bytes in memory, with the places of its chunks."""
        return _SEGMENT_BYTES + _CHUNK_BYTES * (0 if self.chunks is None else len(self.chunks))

    def ids(self) -> Iterator[bytes]:
        ids = b"" if self.chunks is None else self.chunks.ids.tobytes()
        return (ids[at : at + ID_SIZE] for at in range(0, len(ids), ID_SIZE))

    def pointer(self, chunk_id: bytes) -> Pointer:
        """The place of a chunk that it has."""
        assert self.chunks is not None
        halves, wanted = self.chunks.ids.view("<u8"), np.frombuffer(chunk_id, "<u8")
        rows = (halves[:, 0] == wanted[0]) & (halves[:, 1] == wanted[1])
        return self.chunks.pointer(int(rows.argmax()))


class Dedup:
    """What one session finds.  May be used from many threads."""

    def __init__(self, place: Place, reader: SegmentReader, pin: Pin) -> None:
        self._place = place
        self._reader = reader
        self._pin = pin
        self._hints: list[Hints] | None = None
        self._pinned: dict[SessionId, Pinned] = {}
        self._refused: dict[SessionId, float] = {}  # when
        self._opened: OrderedDict[SegmentId, _Opened] = OrderedDict()  # the latest last
        self._places: dict[bytes, _Opened] = {}
        self._size = 0
        self._lock = threading.Lock()  # of the three above
        self._opening = threading.Lock()  # of the others, and while the store is asked

    @property
    def pins(self) -> tuple[SessionId, ...]:
        """The sessions that were pinned: those of all chunks that were found, perhaps more."""
        return tuple(self._pinned)

    def find(self, chunk_id: bytes) -> Pointer | None:
        """The place of a chunk, if it is known."""
        found = self._places.get(chunk_id)
        if found is None and hints.is_sample(chunk_id):
            with self._opening:
                self._look_for(chunk_id)
            found = self._places.get(chunk_id)
        if found is None or found.chunks is None:
            return None
        segment = found.chunks.segment
        if not found.followed:
            with self._opening:
                self._follow(found, segment)
        with self._lock:
            if segment in self._opened:
                self._opened.move_to_end(segment)
        return found.pointer(chunk_id)

    def _look_for(self, chunk_id: bytes) -> None:
        """Open the segments that may have a sample until one of them has it."""
        if self._hints is None:
            self._hints = hints.read(self._reader)
        for found in self._hints:
            segment = found.find(chunk_id)
            if chunk_id not in self._places and segment is not None:
                self._open(segment)

    def _follow(self, found: _Opened, segment: SegmentId) -> None:
        """Open the segments beside one; where one of nodes is in between, the next after it."""
        if found.followed:
            return
        for step in (1, -1):
            beside = [segment.seq + step, segment.seq + 2 * step]
            any(seq >= 0 and self._open(SegmentId(segment.session, seq)) for seq in beside)
        found.followed = True

    def _open(self, segment: SegmentId) -> bool:
        """Know a segment's chunks from now on; False if it has none that may be used."""
        known = self._opened.get(segment)
        if known is not None:
            return known.chunks is not None
        pinned = self._pinned.get(segment.session) or self._try_to_pin(segment.session)
        if pinned is None:
            return False
        opened = _Opened(pinned.chunks(segment.seq))
        with self._lock:
            self._opened[segment] = opened
            self._places.update(dict.fromkeys(opened.ids(), opened))
            self._size += opened.size
            while self._size > KEPT and len(self._opened) > 1:
                self._forget(*self._opened.popitem(last=False))
        return opened.chunks is not None

    def _try_to_pin(self, session: SessionId) -> Pinned | None:
        """One that was refused is asked for again: it may be collected, or not committed yet."""
        now = self._place.clock()
        if now - self._refused.get(session, -inf) < REFUSED_FOR:
            return None
        segset = self._pin(session)
        if segset is None:
            self._refused[session] = now
            return None
        self._pinned[session] = Pinned(self._reader, self._place.keys, segset)
        return self._pinned[session]

    def _forget(self, _segment: SegmentId, oldest: _Opened) -> None:
        self._size -= oldest.size
        for chunk_id in oldest.ids():
            if self._places.get(chunk_id) is oldest:
                del self._places[chunk_id]
