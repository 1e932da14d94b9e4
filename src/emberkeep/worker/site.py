"""What a job finds where it runs, and how it is watched and stopped."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from emberkeep.backups.maintenance import Schedule
from emberkeep.backups.seam import Seam
from emberkeep.db.database import Database
from emberkeep.engine.repository import Progress, Repository, Settings
from emberkeep.jobs.errors import JobCancelled, LeaseLost
from emberkeep.jobs.queue import Beat, Job, Queue
from emberkeep.volumes.local import LocalVolumes
from emberkeep.volumes.service import VolumeService


class HandBack(Exception):
    """This process ends, or can't go on now: another attempt does the job."""

    def __init__(self, *, delay: float = 0) -> None:
        """`delay`: seconds until that attempt may begin."""
        super().__init__()
        self.delay = delay


class GaveUp(Exception):
    """The job can't be done; the message is what its backup shows as the reason."""


@dataclass(frozen=True, slots=True)
class Site:
    """The parts that jobs work with.

    `repositories` by their ids, `zone_repositories` each zone's id; `hosts`: the names under which
    this worker serves the zones;
    `local`: our own volumes, for the jobs that make and delete them.
    """

    database: Database
    queue: Queue
    volumes: VolumeService
    local: LocalVolumes | None
    repositories: Mapping[str, Repository]
    zone_repositories: Mapping[str, str]
    hosts: Mapping[str, str]
    settings: Settings
    schedule: Schedule

    @property
    def seam(self) -> Seam:
        return Seam(self.database, self.queue, self.volumes)

    def repository(self, repository_id: str | None) -> Repository:
        """Raises `GaveUp` if it is out of reach."""
        try:
            return self.repositories[repository_id or ""]
        except KeyError:
            raise GaveUp(
                f"Repository {repository_id} is not configured for any zone here."
            ) from None


@dataclass(slots=True)
class Run:
    """One attempt of a job.  Written by the job's thread, read by the heartbeat's.

    `lease_until`, in the seconds of `clock`: when others may believe that we died.  An attempt that
    slept through it (a suspended machine, a database that was away) stops by itself, before the
    queue can tell it so: a restore must not write beside the next attempt.
    """

    job: Job
    stop: threading.Event  # this process is to end
    lease_until: float
    clock: Callable[[], float] = time.monotonic
    lost: bool = False
    cancelled: bool = False
    _progress: Progress = field(default_factory=lambda: Progress(0, 0, 0))

    def checkpoint(self) -> None:
        """Raise if the attempt is to end: `LeaseLost`, `JobCancelled` or `HandBack`."""
        if self.lost or self.clock() >= self.lease_until:
            raise LeaseLost(f"job {self.job.id}: another attempt has it, or soon will")
        if self.cancelled:
            raise JobCancelled
        if self.stop.is_set():
            raise HandBack

    def report(self, progress: Progress) -> None:
        self._progress = progress

    @property
    def beat(self) -> Beat:
        progress = self._progress
        return Beat(self.job.attempt, progress.done, progress.total, progress.stored)
