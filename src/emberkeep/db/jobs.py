"""Statements about jobs.  The rules are in `emberkeep.jobs`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from emberkeep.db.database import Transaction
from emberkeep.db.tables import domains, jobs

QUEUED = "queued"
RUNNING = "running"
RESERVING = "reserving"
DONE = "done"
FAILED = "failed"
UNFINISHED = (RESERVING, QUEUED, RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs`.  Times are UTC; bytes_… are the progress of the running attempt."""

    id: str
    kind: str
    state: str
    subject: str
    project_id: str
    user_id: str
    request_id: str | None
    arguments: Mapping[str, Any]
    needs_repository: str | None
    needs_backend: str | None
    prefers_zone: str | None
    domain: str | None
    exclusive: bool
    attempt: int
    worker: str | None
    lease_expires_at: datetime | None
    not_before: datetime
    cancelled: bool
    checkpoint: Mapping[str, Any]
    bytes_done: int
    bytes_total: int
    bytes_stored: int
    error: str | None
    created_at: datetime
    updated_at: datetime | None


_COLUMNS = {field.name for field in fields(Job)}


def insert(tx: Transaction, values: Mapping[str, Any]) -> None:
    now = tx.now()
    empty: dict[str, Any] = {
        "attempt": 0,
        "worker": None,
        "lease_expires_at": None,
        "not_before": now,
        "cancelled": False,
        "checkpoint": {},
        "bytes_done": 0,
        "bytes_total": 0,
        "bytes_stored": 0,
        "error": None,
        "created_at": now,
        "updated_at": None,
    }
    tx.changed(sa.insert(jobs).values({**empty, **values}))


def get(tx: Transaction, job_id: str) -> Job | None:
    return _job(tx.row(sa.select(jobs).where(jobs.c.id == job_id)))


def latest(tx: Transaction, subject: str, kinds: Collection[str]) -> Job | None:
    """The newest job about `subject` of one of the kinds."""
    found = (
        sa.select(jobs)
        .where(jobs.c.subject == subject, jobs.c.kind.in_(kinds))
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        .limit(1)
    )
    return _job(tx.row(found))


def unfinished(tx: Transaction, subject: str) -> list[Job]:
    found = (
        sa.select(jobs)
        .where(jobs.c.subject == subject, jobs.c.state.in_(UNFINISHED))
        .order_by(jobs.c.created_at)
    )
    return [Job(**row) for row in tx.rows(found)]


def in_state(tx: Transaction, state: str, *, older_than: datetime) -> list[Job]:
    """The jobs in a state that were enqueued before a moment, oldest first."""
    found = (
        sa.select(jobs)
        .where(jobs.c.state == state, jobs.c.created_at < older_than)
        .order_by(jobs.c.created_at)
    )
    return [Job(**row) for row in tx.rows(found)]


def claimable(tx: Transaction) -> list[Job]:
    """The jobs that wait, or whose lease ran out, oldest first, locked where the database can."""
    now = tx.now()
    waiting = sa.and_(jobs.c.state == QUEUED, jobs.c.not_before <= now)
    abandoned = sa.and_(jobs.c.state == RUNNING, jobs.c.lease_expires_at < now)
    found = (
        sa.select(jobs)
        .where(sa.or_(waiting, abandoned))
        .order_by(jobs.c.created_at, jobs.c.id)
        .with_for_update(skip_locked=True)
    )
    return [Job(**row) for row in tx.rows(found)]


def running_in_domain(tx: Transaction, domain: str, *, except_for: str) -> list[bool]:
    """Whether each of the jobs that run in the domain, lease or no lease, is exclusive.

    The domain's row is locked, so that two who ask do so one after the other.
    """
    tx.rows(sa.select(domains.c.id).where(domains.c.id == domain).with_for_update())
    found = sa.select(jobs.c.exclusive).where(
        jobs.c.domain == domain, jobs.c.state == RUNNING, jobs.c.id != except_for
    )
    return list(tx.connection.scalars(found))


def claim(tx: Transaction, job: Job, worker: str, lease_expires_at: datetime) -> Job:
    """Make the job the worker's: running, with the next attempt number."""
    changes = {
        "state": RUNNING,
        "worker": worker,
        "attempt": job.attempt + 1,
        "lease_expires_at": lease_expires_at,
        "bytes_done": 0,
        "bytes_total": 0,
        "bytes_stored": 0,
        "updated_at": tx.now(),
    }
    tx.changed(sa.update(jobs).where(jobs.c.id == job.id).values(changes))
    claimed = get(tx, job.id)
    assert claimed is not None
    return claimed


def held(tx: Transaction, job: Job) -> Job | None:
    """The row, locked, if it is still this worker's and this attempt's."""
    found = (
        sa.select(jobs)
        .where(
            jobs.c.id == job.id,
            jobs.c.state == RUNNING,
            jobs.c.worker == job.worker,
            jobs.c.attempt == job.attempt,
        )
        .with_for_update()
    )
    return _job(tx.row(found))


def update(tx: Transaction, job_id: str, **values: Any) -> None:
    assert values.keys() <= _COLUMNS
    values["updated_at"] = tx.now()
    tx.changed(sa.update(jobs).where(jobs.c.id == job_id).values(values))


def renew(
    tx: Transaction, job_id: str, attempt: int, worker: str, values: Mapping[str, Any]
) -> bool:
    """Update a running job if it is still this attempt's; return whether it was."""
    mine = (
        jobs.c.id == job_id,
        jobs.c.state == RUNNING,
        jobs.c.worker == worker,
        jobs.c.attempt == attempt,
    )
    return tx.changed(sa.update(jobs).where(*mine).values(dict(values))) == 1


def take_back(tx: Transaction, worker: str) -> int:
    """Queue again what a worker of this name left running; return how many jobs."""
    mine = (jobs.c.state == RUNNING, jobs.c.worker == worker)
    return tx.changed(
        sa.update(jobs).where(*mine).values(state=QUEUED, worker=None, updated_at=tx.now())
    )


def cancel(tx: Transaction, subject: str) -> None:
    mine = (jobs.c.subject == subject, jobs.c.state.in_(UNFINISHED))
    tx.changed(sa.update(jobs).where(*mine).values(cancelled=True))


def cancelled(tx: Transaction, job_ids: Collection[str]) -> set[str]:
    found = sa.select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.cancelled)
    return set(tx.connection.scalars(found))


def delete(tx: Transaction, job_id: str) -> None:
    tx.changed(sa.delete(jobs).where(jobs.c.id == job_id))


def _job(row: Mapping[str, Any] | None) -> Job | None:
    return None if row is None else Job(**row)
