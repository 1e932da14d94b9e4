"""The queue: jobs are enqueued in the caller's transaction, and claimed for a lease.

Invariants
* a job runs in one attempt at a time: who lost the lease can change nothing, because every write of
  a job is in a transaction that begins with `hold`;
* leases are by the database's clock;
* in a domain, an exclusive job and another one never run together: a job whose lease ran out counts
  as running until it is claimed again or ended;
* an attempt that is handed back does not count.
"""

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
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
    CREATE_VOLUME = "create-volume"
    DELETE_VOLUME = "delete-volume"
    EXTEND_VOLUME = "extend-volume"
    CREATE_SNAPSHOT = "create-snapshot"
    DELETE_SNAPSHOT = "delete-snapshot"


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds.  `grace`: how long a job waits for a live worker in its preferred zone."""

    lease: float = 120
    heartbeat: float = 30
    progress: float = 1
    zone_wait: float = 600
    grace: float = 10
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be.  `subject`: the id of what it is about; `needs_…`: what a worker must reach."""

    kind: Kind
    subject: str
    project_id: str
    user_id: str
    request_id: str | None = None
    arguments: Mapping[str, Any] | None = None
    needs_repository: str | None = None
    needs_backend: str | None = None
    prefers_zone: str | None = None
    domain: str | None = None
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """The progress of one running attempt, in bytes."""

    attempt: int
    done: int
    total: int
    stored: int


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
        """`wake` tells the workers nearby, after a commit, that there is something to do."""
        self.settings = settings or Settings()
        self.wake = wake
        self._database = database

    def enqueue(
        self, tx: Transaction, job: NewJob, *, job_id: str | None = None, reserving: bool = False
    ) -> str:
        """Add a job; returns its id.  One that is `reserving` is not run until `ready`."""
        job_id = job_id or str(uuid.uuid4())
        table.insert(
            tx,
            {
                "id": job_id,
                "kind": job.kind,
                "state": table.RESERVING if reserving else table.QUEUED,
                "subject": job.subject,
                "project_id": job.project_id,
                "user_id": job.user_id,
                "request_id": job.request_id,
                "arguments": dict(job.arguments or {}),
                "needs_repository": job.needs_repository,
                "needs_backend": job.needs_backend,
                "prefers_zone": job.prefers_zone,
                "domain": job.domain,
                "exclusive": job.exclusive,
            },
        )
        return job_id

    def ready(self, tx: Transaction, job_id: str, job: NewJob) -> None:
        """What the `reserving` job waited for is there; `job` is what it became."""
        table.update(
            tx,
            job_id,
            state=table.QUEUED,
            subject=job.subject,
            arguments=dict(job.arguments or {}),
            needs_repository=job.needs_repository,
            needs_backend=job.needs_backend,
            prefers_zone=job.prefers_zone,
            domain=job.domain,
        )

    def drop(self, tx: Transaction, job_id: str) -> None:
        """Forget a job that never came to be ready."""
        table.delete(tx, job_id)

    def claim(self, worker: Worker, kinds: Collection[Kind]) -> Job | None:
        """The oldest job of the kinds that the worker may run now, made its own; None if none."""
        with self._database.writing() as tx:
            alive = services.alive(tx)
            for job in table.claimable(tx):
                if (
                    job.kind in kinds
                    and _reaches(worker, job)
                    and not self._belongs_to_another(tx, job, worker, alive)
                    and not _excluded(tx, job)
                ):
                    expires = tx.now() + timedelta(seconds=self.settings.lease)
                    return table.claim(tx, job, worker.name, expires)
        return None

    def _belongs_to_another(
        self, tx: Transaction, job: Job, worker: Worker, alive: list[Worker]
    ) -> bool:
        """Whether a live worker in the zone that the job prefers should have it, for now."""
        zone = job.prefers_zone
        if zone is None or zone in worker.availability_zones:
            return False
        if tx.now() - job.created_at > timedelta(seconds=self.settings.grace):
            return False
        return any(zone in other.availability_zones and _reaches(other, job) for other in alive)

    def seize(self, job: Job, worker: Worker) -> Job | None:
        """Make a queued job the worker's, whatever it reaches, to end it; None if it is queued no
        more."""
        with self._database.writing() as tx:
            found = table.get(tx, job.id)
            if found is None or found.state != table.QUEUED:
                return None
            expires = tx.now() + timedelta(seconds=self.settings.lease)
            return table.claim(tx, found, worker.name, expires)

    def take_back(self, worker: str) -> int:
        """Queue again what an earlier process of this worker's name left; return how many jobs."""
        with self._database.writing() as tx:
            return table.take_back(tx, worker)

    def beat(self, worker: Worker, hosts: list[str], running: Mapping[str, Beat]) -> Verdict:
        """A sign of life, all jobs' progress and the renewal of their leases, in one write."""
        lost = set()
        with self._database.writing() as tx:
            services.beat(tx, worker, hosts)
            expires = tx.now() + timedelta(seconds=self.settings.lease)
            for job_id, beat in running.items():
                values = {
                    "lease_expires_at": expires,
                    "bytes_done": beat.done,
                    "bytes_total": beat.total,
                    "bytes_stored": beat.stored,
                }
                if not table.renew(tx, job_id, beat.attempt, worker.name, values):
                    lost.add(job_id)
            cancelled = table.cancelled(tx, running)
        return Verdict(frozenset(lost), frozenset(cancelled))

    def hold(self, tx: Transaction, job: Job) -> Job:
        """Begin a write of this attempt.  Raises `LeaseLost` if it is not the job's any more."""
        held = table.held(tx, job)
        if held is None:
            raise LeaseLost(f"job {job.id}: attempt {job.attempt} of {job.worker} has ended")
        return held

    def checkpoint(self, tx: Transaction, job: Job, value: Mapping[str, Any]) -> None:
        """Remember for the next attempt; after `hold`."""
        table.update(tx, job.id, checkpoint=dict(value))

    def set_domain(self, tx: Transaction, job: Job, domain: str) -> bool:
        """Enter a domain that was not known before; after `hold`.

        False, and nothing changed, if an exclusive job runs there: then hand the job back.
        """
        if any(table.running_in_domain(tx, domain, except_for=job.id)):
            return False
        table.update(tx, job.id, domain=domain)
        return True

    def finish(self, tx: Transaction, job: Job, *, done: int = 0, stored: int = 0) -> None:
        """End the job well, with its last progress in bytes; after `hold`."""
        table.update(
            tx,
            job.id,
            state=table.DONE,
            bytes_done=done,
            bytes_total=done,
            bytes_stored=stored,
            error=None,
        )

    def fail(self, tx: Transaction, job: Job, error: str) -> None:
        """End the job without success; after `hold`."""
        table.update(tx, job.id, state=table.FAILED, error=error)

    def retry(self, tx: Transaction, job: Job, error: str, *, delay: float) -> None:
        """Let the next attempt begin after `delay` seconds; after `hold`."""
        table.update(
            tx,
            job.id,
            state=table.QUEUED,
            worker=None,
            error=error,
            not_before=tx.now() + timedelta(seconds=delay),
        )

    def hand_back(self, tx: Transaction, job: Job, *, delay: float = 0) -> None:
        """Give the job to whoever claims it next; this attempt does not count; after `hold`."""
        table.update(
            tx,
            job.id,
            state=table.QUEUED,
            worker=None,
            attempt=job.attempt - 1,
            not_before=tx.now() + timedelta(seconds=delay),
        )

    def exhausted(self, job: Job) -> bool:
        """Whether this attempt was the last."""
        return job.attempt >= self.settings.max_attempts

    def cancel(self, tx: Transaction, subject: str) -> None:
        """Ask what is under way for `subject` to stop."""
        table.cancel(tx, subject)

    def get(self, tx: Transaction, job_id: str) -> Job | None:
        return table.get(tx, job_id)

    def unfinished(self, tx: Transaction, subject: str) -> list[Job]:
        return table.unfinished(tx, subject)

    def latest(self, tx: Transaction, subject: str, *kinds: Kind) -> Job | None:
        return table.latest(tx, subject, kinds)

    def overdue(self, tx: Transaction) -> list[Job]:
        """The jobs that have waited for `zone_wait` seconds, and that nobody alive can reach."""
        since = tx.now() - timedelta(seconds=self.settings.zone_wait)
        alive = services.alive(tx)
        return [
            job
            for job in table.in_state(tx, table.QUEUED, older_than=since)
            if not any(_reaches(worker, job) for worker in alive)
        ]

    def forsaken(self, tx: Transaction) -> list[Job]:
        """The `reserving` jobs whose caller died before they were ready."""
        since = tx.now() - timedelta(seconds=self.settings.lease)
        return table.in_state(tx, table.RESERVING, older_than=since)


def _reaches(worker: Worker, job: Job) -> bool:
    repository, backend = job.needs_repository, job.needs_backend
    return (repository is None or repository in worker.repositories) and (
        backend is None or backend in worker.backends
    )


def _excluded(tx: Transaction, job: Job) -> bool:
    """Whether a job that runs in the domain forbids this one."""
    if job.domain is None:
        return False
    others = table.running_in_domain(tx, job.domain, except_for=job.id)
    return bool(others) if job.exclusive else any(others)
