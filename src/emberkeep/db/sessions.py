"""Statements about domains and sessions: who wrote what into which repository.

A session's id is its root's.  Rows stay as tombstones: a root that was removed is known as removed.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from emberkeep.db.database import Transaction
from emberkeep.db.tables import domains, sessions

ACTIVE = "active"
COMMITTED = "committed"
ABORTED = "aborted"
REMOVING = "removing"
REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Domain:
    """One project's backups of one container label in one repository."""

    id: str
    repository: str
    project_id: str
    container: str | None


def domain(tx: Transaction, *, repository: str, project_id: str, container: str) -> Domain | None:
    row = tx.row(
        sa.select(domains).where(
            domains.c.repository == repository,
            domains.c.project_id == project_id,
            domains.c.container == container,
        )
    )
    return None if row is None else Domain(**row)


def domains_of(tx: Transaction, repository: str) -> list[Domain]:
    found = sa.select(domains).where(domains.c.repository == repository).order_by(domains.c.id)
    return [Domain(**row) for row in tx.rows(found)]


def held_domain(tx: Transaction, domain_id: str) -> None:
    """Let nobody else who calls this for the domain go on until the transaction ends."""
    tx.rows(sa.select(domains.c.id).where(domains.c.id == domain_id).with_for_update())


def add_domain(tx: Transaction, new: Domain) -> Domain:
    """Register a new domain; of two for one label the first one counts, and is returned."""
    assert new.container is not None
    label = {"project_id": new.project_id, "container": new.container}
    try:
        with tx.connection.begin_nested():
            tx.changed(sa.insert(domains).values(id=new.id, repository=new.repository, **label))
    except IntegrityError:
        found = domain(tx, repository=new.repository, **label)
        if found is None:
            raise
        return found
    return new


def register_domain(tx: Transaction, found: Domain) -> None:
    """Register a domain that a store tells of; where another one has its label, without it."""
    if knows_domain(tx, found.id):
        return
    if found.container is not None and add_domain(tx, found) == found:
        return
    values = {"id": found.id, "repository": found.repository, "project_id": found.project_id}
    tx.changed(sa.insert(domains).values(**values, container=None))


def knows_domain(tx: Transaction, domain_id: str) -> bool:
    return tx.row(sa.select(domains.c.id).where(domains.c.id == domain_id)) is not None


def begin(
    tx: Transaction, *, session: str, repository: str, domain_id: str, job_id: str, attempt: int
) -> None:
    """Abort what earlier attempts of the job began, and begin this one's session."""
    abort(tx, job_id)
    values = {
        "id": session,
        "repository": repository,
        "domain": domain_id,
        "state": ACTIVE,
        "job_id": job_id,
        "attempt": attempt,
        "created_at": tx.now(),
    }
    tx.changed(sa.insert(sessions).values(values))


def register(tx: Transaction, *, session: str, repository: str, domain_id: str) -> None:
    """A committed session that the store told of."""
    values = {
        "id": session,
        "repository": repository,
        "domain": domain_id,
        "state": COMMITTED,
        "job_id": None,
        "attempt": None,
        "created_at": tx.now(),
    }
    tx.changed(sa.insert(sessions).values(values))


def abort(tx: Transaction, job_id: str) -> None:
    """What the job's attempts began is given up; a collection removes it."""
    mine = (sessions.c.job_id == job_id, sessions.c.state == ACTIVE)
    tx.changed(sa.update(sessions).where(*mine).values(state=ABORTED))


def has_aborted(tx: Transaction, job_id: str) -> bool:
    """Whether any attempt of the job was given up, and may have left something."""
    mine = (sessions.c.job_id == job_id, sessions.c.state == ABORTED)
    return tx.row(sa.select(sessions.c.id).where(*mine).limit(1)) is not None


def state(tx: Transaction, session: str) -> str | None:
    return tx.connection.scalar(sa.select(sessions.c.state).where(sessions.c.id == session))


def held_state(tx: Transaction, session: str) -> str | None:
    """The session's state, which nobody else changes until the transaction ends."""
    found = sa.select(sessions.c.state).where(sessions.c.id == session)
    return tx.connection.scalar(found.with_for_update())


def move(tx: Transaction, session: str, *, before: str, after: str) -> bool:
    """Change the state if it is `before`; return whether it was."""
    mine = (sessions.c.id == session, sessions.c.state == before)
    return tx.changed(sa.update(sessions).where(*mine).values(state=after)) == 1


def states(tx: Transaction, domain_id: str) -> dict[str, str]:
    """The state of each session of a domain."""
    found = sa.select(sessions.c.id, sessions.c.state).where(sessions.c.domain == domain_id)
    return {row["id"]: row["state"] for row in tx.rows(found)}
