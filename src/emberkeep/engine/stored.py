"""Reading segments as the store has them now, whatever collections made of them.

A pointer's offset and length hold for generation 0, which is one ranged read.  If that object is
not there, the ledger names the generations that count; there a record is found by its index.
Any generation that has a record has the same bytes, so without a ledger's word all that are listed
are tried: a collection that failed at its gate may have left one that lacks what is needed.

Invariant: that an object was not found is no proof that it is missing: it is looked for again, for
as long as the store may take to settle, and never remembered.
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from emberkeep.engine import keys, layout, segments
from emberkeep.engine.errors import MALFORMED, DamagedObject
from emberkeep.engine.ids import DomainId
from emberkeep.engine.keys import DomainKeys, MetadataKey
from emberkeep.engine.layout import Kind, Pointer, SegmentId
from emberkeep.engine.ledger import Ledger, Phase
from emberkeep.engine.segments import ChunkIds, Footer
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectNotFound

_FIRST = "0"
_IDS_LIMIT = 4 + 28 * segments.MAX_RECORDS
_FIRST_WAIT = 0.1  # seconds
_KEPT = 16  # tails, and gens, in memory
_BLOCK = 256 << 10  # bytes of a segment that are read for one record of the map
_BLOCKS_KEPT = 32
_MOVED_KEPT = 10_000

_T = TypeVar("_T")

Gens = dict[int, str]  # the number of a segment → the generation that counts; absent: gone


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of one generation of a segment: its bytes from `start` on, and its footer."""

    segment: SegmentId
    generation: str
    name: str
    size: int
    start: int
    data: bytes
    footer: Footer


class Missing(DamagedObject):
    """An object is not there."""


class SegmentReader:
    """Reads the segments of one domain.  May be used from many threads."""

    def __init__(
        self,
        store: Store,
        metadata_key: MetadataKey,
        domain: DomainId,
        ledger: Ledger | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Without a ledger the generations are taken from listings."""
        self.store = store
        self.metadata_key = metadata_key
        self.domain = domain
        self._ledger = ledger
        self._sleep = sleep
        self._tails: OrderedDict[tuple[SegmentId, str], Tail] = OrderedDict()
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._gens: OrderedDict[str, Gens] = OrderedDict()
        self._moved: OrderedDict[SegmentId, str] = OrderedDict()
        self._lock = threading.Lock()

    def records(self, wanted: Sequence[Pointer]) -> list[memoryview]:
        """The stored bytes of records of one segment that lie near each other: one read.

        Raises `DamagedObject` if the segment or one of them is missing.
        """
        segment = wanted[0].segment

        def read(generation: str) -> list[memoryview]:
            name, places = self._places(wanted, generation)
            begin = min(offset for offset, _length in places)
            end = max(offset + length for offset, length in places)
            data = memoryview(self.store.get(name, offset=begin, length=end - begin))
            return [data[offset - begin : offset - begin + length] for offset, length in places]

        return self._found(segment, read)

    def record(self, wanted: Pointer) -> memoryview:
        """The stored bytes of one record, read with what lies around it, which is kept a while.

        Raises as `records` does.
        """

        def read(generation: str) -> memoryview:
            name, [(offset, length)] = self._places([wanted], generation)
            number, start = divmod(offset, _BLOCK)
            if start + length > _BLOCK:
                return memoryview(self.store.get(name, offset=offset, length=length))
            return memoryview(self._block(name, number))[start : start + length]

        return self._found(wanted.segment, read)

    def name(self, segment: SegmentId) -> str:
        """What to call a segment in a message: the object that was read last."""
        with self._lock:
            return layout.segment_name(self.domain, segment, self._moved.get(segment, _FIRST))

    def tail(self, segment: SegmentId) -> Tail:
        """The end of the segment.  Raises `DamagedObject`."""
        return self._found(segment, lambda generation: self.tail_of(segment, generation))

    def tail_of(self, segment: SegmentId, generation: str) -> Tail:
        """The end of this generation.  Raises `ObjectNotFound` and `DamagedObject`."""
        with self._lock:
            if (segment, generation) in self._tails:
                return self._tails[segment, generation]
        name = layout.segment_name(self.domain, segment, generation)
        size = self.store.stat(name).size
        data = self.store.get(name, offset=-segments.SUFFIX)
        sealed = layout.footer_of(data, name)
        if sealed is None:
            data = self.store.get(name, offset=-layout.trailer_length(data))
            sealed = layout.footer_of(data, name)
        if sealed is None:
            raise DamagedObject(f"{name}: its footer is cut off")
        key = self.metadata_key.footer_key(self.domain, segment.session, segment.seq, generation)
        plain = keys.unseal(key, sealed, f"{name}: footer")
        footer = Footer.decode(plain, name)
        tail = Tail(segment, generation, name, size, size - len(data), data, footer)
        with self._lock:
            self._tails[segment, generation] = tail
            if len(self._tails) > _KEPT:
                self._tails.popitem(last=False)
        return tail

    def chunk_ids(self, segment: SegmentId, domain_keys: DomainKeys) -> ChunkIds:
        """The ids of a segment's chunks, also of those that are gone.  Raises `DamagedObject`."""
        return self._found(
            segment, lambda generation: self.ids(self.tail_of(segment, generation), domain_keys)
        )

    def ids(self, tail: Tail, domain_keys: DomainKeys) -> ChunkIds:
        """Likewise, from this generation.  Raises `DamagedObject` and `ObjectNotFound`."""
        last = tail.footer.records[-1] if len(tail.footer.records) else None
        if last is None or last["kind"] != Kind.IDS:
            raise DamagedObject(f"{tail.name}: it has no ids record, so no chunks")
        offset, length = int(last["offset"]), int(last["length"])
        if offset >= tail.start:
            stored = tail.data[offset - tail.start : offset - tail.start + length]
        else:
            try:
                stored = self.store.get(tail.name, offset=offset, length=length)
            except ObjectNotFound as error:  # a collection has replaced it since
                raise Missing(f"{tail.name} is missing") from error
        pointer = Pointer(tail.segment, tail.footer.key, int(last["index"]), offset, length)
        cipher = domain_keys.record_cipher(tail.footer.key, tail.segment.session)
        plain = segments.open_record(
            cipher, Kind.IDS, pointer, stored, limit=_IDS_LIMIT, name=tail.name
        )
        return ChunkIds.decode(plain, tail.name)

    def object(self, name: str) -> bytes:
        """All of an object that must be there.  Raises `DamagedObject`."""
        left, wait = self.store.settles_within, _FIRST_WAIT
        while True:
            try:
                return self.store.get(name)
            except ObjectNotFound as error:
                if left <= 0:
                    raise Missing(f"{name} is missing") from error
            self._sleep(min(wait, left))
            left, wait = left - wait, 2 * wait

    def gens(self, name: str) -> Gens:
        """What the object `name` says of a session's segments.  Raises `DamagedObject`."""
        with self._lock:
            if name in self._gens:
                return self._gens[name]
        plain = keys.unseal(self.metadata_key.object_key(name), self.object(name), name)
        try:
            found = {int(seq, 16): str(gen) for seq, gen in json.loads(plain).items()}
        except MALFORMED as error:
            raise DamagedObject(f"{name}: it does not name generations") from error
        with self._lock:
            self._gens[name] = found
            if len(self._gens) > _KEPT:
                self._gens.popitem(last=False)
        return found

    def generation(self, segment: SegmentId) -> str | None:
        """The generation of a segment that counts now; None if it is gone."""
        return next(iter(self.generations(segment)), None)

    def generations(self, segment: SegmentId) -> list[str]:
        """The generations to look for a record in, in this order; none if the segment is gone.

        Just the one that counts, if the ledger and its gens tell.
        """
        row = None if self._ledger is None else self._ledger.segset(segment.session)
        if row is None:
            return self._listed(segment)
        if row.phase == Phase.GONE:
            return []
        if row.gens is None:
            return [_FIRST]
        try:
            counts = self.gens(row.gens).get(segment.seq)
        except DamagedObject:
            return self._listed(segment)
        return [] if counts is None else [counts]

    def counting(self, segment: SegmentId, read: Callable[[str], _T]) -> _T:
        """What `read` gives for the generation that counts, or may count, and for no other one.

        Raises `DamagedObject`.
        """
        now = self.generations(segment)
        if not now:
            raise Missing(f"{self.name(segment)}: a collection removed it")
        return self._search(segment, now, read)

    def _found(self, segment: SegmentId, read: Callable[[str], _T]) -> _T:
        """What `read` gives for the first generation that has it."""
        with self._lock:
            tries = [self._moved.get(segment, _FIRST)]
        return self._search(segment, tries, read)

    def _search(self, segment: SegmentId, tries: list[str], read: Callable[[str], _T]) -> _T:
        left, wait = self.store.settles_within, _FIRST_WAIT
        while True:
            damage: DamagedObject | None = None
            not_found: ObjectNotFound | None = None
            for generation in tries:
                try:
                    found = read(generation)
                except ObjectNotFound as error:
                    not_found = error
                except DamagedObject as error:
                    damage = damage or error
                else:
                    self._remember(segment, generation)
                    return found
            now = self.generations(segment)
            if not now:
                raise Missing(f"{self.name(segment)}: a collection removed it") from not_found
            if now == tries:
                if damage is not None and (not_found is None or left <= 0):
                    raise damage
                if left <= 0:
                    name = layout.segment_name(self.domain, segment, now[0])
                    raise Missing(f"{name} is missing") from not_found
                self._sleep(min(wait, left))
                left, wait = left - wait, 2 * wait
            tries = now

    def _remember(self, segment: SegmentId, generation: str) -> None:
        """Try this generation first from now on."""
        with self._lock:
            if generation == self._moved.get(segment, _FIRST):
                return
            self._moved[segment] = generation
            if len(self._moved) > _MOVED_KEPT:
                self._moved.popitem(last=False)

    def _places(
        self, wanted: Sequence[Pointer], generation: str
    ) -> tuple[str, list[tuple[int, int]]]:
        """The name of a segment's generation; offset and length there of each of its records."""
        segment = wanted[0].segment
        if generation == _FIRST:
            places = [(pointer.offset, pointer.length) for pointer in wanted]
            return layout.segment_name(self.domain, segment), places
        tail = self.tail_of(segment, generation)
        return tail.name, [_place(tail, pointer) for pointer in wanted]

    def _block(self, name: str, number: int) -> bytes:
        with self._lock:
            if (name, number) in self._blocks:
                self._blocks.move_to_end((name, number))
                return self._blocks[name, number]
        block = self.store.get(name, offset=number * _BLOCK, length=_BLOCK)
        with self._lock:
            self._blocks[name, number] = block
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return block

    def _listed(self, segment: SegmentId) -> list[str]:
        """The generations that the store lists, newest first."""
        prefix = layout.segment_name(self.domain, segment, "")
        listed = layout.named(self.store, prefix, layout.parse_segment_name)
        found = [generation for _item, (_segment, generation) in listed]
        return sorted(found, key=layout.cycle_of, reverse=True) or [_FIRST]


def _place(tail: Tail, pointer: Pointer) -> tuple[int, int]:
    row = tail.footer.find(pointer.index)
    if row is None:
        raise Missing(f"{tail.name}: record {pointer.index} is missing")
    return int(row["offset"]), int(row["length"])
