"""The worker: claims the jobs within its reach and runs them, a few at once.

Backups and restores have lanes of their own, and so has maintenance, so that short work never waits
behind long work.

Invariants
* a job that ends, ends by a transaction that begins with `hold`: who lost the lease says nothing;
* all heartbeats and all progress of a process are one write.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from emberkeep.backups import maintenance
from emberkeep.backups.messages import Detail
from emberkeep.db import messages, services
from emberkeep.db.services import Worker as Card
from emberkeep.engine.errors import EngineError, SessionLost
from emberkeep.jobs.errors import JobCancelled, LeaseLost
from emberkeep.jobs.queue import Job, Kind
from emberkeep.stores.errors import StoreError, StoreFull
from emberkeep.volumes import tasks
from emberkeep.volumes.errors import VolumeError, VolumesUnavailable
from emberkeep.worker import backup, collection, importing, removal, restore, verification
from emberkeep.worker.site import Failure, GaveUp, HandBack, Run, Site

POLL = 1.0  # seconds between looks at the queue, where nobody wakes us
HOUSEKEEPING = 10.0  # seconds between looks for what nobody will do
RETRY = 5.0  # seconds, times the attempt, before the next one

_log = logging.getLogger(__name__)


class Cancel(Protocol):
    """`begun`: whether an attempt of the job has changed anything."""

    def __call__(self, site: Site, job: Job, *, begun: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """How a kind of job is done, and how it ends if it can't be or nobody wants it any more."""

    run: Callable[[Site, Run], None]
    fail: Callable[[Site, Job, Failure], None]
    cancel: Cancel | None = None
    lost: Detail | None = None  # what failed, if the attempts died
    unreached: Detail | None = None  # what failed, if no worker was there


def _run_task(site: Site, run: Run) -> None:
    if site.local is None:
        raise GaveUp("This worker keeps no volumes.")
    tasks.run(
        run.job,
        site.database,
        site.local,
        hold=lambda tx: site.queue.hold(tx, run.job),
        finish=lambda tx: site.queue.finish(tx, run.job),
        checkpoint=run.checkpoint,
    )


def _fail_task(site: Site, job: Job, failure: Failure) -> None:
    with site.database.writing() as tx:
        site.queue.hold(tx, job)
        tasks.fail(tx, job)
        site.queue.fail(tx, job, failure.reason)


WORK: Mapping[str, Work] = {
    Kind.BACKUP: Work(
        backup.run, backup.fail, backup.cancel, Detail.CREATE_FAILED, Detail.NOT_SCHEDULED
    ),
    Kind.RESTORE: Work(
        restore.run, restore.fail, restore.cancel, Detail.RESTORE_FAILED, Detail.SERVICE_DOWN
    ),
    Kind.DELETE: Work(
        removal.run, removal.fail, lost=Detail.DELETE_FAILED, unreached=Detail.SERVICE_DOWN
    ),
    Kind.IMPORT: Work(importing.run, importing.fail),
    Kind.COLLECT: Work(collection.run, collection.fail),
    Kind.VERIFY: Work(verification.run, verification.fail),
    **dict.fromkeys(tasks.KINDS, Work(_run_task, _fail_task)),
}
LONG = frozenset((Kind.BACKUP, Kind.RESTORE))
MAINTENANCE = frozenset((Kind.COLLECT, Kind.VERIFY))
SHORT = frozenset(Kind) - LONG - MAINTENANCE
LANES: tuple[Collection[Kind], ...] = (LONG, LONG, SHORT, MAINTENANCE)


class Worker:
    """One worker.  `serve` runs it in threads; `run_one` and `run_until_idle` in the caller's."""

    def __init__(
        self,
        site: Site,
        *,
        name: str,
        zones_with_volumes: Collection[str],
        backends: Collection[str],
        silent: Collection[str] = (),
    ) -> None:
        """`name` is kept over restarts: what it left running is taken back at its start.

        `silent`: the hosts of zones that can't be served now; their services are kept, and down.
        """
        self._silent = silent
        self._site = site
        self._zones_with_volumes = zones_with_volumes
        self._card = Card(
            name=name,
            availability_zones=frozenset(zones_with_volumes),
            repositories=frozenset(site.repositories),
            backends=frozenset(backends),
        )
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        self._awake = threading.Condition()

    def register(self) -> None:
        """Say which zones this worker serves, and take back what it left running."""
        site = self._site
        with site.database.writing() as tx:
            for zone, host in site.hosts.items():
                services.register(
                    tx,
                    host=host,
                    binary=services.BACKUP,
                    availability_zone=zone,
                    repository=site.zone_repositories[zone],
                )
                if zone in self._zones_with_volumes:
                    services.register(
                        tx,
                        host=host,
                        binary=services.VOLUME,
                        availability_zone=zone,
                        repository=None,
                    )
            known = [*site.hosts.values(), *self._silent]
            services.forget_others(tx, known, f"{self._card.name}@")
        if site.local is not None:
            site.local.sweep()
        if taken := site.queue.take_back(self._card.name):
            _log.info("%d jobs that were running go on", taken)
        self.beat()

    def serve(self, woken: int) -> None:
        """Run until `stop`.  `woken` is a descriptor that is readable when there is something."""
        self.register()
        threads = [
            threading.Thread(target=self._lane, args=(kinds,), name=f"lane {number}")
            for number, kinds in enumerate(LANES)
        ]
        threads.append(threading.Thread(target=self._heartbeat, name="heartbeat"))
        threads.append(threading.Thread(target=self._housekeeping, name="housekeeping"))
        for thread in threads:
            thread.start()
        while not self.stopped.is_set():
            readable, _w, _e = select.select([woken], [], [], POLL)
            if readable:
                with suppress(BlockingIOError):
                    while len(os.read(woken, _PIPEFUL)) == _PIPEFUL:
                        pass
            self.wake()
        for thread in threads:
            thread.join()
        with self._site.database.writing() as tx:
            services.leave(tx, self._card.name)

    def stop(self) -> None:
        """Hand the long jobs back at their next segment, finish the short ones, and end.

        May be called from a signal handler: it takes no lock that the process's threads hold.
        """
        self.stopped.set()

    def wake(self) -> None:
        """Let the lanes look at the queue."""
        with self._awake:
            self._awake.notify_all()

    def run_until_idle(self) -> int:
        """Run jobs until none can be claimed; return how many."""
        count = 0
        while self.run_one():
            count += 1
        return count

    def run_one(self, kinds: Collection[Kind] = tuple(Kind)) -> bool:
        """Claim a job and run it to its end; False if there was none."""
        asked_at = time.monotonic()
        job = self._site.queue.claim(self._card, kinds)
        if job is None:
            return False
        self._run(job, asked_at)
        return True

    def beat(self) -> None:
        """A sign of life, and progress; learn which jobs are lost or cancelled."""
        with self._lock:
            runs = dict(self._runs)
        asked_at = time.monotonic()
        beats = {job_id: run.beat for job_id, run in runs.items()}
        verdict = self._site.queue.beat(self._card, list(self._site.hosts.values()), beats)
        for job_id, run in runs.items():
            if job_id in verdict.lost:
                run.lost = True
            else:
                run.lease_until = asked_at + self._site.queue.settings.lease
            if job_id in verdict.cancelled:
                run.cancelled = True

    def keep_house(self) -> None:
        """End what nobody will do (jobs that no live worker reaches, and reservations without),
        remove old messages, and let be done what is due."""
        site = self._site
        with site.database.reading() as tx:
            overdue, forsaken = site.queue.overdue(tx), site.queue.forsaken(tx)
        for job in overdue:
            seized = site.queue.seize(job, self._card)
            if seized is not None:
                with suppress(LeaseLost):
                    self._end(seized, _nobody(seized), WORK[seized.kind].unreached)
        for job in forsaken:
            site.seam.give_up(job.id)
        with site.database.writing() as tx:
            maintenance.enqueue_due(tx, site.queue, site.schedule, list(site.repositories))
            messages.reap(tx)

    def _run(self, job: Job, asked_at: float) -> None:
        lease_until = asked_at + self._site.queue.settings.lease
        run = Run(job, self.stopped, lease_until, cancelled=job.cancelled)
        with self._lock:
            earlier = self._runs.get(job.id)
            if earlier is not None:  # it slept so long that we got its job again
                earlier.lost = True
            self._runs[job.id] = run
        try:
            self._attempt(run)
        except LeaseLost as error:
            _log.warning("%s", error)
        finally:
            with self._lock:
                if self._runs.get(job.id) is run:
                    del self._runs[job.id]

    def _attempt(self, run: Run) -> None:
        site, job = self._site, run.job
        work = WORK[job.kind]
        try:
            if site.seam.resume(job):
                return
            if job.cancelled and work.cancel is not None:
                raise JobCancelled
            if site.queue.overspent(job):
                run.failing = work.lost
                raise GaveUp(self._given_up(job.error or "its worker died."))
            work.run(site, run)
        except LeaseLost:
            raise
        except HandBack as back:
            with site.database.writing() as tx:
                site.queue.hand_back(tx, job, delay=back.delay)
        except JobCancelled:
            if work.cancel is not None:
                work.cancel(site, job, begun=run.begun or job.attempt > 1)
            else:
                work.fail(site, job, Failure("It was cancelled."))
        except GaveUp as error:
            self._end(job, str(error), run.failing)
        except StoreFull as error:
            reason = f"The backup store is full; free some space, then try again. {error}"
            self._end(job, reason, run.failing)
        except (VolumesUnavailable, StoreError, SessionLost, OSError) as error:
            self._again(run, f"{error}")
        except (EngineError, VolumeError) as error:
            self._end(job, str(error), run.failing)
        except Exception as error:
            _log.exception("job %s (%s of %s)", job.id, job.kind, job.subject)
            self._again(run, f"An unexpected error, see the worker's log: {error!r}")

    def _again(self, run: Run, reason: str) -> None:
        """Let there be another attempt later, if there may be."""
        site, job = self._site, run.job
        if site.queue.exhausted(job):
            self._end(job, self._given_up(reason), run.failing)
            return
        _log.warning("job %s (%s), attempt %d: %s", job.id, job.kind, job.attempt, reason)
        with site.database.writing() as tx:
            site.queue.retry(tx, job, reason, delay=RETRY * job.attempt)

    def _given_up(self, reason: str) -> str:
        attempts = self._site.queue.settings.max_attempts
        return (
            f"Given up after {attempts} attempts; see the worker's log, mend the cause, then try "
            f"again. The last one: {reason}"
        )

    def _end(self, job: Job, reason: str, detail: Detail | None) -> None:
        """End a job that won't be done; `reason` is what its subject shows, and `detail` what the
        user is told."""
        storable = reason.encode(errors="replace").decode()  # half a surrogate pair is not
        _log.error("job %s (%s of %s): %s", job.id, job.kind, job.subject, storable)
        WORK[job.kind].fail(self._site, job, Failure(storable, detail))

    def _lane(self, kinds: Collection[Kind]) -> None:
        while not self.stopped.is_set():
            try:
                worked = self.run_one(kinds)
            except Exception:
                _log.exception("the queue can't be read; trying again")
                worked = False
            if not worked and not self.stopped.is_set():
                with self._awake:
                    self._awake.wait(POLL)

    def _heartbeat(self) -> None:
        settings = self._site.queue.settings
        last = time.monotonic()
        while not self.stopped.wait(settings.progress) or self._runs:
            if not self._runs and time.monotonic() - last < settings.heartbeat:
                continue
            last = time.monotonic()
            try:
                self.beat()
            except Exception:
                _log.exception("no heartbeat; trying again")
            if self.stopped.is_set():
                time.sleep(settings.progress)

    def _housekeeping(self) -> None:
        while not self.stopped.wait(HOUSEKEEPING):
            try:
                self.keep_house()
            except Exception:
                _log.exception("housekeeping failed; trying again")


_PIPEFUL = 4096


def _nobody(job: Job) -> str:
    if job.kind == Kind.BACKUP:
        return "Service not found for creating backup."
    return "No worker that reaches both the volume and the backup's store has been alive."
