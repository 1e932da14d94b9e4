"""What a job finds where it runs, and how it is watched and stopped."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from emberkeep.backups import messages
from emberkeep.backups.maintenance import Schedule
from emberkeep.backups.messages import Action, Detail
from emberkeep.backups.notifications import Notifications, Pace
from emberkeep.backups.seam import Seam
from emberkeep.db.database import Database, Transaction
from emberkeep.engine.errors import EngineError
from emberkeep.engine.repository import Progress, Repository, Settings
from emberkeep.jobs.errors import JobCancelled, LeaseLost
from emberkeep.jobs.queue import Beat, Job, Queue
from emberkeep.volumes.local import LocalVolumes
from emberkeep.volumes.service import VolumeService

Opened = TypeVar("Opened")


class HandBack(Exception):
    """This process ends, or can't go on now: another attempt does the job."""

    def __init__(self, *, delay: float = 0) -> None:
        """`delay`: seconds until that attempt may begin."""
        super().__init__()
        self.delay = delay


class GaveUp(Exception):
    """The job can't be done; the message is what its backup shows as the reason."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job won't be done: what its subject shows, and what its user is told, if anything."""

    reason: str
    detail: Detail | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """The parts that jobs work with.

    `repositories` by their ids, `zone_repositories` each zone's id; `hosts`: the names under which
    this worker serves the zones;
    `local`: our own volumes, for the jobs that make and delete them; `message_ttl`: how many
    seconds a message to a user is kept; `pace`: how often `notifications` tell of progress.
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
    message_ttl: float = 2_592_000
    notifications: Notifications = field(default_factory=Notifications)
    pace: Pace = field(default_factory=Pace)

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

    def tell(self, tx: Transaction, job: Job, action: Action, detail: Detail | None) -> None:
        """Tell the user who asked for the job why it failed, if that is for users at all."""
        if detail is None:
            return
        of_volume = detail is Detail.INVALID_VOLUME
        messages.tell(
            tx,
            action,
            detail,
            project_id=job.project_id,
            request_id=job.request_id,
            resource_uuid=job.arguments["volume_id"] if of_volume else job.subject,
            ttl=self.message_ttl,
        )


@dataclass(slots=True)
class Run:
    """One attempt of a job.  Written by the job's thread, read by the heartbeat's.

    `lease_until`, in the seconds of `clock`: when others may believe that we died.  An attempt that
    slept through it (a suspended machine, a database that was away) stops by itself, before the
    queue can tell it so: a restore must not write beside the next attempt.

    `failing`: what has failed if the attempt fails now; `begun`: whether it has changed anything.
    """

    job: Job
    stop: threading.Event  # this process is to end
    lease_until: float
    clock: Callable[[], float] = time.monotonic
    lost: bool = False
    cancelled: bool = False
    failing: Detail | None = None
    begun: bool = False
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


@contextlib.contextmanager
def attached(
    run: Run,
    attach: Callable[[], AbstractContextManager[Opened]],
    *,
    working: Detail,
    closing: Detail,
) -> Iterator[Opened]:
    """Attach a volume for the block, and keep in `run.failing` whether it is being attached, worked
    with or let go."""
    run.failing = Detail.ATTACH_FAILED
    with contextlib.ExitStack() as open_until:
        opened = open_until.enter_context(attach())
        run.failing = working
        yield opened
        run.failing = closing
        try:
            open_until.close()
        except EngineError:  # what was read or written is not the volume's
            run.failing = working
            raise
    run.failing = working
