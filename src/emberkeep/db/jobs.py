"""Statements about jobs.  The rules are in `emberkeep.jobs`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from emberkeep.db.database import Transaction
from emberkeep.db.tables import jobs

RESERVING = "reserving"
QUEUED = "queued"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
UNFINISHED = (RESERVING, QUEUED, RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs`.  Times are UTC; `bytes_…` are the progress of the latest attempt."""

    id: str
    kind: str
    state: str
    subject: str
    project_id: str
    user_id: str
    request_id: str | None
    arguments: dict[str, Any]
    needs_repository: str | None
    needs_backend: str | None
    prefers_zone: str | None
    attempt: int
    handed_back: int
    worker: str | None
    lease_expires_at: datetime | None
    not_before: datetime
    cancelled: bool
    checkpoint: dict[str, Any]
    bytes_done: int
    bytes_total: int
    bytes_stored: int
    error: str | None
    created_at: datetime
    updated_at: datetime | None

    @property
    def waiting_since(self) -> datetime:
        """Since when it could have been claimed: its lease's end, or when it was queued last."""
        if self.state == RUNNING and self.lease_expires_at is not None:
            return self.lease_expires_at
        return max(self.not_before, self.updated_at or self.created_at)


_COLUMNS = {field.name for field in fields(Job)}


def insert(tx: Transaction, **values: Any) -> None:
    """Add a row; what `values` does not say is as in a job that was never claimed."""
    now = tx.now()
    new: dict[str, Any] = {
        "attempt": 0,
        "handed_back": 0,
        "not_before": now,
        "cancelled": False,
        "checkpoint": {},
        "bytes_done": 0,
        "bytes_total": 0,
        "bytes_stored": 0,
        "created_at": now,
    }
    tx.changed(sa.insert(jobs).values({**new, **values}))


def get(tx: Transaction, job_id: str) -> Job | None:
    return _job(tx.row(sa.select(jobs).where(jobs.c.id == job_id)))


def latest(tx: Transaction, subject: str, kinds: Collection[str]) -> Job | None:
    """The newest job about `subject`, of one of `kinds` if there are any."""
    found = sa.select(jobs).where(jobs.c.subject == subject)
    if kinds:
        found = found.where(jobs.c.kind.in_(kinds))
    return _job(tx.row(found.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(1)))


def unfinished(tx: Transaction, subject: str) -> list[Job]:
    """The jobs about `subject` that have not ended, oldest first."""
    about = (jobs.c.subject == subject, jobs.c.state.in_(UNFINISHED))
    return _jobs(tx, sa.select(jobs).where(*about))


def reserving(tx: Transaction) -> list[Job]:
    return _jobs(tx, sa.select(jobs).where(jobs.c.state == RESERVING))


def claimable(tx: Transaction) -> list[Job]:
    """The jobs that wait, or whose lease ran out, oldest first."""
    return _jobs(tx, sa.select(jobs).where(_claimable(tx)))


def claim(tx: Transaction, job: Job, worker: str, lease_expires_at: datetime) -> Job | None:
    """Make the job the worker's, with the next attempt number; None if somebody was faster."""
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
    _lock(tx, job.id)
    unchanged = (jobs.c.id == job.id, jobs.c.attempt == job.attempt, _claimable(tx))
    if not tx.changed(sa.update(jobs).where(*unchanged).values(changes)):
        return None
    return get(tx, job.id)


def held(tx: Transaction, job: Job) -> Job | None:
    """The row, locked, if it is still this worker's and this attempt's."""
    _lock(tx, job.id)
    mine = _mine(job.id, worker=job.worker, attempt=job.attempt)
    return _job(tx.row(sa.select(jobs).where(*mine).with_for_update()))


def renew(
    tx: Transaction, job_id: str, *, worker: str, attempt: int, values: Mapping[str, Any]
) -> bool:
    """Update the job if it is still this attempt's; return whether it was."""
    _lock(tx, job_id)
    mine = _mine(job_id, worker=worker, attempt=attempt)
    return tx.changed(sa.update(jobs).where(*mine).values(dict(values))) == 1


def update(tx: Transaction, job_id: str, **values: Any) -> None:
    """Set columns, whatever the job's state: the caller holds it."""
    assert values.keys() <= _COLUMNS
    changes = {**values, "updated_at": tx.now()}
    tx.changed(sa.update(jobs).where(jobs.c.id == job_id).values(changes))


def take_back(tx: Transaction, worker: str) -> int:
    """Queue again what a worker of this name left running; return how many jobs."""
    left = (jobs.c.state == RUNNING, jobs.c.worker == worker)
    queued = {"state": QUEUED, "worker": None, "lease_expires_at": None, "updated_at": tx.now()}
    return tx.changed(sa.update(jobs).where(*left).values(queued))


def cancel(tx: Transaction, subject: str) -> None:
    for job in unfinished(tx, subject):
        _lock(tx, job.id)
        mine = (jobs.c.id == job.id, jobs.c.state.in_(UNFINISHED))
        tx.changed(sa.update(jobs).where(*mine).values(cancelled=True))


def cancelled(tx: Transaction, job_ids: Collection[str]) -> frozenset[str]:
    found = sa.select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.cancelled)
    return frozenset(tx.connection.scalars(found))


def make_ready(tx: Transaction, job_id: str, values: Mapping[str, Any]) -> bool:
    """Queue a job that was reserving and is not cancelled, with `values`; return whether it was."""
    mine = (jobs.c.id == job_id, jobs.c.state == RESERVING, sa.not_(jobs.c.cancelled))
    changes = {**values, "state": QUEUED, "updated_at": tx.now()}
    return tx.changed(sa.update(jobs).where(*mine).values(changes)) == 1


def cancel_reserving(tx: Transaction, job_id: str) -> bool:
    """Flag a job that is reserving; return whether it is."""
    mine = (jobs.c.id == job_id, jobs.c.state == RESERVING)
    return tx.changed(sa.update(jobs).where(*mine).values(cancelled=True)) == 1


def delete_reserving(tx: Transaction, job_id: str) -> None:
    tx.changed(sa.delete(jobs).where(jobs.c.id == job_id, jobs.c.state == RESERVING))


def _lock(tx: Transaction, job_id: str) -> None:
    """Lock the row by its key, before a statement that also asks for the job's state.

    MariaDB finds that by the index of states, and locks it there before the row; who changes the
    state locks them the other way round.
    """
    tx.row(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())


def _claimable(tx: Transaction) -> sa.ColumnElement[bool]:
    now = tx.now()
    return sa.or_(
        sa.and_(jobs.c.state == QUEUED, jobs.c.not_before <= now),
        sa.and_(jobs.c.state == RUNNING, jobs.c.lease_expires_at < now),
    )


def _mine(job_id: str, *, worker: str | None, attempt: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        jobs.c.id == job_id,
        jobs.c.state == RUNNING,
        jobs.c.worker == worker,
        jobs.c.attempt == attempt,
    )


def _job(row: Mapping[str, Any] | None) -> Job | None:
    return None if row is None else Job(**row)


def _jobs(tx: Transaction, found: sa.Select[Any]) -> list[Job]:
    return [Job(**row) for row in tx.rows(found.order_by(jobs.c.created_at, jobs.c.id))]
