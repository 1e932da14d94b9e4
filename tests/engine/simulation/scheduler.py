"""Actors that take turns: threads of which exactly one runs at a time, as a seed has it.

An actor stands for a process.  Wherever it speaks to a store or a ledger it takes a `turn`, and
whoever is drawn goes on; so the seed alone says what happens, and a run can be repeated.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NoReturn

_TICK = 0.01  # seconds that pass with every turn
_FOR_LONG = 1 << 40  # turns


class Crash(BaseException):
    """The actor's process ends here: it does nothing more, not even clean up."""


@dataclass(eq=False)
class Actor:
    """One process.  `wakes_at`: in seconds; `stalled_until`: in turns."""

    name: str
    work: Callable[[], None]
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    wakes_at: float = 0
    stalled_until: int = 0
    doomed: bool = False


class Scheduler:
    """Decides who goes on.  Outside of `run` all is done at once, by the caller."""

    def __init__(self, random: Random, *, burst: int = 1) -> None:
        """`burst`: turns that one takes in a row, on average."""
        self.now = 1e6  # seconds
        self.turns = 0
        self.current: Actor | None = None
        self.before_turn: Callable[[], None] = lambda: None
        self.actors: list[Actor] = []
        self.error: BaseException | None = None
        self._random = random
        self._burst = burst
        self._left = 0  # of the burst
        self._killer: Actor | None = None
        self._done = threading.Semaphore(0)

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Add an actor."""
        actor = Actor(name, work)
        self.actors.append(actor)
        threading.Thread(target=self._live, args=(actor,), name=name, daemon=True).start()

    def run(self) -> None:
        """Let all actors come to their ends.  Raises what the first that failed raised."""
        if self.actors:
            self._hand_over(self._choose())
            self._done.acquire()
        if self.error is not None:
            raise self.error

    def take_turn(self) -> None:
        """Let somebody go on; returns when it is the caller's turn.  Raises `Crash`."""
        actor = self.current
        if actor is None:
            return
        if actor.doomed:
            raise Crash
        self.turns += 1
        self.now += _TICK
        self._let_others(actor)

    def sleep(self, seconds: float) -> None:
        """Let others go on for so long."""
        actor = self.current
        if actor is None:
            self.now += seconds
            return
        actor.wakes_at = self.now + seconds
        self._left = 0
        self._let_others(actor)

    def stall(self, turns: int = _FOR_LONG) -> None:
        """Let others go on for so many turns, or until nobody can."""
        actor = self.current
        assert actor is not None
        actor.stalled_until = self.turns + turns
        self._left = 0
        self._let_others(actor)

    def kill_others(self) -> None:
        """End all processes but the caller's, at once."""
        caller = self._killer = self.current
        assert caller is not None
        for actor in [actor for actor in self.actors if actor is not caller]:
            actor.doomed = True
            self._hand_over(actor)
            caller.turn.acquire()
        self._killer = None

    def crash(self) -> NoReturn:
        """End the process that runs."""
        assert self.current is not None
        self.current.doomed = True
        raise Crash

    def _let_others(self, actor: Actor) -> None:
        self.before_turn()
        if self._left > 0:
            self._left -= 1
            return
        chosen = self._choose()
        self._left = int(self._random.expovariate(1 / self._burst)) if self._burst > 1 else 0
        if chosen is not actor:
            self._hand_over(chosen)
            actor.turn.acquire()
        if actor.doomed:
            raise Crash

    def _choose(self) -> Actor:
        ready = [a for a in self.actors if a.wakes_at <= self.now and a.stalled_until <= self.turns]
        if ready:
            return self._random.choice(ready)
        asleep = [actor for actor in self.actors if actor.stalled_until <= self.turns]
        if asleep:
            first = min(asleep, key=lambda actor: actor.wakes_at)
            self.now = max(self.now, first.wakes_at)
            return first
        first = min(self.actors, key=lambda actor: actor.stalled_until)
        first.stalled_until = 0
        return first

    def _hand_over(self, actor: Actor) -> None:
        self.current = actor
        actor.turn.release()

    def _live(self, actor: Actor) -> None:
        actor.turn.acquire()
        try:
            if not actor.doomed:
                actor.work()
        except Crash:
            pass
        except BaseException as error:
            if not actor.doomed:
                self.error = self.error or error
        self.actors.remove(actor)
        if self.error is not None:
            for other in self.actors:
                other.doomed = True
        self._left = 0
        if self._killer is not None:
            self._hand_over(self._killer)
        elif self.actors:
            self._hand_over(self._choose())
        else:
            self.current = None
            self._done.release()
