"""The volumes that we keep ourselves: files on a host, rows in our database.

Everything here is statements in transactions; what touches bytes is a job that a worker runs
(`volumes.tasks`), or is done through the drivers that this process has.
"""

import contextlib
import math
import os
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from emberkeep.caller import Caller
from emberkeep.db import volumes as table
from emberkeep.db.database import Database, Transaction
from emberkeep.db.paging import Query
from emberkeep.db.volumes import ReservationRow, SnapshotRow, VolumeRow
from emberkeep.engine.protocols import Source, Target
from emberkeep.volumes import quota
from emberkeep.volumes.drivers.files import Copied, FilesDriver
from emberkeep.volumes.errors import (
    InvalidInput,
    InvalidSnapshot,
    InvalidVolume,
    Malformed,
    SnapshotNotFound,
    TypeNotFound,
    UnknownZone,
    VolumeError,
    VolumeNotFound,
    WrongStatus,
)
from emberkeep.volumes.quota import VolumeQuotas
from emberkeep.volumes.service import (
    Attributes,
    NewVolume,
    Outcome,
    Purpose,
    Reservation,
    Snapshot,
    Volume,
)

GIB = 1 << 30
DEFAULT_TYPE = "__DEFAULT__"
DEFAULT_TYPE_ID = str(uuid.uuid5(uuid.NAMESPACE_DNS, "emberkeep volume type"))

DELETABLE = ("available", "error", "error_restoring", "error_extending", "error_managing")

# What a volume is when the job that held it ends, by purpose and outcome (contract, states).
_AFTER: Mapping[tuple[Purpose, Outcome], str] = {
    (Purpose.RESTORE, Outcome.COMPLETED): "available",
    (Purpose.RESTORE, Outcome.FAILED): "error_restoring",
    (Purpose.RESTORE, Outcome.CANCELLED): "error",
    (Purpose.RESTORE, Outcome.ABANDONED): "available",
    (Purpose.CREATE, Outcome.COMPLETED): "available",
    (Purpose.CREATE, Outcome.FAILED): "error_restoring",
    (Purpose.CREATE, Outcome.CANCELLED): "error",
    (Purpose.CREATE, Outcome.ABANDONED): "error",
}
# What is then in `previous_status` of a volume that was backed up.
_PREVIOUS = {
    Outcome.COMPLETED: "backing-up",
    Outcome.FAILED: "error_backing-up",
    Outcome.CANCELLED: "error_backing-up",
    Outcome.ABANDONED: "backing-up",
}


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


@dataclass(frozen=True, slots=True)
class VolumeRequest:
    """What a caller asks for in a new volume."""

    size_gib: int | None = None
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    volume_type: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    availability_zone: str | None = None


class LocalVolumes:
    """Volumes, snapshots and their reservations; a `VolumeService`."""

    joins_transactions = True

    def __init__(
        self,
        database: Database,
        *,
        enqueue: Enqueue,
        drivers: Mapping[str, FilesDriver],
        zones: Mapping[str, str],
        default_zone: str | None,
        quotas: VolumeQuotas,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`drivers`: by back end, those that this process reaches; `zones`: their back ends."""
        self._database = database
        self._enqueue = enqueue
        self._drivers = drivers
        self._zones = zones
        self._default_zone = default_zone
        self._quotas = quotas
        self._wake = wake

    # What backups need: VolumeService.

    def get(self, volume_id: str, *, project_id: str | None, tx: Transaction | None) -> Volume:
        with self._in(tx) as inner:
            return _volume(self._row(inner, volume_id, project_id))

    def get_snapshot(
        self, snapshot_id: str, *, project_id: str | None, tx: Transaction | None
    ) -> Snapshot:
        with self._in(tx) as inner:
            row = self._snapshot_row(inner, snapshot_id, project_id)
        return Snapshot(
            id=row.id,
            volume_id=row.volume_id,
            project_id=row.project_id,
            status=row.status,
            size_gib=row.size,
            created_at=row.created_at,
        )

    def reserve_for_backup(
        self,
        job_id: str,
        volume_id: str,
        *,
        snapshot_id: str | None,
        in_use: bool,
        tx: Transaction | None,
    ) -> Reservation:
        with self._in(tx) as inner:
            if held := self._reservation(inner, job_id):
                return held
            row = self._row(inner, volume_id, None)
            if snapshot_id is not None:
                status = self._snapshot_row(inner, snapshot_id, None).status
                taken = table.change_snapshot(
                    inner, snapshot_id, when=("available",), status="backing-up"
                )
            else:
                status = row.status
                taken = table.change(
                    inner,
                    volume_id,
                    when=("available", "in-use") if in_use else ("available",),
                    status="backing-up",
                    previous_status=row.status,
                )
            if not taken:
                raise WrongStatus(f"it is {status}, so it can't be backed up", status=status)
            return self._reserve(inner, job_id, volume_id, Purpose.BACKUP, snapshot_id)

    def reserve_for_restore(
        self, job_id: str, volume_id: str, *, tx: Transaction | None
    ) -> Reservation:
        with self._in(tx) as inner:
            if held := self._reservation(inner, job_id):
                return held
            status = self._row(inner, volume_id, None).status
            if not table.change(inner, volume_id, when=("available",), status="restoring-backup"):
                raise WrongStatus(f"it is {status}, so nothing is restored to it", status=status)
            return self._reserve(inner, job_id, volume_id, Purpose.RESTORE)

    def create_for_restore(
        self, job_id: str, volume: NewVolume, *, tx: Transaction | None
    ) -> Reservation:
        with self._in(tx) as inner:
            if held := self._reservation(inner, job_id):
                return held
            zone = volume.availability_zone or self._default_zone
            if zone is None or zone not in self._zones:
                raise UnknownZone(zone or "")
            quota.check_volume(inner, self._quotas, volume.project_id, volume.size_gib)
            row = self._new_row(
                inner,
                project_id=volume.project_id,
                user_id=volume.user_id,
                size=volume.size_gib,
                zone=zone,
                status=volume.status,
                name=volume.name,
                description=volume.description,
                metadata=volume.metadata,
                volume_type=self.check_type(volume.volume_type),
            )
            return self._reserve(inner, job_id, row.id, Purpose.CREATE)

    def reservation(self, job_id: str, *, tx: Transaction | None) -> Reservation | None:
        with self._in(tx) as inner:
            return self._reservation(inner, job_id)

    def release(
        self,
        job_id: str,
        outcome: Outcome,
        *,
        restored: Attributes | None = None,
        tx: Transaction | None,
    ) -> None:
        with self._in(tx) as inner:
            held = table.get_reservation(inner, job_id)
            if held is None or not table.release(inner, job_id, outcome):
                return
            if held.purpose != Purpose.BACKUP:
                given = {} if restored is None else _columns(restored)
                after = _AFTER[Purpose(held.purpose), outcome]
                table.change(inner, held.volume_id, status=after, **given)
            elif held.snapshot_id is not None:
                table.change_snapshot(
                    inner, held.snapshot_id, when=("backing-up",), status="available"
                )
            elif row := table.get(inner, held.volume_id):
                table.change(
                    inner,
                    held.volume_id,
                    when=("backing-up",),
                    status=row.previous_status or "available",
                    previous_status=_PREVIOUS[outcome],
                )

    def open_source(self, reservation: Reservation) -> AbstractContextManager[Source]:
        driver = self.driver(reservation.volume.backend)
        if reservation.snapshot_id is not None:
            path = driver.path(snapshot_name(reservation.snapshot_id))
            return driver.point_in_time(path, reservation.job_id, in_use=False)
        row = self.show(reservation.volume.id)
        return driver.point_in_time(
            self.path_of(row), reservation.job_id, in_use=row.previous_status == "in-use"
        )

    def open_target(self, reservation: Reservation) -> AbstractContextManager[Target]:
        row = self.show(reservation.volume.id)
        driver = self.driver(row.backend)
        fresh = reservation.purpose is Purpose.CREATE
        if fresh:  # also in the second attempt: what the first one wrote is not zeros
            driver.create(row.id, row.size * GIB)
        return driver.target(self.path_of(row), reads_as_zeros=fresh)

    # What callers of the API ask for.

    def show(self, volume_id: str, *, project_id: str | None = None) -> VolumeRow:
        """The volume's row.  Raises `VolumeNotFound`."""
        with self._database.reading() as tx:
            return self._row(tx, volume_id, project_id)

    def find(self, query: Query, *, with_count: bool = False) -> tuple[list[VolumeRow], int | None]:
        """A page of volumes, and how many there are in all pages if that is asked for."""
        with self._database.reading() as tx:
            return table.page(tx, query), table.count(tx, query) if with_count else None

    def create(self, caller: Caller, asked: VolumeRequest) -> VolumeRow:
        """Make a volume: empty, of a snapshot or of another volume; `creating` until it is made.

        Raises `VolumeError`s in the contract's order (surroundings, create).
        """
        kind = self.check_type(asked.volume_type)
        with self._database.writing() as tx:
            snapshot = source = None
            if asked.snapshot_id is not None:
                snapshot = self._snapshot_row(tx, asked.snapshot_id, caller.sees)
            if asked.source_volid is not None:
                source = self._row(tx, asked.source_volid, caller.sees)
            caller.authorize("volume:create", None)
            if snapshot is not None and source is not None:
                raise InvalidInput(
                    "Invalid input received: May specify only one of backup, imageRef, snapshot, "
                    "source volume"
                )
            origin = source if snapshot is None else self._row(tx, snapshot.volume_id, None)
            size = _checked_size(asked.size_gib, snapshot, source)
            zone = self._zone(asked.availability_zone, origin)
            quota.check_volume(tx, self._quotas, caller.project_id, size)
            row = self._new_row(
                tx,
                project_id=caller.project_id,
                user_id=caller.user_id,
                size=size,
                zone=zone,
                status="creating",
                name=asked.name,
                description=asked.description,
                metadata=asked.metadata or {},
                volume_type=kind,
                snapshot_id=asked.snapshot_id,
                source_volid=asked.source_volid,
                bootable=origin is not None and origin.bootable,
            )
            self._task(tx, "create-volume", row.id, row)
        self._wake()
        return row

    def delete(self, caller: Caller, volume_id: str, *, cascade: bool = False) -> None:
        """Delete the volume, with its snapshots if `cascade`; its backups stay."""
        with self._database.writing() as tx:
            row = self._row(tx, volume_id, caller.sees)
            caller.authorize("volume:delete", row.project_id)
            snapshots = table.snapshots_of(tx, volume_id)
            busy = [snapshot for snapshot in snapshots if snapshot.status not in _SNAPSHOT_IDLE]
            if row.status not in DELETABLE or busy or (snapshots and not cascade):
                raise InvalidVolume(
                    "Invalid volume: Volume status must be available or error or error_restoring "
                    "or error_extending or error_managing and must not be migrating, attached, "
                    "belong to a group, have snapshots, awaiting a transfer, or be disassociated "
                    "from snapshots after volume transfer."
                )
            for snapshot in snapshots:
                table.change_snapshot(tx, snapshot.id, status="deleting")
                self._task(tx, "delete-snapshot", snapshot.id, row)
            table.change(tx, volume_id, status="deleting")
            self._task(tx, "delete-volume", volume_id, row)
        self._wake()

    def extend(self, caller: Caller, volume_id: str, new_size_gib: int) -> None:
        """Make the volume larger."""
        with self._database.writing() as tx:
            row = self._row(tx, volume_id, caller.sees)
            caller.authorize("volume:extend", row.project_id)
            if new_size_gib <= row.size:
                raise InvalidInput(
                    "Invalid input received: New size for extend must be greater than current "
                    f"size. (current: {row.size}, extended: {new_size_gib})."
                )
            if not table.change(tx, volume_id, when=("available",), status="extending"):
                raise InvalidVolume(
                    f"Invalid volume: Volume {volume_id} status must be '{{'status': "
                    f"'available'}}' to extend, currently {row.status}."
                )
            quota.check_growth(tx, self._quotas, row.project_id, new_size_gib - row.size)
            self._task(tx, "extend-volume", volume_id, row, size=new_size_gib)
        self._wake()

    def show_snapshot(self, snapshot_id: str, *, project_id: str | None = None) -> SnapshotRow:
        """The snapshot's row.  Raises `SnapshotNotFound`."""
        with self._database.reading() as tx:
            return self._snapshot_row(tx, snapshot_id, project_id)

    def find_snapshots(
        self, query: Query, *, with_count: bool = False
    ) -> tuple[list[SnapshotRow], int | None]:
        """A page of snapshots, and how many there are in all pages if that is asked for."""
        with self._database.reading() as tx:
            count = table.count_snapshots(tx, query) if with_count else None
            return table.page_snapshots(tx, query), count

    def create_snapshot(
        self,
        caller: Caller,
        volume_id: str,
        *,
        name: str | None,
        description: str | None,
        metadata: Mapping[str, str],
        in_use: bool,
    ) -> SnapshotRow:
        """Snapshot the volume as it is now; `in_use`: also if it is."""
        with self._database.writing() as tx:
            row = self._row(tx, volume_id, caller.sees)
            caller.authorize("volume:create_snapshot", row.project_id)
            allowed = ("available", "in-use") if in_use else ("available",)
            if row.status in _NO_SNAPSHOT:
                raise InvalidVolume(f"Invalid volume: {_NO_SNAPSHOT[row.status]}")
            if row.status not in allowed:
                raise InvalidVolume(
                    f"Invalid volume: Volume {volume_id} status must be {', '.join(allowed)}, "
                    f"but current status is: {row.status}."
                )
            quota.check_snapshot(tx, self._quotas, caller.project_id, row.size)
            snapshot = SnapshotRow(
                id=str(uuid.uuid4()),
                volume_id=volume_id,
                project_id=caller.project_id,
                user_id=caller.user_id,
                status="creating",
                name=name,
                description=description,
                metadata=dict(metadata),
                size=row.size,
                created_at=tx.now(),
                updated_at=None,
                deleted_at=None,
                deleted=False,
            )
            table.insert_snapshot(tx, snapshot)
            self._task(tx, "create-snapshot", snapshot.id, row)
        self._wake()
        return snapshot

    def delete_snapshot(self, caller: Caller, snapshot_id: str) -> None:
        """Delete the snapshot."""
        with self._database.writing() as tx:
            snapshot = self._snapshot_row(tx, snapshot_id, caller.sees)
            caller.authorize("volume:delete_snapshot", snapshot.project_id)
            if not table.change_snapshot(tx, snapshot_id, when=_SNAPSHOT_IDLE, status="deleting"):
                raise InvalidSnapshot(
                    "Invalid snapshot: Snapshot status must be available or error and must not be "
                    "part of a group."
                )
            volume = self._row(tx, snapshot.volume_id, None)
            self._task(tx, "delete-snapshot", snapshot_id, volume)
        self._wake()

    # What an operator does on the volumes' own host.

    def import_file(
        self,
        path: Path,
        *,
        name: str | None,
        zone: str,
        project_id: str,
        user_id: str,
        reference: bool = False,
        metadata: Mapping[str, str] | None = None,
        image_metadata: Mapping[str, str] | None = None,
        bootable: bool = False,
        copied: Copied = lambda _done, _total: None,
    ) -> VolumeRow:
        """Take an image file or block device as a volume: a copy of it, or by `reference`.

        The volume's size is the file's, rounded up to whole GiB; a copy is extended to that.
        """
        if zone not in self._zones:
            raise UnknownZone(zone)
        size = max(1, math.ceil(_size_of(path) / GIB))
        with self._database.writing() as tx:
            quota.check_volume(tx, self._quotas, project_id, size)
            row = self._new_row(
                tx,
                project_id=project_id,
                user_id=user_id,
                size=size,
                zone=zone,
                status="creating",
                name=name,
                description=None,
                metadata=metadata or {},
                volume_type=DEFAULT_TYPE,
                path=str(path.resolve()) if reference else None,
                bootable=bootable,
                image_metadata=image_metadata or {},
            )
        status = "error"
        try:
            if not reference:
                driver = self.driver(row.backend)
                driver.copy(path, row.id, size=size * GIB, copied=copied)
            status = "available"
        finally:
            with self._database.writing() as tx:
                if status == "available":
                    table.change(tx, row.id, status=status)
                else:
                    table.remove(tx, row.id)
        return self.show(row.id)

    def path_of(self, row: VolumeRow) -> Path:
        """The file or device that holds the volume's bytes."""
        return Path(row.path) if row.path else self.driver(row.backend).path(row.id)

    def driver(self, backend: str) -> FilesDriver:
        """The driver of a back end that this process reaches."""
        try:
            return self._drivers[backend]
        except KeyError:
            raise VolumeError(f"the volumes of {backend} are not within reach here") from None

    def check_type(self, asked: str | None) -> str:
        """The name of the volume type.  Raises `TypeNotFound`."""
        if asked in (None, DEFAULT_TYPE, DEFAULT_TYPE_ID):
            return DEFAULT_TYPE
        try:
            uuid.UUID(asked)
        except ValueError:
            raise TypeNotFound(f"Volume type with name {asked} could not be found.") from None
        raise TypeNotFound(f"Volume type {asked} could not be found.")

    @contextlib.contextmanager
    def _in(self, tx: Transaction | None) -> Iterator[Transaction]:
        if tx is not None:
            yield tx
        else:
            with self._database.writing() as own:
                yield own

    def _row(self, tx: Transaction, volume_id: str, project_id: str | None) -> VolumeRow:
        row = table.get(tx, volume_id, project_id=project_id)
        if row is None:
            raise VolumeNotFound(volume_id)
        return row

    def _snapshot_row(
        self, tx: Transaction, snapshot_id: str, project_id: str | None
    ) -> SnapshotRow:
        row = table.get_snapshot(tx, snapshot_id, project_id=project_id)
        if row is None:
            raise SnapshotNotFound(snapshot_id)
        return row

    def _zone(self, asked: str | None, origin: VolumeRow | None) -> str:
        """The zone of a new volume: its origin's, or the one asked for, or the default."""
        zone = asked or (origin.availability_zone if origin else self._default_zone) or ""
        if zone not in self._zones:
            raise UnknownZone(zone)
        if origin is not None and zone != origin.availability_zone:
            raise InvalidInput(
                "Invalid input received: Invalid availability zone. The volume must be in the "
                "same availability zone as its source."
            )
        return zone

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
        description: str | None,
        metadata: Mapping[str, str],
        volume_type: str,
        path: str | None = None,
        snapshot_id: str | None = None,
        source_volid: str | None = None,
        bootable: bool = False,
        image_metadata: Mapping[str, str] | None = None,
    ) -> VolumeRow:
        row = VolumeRow(
            id=str(uuid.uuid4()),
            project_id=project_id,
            user_id=user_id,
            status=status,
            previous_status=None,
            name=name,
            description=description,
            metadata=dict(metadata),
            image_metadata=dict(image_metadata or {}),
            bootable=bootable,
            size=size,
            volume_type=volume_type,
            availability_zone=zone,
            backend=self._zones[zone],
            path=path,
            snapshot_id=snapshot_id,
            source_volid=source_volid,
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
        self._enqueue(
            tx,
            kind=kind,
            subject=subject,
            project_id=volume.project_id,
            user_id=volume.user_id,
            needs_backend=volume.backend,
            arguments=arguments,
        )

    def _reserve(
        self,
        tx: Transaction,
        job_id: str,
        volume_id: str,
        purpose: Purpose,
        snapshot_id: str | None = None,
    ) -> Reservation:
        row = ReservationRow(job_id, volume_id, snapshot_id, purpose, None)
        table.insert_reservation(tx, row)
        return Reservation(job_id, purpose, _volume(self._row(tx, volume_id, None)), snapshot_id)

    def _reservation(self, tx: Transaction, job_id: str) -> Reservation | None:
        row = table.get_reservation(tx, job_id)
        if row is None or row.released is not None:
            return None
        volume = _volume(self._row(tx, row.volume_id, None))
        return Reservation(job_id, Purpose(row.purpose), volume, row.snapshot_id)


_SNAPSHOT_IDLE = ("available", "error")
_NO_SNAPSHOT = {
    "maintenance": "The snapshot cannot be created when the volume is in maintenance mode.",
    "error": "The snapshot cannot be created when the volume is in error status.",
}


def snapshot_name(snapshot_id: str) -> str:
    """The name of a snapshot's file."""
    return f"snapshot-{snapshot_id}"


def _volume(row: VolumeRow) -> Volume:
    return Volume(
        id=row.id,
        project_id=row.project_id,
        status=row.status,
        size_gib=row.size,
        availability_zone=row.availability_zone,
        backend=row.backend,
        attributes=Attributes(
            name=row.name,
            description=row.description,
            metadata=row.metadata,
            image_metadata=row.image_metadata,
            bootable=row.bootable,
        ),
    )


def _columns(attributes: Attributes) -> dict[str, Any]:
    return {
        "name": attributes.name,
        "description": attributes.description,
        "metadata": attributes.metadata,
        "image_metadata": attributes.image_metadata,
        "bootable": attributes.bootable,
    }


def _checked_size(asked: int | None, snapshot: SnapshotRow | None, source: VolumeRow | None) -> int:
    """The size of a new volume in GiB: as asked, or its source's."""
    if snapshot is not None and snapshot.status != "available":
        raise InvalidSnapshot(
            "Invalid snapshot: Originating snapshot status must be one of 'available' values"
        )
    if source is not None and source.status not in ("available", "in-use"):
        raise InvalidVolume(
            "Invalid volume: Originating source volume status must be one of 'available', "
            "'in-use' values"
        )
    origin = snapshot or source
    if origin is None:
        if asked is None:
            raise Malformed
        return asked
    if asked is not None and asked < origin.size:
        raise InvalidInput(
            f"Invalid input received: Volume size '{asked}'GB cannot be smaller than the snapshot "
            f"size {origin.size}GB. They must be >= original snapshot size."
            if snapshot is not None
            else f"Invalid input received: Volume size '{asked}'GB cannot be smaller than original "
            f"volume size  {origin.size}GB. They must be >= original volume size."
        )
    return origin.size if asked is None else asked


def _size_of(path: Path) -> int:
    """Bytes of a file or block device.  Raises `VolumeError` if it is neither, or can't be read."""
    try:
        with path.open("rb") as file:
            kind = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(kind) and not stat.S_ISBLK(kind):
                raise VolumeError(f"{path} is neither a file nor a block device")
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}") from error
