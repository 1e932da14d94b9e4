"""Each request of a small backup, deletion, collection … fails in every way that it can.

A *victim* does one thing.  It is hit at one request: it crashes before it, the request is done or
not or late or twice and its answer lost, or the victim hangs until everything else is over.  Then
others go on: somebody takes an unfinished session over or gives it up, deletes and collects.  All
promises must have been kept, wherever it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from tests.engine.simulation import actors, promises
from tests.engine.simulation.network import LATE_TRANSACTIONS, Fate
from tests.engine.simulation.volumes import CHUNK, LEAF, Snapshot
from tests.engine.simulation.world import World, small_and_strict

from emberkeep.engine.collector import SPARSE
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import State
from emberkeep.engine.repository import Repository

SIZE = 2 * LEAF * CHUNK
PLACES = (0, 1, 2, 3, 4, LEAF, LEAF + 1, LEAF + 2)
# Each segment begins with a chunk that is much smaller than the others.
FIRST = Snapshot(SIZE, dict(zip(PLACES, (1, 17, 16, 15, 14, 18, 13, 12), strict=True)), "first")
SECOND = Snapshot(SIZE, {**FIRST.chunks, 1: 21, LEAF: 22, LEAF + 5: 23}, "second")
# It shares just those chunks with the first, so what is left of that is compacted.
THIRD = Snapshot(
    SIZE, {place: 31 + n for n, place in enumerate(PLACES)} | {0: 1, LEAF: 18}, "third"
)

WRITES = (Fate.CRASH, Fate.CRASH_LATE, Fate.UNANSWERED, Fate.FAILED, Fate.LATE, Fate.TWICE)
ASKS = (Fate.CRASH, Fate.FAILED)
TRANSACTIONS = (Fate.CRASH, Fate.UNANSWERED, Fate.FAILED)


@dataclass
class Hit:
    """What befalls the victim's `at`-th request (from 1), and what others do then."""

    at: int
    fate: Fate
    takes_over: bool


class Case:
    """One life: a history, a victim that is hit, others."""

    def __init__(self, scenario: "Scenario", hit: Hit) -> None:
        self.world = World(Random(0), faults=self.fate)
        self.hit = hit
        self.requests: list[tuple[str, str]] = []  # of the victim: service, verb
        self._others_began = False
        world = self.world
        self.process = world.process()
        self.victim = scenario(self)
        world.scheduler.start("victim", self.victim)
        world.scheduler.run()
        if not self._others_began:
            world.scheduler.start("others", self.others)
            world.scheduler.run()
        promises.check(world)

    def fate(self, service: str, verb: str, _name: str) -> Fate:
        current = self.world.scheduler.current
        if current is None or current.name != "victim":
            return Fate.DONE
        self.requests.append((service, verb))
        if len(self.requests) != self.hit.at:
            return Fate.DONE
        if self.hit.fate is Fate.HANGS:
            self._others_began = True
            self.world.scheduler.start("others", self.others)
        return self.hit.fate

    def backed_up(
        self,
        snapshot: Snapshot,
        *,
        base: RootId | None = None,
        predecessor: SessionId | None = None,
        by: Repository | None = None,
    ) -> RootId:
        world = self.world
        session = actors.attempt(
            world,
            by or world.process(),
            world.volumes[0],
            snapshot,
            base=base,
            predecessor=predecessor,
        )
        return RootId(session)

    def deleted(self, root: RootId) -> None:
        actors.erase(self.world, self.process, root)

    def collected(self, *, sparse: float = SPARSE) -> None:
        actors.cycle(self.world, self.process, self.world.domains[0], sparse=sparse)

    def settled(self, process: Repository) -> None:
        with actors.unreachable():
            self.world.settle(process)

    def died(self, snapshot: Snapshot, *, base: RootId | None = None) -> SessionId:
        """A session that crashed when only its root was missing."""
        world = self.world

        def fate(_service: str, verb: str, name: str) -> Fate:
            return Fate.CRASH if verb == "put" and "/r/" in name else Fate.DONE

        world.network.faults, faults = fate, world.network.faults
        world.scheduler.start("died", lambda: self._attempt_and_forget(snapshot, base))
        world.scheduler.run()
        world.network.faults = faults
        return world.attempts[world.volumes[0].name][-1]

    def _attempt_and_forget(self, snapshot: Snapshot, base: RootId | None) -> None:
        self.backed_up(snapshot, base=base)

    def others(self) -> None:
        """Settle what was put back, take the unfinished over or give it up, delete, collect."""
        world = self.world
        if world.before is not None:
            world.network.land()
            world.settle(self.process)
        self.collected()
        world.ledger.expire(silent_for=0)
        for session, state in world.ledger.sessions(world.domains[0]).items():
            if state != State.EXPIRED:
                continue
            if self.hit.takes_over and session in world.snapshots:
                self.backed_up(world.snapshots[session], predecessor=session)
            else:
                world.ledger.abort(session)
        if world.available():
            self.deleted(world.available()[0])
        self.collected()
        bases = world.available()
        self.backed_up(SECOND, base=bases[-1] if bases else None)
        self.collected()


Scenario = Callable[[Case], Callable[[], object]]


def backup(case: Case) -> Callable[[], object]:
    process = case.world.process()
    return lambda: case.backed_up(FIRST, by=process)


def incremental(case: Case) -> Callable[[], object]:
    first, process = case.backed_up(FIRST), case.world.process()
    return lambda: case.backed_up(SECOND, base=first, by=process)


def resume(case: Case) -> Callable[[], object]:
    first = case.backed_up(FIRST)
    dead = case.died(THIRD, base=first)
    process = case.world.process()
    return lambda: case.backed_up(THIRD, predecessor=dead, by=process)


def resume_of_another_snapshot(case: Case) -> Callable[[], object]:
    dead = case.died(FIRST)
    process = case.world.process()
    return lambda: case.backed_up(SECOND, predecessor=dead, by=process)


def delete(case: Case) -> Callable[[], object]:
    first = case.backed_up(FIRST)
    case.backed_up(SECOND, base=first)
    process = case.world.process()
    return lambda: actors.erase(case.world, process, first)


def collect(case: Case) -> Callable[[], object]:
    """With an unfinished session, one that was given up, and a root that is being removed."""
    first = case.backed_up(FIRST)
    case.backed_up(SECOND, base=first)
    third = case.backed_up(THIRD)
    case.died(THIRD)
    case.world.ledger.abort(case.died(FIRST))
    case.deleted(first)
    case.world.ledger.drop(third)
    process = case.world.process()
    return lambda: actors.cycle(case.world, process, case.world.domains[0])


def compact(case: Case) -> Callable[[], object]:
    first = case.backed_up(FIRST)
    case.backed_up(THIRD, base=first)
    case.deleted(first)
    process = case.world.process()
    return lambda: actors.cycle(case.world, process, case.world.domains[0])


def compact_again(case: Case) -> Callable[[], object]:
    """What a generous collection left of a segment."""
    first = case.backed_up(FIRST)
    more = case.backed_up(Snapshot(SIZE, {**THIRD.chunks, 1: 17}, "more"), base=first)
    case.deleted(first)
    case.collected(sparse=0.99)
    case.backed_up(THIRD, base=more)
    case.deleted(more)
    process = case.world.process()
    return lambda: actors.cycle(case.world, process, case.world.domains[0], sparse=0.8)


def restore(case: Case) -> Callable[[], object]:
    case.backed_up(FIRST)
    process = case.world.process()
    return lambda: actors.restore(case.world, process)


def verify(case: Case) -> Callable[[], object]:
    case.backed_up(SECOND, base=case.backed_up(FIRST))
    process = case.world.process()
    return lambda: actors.verify(case.world, process)


def import_again(case: Case) -> Callable[[], object]:
    case.backed_up(FIRST)
    return lambda: actors.import_again(case.world, case.process)


def settle(case: Case) -> Callable[[], object]:
    """Two collections and a backup were forgotten."""
    world = case.world
    first = case.backed_up(FIRST)
    third = case.backed_up(THIRD, base=first)
    dead = case.died(SECOND, base=third)
    case.deleted(first)
    saved = world.save_database()
    case.collected()
    case.backed_up(SECOND, predecessor=dead)
    case.collected()
    world.put_database_back(saved)
    process = world.process()
    return lambda: case.settled(process)


QUICK: tuple[Scenario, ...] = (backup, incremental, delete, restore, import_again)
LONG: tuple[Scenario, ...] = (
    resume,
    resume_of_another_snapshot,
    collect,
    compact,
    compact_again,
    verify,
    settle,
)
# With sessions that others may take over or give up.
UNFINISHED: tuple[Scenario, ...] = (
    backup,
    incremental,
    resume,
    resume_of_another_snapshot,
    collect,
)


def hits(scenario: Scenario, requests: list[tuple[str, str]]) -> list[Hit]:
    """All that may befall somebody who asks so."""
    found = []
    for at, (service, verb) in enumerate(requests, 1):
        fates = TRANSACTIONS + ((Fate.LATE,) if verb in LATE_TRANSACTIONS else ())
        if service == "store":
            fates = WRITES if verb in ("put", "delete") else ASKS
        if scenario is not settle:  # nothing else runs beside it
            fates += (Fate.HANGS,)
        ways = (True, False) if scenario in UNFINISHED else (True,)
        found += [Hit(at, fate, over) for fate in fates for over in ways]
    return found


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.__name__)
def test_wherever_it_is_hit_every_promise_is_kept(scenario: Scenario) -> None:
    hit_everywhere(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", LONG, ids=lambda scenario: scenario.__name__)
def test_wherever_it_is_hit_in_the_long_ones_likewise(scenario: Scenario) -> None:
    hit_everywhere(scenario)


def hit_everywhere(scenario: Scenario) -> None:
    with small_and_strict():
        unhurt = Case(scenario, Hit(0, Fate.DONE, takes_over=True))
    assert unhurt.requests
    for hit in hits(scenario, unhurt.requests):
        with small_and_strict():
            try:
                case = Case(scenario, hit)
            except BaseException as error:
                error.add_note(f"{hit}: {unhurt.requests[hit.at - 1]}")
                raise
        assert len(case.requests) >= hit.at
