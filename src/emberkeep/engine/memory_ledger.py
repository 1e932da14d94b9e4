"""A ledger in memory, for tests and as the shortest reading of the protocol."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from emberkeep.engine.errors import LedgerBehind
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.ledger import Begun, Fence, Found, Phase, Segset, State, behind

_UNENDED = (State.ACTIVE, State.EXPIRED)


@dataclass(slots=True)
class _Session:
    domain: DomainId
    incarnation: int
    beat_at: float
    state: State = State.ACTIVE
    base: RootId | None = None
    predecessor: SessionId | None = None  # taken over without a gap
    refs: int = 0
    uses: tuple[SessionId, ...] = ()
    damage: tuple[str, ...] = ()


@dataclass(slots=True)
class _Segset:
    phase: Phase = Phase.BUILDING
    cycle: int = 0
    gens: str | None = None
    bad: tuple[str, ...] = ()
    checked_at: float = 0
    depth: int = 0
    position: int = 0
    pinned_by: set[SessionId] = field(default_factory=set)


class MemoryLedger:
    """Everything under one lock; as durable as its process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._clock = clock
        self._lock = threading.RLock()
        self._incarnation = 1
        self._cycle = 0
        self._sessions: dict[SessionId, _Session] = {}
        self._segsets: dict[SessionId, _Segset] = {}
        self._holds: dict[SessionId, RootId] = {}

    def begin(
        self,
        session: SessionId,
        *,
        domain: DomainId,
        base: RootId | None = None,
        predecessor: SessionId | None = None,
    ) -> Begun:
        with self._lock:
            new = _Session(domain, self._incarnation, self._clock())
            pinned = None
            written = self._segsets.get(predecessor) if predecessor else None
            if predecessor and written and self.state(predecessor) in _UNENDED:
                new.predecessor = predecessor
                new.base = self._take_over(session, predecessor)
            else:
                if base is not None and self.refer(base):
                    self._holds[session] = base
                    new.base = base
                if written and written.phase == Phase.OPEN:
                    written.pinned_by.add(session)
                    pinned = predecessor
            self._sessions[session] = new
            self._segsets[session] = _Segset()
            return Begun(new.base, tuple(self._chain(new.predecessor)), pinned)

    def _take_over(self, session: SessionId, predecessor: SessionId) -> RootId | None:
        self._sessions[predecessor].state = State.ABORTED
        for segset in self._segsets.values():
            if predecessor in segset.pinned_by:
                segset.pinned_by.remove(predecessor)
                segset.pinned_by.add(session)
        self._segsets[predecessor].phase = Phase.OPEN
        self._segsets[predecessor].pinned_by.add(session)
        base = self._holds.pop(predecessor, None)
        if base is not None:
            self._holds[session] = base
        return base

    def _chain(self, session: SessionId | None) -> list[SessionId]:
        chain = []
        while session is not None:
            chain.append(session)
            session = self._sessions[session].predecessor
        return chain

    def begin_reading(self, session: SessionId, *, domain: DomainId, root: RootId) -> bool:
        with self._lock:
            if not self.refer(root):
                return False
            self._sessions[session] = _Session(domain, self._incarnation, self._clock(), base=root)
            self._holds[session] = root
            return True

    def beat(self, session: SessionId) -> bool:
        with self._lock:
            if self.state(session) != State.ACTIVE:
                return False
            self._sessions[session].beat_at = self._clock()
            return True

    def pin(self, session: SessionId, segset: SessionId) -> Segset | None:
        with self._lock:
            wanted = self._segsets.get(segset)
            if wanted is None or self.state(session) != State.ACTIVE:
                return None
            if session not in wanted.pinned_by:
                if wanted.phase != Phase.OPEN:
                    return None
                wanted.pinned_by.add(session)
            return self.segset(segset)

    def commit(
        self,
        session: SessionId,
        *,
        base: RootId | None,
        pins: Collection[SessionId],
        uses: Collection[SessionId],
    ) -> bool:
        with self._lock:
            mine = self._sessions.get(session)
            if (
                mine is None
                or mine.state != State.ACTIVE
                or session not in self._segsets
                or mine.incarnation != self._incarnation
                or self._holds.get(session) != base
                or not all(session in self._segsets[segset].pinned_by for segset in pins)
            ):
                return False
            mine.state, mine.refs, mine.uses = State.COMMITTED, 1, tuple(uses)
            self._release(session)
            return True

    def abort(self, session: SessionId) -> bool:
        with self._lock:
            if self.state(session) not in _UNENDED:
                return False
            self._sessions[session].state = State.ABORTED
            self._release(session)
            return True

    def _release(self, session: SessionId) -> None:
        if session in self._segsets:
            self._segsets[session].phase = Phase.OPEN
        for segset in self._segsets.values():
            segset.pinned_by.discard(session)
        held = self._holds.pop(session, None)
        if held is not None:
            self.drop(held)

    def expire(self, *, silent_for: float) -> list[SessionId]:
        with self._lock:
            since = self._clock() - silent_for
            found = [
                session
                for session, row in self._sessions.items()
                if row.state == State.ACTIVE and row.beat_at <= since
            ]
            for session in found:
                self._sessions[session].state = State.EXPIRED
            return found

    def state(self, session: SessionId) -> State | None:
        with self._lock:
            row = self._sessions.get(session)
            return None if row is None else row.state

    def refer(self, root: RootId) -> bool:
        with self._lock:
            if self.state(SessionId(root)) != State.COMMITTED:
                return False
            self._sessions[SessionId(root)].refs += 1
            return True

    def drop(self, root: RootId) -> bool:
        with self._lock:
            row = self._sessions.get(SessionId(root))
            if row is None or row.state != State.COMMITTED:
                return False
            row.refs -= 1
            if row.refs:
                return False
            row.state = State.REMOVING
            return True

    def removed(self, root: RootId) -> None:
        with self._lock:
            row = self._sessions.get(SessionId(root))
            if row and row.state == State.REMOVING:
                row.state = State.REMOVED

    def incarnation(self) -> int:
        with self._lock:
            return self._incarnation

    def begin_cycle(self, *, seen: int) -> int:
        with self._lock:
            if self._cycle < seen:
                raise LedgerBehind(behind(self._cycle, seen))
            self._cycle += 1
            return self._cycle

    def sessions(self, domain: DomainId) -> Mapping[SessionId, State]:
        with self._lock:
            return {s: row.state for s, row in self._sessions.items() if row.domain == domain}

    def segsets(self, domain: DomainId) -> list[Segset]:
        with self._lock:
            found = [
                self._segset(session)
                for session in self._segsets
                if self._sessions[session].domain == domain
            ]
            return sorted(found, key=lambda segset: (segset.checked_at, segset.session))

    def segset(self, session: SessionId) -> Segset | None:
        with self._lock:
            return self._segset(session) if session in self._segsets else None

    def _segset(self, session: SessionId) -> Segset:
        row = self._segsets[session]
        return Segset(
            session=session,
            phase=row.phase,
            pins=len(row.pinned_by),
            cycle=row.cycle,
            gens=row.gens,
            bad=row.bad,
            checked_at=row.checked_at,
            depth=row.depth,
            position=row.position,
        )

    def drain(self, session: SessionId, cycle: int) -> bool:
        with self._lock:
            row = self._segsets.get(session)
            if not row or row.phase not in (Phase.OPEN, Phase.DRAINING) or row.cycle >= cycle:
                return False
            row.phase, row.cycle = Phase.DRAINING, cycle
            return True

    def fence(self, domain: DomainId, cycle: int) -> Fence:
        with self._lock:
            drained = tuple(
                segset
                for segset in self.segsets(domain)
                if segset.phase == Phase.DRAINING and segset.cycle == cycle and not segset.pins
            )
            known = {
                RootId(session): row
                for session, row in self._sessions.items()
                if row.domain == domain and row.state in (State.COMMITTED, State.REMOVING)
            }
            return Fence(
                segsets=drained,
                roots={root: row.state for root, row in known.items()},
                quarantined=frozenset(root for root, row in known.items() if row.damage),
            )

    def gate(self, session: SessionId, cycle: int, *, gens: str | None, gone: bool) -> bool:
        with self._lock:
            row = self._segsets.get(session)
            if row is None or row.phase != Phase.DRAINING or row.cycle != cycle:
                return False
            row.phase, row.gens = Phase.GONE if gone else Phase.OPEN, gens
            return True

    def mark_bad(self, session: SessionId, bad: Collection[str]) -> None:
        with self._lock:
            self._segsets[session].bad = tuple(bad)

    def bad(self, domain: DomainId) -> Mapping[SessionId, tuple[str, ...]]:
        return {segset.session: segset.bad for segset in self.segsets(domain) if segset.bad}

    def check(self, session: SessionId, *, depth: int, position: int) -> None:
        with self._lock:
            row = self._segsets[session]
            row.position = position
            if not position:
                row.checked_at, row.depth = self._clock(), depth

    def users(self, session: SessionId) -> list[RootId]:
        with self._lock:
            return [
                RootId(user)
                for user, row in self._sessions.items()
                if row.state == State.COMMITTED and session in row.uses
            ]

    def quarantine(self, root: RootId, damage: Collection[str]) -> None:
        with self._lock:
            self._sessions[SessionId(root)].damage = tuple(damage)

    def damage(self, root: RootId) -> tuple[str, ...]:
        with self._lock:
            return self._sessions[SessionId(root)].damage

    def settle(
        self, domain: DomainId, *, incarnation: int, cycle: int, found: Collection[Found]
    ) -> None:
        with self._lock:
            self._incarnation = max(incarnation, self._incarnation)
            self._cycle = max(cycle, self._cycle)
            for session, row in self._sessions.items():
                if row.domain == domain and session in self._holds:
                    self._sessions[SessionId(self._holds.pop(session))].refs -= 1
            for session, row in self._sessions.items():
                if row.domain == domain:
                    self._end(session, row)
            for item in found:
                self._settle(domain, item)

    def _end(self, session: SessionId, row: _Session) -> None:
        on_its_way = row.state in (State.REMOVING, State.REMOVED)
        row.state = State.REMOVED if on_its_way else State.ABORTED
        if session in self._segsets:
            segset = self._segsets[session]
            segset.pinned_by.clear()
            if segset.phase != Phase.GONE:
                segset.phase, segset.gens = Phase.OPEN, None

    def _settle(self, domain: DomainId, item: Found) -> None:
        row = self._sessions.setdefault(
            item.session, _Session(domain, self._incarnation, self._clock(), State.ABORTED)
        )
        if item.committed:
            row.state, row.refs = State.COMMITTED, max(1, row.refs)
        row.uses = item.uses
        segset = self._segsets.setdefault(item.session, _Segset())
        segset.phase, segset.gens, segset.cycle = Phase.OPEN, item.gens, self._cycle
