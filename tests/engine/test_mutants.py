"""The simulation finds bugs: with each condition of the protocol switched off, some life fails."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from tests.engine.simulation.lives import live

from emberkeep.engine import (
    layout,
    marks,
    settling,
    stored,
    uploads,
    writer,
)
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.collector import _Cycle
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.ledger import Begun, Fence, Phase, Segset, State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository
from emberkeep.engine.stored import SegmentReader

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]

LIVES = 1500  # in which a mutant must be found

_begin = MemoryLedger.begin


def no_drain(patch: Patch) -> None:
    """A segset stays open while it is collected."""

    def drain(self: MemoryLedger, session: SessionId, cycle: int) -> bool:
        self._segsets[session].cycle = cycle
        return True

    def fence(self: MemoryLedger, domain: DomainId, cycle: int) -> Fence:
        found = real_fence(self, domain, -1)
        segsets = (segset for segset in self.segsets(domain) if segset.phase == Phase.OPEN)
        return dataclasses.replace(
            found, segsets=tuple(s for s in segsets if s.cycle == cycle and not s.pins)
        )

    def gate(self: MemoryLedger, session: SessionId, cycle: int, **what: Any) -> bool:
        self._segsets[session].phase = Phase.DRAINING
        return real_gate(self, session, cycle, **what)

    real_fence, real_gate = MemoryLedger.fence, MemoryLedger.gate
    patch.setattr(MemoryLedger, "drain", drain)
    patch.setattr(MemoryLedger, "fence", fence)
    patch.setattr(MemoryLedger, "gate", gate)


def mark_before_fence(patch: Patch) -> None:
    """The roots are those from before the segsets were drained."""

    def begin_cycle(self: MemoryLedger, *, seen: int) -> int:
        number = real_begin(self, seen=seen)
        seen_roots[id(self), number] = {
            RootId(session): row.state
            for session, row in self._sessions.items()
            if row.state == State.COMMITTED
        }
        return number

    def fence(self: MemoryLedger, domain: DomainId, cycle: int) -> Fence:
        found = real_fence(self, domain, cycle)
        if not cycle:
            return found
        then = seen_roots[id(self), cycle]
        return dataclasses.replace(
            found, roots={root: state for root, state in found.roots.items() if root in then}
        )

    seen_roots: dict[tuple[int, int], dict[RootId, State]] = {}
    real_begin, real_fence = MemoryLedger.begin_cycle, MemoryLedger.fence
    patch.setattr(MemoryLedger, "begin_cycle", begin_cycle)
    patch.setattr(MemoryLedger, "fence", fence)


def no_hold(patch: Patch) -> None:
    """The base is used, but not held."""

    def begin(self: MemoryLedger, session: SessionId, **how: Any) -> Begun:
        begun = _begin(self, session, **how)
        held = self._holds.pop(session, None)
        if held is not None:
            self.drop(held)
        return begun

    def commit(self: MemoryLedger, session: SessionId, *, base: Any, **what: Any) -> bool:
        return real_commit(self, session, base=None, **what)

    real_commit = MemoryLedger.commit
    patch.setattr(MemoryLedger, "begin", begin)
    patch.setattr(MemoryLedger, "commit", commit)


def a_base_that_is_being_removed(patch: Patch) -> None:
    """A reference is added whatever the root's state."""

    def refer(self: MemoryLedger, root: RootId) -> bool:
        self._sessions[SessionId(root)].refs += 1
        return True

    patch.setattr(MemoryLedger, "refer", refer)


def removed_with_the_first_of_its_rows(patch: Patch) -> None:
    def drop(self: MemoryLedger, root: RootId) -> bool:
        self._sessions[SessionId(root)].refs = 1
        return real(self, root)

    real = MemoryLedger.drop
    patch.setattr(MemoryLedger, "drop", drop)


def expiring_releases(patch: Patch) -> None:
    """An expired session loses its pins and its hold, though a successor may come."""

    def expire(self: MemoryLedger, *, silent_for: float) -> list[SessionId]:
        found = real(self, silent_for=silent_for)
        for session in found:
            base = self._holds.get(session)
            self._release(session)
            if base is not None:
                self._sessions[session].base = base
        return found

    real = MemoryLedger.expire
    patch.setattr(MemoryLedger, "expire", expire)


def taken_over_without_the_hold(patch: Patch) -> None:
    """Resume after the parent was deleted."""

    def take_over(self: MemoryLedger, session: SessionId, predecessor: SessionId) -> RootId | None:
        base = real(self, session, predecessor)
        held = self._holds.pop(session, None)
        if held is not None:
            self.drop(held)
        return base

    def commit(self: MemoryLedger, session: SessionId, *, base: Any, **what: Any) -> bool:
        return real_commit(self, session, base=self._holds.get(session), **what)

    real, real_commit = MemoryLedger._take_over, MemoryLedger.commit
    patch.setattr(MemoryLedger, "_take_over", take_over)
    patch.setattr(MemoryLedger, "commit", commit)


def taken_over_without_the_pins(patch: Patch) -> None:
    def take_over(self: MemoryLedger, session: SessionId, predecessor: SessionId) -> RootId | None:
        base = real(self, session, predecessor)
        for segset in self._segsets.values():
            segset.pinned_by.discard(session)
        return base

    def commit(self: MemoryLedger, session: SessionId, *, pins: Any, **what: Any) -> bool:
        return real_commit(self, session, pins=(), **what)

    real, real_commit = MemoryLedger._take_over, MemoryLedger.commit
    patch.setattr(MemoryLedger, "_take_over", take_over)
    patch.setattr(MemoryLedger, "commit", commit)


def resumed_from_a_void_checkpoint(patch: Patch) -> None:
    """A session that was given up is gone on with as if nothing had been released."""

    def begin(self: MemoryLedger, session: SessionId, **how: Any) -> Begun:
        begun, predecessor = _begin(self, session, **how), how["predecessor"]
        if begun.predecessors or self.state(predecessor) != State.ABORTED:
            return begun
        return dataclasses.replace(begun, predecessors=(predecessor,), pinned=None)

    patch.setattr(MemoryLedger, "begin", begin)


def pinned_while_it_drains(patch: Patch) -> None:
    def begin(
        self: MemoryLedger, session: SessionId, *, predecessor: Any = None, **how: Any
    ) -> Begun:
        begun = _begin(self, session, predecessor=predecessor, **how)
        segset = self._segsets.get(predecessor)
        if begun.pinned or begun.predecessors or segset is None or segset.phase == Phase.GONE:
            return begun
        segset.pinned_by.add(session)
        return dataclasses.replace(begun, pinned=predecessor)

    patch.setattr(MemoryLedger, "begin", begin)


def fence_with_what_is_pinned(patch: Patch) -> None:
    def fence(self: MemoryLedger, domain: DomainId, cycle: int) -> Fence:
        drained = tuple(
            segset
            for segset in self.segsets(domain)
            if segset.phase == Phase.DRAINING and segset.cycle == cycle
        )
        return dataclasses.replace(real(self, domain, cycle), segsets=drained)

    real = MemoryLedger.fence
    patch.setattr(MemoryLedger, "fence", fence)


def committed_after_the_end(patch: Patch) -> None:
    """A session that others ended commits all the same: a late root is accepted."""

    def commit(self: MemoryLedger, session: SessionId, **_what: Any) -> bool:
        self._sessions[session].state = State.ACTIVE
        return real(self, session, base=self._holds.get(session), pins=(), uses=_what["uses"])

    real = MemoryLedger.commit
    patch.setattr(MemoryLedger, "commit", commit)


def late_roots_stay(patch: Patch) -> None:
    """Roots of sessions that were given up are not removed."""

    def tidy(self: _Cycle) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self, "_store", _Undeletable(self._store))
            real(self)

    class _Undeletable:
        def __init__(self, store: Any) -> None:
            self.list, self._store = store.list, store

        def delete(self, name: str) -> None:
            pass

    real = _Cycle._tidy_roots
    patch.setattr(_Cycle, "_tidy_roots", tidy)


def older_cycles_drain(patch: Patch) -> None:
    """A cycle takes a segset from a later one."""

    def drain(self: MemoryLedger, session: SessionId, cycle: int) -> bool:
        row = self._segsets[session]
        if row.phase not in (Phase.OPEN, Phase.DRAINING):
            return False
        row.phase, row.cycle = Phase.DRAINING, cycle
        return True

    patch.setattr(MemoryLedger, "drain", drain)


def gate_for_everybody(patch: Patch) -> None:
    """A cycle that was overtaken passes its gate."""

    def gate(
        self: MemoryLedger, session: SessionId, cycle: int, *, gens: str | None, gone: bool
    ) -> bool:
        row = self._segsets[session]
        row.phase, row.gens = Phase.GONE if gone else Phase.OPEN, gens
        return True

    patch.setattr(MemoryLedger, "gate", gate)


def removed_before_the_gate(patch: Patch) -> None:
    def gate(self: MemoryLedger, session: SessionId, cycle: int, **what: Any) -> bool:
        real(self, session, cycle, **what)
        return True

    real = MemoryLedger.gate
    patch.setattr(MemoryLedger, "gate", gate)


def reopened_without_gens(patch: Patch) -> None:
    def reopen(self: _Cycle, segset: Segset) -> None:
        self._ledger.gate(segset.session, self._number, gens=None, gone=False)

    patch.setattr(_Cycle, "_reopen", reopen)


def unreadable_is_empty(patch: Patch) -> None:
    patch.setattr(_Cycle, "_forgive", lambda *_args, **_kwargs: None)


def inherited_is_forgotten(patch: Patch) -> None:
    """What a map shares with its base is not marked."""

    def add(self: marks.Marks, segment: SegmentId, *args: Any, **kwargs: Any) -> None:
        if segment.session == walked[-1]:
            real_add(self, segment, *args, **kwargs)

    def walk(nodes: Nodes, part: Any, *args: Any, **kwargs: Any) -> None:
        walked.append(SessionId(part.root))
        real_walk(nodes, part, *args, **kwargs)

    walked: list[SessionId] = []
    real_add, real_walk = marks.Marks.add, marks.walk
    patch.setattr(marks.Marks, "add", add)
    patch.setattr(marks, "walk", walk)


def names_used_again(patch: Patch) -> None:
    """Generations are told apart by nothing."""
    patch.setattr(layout, "new_generation", lambda _cycle, _draw: "1-00000000")


def sessions_by_number(patch: Patch) -> None:
    """A session is named after how many there are, which a database that is put back repeats."""

    def new_session(self: Repository) -> SessionId:
        return SessionId(f"{len(self.ledger.now._sessions) + 1:032x}")  # type: ignore[attr-defined]

    patch.setattr(Repository, "new_session", new_session)


def nonces_used_again(patch: Patch) -> None:
    """Segments of nodes are counted by themselves."""

    def add_node(self: uploads.Uploads, *node: Any) -> Pointer:
        if self._nodes is None:
            self._seq -= 1
        return real(self, *node)

    real = uploads.Uploads.add_node
    patch.setattr(uploads.Uploads, "add_node", add_node)


def checkpoint_before_its_segments(patch: Patch) -> None:
    def save(self: writer._Packer, leaf: int) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self._uploads, "flush", lambda: None)
            real(self, leaf)

    real = writer._Packer._save_now_and_then
    patch.setattr(writer._Packer, "_save_now_and_then", save)


def a_404_is_believed(patch: Patch) -> None:
    """A reader does not look for another generation."""

    def search(self: SegmentReader, segment: SegmentId, tries: list[str], read: Any) -> Any:
        try:
            return read(tries[0])
        except stored.ObjectNotFound as error:
            raise stored.Missing(self.name(segment)) from error

    patch.setattr(SegmentReader, "_search", search)


def rows_of_unknown_roots(patch: Patch) -> None:
    """A root that the ledger does not know is taken for a stray."""

    def tidy(self: _Cycle) -> None:
        states = self._ledger.sessions(self._domain)
        for item in self._store.list(f"d/{self._domain}/r/"):
            if states.get(layout.parse_root_name(item.name)) in (None, State.ABORTED):
                self._store.delete(item.name)

    patch.setattr(_Cycle, "_tidy_roots", tidy)


def settled_by_listings(patch: Patch) -> None:
    """A settling does not wait, nor ask for what a listing does not show."""

    def settle(self: Repository, **how: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self, "_sleep", lambda _seconds: None)
            return real(self, **how)

    def root(self: settling._Survey, name: RootId) -> Any:
        return real_root(self, name) if SessionId(name) in self.sessions else None

    real, real_root = Repository.settle, settling._Survey.root
    patch.setattr(Repository, "settle", settle)
    patch.setattr(settling._Survey, "root", root)


def settled_to_deleted_roots(patch: Patch) -> None:
    """Whatever root lies there is taken up, also one that was given up or removed."""

    def sessions(self: MemoryLedger, domain: DomainId) -> dict[SessionId, State]:
        found = real(self, domain)
        return found if not settles else dict.fromkeys(found, State.EXPIRED)

    def settle(self: Repository, **how: Any) -> Any:
        settles.append(True)
        try:
            return real_settle(self, **how)
        finally:
            settles.pop()

    settles: list[bool] = []
    real, real_settle = MemoryLedger.sessions, Repository.settle
    patch.setattr(MemoryLedger, "sessions", sessions)
    patch.setattr(Repository, "settle", settle)


MUTANTS: tuple[Mutant, ...] = (
    no_drain,
    mark_before_fence,
    no_hold,
    a_base_that_is_being_removed,
    removed_with_the_first_of_its_rows,
    expiring_releases,
    taken_over_without_the_hold,
    taken_over_without_the_pins,
    resumed_from_a_void_checkpoint,
    pinned_while_it_drains,
    fence_with_what_is_pinned,
    committed_after_the_end,
    late_roots_stay,
    older_cycles_drain,
    gate_for_everybody,
    removed_before_the_gate,
    reopened_without_gens,
    unreadable_is_empty,
    inherited_is_forgotten,
    names_used_again,
    sessions_by_number,
    nonces_used_again,
    checkpoint_before_its_segments,
    a_404_is_believed,
    rows_of_unknown_roots,
    settled_by_listings,
    settled_to_deleted_roots,
)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_found(mutant: Mutant, monkeypatch: Patch) -> None:
    mutant(monkeypatch)
    assert first_failure() is not None


def first_failure() -> int | None:
    """The first life that fails."""
    for seed in range(LIVES):
        try:
            live(seed)
        except (TypeError, AttributeError, NameError):
            raise  # a mutant that no longer fits what it changes has found nothing
        except Exception:
            return seed
    return None
