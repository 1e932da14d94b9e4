"""Telling other services, now and then, how far a backup is."""

from typing import Any

from emberkeep.backups.notifications import Event, Notifications, Pace
from emberkeep.db.backups import Backup
from emberkeep.engine.repository import Progress
from emberkeep.worker.site import Run


class Telling:
    """Takes the reports of one attempt and tells of some: by a pace, of the begin and the end.

    The payload has the keys of Cinder's drivers, but not the names of all objects so far, which
    would grow with the volume.
    """

    def __init__(
        self, notifications: Notifications, pace: Pace, run: Run, backup: Backup, *, prefix: str
    ) -> None:
        """`prefix`: what the names of the objects begin with."""
        self._notifications = notifications
        self._pace = pace
        self._run = run
        self._backup = backup
        self._prefix = prefix
        self._objects = self._objects_told = 0
        self._told_at = run.clock()
        if pace.seconds is not None:
            self._tell(0)

    def report(self, progress: Progress) -> None:
        self._run.report(progress)
        self._objects = progress.segments
        percent = 100 * progress.done / progress.total if progress.total else 100
        if self._objects - self._objects_told >= self._pace.objects:
            self._objects_told = self._objects
            self._tell(percent)
        now, seconds = self._run.clock(), self._pace.seconds
        if seconds is not None and now - self._told_at >= seconds:
            self._told_at = now
            self._tell(percent)

    def all_sent(self) -> None:
        """Everything is in the store."""
        self._tell(100)

    def _tell(self, percent: float) -> None:
        meta: dict[str, Any] = {
            "id": self._objects + 1,  # the next one's number
            "list": [],
            "prefix": self._prefix,
            "volume_meta": None,
            "backup_percent": percent,
        }
        self._notifications.send(Event.CREATE_PROGRESS, self._backup, **meta)
