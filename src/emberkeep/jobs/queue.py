"""The queue: jobs are enqueued in the caller's transaction, and claimed for a lease.

Invariants
* a job is run by one attempt at a time, and attempt numbers never repeat: who lost the lease can
  change nothing, because each write of an attempt is in a transaction that began with `hold`;
* leases are by the database's clock;
* an attempt that is handed back counts for nothing but its number.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from emberkeep.db import jobs as table
from emberkeep.db import services
from emberkeep.db.database import Database, Transaction
from emberkeep.db.jobs import Job
from emberkeep.db.services import Worker
from emberkeep.jobs.errors import LeaseLost

__all__ = ["Beat", "Job", "Kind", "NewJob", "Queue", "Settings", "Verdict", "Worker"]


class Kind(StrEnum):
    BACKUP = "backup"
    RESTORE = "restore"
    DELETE = "delete"
    IMPORT = "import"
    COLLECT = "collect"
    VERIFY = "verify"
    CREATE_VOLUME = "create-volume"
    DELETE_VOLUME = "delete-volume"
    EXTEND_VOLUME = "extend-volume"
    REVERT_VOLUME = "revert-volume"
    CREATE_SNAPSHOT = "create-snapshot"
    DELETE_SNAPSHOT = "delete-snapshot"


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient the queue is.  Times in seconds.

    `heartbeat`: between signs of life; `progress`: at least, between two writes of progress;
    `zone_wait`: until a job that no live worker reaches is overdue; `grace`: how long a job waits
    for a live worker in the zone that it prefers.
    """

    lease: float = 120
    heartbeat: float = 30
    progress: float = 1
    max_attempts: int = 3
    zone_wait: float = 600
    grace: float = 10


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be.  `subject`: the id of what it is about; `needs_…`: what a worker must reach."""

    kind: Kind
    subject: str
    project_id: str
    user_id: str
    request_id: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    needs_repository: str | None = None
    needs_backend: str | None = None
    prefers_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """The progress of one running attempt, in bytes."""

    attempt: int
    done: int = 0
    total: int = 0
    stored: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a worker's jobs: those that it lost, and those that it is asked to stop."""

    lost: frozenset[str]
    cancelled: frozenset[str]


class Queue:
    """The jobs of all workers.  May be used from many threads and processes."""

    def __init__(
        self,
        database: Database,
        settings: Settings | None = None,
        *,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake`, called by who enqueued after the commit, tells workers nearby to look."""
        self.settings = settings or Settings()
        self.wake = wake
        self._database = database

    # Who asks for work.

    def enqueue(
        self, tx: Transaction, job: NewJob, *, job_id: str | None = None, reserving: bool = False
    ) -> str:
        """Add a job and return its id.  One that is `reserving` is not run until `ready`."""
        job_id = job_id or str(uuid.uuid4())
        state = table.RESERVING if reserving else table.QUEUED
        table.insert(tx, id=job_id, state=state, **_columns(job))
        return job_id

    def ready(self, tx: Transaction, job_id: str, job: NewJob | None = None) -> bool:
        """Let a `reserving` job run; `job` says it anew if its reservation taught us more.

        False, and nothing is changed, if it was closed meanwhile.
        """
        return table.make_ready(tx, job_id, {} if job is None else _columns(job))

    def close(self, tx: Transaction, job_id: str) -> bool:
        """Let a `reserving` job never be ready; False if it is none any more."""
        return table.cancel_reserving(tx, job_id)

    def drop(self, tx: Transaction, job_id: str) -> None:
        """Forget a `reserving` job."""
        table.delete_reserving(tx, job_id)

    def cancel(self, tx: Transaction, subject: str) -> None:
        """Ask what waits or runs for `subject` to stop: a flag, which the job's worker heeds."""
        table.cancel(tx, subject)

    def get(self, tx: Transaction, job_id: str) -> Job | None:
        return table.get(tx, job_id)

    def latest(self, tx: Transaction, subject: str, *kinds: Kind) -> Job | None:
        """The newest job about `subject`, of one of these kinds if any is named."""
        return table.latest(tx, subject, kinds)

    def unfinished(self, tx: Transaction, subject: str) -> list[Job]:
        """The jobs about `subject` that have not ended, oldest first."""
        return table.unfinished(tx, subject)

    # Workers.

    def claim(self, worker: Worker, kinds: Collection[Kind] = tuple(Kind)) -> Job | None:
        """Make the oldest job that the worker may run now its own; None if there is none.

        It may be one that was cancelled, or that is `overspent`: the worker ends it.  What its
        disabled services would do, it leaves to another worker that can do it, if there is one.
        """
        with self._database.reading() as tx:
            alive = services.alive(tx)
            resting = services.resting(tx)
            wanted = [
                job
                for job in table.claimable(tx)
                if job.kind in kinds
                and _reaches(worker, job)
                and not self._waits_for_another(tx, job, worker, alive)
                and not _leaves_it(job, worker, alive, resting)
            ]
        claims = (self.seize(job, worker) for job in wanted)
        return next((job for job in claims if job is not None), None)

    def seize(self, job: Job, worker: Worker) -> Job | None:
        """Make a job the worker's, whatever it reaches; None if somebody was faster."""
        with self._database.writing() as tx:
            return table.claim(tx, job, worker.name, self._lease(tx))

    def _lease(self, tx: Transaction) -> datetime:
        return tx.now() + timedelta(seconds=self.settings.lease)

    def _waits_for_another(
        self, tx: Transaction, job: Job, me: Worker, alive: Iterable[Worker]
    ) -> bool:
        """Whether a live worker in the zone that the job prefers should have it, for now."""
        zone = job.prefers_zone
        if zone is None or zone in me.availability_zones:
            return False
        if tx.now() - job.waiting_since >= timedelta(seconds=self.settings.grace):
            return False
        return any(zone in other.availability_zones and _reaches(other, job) for other in alive)

    def take_back(self, worker: str) -> int:
        """Queue again what an earlier process of this worker's name left; return how many jobs.

        Only for who knows that no such process lives, by the lock of its state directory.
        """
        with self._database.writing() as tx:
            return table.take_back(tx, worker)

    def beat(self, worker: Worker, hosts: Collection[str], running: Mapping[str, Beat]) -> Verdict:
        """A sign of life, all jobs' progress and the renewal of their leases, in one write.

        `hosts`: of the services that the worker is.
        """
        lost = set()
        with self._database.writing() as tx:
            services.beat(tx, worker, hosts)
            expires = self._lease(tx)
            for job_id, beat in running.items():
                values = {
                    "lease_expires_at": expires,
                    "bytes_done": beat.done,
                    "bytes_total": beat.total,
                    "bytes_stored": beat.stored,
                }
                mine = table.renew(
                    tx, job_id, worker=worker.name, attempt=beat.attempt, values=values
                )
                if not mine:
                    lost.add(job_id)
            cancelled = table.cancelled(tx, running)
        return Verdict(lost=frozenset(lost), cancelled=cancelled - lost)

    # The attempt that runs a job.

    def hold(self, tx: Transaction, job: Job) -> Job:
        """Begin a write of this attempt; returns the job as it is now, e.g. cancelled.

        Raises `LeaseLost` if the job is not this attempt's any more.
        """
        held = table.held(tx, job)
        if held is None:
            raise LeaseLost(f"job {job.id}: attempt {job.attempt} of {job.worker} has ended")
        return held

    def checkpoint(self, tx: Transaction, job: Job, value: Mapping[str, Any]) -> None:
        """Remember `value` for the next attempt."""
        self.hold(tx, job)
        table.update(tx, job.id, checkpoint=dict(value))

    def finish(
        self, tx: Transaction, job: Job, *, done: int | None = None, stored: int | None = None
    ) -> None:
        """End the job well; `done` and `stored` are its last progress, in bytes, if it has any."""
        progress = {} if done is None else {"bytes_done": done, "bytes_total": done}
        if stored is not None:
            progress["bytes_stored"] = stored
        self._end(tx, job, state=table.DONE, error=None, **progress)

    def fail(self, tx: Transaction, job: Job, error: str) -> None:
        """End the job without success."""
        self._end(tx, job, state=table.FAILED, error=error)

    def retry(self, tx: Transaction, job: Job, error: str, *, delay: float) -> None:
        """Let the next attempt begin after `delay` seconds."""
        later = tx.now() + timedelta(seconds=delay)
        self._end(tx, job, state=table.QUEUED, worker=None, error=error, not_before=later)

    def hand_back(self, tx: Transaction, job: Job, *, delay: float = 0) -> None:
        """Give the job to whoever claims it next, after `delay` seconds; this attempt does not
        count."""
        later = tx.now() + timedelta(seconds=delay)
        count = job.handed_back + 1
        self._end(tx, job, state=table.QUEUED, worker=None, handed_back=count, not_before=later)

    def _end(self, tx: Transaction, job: Job, **values: Any) -> None:
        self.hold(tx, job)
        table.update(tx, job.id, lease_expires_at=None, **values)

    def exhausted(self, job: Job) -> bool:
        """Whether this attempt is the last."""
        return job.attempt - job.handed_back >= self.settings.max_attempts

    def overspent(self, job: Job) -> bool:
        """Whether the attempt before was the last, and died: the job is to be failed, not run."""
        return job.attempt - job.handed_back > self.settings.max_attempts

    # Housekeeping.

    def overdue(self, tx: Transaction) -> list[Job]:
        """The jobs that have waited `zone_wait` and that no live worker reaches."""
        since = tx.now() - timedelta(seconds=self.settings.zone_wait)
        alive = services.alive(tx)
        return [
            job
            for job in table.claimable(tx)
            if job.waiting_since <= since and not any(_reaches(worker, job) for worker in alive)
        ]

    def forsaken(self, tx: Transaction) -> list[Job]:
        """The `reserving` jobs whose maker must have died: they are older than a lease."""
        since = tx.now() - timedelta(seconds=self.settings.lease)
        return [job for job in table.reserving(tx) if job.created_at < since]


def _columns(job: NewJob) -> dict[str, Any]:
    return {
        "kind": job.kind.value,
        "subject": job.subject,
        "project_id": job.project_id,
        "user_id": job.user_id,
        "request_id": job.request_id,
        "arguments": job.arguments,
        "needs_repository": job.needs_repository,
        "needs_backend": job.needs_backend,
        "prefers_zone": job.prefers_zone,
    }


def _leaves_it(
    job: Job, me: Worker, alive: Iterable[Worker], resting: Mapping[str, Collection[str]]
) -> bool:
    """Whether the worker is not to do it, and another one, alive, may and can."""
    repository = job.needs_repository
    return repository in resting.get(me.name, ()) and any(
        _reaches(other, job) and repository not in resting.get(other.name, ()) for other in alive
    )


def _reaches(worker: Worker, job: Job) -> bool:
    repository, backend = job.needs_repository, job.needs_backend
    return (repository is None or repository in worker.repositories) and (
        backend is None or backend in worker.backends
    )
