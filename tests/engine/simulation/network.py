"""What may go wrong between a process and a service that it asks."""

import contextlib
from collections.abc import Callable
from enum import Enum, auto
from random import Random
from typing import Protocol, TypeVar

from tests.engine.simulation.scheduler import Scheduler

from emberkeep.stores.errors import StoreError

T = TypeVar("T")


class Fate(Enum):
    """Of one request."""

    DONE = auto()
    UNANSWERED = auto()  # done, but the caller is told that it failed
    FAILED = auto()
    LATE = auto()  # the caller is told that it failed; it is done some time later
    TWICE = auto()  # done, and once again some time later
    CRASH = auto()  # the caller ends before it is done
    CRASH_LATE = auto()  # the caller ends, and it is done some time later
    SLOW = auto()  # done after others did a lot
    HANGS = auto()  # until nobody else has anything to do; then it is done


class Faults(Protocol):
    """Decides the fate of each request.  `verb` says whether something is changed by it."""

    def __call__(self, service: str, verb: str, name: str) -> Fate: ...


def faultless(_service: str, _verb: str, _name: str) -> Fate:
    return Fate.DONE


# Transactions that may arrive after their senders gave them up.  References are counted together
# with the backup's row, which is none of the engine's business.
LATE_TRANSACTIONS = (
    *("begin", "begin_reading", "commit", "abort", "expire", "removed"),
    *("drain", "gate", "mark_bad", "quarantine", "check"),
)
_CRITICAL = ("begin", "commit", "abort", "drop", "drain", "fence", "gate", "settle")


class RandomFaults:
    """Each kind of fault at its rate; the rates are drawn, so that some lives have none.

    Around the transactions on which most depends all are more frequent.
    """

    def __init__(self, random: Random) -> None:
        self.quiet = False  # nothing goes wrong but by
        self.until_crash: int | None = None  # requests
        self._random = random
        self._crash = random.choice((0, 0.002, 0.01))
        self._hang = random.choice((0, 0.004, 0.02))
        self._failure = {name: random.choice((0, 0.002, 0.02)) for name in ("store", "ledger")}
        self._critical = 0  # requests from now on

    def __call__(self, service: str, verb: str, name: str) -> Fate:
        if self.until_crash is not None:
            self.until_crash -= 1
            if self.until_crash < 0:
                self.until_crash = None
                return Fate.CRASH
        if self.quiet:
            return Fate.DONE
        self._critical = 4 if verb in _CRITICAL else self._critical - 1
        draw = self._random.random() / (4 if self._critical > 0 else 1)
        if draw < self._crash:
            late = verb in ("put", "delete") and draw < self._crash / 2
            return Fate.CRASH_LATE if late else Fate.CRASH
        draw -= self._crash
        if draw < self._hang:
            return Fate.HANGS if draw < self._hang / 4 else Fate.SLOW
        draw -= self._hang
        if draw < self._failure[service]:
            return self._random.choice(_failures(service, verb))
        return Fate.DONE


def _failures(service: str, verb: str) -> list[Fate]:
    """What an error may mean, or hide."""
    if service == "ledger":
        late = [Fate.LATE] if verb in LATE_TRANSACTIONS else []
        return [Fate.UNANSWERED, Fate.UNANSWERED, Fate.FAILED, *late]
    if verb in ("put", "delete"):
        return [Fate.FAILED, Fate.UNANSWERED, Fate.LATE, Fate.TWICE, Fate.TWICE]
    return [Fate.FAILED]


class Network:
    """Brings requests to their services, in the actors' turns."""

    def __init__(self, scheduler: Scheduler, random: Random, faults: Faults) -> None:
        self.faults = faults
        self.log: list[tuple[int, str, str, str, str, str]] = []
        self.under_way: list[tuple[int, Callable[[], object]]] = []  # until which turn
        self._scheduler = scheduler
        self._random = random
        scheduler.before_turn = self._land_due

    def ask(
        self, service: str, verb: str, name: str, effect: Callable[[], T], failure: type[Exception]
    ) -> T:
        """What `effect` gives, or `failure`, or the caller's end."""
        scheduler = self._scheduler
        scheduler.take_turn()
        if scheduler.current is None:
            return effect()
        fate = self.faults(service, verb, name)
        self.log.append(
            (scheduler.turns, scheduler.current.name, service, verb, name, fate.name.lower())
        )
        match fate:
            case Fate.CRASH:
                scheduler.crash()
            case Fate.CRASH_LATE:
                self._later(effect)
                scheduler.crash()
            case Fate.HANGS:
                scheduler.stall()
            case Fate.SLOW:
                scheduler.stall(self._random.choice((10, 60, 300)))
            case Fate.LATE:
                self._later(effect)
                raise failure("no answer in time")
            case Fate.FAILED:
                raise failure("no connection")
            case Fate.UNANSWERED:
                effect()
                raise failure("the answer was lost")
            case Fate.TWICE:
                self._later(effect)
        return effect()

    def land(self) -> None:
        """Let everything arrive that is under way."""
        landing, self.under_way = self.under_way, []
        for _turn, effect in landing:
            _arrive(effect)

    def note(self, what: str) -> None:
        """Say something in the log."""
        actor = self._scheduler.current
        self.log.append((self._scheduler.turns, actor.name if actor else "-", "", what, "", ""))

    def _later(self, effect: Callable[[], object]) -> None:
        self.under_way.append(
            (self._scheduler.turns + self._random.choice((3, 30, 150, 1000)), effect)
        )

    def _land_due(self) -> None:
        if not self.under_way:
            return
        due = [effect for turn, effect in self.under_way if turn <= self._scheduler.turns]
        if due:
            self.under_way = [one for one in self.under_way if one[0] > self._scheduler.turns]
            for effect in due:
                _arrive(effect)


def _arrive(effect: Callable[[], object]) -> None:
    with contextlib.suppress(StoreError):  # nobody waits for the answer
        effect()
