"""The collector: removes what no backup needs any more, beside writers and readers.

A cycle *drains* segsets (nobody may begin to rely on them), takes one look at the ledger (the
*fence*), marks what all roots of that moment reach, and says for each segset what is left of it
(the *gate*); only then it removes objects.  Any number of cycles may run at once, and each may die
at any point.

Invariants
* what is needed is in the objects that the ledger's gens names; what is removed is named no more;
* of a segment that is needed nothing is removed before the generation that counts was seen;
* no listing and no clock takes part in that: a listing only suggests what there is to remove;
* a node that can't be read ends the cycle, unless a verification has put its backup into
  quarantine: then everything that this backup may need is kept.
"""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from emberkeep.engine import compaction, hints, keys, layout, marks, roots
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.errors import DamagedObject, LedgerBehind
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import Random
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.ledger import Fence, Ledger, Phase, Segset, State
from emberkeep.engine.marks import Marks
from emberkeep.engine.roots import Layout
from emberkeep.engine.stored import Gens, SegmentReader
from emberkeep.engine.work import Checkpoint, Progress, Report
from emberkeep.stores.base import StoredObject
from emberkeep.stores.errors import ObjectNotFound

_T = TypeVar("_T")

SPARSE = 0.5  # of a segment's records: what keeps less is compacted


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection found and did; sizes are bytes.

    `waiting`: segsets that somebody pins, left for the next cycle.  `spared`: segsets kept whole
    for backups in quarantine.  `unknown`: segments of sessions that the ledger does not know.
    `reasons`: what was removed or compacted, or in a dry run would be, and why.
    """

    roots: int = 0
    removed_segments: int = 0
    removed_bytes: int = 0
    compacted_segments: int = 0
    kept_segments: int = 0
    kept_bytes: int = 0
    waiting: int = 0
    spared: int = 0
    unknown: int = 0
    reasons: tuple[str, ...] = ()


def collect(
    reader: SegmentReader,
    ledger: Ledger,
    *,
    random: Random,
    sparse: float,
    dry_run: bool,
    report: Report,
    checkpoint: Checkpoint,
) -> Collected:
    """Collect the reader's domain; see `Repository.collect`."""
    cycle = _Cycle(reader, ledger, random, sparse, report, checkpoint)
    if dry_run:
        return cycle.rehearse()
    return cycle.run()


def _behind(what: str) -> str:
    return (
        f"{what}, which the database does not know: it was put back to an older state, or another "
        "one wrote here. Nothing is collected until it learned what the store holds: stop every "
        "process, then run emberkeep repo rebuild"
    )


class _Again(Exception):
    """A root went while it was walked: look at the ledger again."""


@dataclass(slots=True)
class _Objects:
    """What a listing shows of one session."""

    segments: dict[tuple[int, str], StoredObject] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(item.size for item in self.segments.values())


class _Cycle:
    def __init__(
        self,
        reader: SegmentReader,
        ledger: Ledger,
        random: Random,
        sparse: float,
        report: Report,
        checkpoint: Checkpoint,
    ) -> None:
        self._reader = reader
        self._store = reader.store
        self._domain = reader.domain
        self._ledger = ledger
        self._random = random
        self._sparse = sparse
        self._report = report
        self._checkpoint = checkpoint
        self._number = 0
        self._journal: dict[SessionId, list[str]] = {}  # gens objects, as listed
        # Of the sessions of which something went: their segments that are as first written.
        self._whole: dict[SessionId, set[int]] = {}
        self._collected = Collected()
        self._reasons: list[str] = []

    def run(self) -> Collected:
        """A whole cycle."""
        self._read_journal()
        segsets = self._ledger.segsets(self._domain)  # after what they are compared with
        self._number = self._ledger.begin_cycle(seen=self._seen(segsets))
        self._tidy_roots()
        drained = [
            segset
            for segset in segsets
            if segset.phase in (Phase.OPEN, Phase.DRAINING)
            and self._ledger.drain(segset.session, self._number)
        ]
        passed: set[SessionId] = set()
        try:
            fence, reached, spared = self._look()
            self._count(roots=len(fence.roots), waiting=len(drained) - len(fence.segsets))
            for segset in fence.segsets:
                self._checkpoint()
                if segset.session not in spared:
                    self._sweep(segset, reached)
                    passed.add(segset.session)
            self._count(spared=len(fence.segsets) - len(passed))
        finally:
            waiting = {segset.session for segset in drained if segset.pins}
            for segset in drained:
                if segset.session not in passed | waiting:
                    self._reopen(segset)
        self._tidy()
        return replace(self._collected, reasons=tuple(self._reasons))

    def rehearse(self) -> Collected:
        """What a cycle would do now, as far as can be told without draining."""
        fence, reached, spared = self._look()
        for segset in self._ledger.segsets(self._domain):
            if segset.phase not in (Phase.OPEN, Phase.DRAINING):
                continue
            if segset.pins:
                self._count(waiting=1)
            elif segset.session in spared:
                self._count(spared=1)
            else:
                self._tell(segset, reached)
        self._count(roots=len(fence.roots))
        return replace(self._collected, reasons=tuple(self._reasons))

    def _seen(self, segsets: Collection[Segset]) -> int:
        """The last cycle that the store tells of.

        Raises `LedgerBehind` if one left something of a segset which, as the ledger says, had not
        got that far: cycles of other domains may have brought the ledger's count up since.
        """
        cycles = {segset.session: segset.cycle for segset in segsets}
        last = 0
        for session, names in self._journal.items():
            seen = max(layout.parse_gens_name(name)[0] for name in names)
            if seen > cycles.get(session, seen):
                raise LedgerBehind(_behind(f"the store holds {names[-1]}"))
            last = max(last, seen)
        return last

    # Roots.

    def _tidy_roots(self) -> None:
        """Remove roots that don't count (any more).  Raises `LedgerBehind` for unknown ones."""
        states = self._ledger.sessions(self._domain)
        for item, root in self._list("r/", layout.parse_root_name):
            self._checkpoint()
            session = SessionId(root)
            # One that began after `states` was read may have put its root meanwhile.
            state = states.get(session) or self._ledger.state(session)
            if state is None:
                raise LedgerBehind(_behind(f"the store holds {item.name}"))
            if state in (State.ABORTED, State.REMOVED):
                self._store.delete(item.name)
        for session, state in states.items():
            if state == State.REMOVING:
                self._store.delete(layout.root_name(self._domain, RootId(session)))
                self._ledger.removed(RootId(session))

    def _look(self) -> tuple[Fence, Marks, set[SessionId]]:
        """The fence, what its roots reach, and the sessions to keep whole."""
        while True:
            fence = self._ledger.fence(self._domain, self._number)
            with contextlib.suppress(_Again):
                return fence, *self._mark(fence)

    def _mark(self, fence: Fence) -> tuple[Marks, set[SessionId]]:
        """Raises `_Again`, and `DamagedObject` for damage that no verification has seen."""
        reached, spared = Marks(), set[SessionId]()
        nodes = Nodes(self._reader, kept=8)
        # Those being removed last: what one of them shares must not pass unread.
        in_turn = sorted(fence.roots.items(), key=lambda item: item[1] == State.REMOVING)
        for number, (root, state) in enumerate(in_turn):
            self._checkpoint()
            self._report(Progress(number, len(fence.roots), 0))
            forgive = partial(self._forgive, root=root, fence=fence, spared=spared)
            try:
                part = self._read_root(root, state)
                if part is not None:
                    marks.walk(
                        nodes,
                        part,
                        reached,
                        damaged=lambda _place, error: forgive(error),  # noqa: B023 (used at once)
                        checkpoint=self._checkpoint,
                    )
            except DamagedObject as error:
                if self._ledger.state(SessionId(root)) != state:
                    raise _Again from error
                if root not in fence.quarantined:
                    raise DamagedObject(
                        f"nothing was collected: the backup with root {root} can't be read whole "
                        f"({error}); verify it (emberkeep repo verify), or delete the backup"
                    ) from error
                forgive(error)
        return reached, spared

    def _read_root(self, root: RootId, state: State) -> Layout | None:
        """The layout of a root; None if it is being removed and is gone already.

        Raises `_Again` if it went since the fence, and `DamagedObject`.
        """
        key = self._reader.metadata_key
        name = layout.root_name(self._domain, root)
        try:
            return roots.layout_of(self._store.get(name), key, self._domain, root)
        except ObjectNotFound as error:
            if state == State.REMOVING:
                return None
            if self._ledger.state(SessionId(root)) != state:
                raise _Again from error
        return roots.layout_of(self._reader.object(name), key, self._domain, root)

    def _forgive(
        self, error: DamagedObject, root: RootId, fence: Fence, spared: set[SessionId]
    ) -> None:
        """Go on beside damage that was confirmed, keeping all that its backup may need.

        Of a root that is being removed nothing is needed, and its segments may be going already.
        """
        if fence.roots[root] == State.REMOVING:
            return
        if root not in fence.quarantined:
            raise error
        spared |= {
            segset.session for segset in fence.segsets if root in self._ledger.users(segset.session)
        }

    # Segsets.

    def _sweep(self, segset: Segset, reached: Marks) -> None:
        """Say what is left of a drained segset, then remove the rest."""
        session = segset.session
        found = self._listed(session)
        seqs = reached.seqs(session)
        if not seqs:
            if self._ledger.gate(session, self._number, gens=None, gone=True):
                self._remove(segset, found, {}, "no backup needs it")
            return
        try:
            before = None if segset.gens is None else self._reader.gens(segset.gens)
        except DamagedObject as error:
            self._reasons.append(f"{error}; its session's segments are left as they are")
            self._reopen(segset)
            return
        kept: Gens = {}
        for seq in seqs:
            generation = "0" if before is None else before.get(seq)
            if generation is None:
                raise DamagedObject(
                    f"nothing more was collected: segment {session}/{seq:08x} was removed, but a "
                    "backup needs it; report this defect"
                )
            segment = SegmentId(session, seq)
            kept[seq] = self._compact(segment, generation, reached, found) or generation
        lost = {seq for seq, _generation in found.segments} - kept.keys()
        if before is None and not lost and all(generation == "0" for generation in kept.values()):
            gens = None
        elif kept == before:
            gens = segset.gens
        else:
            gens = layout.gens_name(self._domain, self._generation(), session)
            self._put_gens(gens, kept)
        if self._ledger.gate(session, self._number, gens=gens, gone=False):
            self._remove(segset, found, kept, "no backup needs it", gens=gens)
            if gens != segset.gens:
                self._whole[session] = {seq for seq, kind in kept.items() if kind == "0"}

    def _compact(
        self, segment: SegmentId, generation: str, reached: Marks, found: _Objects
    ) -> str | None:
        """Write a sparse segment anew without its dead records; its new generation."""
        item = found.segments.get((segment.seq, generation))
        if item is None or reached.stored(segment) > self._sparse * item.size:
            return None
        new = self._generation()
        try:
            data = compaction.compacted(
                self._reader,
                segment,
                generation,
                reached.indexes(segment),
                below=self._sparse,
                new_generation=new,
                random=self._random,
            )
        except (DamagedObject, ObjectNotFound):
            return None  # a verification will tell, or a later cycle has just replaced it
        if data is None:
            return None
        self._store.put(layout.segment_name(self._domain, segment, new), data)
        self._count(compacted_segments=1, kept_segments=1, kept_bytes=len(data))
        self._reasons.append(f"{item.name}: compacted from {item.size} to {len(data)} bytes")
        return new

    def _remove(
        self, segset: Segset, found: _Objects, kept: Gens, reason: str, gens: str | None = None
    ) -> None:
        """Remove what the gate dropped, and what others left there before."""
        for (seq, generation), item in found.segments.items():
            if kept.get(seq) == generation:
                self._count(kept_segments=1, kept_bytes=item.size)
            elif layout.cycle_of(generation) < self._number:
                self._checkpoint()
                if seq in kept and not self._is_there(SegmentId(segset.session, seq), kept[seq]):
                    self._reasons.append(f"{item.name}: left, as what should be instead is missing")
                    continue
                self._store.delete(item.name)
                self._count(removed_segments=1, removed_bytes=item.size)
                if seq not in kept:
                    self._reasons.append(f"{item.name}: {reason}, {item.size} bytes")
        for name in self._journal.get(segset.session, ()):
            if name != gens and layout.parse_gens_name(name)[0] < self._number:
                self._store.delete(name)

    def _is_there(self, segment: SegmentId, generation: str) -> bool:
        if layout.cycle_of(generation) == self._number:
            return True  # it was just put
        try:
            self._store.stat(layout.segment_name(self._domain, segment, generation))
        except ObjectNotFound:
            return False
        return True

    def _reopen(self, segset: Segset) -> None:
        """Let a drained segset be used again as it is.

        Its gens is asked for now: an earlier cycle may have changed it before we drained.
        """
        now = self._ledger.segset(segset.session)
        if now is not None and now.cycle == self._number:
            self._ledger.gate(segset.session, self._number, gens=now.gens, gone=False)

    def _put_gens(self, name: str, kept: Gens) -> None:
        plain = json.dumps({f"{seq:08x}": generation for seq, generation in kept.items()}).encode()
        key = self._reader.metadata_key.object_key(name)
        self._store.put(name, keys.seal(key, plain, self._random))

    def _tell(self, segset: Segset, reached: Marks) -> None:
        """Say what a sweep would do."""
        found = self._listed(segset.session)
        seqs = set(reached.seqs(segset.session))
        for (seq, _generation), item in found.segments.items():
            live = reached.stored(SegmentId(segset.session, seq))
            if seq not in seqs:
                self._count(removed_segments=1, removed_bytes=item.size)
                self._reasons.append(f"{item.name}: no backup needs it, {item.size} bytes")
            else:
                self._count(kept_segments=1, kept_bytes=item.size)
                if live <= self._sparse * item.size:
                    self._count(compacted_segments=1)
                    self._reasons.append(
                        f"{item.name}: backups need {live} of {item.size} bytes, to be compacted"
                    )

    # What others left.

    def _tidy(self) -> None:
        """Remove what belongs to segsets that are gone and to sessions that ended."""
        # In this order: a session that is seen as ended has passed its pins on already.
        states = self._ledger.sessions(self._domain)
        segsets = {segset.session: segset for segset in self._ledger.segsets(self._domain)}
        gone = {session for session, row in segsets.items() if row.phase == Phase.GONE}
        for item, (segment, _generation) in self._list("s/", layout.parse_segment_name):
            if segment.session in gone:
                self._checkpoint()
                self._store.delete(item.name)
            elif segment.session not in segsets:
                self._count(unknown=1)
        for session in sorted(gone):
            for name in self._journal.get(session, ()):
                self._store.delete(name)
        for item, (session, _number) in self._list("c/", layout.parse_checkpoint_name):
            state, row = states.get(session), segsets.get(session)
            ended = state not in (None, State.ACTIVE, State.EXPIRED)
            if ended and (row is None or not row.pins):
                self._store.delete(item.name)
        for item, segment in self._list("bad/", layout.parse_bad_name):
            if segment.session in gone:
                self._store.delete(item.name)
        hints.merge(
            self._reader,
            generation=self._generation(),
            alive=segsets.keys() - gone,
            whole=self._whole,
            random=self._random,
            checkpoint=self._checkpoint,
        )

    def _read_journal(self) -> None:
        for item, (_cycle, session) in self._list("g/", layout.parse_gens_name):
            self._journal.setdefault(session, []).append(item.name)

    def _listed(self, session: SessionId) -> _Objects:
        found = _Objects()
        below = f"s/{session[:2]}/{session}/"
        for item, (segment, generation) in self._list(below, layout.parse_segment_name):
            found.segments[segment.seq, generation] = item
        return found

    def _list(self, below: str, parse: Callable[[str], _T]) -> Iterator[tuple[StoredObject, _T]]:
        """The domain's objects of one kind; what bears no name of it is no business of ours."""
        return layout.named(self._store, f"d/{self._domain}/{below}", parse)

    def _generation(self) -> str:
        return layout.new_generation(self._number, self._random)

    def _count(self, **more: int) -> None:
        now = self._collected
        self._collected = replace(
            now, **{name: getattr(now, name) + count for name, count in more.items()}
        )
