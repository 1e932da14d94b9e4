"""The verifier: looks whether what backups need is in the store as it was written.

Three depths: 1, every segment that a backup needs is there, as long as it must be; 2, also every
record has the checksum that its segment's footer tells; 3, also every chunk opens and has the id
that its segment's ids record tells.  1 and 2 need no domain key.

What is found damaged is listed in the store, then in the ledger, then the backups whose maps reach
it are put into quarantine.  A backup that is committed in between looks for itself (`examine`).

Invariant: a segment's list of damage is replaced only by what a look at all of it found.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np

from emberkeep.engine import compaction, damage, layout, marks, roots, segments
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.damage import Bad
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import DomainKeys, Random
from emberkeep.engine.layout import Kind, Pointer, SegmentId
from emberkeep.engine.ledger import Ledger, Phase, Segset, State
from emberkeep.engine.marks import Marks
from emberkeep.engine.segments import ChunkIds
from emberkeep.engine.stored import SegmentReader, Tail
from emberkeep.engine.work import Checkpoint, Progress, Report
from emberkeep.stores.errors import StoreError

_CHUNK_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification looked at and found; sizes are bytes.

    `left`: segments that were left for the next time.  `damaged`: what is wrong, a line each.
    `quarantined`: the backups that need some of it, all that are known.
    """

    backups: int
    segments: int
    read_bytes: int
    left: int
    damaged: tuple[str, ...]
    quarantined: tuple[RootId, ...]


def verify(
    reader: SegmentReader,
    domain_keys: DomainKeys | None,
    ledger: Ledger,
    *,
    depth: int,
    share: float,
    random: Random,
    report: Report,
    checkpoint: Checkpoint,
) -> Verified:
    """Verify the reader's domain; see `Repository.verify`."""
    return _Verification(
        reader, domain_keys, ledger, depth, share, random, report, checkpoint
    ).run()


def examine(
    reader: SegmentReader, ledger: Ledger, found: Iterable[RootId], checkpoint: Checkpoint
) -> list[RootId]:
    """Put those of the roots into quarantine whose maps reach damage, and let the others out.

    Returns the former.  Reads their whole maps.
    """
    found = list(found)
    while True:
        names = damage.in_ledger(ledger.bad(reader.domain))
        bad = damage.read(reader.store, reader.metadata_key, names)
        quarantined = []
        for root in found:
            lines = _damage_of(reader, root, bad, checkpoint)
            if ledger.state(SessionId(root)) == State.COMMITTED:
                ledger.quarantine(root, lines)
                if lines:
                    quarantined.append(root)
        # Another one may have found damage meanwhile, and be overruled now.
        if set(damage.in_ledger(ledger.bad(reader.domain))) <= set(names):
            return quarantined


def _damage_of(reader: SegmentReader, root: RootId, bad: Bad, checkpoint: Checkpoint) -> list[str]:
    """What a backup needs and has not got, a line each."""
    lines: list[str] = []
    reached = Marks()
    name = layout.root_name(reader.domain, root)
    try:
        part = roots.layout_of(reader.object(name), reader.metadata_key, reader.domain, root)
    except DamagedObject as error:
        return [str(error)]
    marks.walk(
        Nodes(reader),
        part,
        reached,
        damaged=lambda _place, error: lines.append(str(error)),
        checkpoint=checkpoint,
    )
    for session in reached.sessions():
        for seq in reached.seqs(session):
            segment = SegmentId(session, seq)
            damaged = [int(i) for i in reached.indexes(segment) if (segment, int(i)) in bad]
            if damaged:
                lines.append(_line(reader, segment, damaged))
    return lines


def _line(reader: SegmentReader, segment: SegmentId, indexes: Collection[int]) -> str:
    generation = reader.generation(segment) or "0"
    name = layout.segment_name(reader.domain, segment, generation)
    shown = [str(index) for index in sorted(indexes)]
    if len(shown) > 5:
        shown[5:] = ["…"]
    return f"{name}: {len(indexes)} records are damaged or missing ({', '.join(shown)})"


class _Verification:
    def __init__(
        self,
        reader: SegmentReader,
        domain_keys: DomainKeys | None,
        ledger: Ledger,
        depth: int,
        share: float,
        random: Random,
        report: Report,
        checkpoint: Checkpoint,
    ) -> None:
        self._reader = reader
        self._keys = domain_keys
        self._ledger = ledger
        self._depth = depth
        self._share = share
        self._random = random
        self._report = report
        self._checkpoint = checkpoint
        self._damaged: list[str] = []
        self._live: list[RootId] = []
        self._reached = Marks()  # by those
        self._total = 0
        self._suspects: dict[SegmentId, set[int]] = {}  # nodes that could not be read
        self._segments = self._read = self._left = 0

    def run(self) -> Verified:
        self._tidy()
        fence = self._ledger.fence(self._reader.domain, 0)
        self._live = [root for root, state in fence.roots.items() if state == State.COMMITTED]
        backups = len(self._live)
        affected = self._walk(self._live) | fence.quarantined
        self._total = self._reached.all_stored()
        rows = self._ledger.segsets(self._reader.domain)
        for row in sorted(rows, key=lambda row: row.position == 0):  # one that was begun first
            self._check_segset(row)
        for session in self._ledger.bad(self._reader.domain):
            affected |= set(self._ledger.users(session))
        quarantined = examine(
            self._reader, self._ledger, sorted(affected.intersection(self._live)), self._checkpoint
        )
        self._report(Progress(self._total, self._total, 0))
        return Verified(
            backups=backups,
            segments=self._segments,
            read_bytes=self._read,
            left=self._left,
            damaged=tuple(dict.fromkeys(self._damaged)),
            quarantined=tuple(quarantined),
        )

    def _tidy(self) -> None:
        """Remove the lists of damage that no longer count, or never did."""
        listed = list(self._reader.store.list(f"d/{self._reader.domain}/bad/"))
        named = set[str]()
        for session, names in self._ledger.bad(self._reader.domain).items():
            kept = [n for n in names if self._reader.generation(layout.parse_bad_name(n))]
            if len(kept) < len(names):
                self._ledger.mark_bad(session, kept)
            named |= set(kept)
        for item in listed:
            with contextlib.suppress(ValueError):
                layout.parse_bad_name(item.name)
                if item.name not in named:
                    self._reader.store.delete(item.name)

    def _walk(self, live: Collection[RootId]) -> set[RootId]:
        """Mark what the roots reach; returns those that can't be walked whole."""
        reader, affected = self._reader, set[RootId]()
        nodes = Nodes(reader)
        errors: list[str] = []

        def damaged(place: Pointer, error: DamagedObject) -> None:
            self._suspects.setdefault(place.segment, set()).add(place.index)
            errors.append(str(error))

        for root in live:
            name = layout.root_name(reader.domain, root)
            try:
                data = reader.object(name)
                part = roots.layout_of(data, reader.metadata_key, reader.domain, root)
                marks.walk(nodes, part, self._reached, damaged=damaged, checkpoint=self._checkpoint)
            except DamagedObject as error:
                errors.append(str(error))
            if errors and self._ledger.state(SessionId(root)) == State.COMMITTED:
                self._damaged += errors
                affected.add(root)
            errors.clear()
        return affected

    def _check_segset(self, row: Segset) -> None:
        """Look at a session's segments from where the last verification left off."""
        seqs = self._reached.seqs(row.session)
        if not seqs:
            return
        if row.gens is not None:
            try:
                self._reader.gens(row.gens)
            except DamagedObject as error:  # no backup needs it while a listing tells as much
                self._damaged.append(str(error))
        begin = row.position if self._depth > 1 and self._share < 1 else 0
        for seq in seqs:
            if seq < begin:
                continue
            if self._depth > 1 and self._has_read_enough():
                if seq != seqs[0]:
                    self._ledger.check(row.session, depth=self._depth, position=seq)
                self._left += sum(1 for other in seqs if other >= seq)
                return
            self._checkpoint()
            self._check_segment(SegmentId(row.session, seq))
            self._report(Progress(min(self._read, self._total), self._total, 0))
        if self._depth > 1:
            self._ledger.check(row.session, depth=self._depth, position=0)

    def _has_read_enough(self) -> bool:
        # Also ids are read, which nobody's map reaches: all of them is more than the total.
        return self._share < 1 and self._read > self._share * self._total

    def _check_segment(self, segment: SegmentId) -> None:
        """Replace the list of the segment's damage by what is found now."""
        self._segments += 1
        wanted = frozenset(self._reached.indexes(segment).tolist())
        found = self._damage(segment, wanted)
        suspects = self._suspects.get(segment, set[int]())
        if found or suspects:  # unless they are missing because nobody needs them any more
            needed = frozenset(self._needed().indexes(segment).tolist())
            ids = found - wanted if needed else set()
            found = (found | suspects) & needed | ids
        if found:
            self._damaged.append(_line(self._reader, segment, found))
        row = self._ledger.segset(segment.session)
        if row is None or row.phase == Phase.GONE:
            return
        reader = self._reader
        before = [name for name in row.bad if layout.parse_bad_name(name) == segment]
        known = damage.read(reader.store, reader.metadata_key, before)
        kept = list(row.bad)
        if self._depth == 1:  # says nothing of what the segment holds, so it takes nothing back
            if all((segment, index) in known for index in found):
                return
        else:
            if known.just(segment) == frozenset(found):
                return
            kept = [name for name in row.bad if name not in before]
        if found:
            kept.append(
                damage.put(
                    reader.store, reader.metadata_key, reader.domain, segment, found, self._random
                )
            )
        if kept != list(row.bad):
            self._ledger.mark_bad(segment.session, kept)
        for name in row.bad:
            if name not in kept:
                with contextlib.suppress(StoreError):  # nobody reads it; it goes with its segset
                    reader.store.delete(name)

    def _damage(self, segment: SegmentId, wanted: frozenset[int]) -> set[int]:
        """The damaged and missing ones of the wanted records."""
        found: set[int] | None = None

        def look(generation: str) -> None:
            nonlocal found
            damaged = self._look(segment, generation, wanted)
            found = damaged if found is None else found & damaged
            if found:  # another one may have them, if nobody can tell which counts
                raise DamagedObject(_line(self._reader, segment, found))

        with contextlib.suppress(DamagedObject):
            self._reader.counting(segment, look)
        return set(wanted) if found is None else found

    def _needed(self) -> Marks:
        """What the backups reach that were there at the begin and still are."""
        fence = self._ledger.fence(self._reader.domain, 0)
        live = {root for root, state in fence.roots.items() if state == State.COMMITTED}
        if not live.issuperset(self._live):
            self._live = [root for root in self._live if root in live]
            self._reached = Marks()
            self._walk(self._live)
        return self._reached

    def _look(self, segment: SegmentId, generation: str, wanted: frozenset[int]) -> set[int]:
        """Raises `ObjectNotFound`, and `DamagedObject` for a bad footer."""
        if self._depth > 1:
            return self._look_inside(self._reader.tail_of(segment, generation), wanted)
        name = layout.segment_name(self._reader.domain, segment, generation)
        least = layout.HEADER_SIZE + self._reached.stored(segment)
        if generation == "0":
            least = self._reached.end(segment)
        return set(wanted) if self._reader.store.stat(name).size < least else set()

    def _look_inside(self, tail: Tail, wanted: frozenset[int]) -> set[int]:
        """Compare checksums, and at depth 3 ids."""
        rows = tail.footer.records
        indexes = np.array(sorted(wanted), rows["index"].dtype)
        chosen = rows[np.isin(rows["index"], indexes) | (rows["kind"] == Kind.IDS)]
        found = set(wanted) - set(chosen["index"].tolist())
        right = self._right(tail)
        for row, stored in compaction.stored_records(self._reader, tail, chosen):
            self._read += len(stored)
            if not compaction.intact(row, stored) or not right(row, stored):
                found.add(int(row["index"]))
        return found

    def _right(self, tail: Tail) -> Callable[[np.void, memoryview], bool]:
        """What depth 3 asks of a record beside its checksum."""
        domain_keys = self._keys
        if self._depth < 3 or domain_keys is None:
            return lambda _row, _stored: True
        ids: ChunkIds | None = None
        with contextlib.suppress(DamagedObject):  # of nodes only; or damaged, which is told
            ids = self._reader.ids(tail, domain_keys)
        cipher = domain_keys.record_cipher(tail.footer.key, tail.segment.session)

        def right(row: np.void, stored: memoryview) -> bool:
            if row["kind"] != Kind.CHUNK:
                return True
            index = int(row["index"])
            place = Pointer(tail.segment, tail.footer.key, index, 0, len(stored))
            try:
                plain = segments.open_record(
                    cipher, Kind.CHUNK, place, stored, limit=_CHUNK_LIMIT, name=tail.name
                )
            except DamagedObject:
                return False
            return ids is None or ids.of(index) == domain_keys.identify(plain)

        return right
