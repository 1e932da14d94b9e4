"""The ledger: what must not be guessed from a store's listings, and why nothing needed is removed.

A *session* is one attempt to write a backup, or to read one; the id of a session that was committed
is its root's.  A *segset* is all the segments that one session wrote.  Who may need a foreign
segset *pins* it, who needs a foreign root *holds* it.  A collector *drains* segsets (no new pin),
looks at every root (the *fence*), and at the *gate* says what is left of each (its *gens*).

Invariants
* each method is one transaction, and changes nothing if its condition does not hold;
* a session that was committed never is again once it left that state; aborted and removed sessions
  and segsets that are gone stay known as such for ever;
* between drain and gate of a cycle a segset gets no new pin, and `cycle` only rises: an overtaken
  collector fails at its gate.

`docs/collection.md` has the argument; `emberkeep.testing.ledger` is the suite that each must pass.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from emberkeep.engine.ids import DomainId, RootId, SessionId


class State(StrEnum):
    """Of a session."""

    ACTIVE = "active"
    EXPIRED = "expired"  # may not pin or commit; keeps what it has for its successor
    COMMITTED = "committed"
    ABORTED = "aborted"
    REMOVING = "removing"  # nobody refers to the root; it is being removed
    REMOVED = "removed"


class Phase(StrEnum):
    """Of a segset."""

    BUILDING = "building"
    OPEN = "open"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Segset:
    """All the segments of one session.

    `gens`: the object (named in `layout.gens_name`) that says which generation of each segment
    counts, None while all are as first written.  `bad`: the names of the objects that list its
    damaged records.  `checked_at`: when all of it was verified last (seconds since 1970; 0: never),
    at `depth`.  `position`: the number of the segment that a verification got to and did not pass.
    """

    session: SessionId
    phase: Phase
    pins: int
    cycle: int
    gens: str | None
    bad: tuple[str, ...]
    checked_at: float
    depth: int
    position: int


@dataclass(frozen=True, slots=True)
class Begun:
    """What a new session got.

    `base`: the root that it holds.  `predecessors`: sessions whose pins and hold it took over
    without a gap, newest first: their checkpoints and segments may be used.  `pinned`: a
    predecessor that had been given up, of which only the segments may be looked at.
    """

    base: RootId | None
    predecessors: tuple[SessionId, ...] = ()
    pinned: SessionId | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """One moment of the ledger: the drained segsets without a pin, and all roots."""

    segsets: tuple[Segset, ...]
    roots: Mapping[RootId, State]  # committed and removing
    quarantined: frozenset[RootId]


@dataclass(frozen=True, slots=True)
class Found:
    """What a rebuilding found of a session in the store."""

    session: SessionId
    committed: bool
    gens: str | None
    uses: tuple[SessionId, ...] = ()


class Ledger(Protocol):
    """One repository's ledger.  May be used from many threads and processes at once."""

    # Writers and readers.

    def begin(
        self,
        session: SessionId,
        *,
        domain: DomainId,
        base: RootId | None = None,
        predecessor: SessionId | None = None,
    ) -> Begun:
        """Begin to write.

        The base is held if it is committed.  An active or expired predecessor is aborted, and its
        pins and its hold (instead of `base`) pass to the new session, which pins its segset, too.
        Of one that ended already the segset is pinned if it is open; one may be unknown.
        """

    def begin_reading(self, session: SessionId, *, domain: DomainId, root: RootId) -> bool:
        """Begin to read a root, which is held; False if it is not committed.  Ends by `abort`."""

    def beat(self, session: SessionId) -> bool:
        """A sign of life; False if the session is not active."""

    def pin(self, session: SessionId, segset: SessionId) -> Segset | None:
        """Pin a segset; None if it is not open or the session is not active."""

    def commit(
        self,
        session: SessionId,
        *,
        base: RootId | None,
        pins: Collection[SessionId],
        uses: Collection[SessionId],
    ) -> bool:
        """Commit with one reference, open the segset and release pins and hold.

        `base` and `pins` are what the session has relied on, `uses` the sessions whose segments its
        map points into.  False, and nothing changed, if it is not active, is of an older
        incarnation or lost any of them.
        """

    def abort(self, session: SessionId) -> bool:
        """Give up an active or expired session: its segset opens, pins and hold are released."""

    def expire(self, *, silent_for: float) -> list[SessionId]:
        """Expire the active sessions without a sign of life for so many seconds."""

    def state(self, session: SessionId) -> State | None:
        """The state of a session; None if it is unknown."""

    # References to roots: one for each row of a backup, one for each hold.

    def refer(self, root: RootId) -> bool:
        """Add a reference; False if the root is not committed."""

    def drop(self, root: RootId) -> bool:
        """Take a reference away; True if it was the last: then remove the root, say `removed`."""

    def removed(self, root: RootId) -> None:
        """The root's removal was answered."""

    # Collectors.

    def incarnation(self) -> int:
        """How often the ledger was rebuilt, from 1 on."""

    def begin_cycle(self, *, seen: int) -> int:
        """The number of a new cycle.  Raises `LedgerBehind` if the store has seen a later one."""

    def sessions(self, domain: DomainId) -> Mapping[SessionId, State]:
        """The state of each session of the domain."""

    def segsets(self, domain: DomainId) -> list[Segset]:
        """The domain's segsets, those that were checked longest ago first."""

    def segset(self, session: SessionId) -> Segset | None:
        """One of them."""

    def drain(self, session: SessionId, cycle: int) -> bool:
        """Close an open segset, or take it from an earlier cycle; False if a later one has it."""

    def fence(self, domain: DomainId, cycle: int) -> Fence:
        """The segsets that this cycle drained and nobody pins, and the roots, at one moment."""

    def gate(self, session: SessionId, cycle: int, *, gens: str | None, gone: bool) -> bool:
        """Say what is left of a drained segset, and open it again unless it is gone.

        False, and nothing changed, if a later cycle has it.
        """

    # Verification.

    def mark_bad(self, session: SessionId, bad: Collection[str]) -> None:
        """The objects that list the segset's damaged records from now on."""

    def bad(self, domain: DomainId) -> Mapping[SessionId, tuple[str, ...]]:
        """The segsets with damaged records, and the objects that list them."""

    def check(self, session: SessionId, *, depth: int, position: int) -> None:
        """The segset was verified before this segment's number; 0: all of it, at this depth."""

    def users(self, session: SessionId) -> list[RootId]:
        """The committed roots whose maps point into the session's segments."""

    def quarantine(self, root: RootId, damage: Collection[str]) -> None:
        """The root's map reaches damaged records, which `damage` names; none: it is whole."""

    def damage(self, root: RootId) -> tuple[str, ...]:
        """What `quarantine` said last."""

    # After a disaster.

    def settle(
        self, domain: DomainId, *, incarnation: int, cycle: int, found: Collection[Found]
    ) -> None:
        """Take the store's word for everything, while no other process runs.

        Sessions become what `found` says, and aborted or removed if it does not name them; no pin
        and no hold remains; the numbers of incarnation and cycle become at least these, the latter
        also for the segsets that `found` names.
        """


def behind(known: int, seen: int) -> str:
    """What to say of a ledger that is behind its store."""
    return (
        f"the database knows {known} collections, the store {seen}: the database was put back to "
        "an older state. Nothing is collected until it learned what the store holds: stop every "
        "process, then run emberkeep repo rebuild"
    )
