"""What backups know of volumes, and all that they may know.

The volumes may be our own (`volumes.local`) or a cloud's.  So a call may be slow, may fail with
`VolumesUnavailable`, and may be repeated with the same job id: then it changes nothing more and
gives the same answer.

Invariants
* a volume or snapshot is reserved by at most one job at a time, and only that job's `release` ends
  the reservation, whatever else happens to the job;
* a service that `joins_transactions` does its work inside the caller's transaction, all or nothing
  with it; another one is called outside of any, and the caller records beforehand, on the job, what
  to release if it never comes to use the reservation.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from emberkeep.db.database import Transaction
from emberkeep.engine.protocols import Source, Target


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a backup keeps of a volume apart from its bytes, and gives back to a restored one."""

    name: str | None
    description: str | None
    metadata: dict[str, str] = field(default_factory=dict)
    image_metadata: dict[str, str] = field(default_factory=dict)
    bootable: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as its service shows it."""

    id: str
    project_id: str
    status: str
    size_gib: int
    availability_zone: str
    backend: str  # what a worker must reach to read or write its bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as its service shows it."""

    id: str
    volume_id: str
    project_id: str
    status: str
    size_gib: int
    created_at: datetime


class Purpose(StrEnum):
    BACKUP = "backup"
    RESTORE = "restore"
    CREATE = "create"  # of a new volume whose bytes come from a backup


class Outcome(StrEnum):
    """How the job ended for which something was reserved (Cinder, state machine)."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"  # it never began: all is as it was before


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a job holds until it is released."""

    job_id: str
    purpose: Purpose
    volume: Volume
    snapshot_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume that is made to be restored to."""

    project_id: str
    user_id: str
    size_gib: int
    name: str | None
    description: str | None
    metadata: dict[str, str]
    availability_zone: str | None  # None: the service's default
    volume_type: str | None = None  # None: the service's default
    status: str = "restoring-backup"  # what it shows until the job ends


class VolumeService(Protocol):
    """The volumes that can be backed up.  All calls may come from many threads at once."""

    @property
    def joins_transactions(self) -> bool:
        """Whether calls get the caller's transaction (else `tx` is None)."""

    def get(self, volume_id: str, *, project_id: str | None, tx: Transaction | None) -> Volume:
        """The volume, if it is of `project_id` (None: of any).  Raises `VolumeNotFound`."""

    def get_snapshot(
        self, snapshot_id: str, *, project_id: str | None, tx: Transaction | None
    ) -> Snapshot:
        """The snapshot, likewise.  Raises `SnapshotNotFound`."""

    def reserve_for_backup(
        self,
        job_id: str,
        volume_id: str,
        *,
        snapshot_id: str | None,
        in_use: bool,
        tx: Transaction | None,
    ) -> Reservation:
        """Make the snapshot, or else the volume, `backing-up`.

        The volume must be `available`, or `in-use` if `in_use` is true; a snapshot `available`.
        Raises `WrongStatus`, `VolumeNotFound`, `SnapshotNotFound`.
        """

    def reserve_for_restore(
        self, job_id: str, volume_id: str, *, tx: Transaction | None
    ) -> Reservation:
        """Make the `available` volume `restoring-backup`.  Raises `WrongStatus`."""

    def create_for_restore(
        self, job_id: str, volume: NewVolume, *, tx: Transaction | None
    ) -> Reservation:
        """Make a volume whose bytes the job will write; all of it reads as zeros until then.

        Raises `VolumeQuotaExceeded` and whatever forbids a new volume in the zone.
        """

    def reservation(self, job_id: str, *, tx: Transaction | None) -> Reservation | None:
        """What the job holds; None if nothing, or if it was released."""

    def release(
        self,
        job_id: str,
        outcome: Outcome,
        *,
        restored: Attributes | None = None,
        tx: Transaction | None,
    ) -> None:
        """End the job's reservation, if there is one; give the volume the `restored` attributes."""

    def open_source(self, reservation: Reservation) -> AbstractContextManager[Source]:
        """The bytes to back up, as of one point in time, given up at the end of the block.

        Raises `VolumeError`, and `NoRoom` where a copy is needed that has no room.
        """

    def open_target(self, reservation: Reservation) -> AbstractContextManager[Target]:
        """The bytes of the volume to restore to, made first if there are none yet."""
