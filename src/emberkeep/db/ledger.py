"""The engine's ledger in the service's database."""

import contextlib
from collections.abc import Collection, Mapping

from sqlalchemy.exc import IntegrityError

from emberkeep.db import repositories, segsets, sessions, settling
from emberkeep.db.database import Database
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.ledger import Begun, Fence, Found, Segset, State


class SqlLedger:
    """One repository's `Ledger`: each method is one transaction.

    The statements of `emberkeep.db.sessions` do the same inside a transaction of their caller's,
    for sessions that belong to a job.  `expire` leaves those alone.
    """

    def __init__(self, database: Database, repository: str) -> None:
        self._database = database
        self._repository = repository
        self._has_row = False

    # Writers and readers.

    def begin(
        self,
        session: SessionId,
        *,
        domain: DomainId,
        base: RootId | None = None,
        predecessor: SessionId | None = None,
    ) -> Begun:
        with self._database.writing() as tx:
            return sessions.begin(
                tx,
                session,
                repository=self._repository,
                domain=domain,
                base=base,
                predecessor=predecessor,
            )

    def begin_reading(self, session: SessionId, *, domain: DomainId, root: RootId) -> bool:
        with self._database.writing() as tx:
            return sessions.begin_reading(
                tx, session, repository=self._repository, domain=domain, root=root
            )

    def beat(self, session: SessionId) -> bool:
        with self._database.writing() as tx:
            return sessions.beat(tx, session)

    def pin(self, session: SessionId, segset: SessionId) -> Segset | None:
        with self._database.writing() as tx:
            return segsets.get(tx, segset) if sessions.pin(tx, session, segset) else None

    def commit(
        self,
        session: SessionId,
        *,
        base: RootId | None,
        pins: Collection[SessionId],
        uses: Collection[SessionId],
    ) -> bool:
        with self._database.writing() as tx:
            return sessions.commit(tx, session, base=base, pins=pins, uses=uses)

    def abort(self, session: SessionId) -> bool:
        with self._database.writing() as tx:
            return sessions.abort(tx, session)

    def expire(self, *, silent_for: float) -> list[SessionId]:
        with self._database.writing() as tx:
            return sessions.expire(tx, self._repository, silent_for=silent_for)

    def state(self, session: SessionId) -> State | None:
        with self._database.reading() as tx:
            return sessions.state(tx, session)

    # References to roots.

    def refer(self, root: RootId) -> bool:
        with self._database.writing() as tx:
            return sessions.refer(tx, root)

    def drop(self, root: RootId) -> bool:
        with self._database.writing() as tx:
            return sessions.drop(tx, root)

    def removed(self, root: RootId) -> None:
        with self._database.writing() as tx:
            sessions.removed(tx, root)

    # Collectors.

    def incarnation(self) -> int:
        with self._database.reading() as tx:
            return repositories.incarnation(tx, self._repository)

    def begin_cycle(self, *, seen: int) -> int:
        self._make_row()
        with self._database.writing() as tx:
            return repositories.begin_cycle(tx, self._repository, seen=seen)

    def sessions(self, domain: DomainId) -> Mapping[SessionId, State]:
        with self._database.reading() as tx:
            return sessions.states(tx, domain)

    def segsets(self, domain: DomainId) -> list[Segset]:
        with self._database.reading() as tx:
            return segsets.of_domain(tx, domain)

    def segset(self, session: SessionId) -> Segset | None:
        with self._database.reading() as tx:
            return segsets.get(tx, session)

    def drain(self, session: SessionId, cycle: int) -> bool:
        with self._database.writing() as tx:
            return segsets.drain(tx, session, cycle)

    def fence(self, domain: DomainId, cycle: int) -> Fence:
        with self._database.reading() as tx:
            return segsets.fence(tx, domain, cycle)

    def gate(self, session: SessionId, cycle: int, *, gens: str | None, gone: bool) -> bool:
        with self._database.writing() as tx:
            return segsets.gate(tx, session, cycle, gens=gens, gone=gone)

    # Verification.

    def mark_bad(self, session: SessionId, bad: Collection[str]) -> None:
        with self._database.writing() as tx:
            segsets.mark_bad(tx, session, bad)

    def bad(self, domain: DomainId) -> Mapping[SessionId, tuple[str, ...]]:
        with self._database.reading() as tx:
            return segsets.bad(tx, domain)

    def check(self, session: SessionId, *, depth: int, position: int) -> None:
        with self._database.writing() as tx:
            segsets.check(tx, session, depth=depth, position=position)

    def users(self, session: SessionId) -> list[RootId]:
        with self._database.reading() as tx:
            return sessions.users(tx, session)

    def quarantine(self, root: RootId, damage: Collection[str]) -> None:
        with self._database.writing() as tx:
            sessions.quarantine(tx, root, damage)

    def damage(self, root: RootId) -> tuple[str, ...]:
        with self._database.reading() as tx:
            return sessions.damage(tx, root)

    # After a disaster.

    def settle(
        self, domain: DomainId, *, incarnation: int, cycle: int, found: Collection[Found]
    ) -> None:
        self._make_row()
        with self._database.writing() as tx:
            settling.settle(
                tx, self._repository, domain, incarnation=incarnation, cycle=cycle, found=found
            )

    def _make_row(self) -> None:
        """Give the repository its row, in a transaction of its own: it may come second and fail."""
        if self._has_row:
            return
        with self._database.reading() as tx:
            known = repositories.knows(tx, self._repository)
        if not known:
            with contextlib.suppress(IntegrityError), self._database.writing() as tx:
                repositories.add(tx, self._repository)
        self._has_row = True
