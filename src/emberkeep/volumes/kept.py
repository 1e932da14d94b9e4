"""What everything that is done to our own volumes stands on: rows, back ends, tasks for a worker.

Whoever changes a row reads it by `held` or `held_snapshot`, which lock it, and changes it in the
same transaction: so two that want the same volume take turns.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from emberkeep.db import volumes as table
from emberkeep.db.database import Database, Transaction
from emberkeep.db.volumes import SnapshotRow, VolumeRow
from emberkeep.volumes.drivers.files import FilesDriver
from emberkeep.volumes.errors import (
    SnapshotNotFound,
    TypeNotFound,
    UnknownZone,
    VolumeError,
    VolumeNotFound,
)
from emberkeep.volumes.quota import VolumeQuotas
from emberkeep.volumes.types import DEFAULT

GIB = 1 << 30
DEFAULT_TYPE = DEFAULT.name
DEFAULT_TYPE_ID = DEFAULT.id


@dataclass(frozen=True, slots=True)
class Placing:
    """How a new volume gets its zone.  The names are those of Cinder's options.

    A zone that there is not: the default one instead of an error, if `allow_fallback`.  A copy may
    be in another zone than its origin unless `same_zone`.
    """

    allow_fallback: bool = False  # allow_availability_zone_fallback
    same_zone: bool = True  # cloned_volume_same_az


# What a volume is while a job has it: then its `previous_status` is what it will be.
GIVEN_BACK = frozenset({"backing-up", "extending"})
# And while a job has it whose end does not depend on what it was before.
TAKEN = frozenset({"creating", "deleting", "restoring-backup", "reverting"})


class Enqueue(Protocol):
    """Adds a job for a worker that reaches `needs_backend`, in the caller's transaction."""

    def __call__(
        self,
        tx: Transaction,
        *,
        kind: str,
        subject: str,
        project_id: str,
        user_id: str,
        needs_backend: str,
        arguments: Mapping[str, Any],
    ) -> object: ...


class Kept:
    """The volumes that we keep."""

    def __init__(
        self,
        database: Database,
        *,
        enqueue: Enqueue,
        drivers: Mapping[str, FilesDriver],
        zones: Mapping[str, str],
        default_zone: str | None,
        quotas: VolumeQuotas,
        placing: Placing | None = None,
        wake: Callable[[], None] = lambda: None,
        message_ttl: float = 2_592_000,
    ) -> None:
        """`drivers`: by back end, those that this process reaches; `zones`: their back ends.

        `wake` tells workers nearby, after a commit, that there is a task; `message_ttl` is how many
        seconds a message to a user is kept.
        """
        self._database = database
        self._enqueue = enqueue
        self._drivers = drivers
        self._zones = zones
        self._default_zone = default_zone
        self._quotas = quotas
        self._placing = placing or Placing()
        self._wake = wake
        self._message_ttl = message_ttl

    @property
    def quotas(self) -> VolumeQuotas:
        """What a project may have, unless the database has other limits."""
        return self._quotas

    def driver(self, backend: str) -> FilesDriver:
        """The driver of a back end.  Raises `VolumeError` if this process does not reach it."""
        try:
            return self._drivers[backend]
        except KeyError:
            raise VolumeError(f"the volumes of {backend} are not within reach here") from None

    def sweep(self) -> None:
        """Remove what processes that were killed left half made, in all reach."""
        for driver in self._drivers.values():
            driver.sweep()

    def path_of(self, row: VolumeRow) -> Path:
        """The file or device that holds the volume's bytes."""
        return Path(row.path) if row.path else self.driver(row.backend).path(row.id)

    def snapshot_path(self, snapshot_id: str, backend: str) -> Path:
        """The file that holds the snapshot's bytes."""
        return self.driver(backend).path(snapshot_name(snapshot_id))

    def leave_nothing(self, driver: FilesDriver, volume_id: str) -> None:
        """Remove the file that was made of a volume, if that was deleted by force meanwhile."""
        with self._database.reading() as tx:
            row = table.get(tx, volume_id)
        if row is None or row.status == "deleting":
            driver.delete(volume_id)

    def check_type(self, asked: str | None) -> str:
        """The name of the volume type.  Raises `TypeNotFound`."""
        if asked in (None, DEFAULT_TYPE, DEFAULT_TYPE_ID):
            return DEFAULT_TYPE
        try:
            uuid.UUID(asked)
        except ValueError:
            raise TypeNotFound(f"Volume type with name {asked} could not be found.") from None
        raise TypeNotFound(f"Volume type {asked} could not be found.")

    def _check_zone(self, zone: str | None) -> str:
        """The zone, or the default one.  Raises `UnknownZone` if there are no volumes in it."""
        default = self._default_zone or ""
        found = zone or default
        if found not in self._zones and self._placing.allow_fallback:
            found = default
        if found not in self._zones:
            raise UnknownZone(found)
        return found

    def _row(self, tx: Transaction, volume_id: str, project_id: str | None = None) -> VolumeRow:
        row = table.get(tx, volume_id, project_id=project_id)
        if row is None:
            raise VolumeNotFound(volume_id)
        return row

    def _held(self, tx: Transaction, volume_id: str, project_id: str | None = None) -> VolumeRow:
        row = table.held(tx, volume_id, project_id=project_id)
        if row is None:
            raise VolumeNotFound(volume_id)
        return row

    @staticmethod
    def _true_status(tx: Transaction, row: VolumeRow) -> str:
        """The status of the held volume as far as its bytes count: an operator may have reset it
        while a restore writes them."""
        return "restoring-backup" if table.is_being_restored(tx, row.id) else row.status

    def _snapshot_row(
        self, tx: Transaction, snapshot_id: str, project_id: str | None = None
    ) -> SnapshotRow:
        row = table.get_snapshot(tx, snapshot_id, project_id=project_id)
        if row is None:
            raise SnapshotNotFound(snapshot_id)
        return row

    def _held_snapshot(
        self, tx: Transaction, snapshot_id: str, project_id: str | None = None
    ) -> SnapshotRow:
        row = table.held_snapshot(tx, snapshot_id, project_id=project_id)
        if row is None:
            raise SnapshotNotFound(snapshot_id)
        return row

    def _new_row(
        self,
        tx: Transaction,
        *,
        project_id: str,
        user_id: str,
        size: int,
        zone: str,
        status: str,
        name: str | None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        image_metadata: Mapping[str, str] | None = None,
        bootable: bool = False,
        volume_type: str = DEFAULT_TYPE,
        volume_id: str | None = None,
        path: str | None = None,
        snapshot_id: str | None = None,
        source_volid: str | None = None,
    ) -> VolumeRow:
        row = VolumeRow(
            id=volume_id or str(uuid.uuid4()),
            project_id=project_id,
            user_id=user_id,
            status=status,
            previous_status=None,
            name=name,
            description=description,
            metadata=dict(metadata or {}),
            image_metadata=dict(image_metadata or {}),
            bootable=bootable,
            size=size,
            volume_type=volume_type,
            availability_zone=zone,
            backend=self._zones[zone],
            path=path,
            snapshot_id=snapshot_id,
            source_volid=source_volid,
            attach_status="detached",
            migration_status=None,
            admin_metadata={},
            created_at=tx.now(),
            updated_at=None,
            deleted_at=None,
            deleted=False,
        )
        table.insert(tx, row)
        return row

    def _task(
        self, tx: Transaction, kind: str, subject: str, volume: VolumeRow, **arguments: Any
    ) -> None:
        """Have a worker do it that reaches the volume's back end; `wake` follows the commit."""
        self._enqueue(
            tx,
            kind=kind,
            subject=subject,
            project_id=volume.project_id,
            user_id=volume.user_id,
            needs_backend=volume.backend,
            arguments=arguments,
        )


def is_migrating(row: VolumeRow) -> bool:
    """Whether the volume is on its way to another back end, as an operator may have said."""
    return row.migration_status not in (None, "deleting", "error", "success")


def snapshot_name(snapshot_id: str) -> str:
    """The name of a snapshot's file."""
    return f"snapshot-{snapshot_id}"
