"""What callers do with backups: the face of this package, one line for each thing that is asked.

Each is one decision, with its checks in Cinder's order; `caller.authorize` stands where a
denial is due.  The work itself is a job for a worker.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from emberkeep.backups import (
    access,
    creation,
    deletion,
    listing,
    maintenance,
    placement,
    resetting,
    restoring,
    transfer,
)
from emberkeep.backups import condition as state
from emberkeep.backups import progress as work
from emberkeep.backups.creation import NO_SERVICE, NewBackup
from emberkeep.backups.listing import Page, Query
from emberkeep.backups.means import Means, Settings
from emberkeep.backups.notifications import Notifications
from emberkeep.backups.placement import Zone
from emberkeep.backups.records import Record
from emberkeep.backups.restoring import Restoring
from emberkeep.backups.seam import Seam
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db.backups import Backup
from emberkeep.db.database import Database, Transaction
from emberkeep.jobs.queue import Kind, Queue
from emberkeep.volumes.service import NewVolume, VolumeService

__all__ = [
    "KEEP",
    "NO_SERVICE",
    "Backups",
    "Keep",
    "NewBackup",
    "Page",
    "Query",
    "Restoring",
    "Settings",
]


class Keep(Enum):
    """Stands for what an update leaves as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


class Backups:
    """The rules of backups.  May be used from many threads."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        volumes: VolumeService,
        settings: Settings,
        notifications: Notifications | None = None,
    ) -> None:
        self.settings = settings
        seam = Seam(database, queue, volumes)
        told = notifications or Notifications()
        self._means = Means(database, queue, volumes, seam, settings, told)

    def list(self, caller: Caller, query: Query) -> Page:
        with self._means.database.reading() as tx:
            return listing.page(tx, caller, query)

    def show(self, caller: Caller, backup_id: str) -> Backup:
        with self._means.database.reading() as tx:
            return access.get(tx, caller, backup_id)

    def create(self, caller: Caller, new: NewBackup) -> Backup:
        return creation.create(self._means, caller, new)

    def update(
        self,
        caller: Caller,
        backup_id: str,
        *,
        name: str | Keep | None = KEEP,
        description: str | Keep | None = KEEP,
        metadata: Mapping[str, str] | Keep = KEEP,
    ) -> Backup:
        """Rename, describe, or replace the metadata of a backup in whatever status."""
        given = {"display_name": name, "display_description": description, "metadata": metadata}
        values: dict[str, Any] = {key: value for key, value in given.items() if value is not KEEP}
        with self._means.database.writing() as tx:
            access.get(tx, caller, backup_id, "backup:update")
            if values:
                table.change(tx, backup_id, **values)
            return access.visible(tx, caller, backup_id)

    def delete(self, caller: Caller, backup_id: str) -> None:
        deletion.delete(self._means, caller, backup_id)

    def force_delete(self, caller: Caller, backup_id: str) -> None:
        deletion.force_delete(self._means, caller, backup_id)

    def reset_status(self, caller: Caller, backup_id: str, status: str) -> None:
        resetting.reset_status(self._means, caller, backup_id, status)

    def restore(
        self, caller: Caller, backup_id: str, *, volume_id: str | None, name: str | None
    ) -> Restoring:
        return restoring.restore(self._means, caller, backup_id, volume_id=volume_id, name=name)

    def create_volume(self, caller: Caller, backup_id: str, new: NewVolume) -> str:
        """Make a volume from a backup; returns its id.  `new.size_gib` 0: the backup's size."""
        return restoring.create_volume(self._means, caller, backup_id, new)

    def export_record(self, caller: Caller, backup_id: str) -> Record:
        return transfer.export_record(self._means, caller, backup_id)

    def import_record(
        self, caller: Caller, record: Record, *, backup_id: str | None = None
    ) -> Backup:
        return transfer.import_record(self._means, caller, record, backup_id=backup_id)

    def progress(self, caller: Caller, backup_id: str) -> dict[str, Any]:
        return work.progress(self._means, caller, backup_id)

    def condition(self, caller: Caller, backup_id: str) -> dict[str, Any]:
        return state.condition(self._means, caller, backup_id)

    def zones(self) -> Sequence[Zone]:
        """The availability zones, in configured order."""
        with self._means.database.reading() as tx:
            return placement.zones(tx, self.settings.enabled_zones)

    def collect(self, tx: Transaction, *, dry_run: bool = False) -> Sequence[str]:
        """Let every domain that a service reaches be collected; returns the jobs' ids."""
        asked = {"dry_run": True} if dry_run else {}
        return maintenance.enqueue_all(tx, self._means.queue, arguments=asked)

    def verify(self, tx: Transaction, *, depth: int, share: float) -> Sequence[str]:
        """Let every such domain be verified (`Repository.verify`); returns the jobs' ids."""
        asked = {"depth": depth, "share": share}
        return maintenance.enqueue_all(tx, self._means.queue, kind=Kind.VERIFY, arguments=asked)
