"""Our own volumes as backups see them: a `VolumeService` that joins the caller's transactions."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from emberkeep.db import volumes as table
from emberkeep.db.database import Transaction
from emberkeep.db.volumes import ReservationRow, VolumeRow
from emberkeep.engine.protocols import Source, Target
from emberkeep.volumes import quota
from emberkeep.volumes.errors import WrongStatus
from emberkeep.volumes.kept import GIB, Kept
from emberkeep.volumes.service import (
    Attributes,
    NewVolume,
    Outcome,
    Purpose,
    Reservation,
    Snapshot,
    Volume,
)

# What a volume is when the job ends that wrote to it.
AFTER_WRITING: Mapping[tuple[Purpose, Outcome], str] = {
    (Purpose.RESTORE, Outcome.COMPLETED): "available",
    (Purpose.RESTORE, Outcome.FAILED): "error_restoring",
    (Purpose.RESTORE, Outcome.CANCELLED): "error",
    (Purpose.RESTORE, Outcome.ABANDONED): "available",
    (Purpose.CREATE, Outcome.COMPLETED): "available",
    (Purpose.CREATE, Outcome.FAILED): "error_restoring",
    (Purpose.CREATE, Outcome.CANCELLED): "error",
    (Purpose.CREATE, Outcome.ABANDONED): "error",  # there was nothing before, and no bytes are
}
# A volume that was backed up gets its status back; `previous_status` then says how that went.
PREVIOUS_AFTER_BACKUP: Mapping[Outcome, str] = {
    Outcome.COMPLETED: "backing-up",
    Outcome.FAILED: "error_backing-up",
    Outcome.CANCELLED: "error_backing-up",
    Outcome.ABANDONED: "backing-up",
}


class Reserving(Kept):
    """The seam to backups; see `VolumeService` for what each call promises."""

    joins_transactions = True

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
            if known := self._known(inner, job_id):
                return known
            if snapshot_id is not None:
                self._take_snapshot_for_backup(inner, snapshot_id)
            else:
                self._take_volume_for_backup(inner, volume_id, in_use=in_use)
            return self._reserve(inner, job_id, volume_id, Purpose.BACKUP, snapshot_id)

    def _take_snapshot_for_backup(self, tx: Transaction, snapshot_id: str) -> None:
        status = self._held_snapshot(tx, snapshot_id).status
        if status != "available":
            raise WrongStatus(
                "Snapshot to be backed up must be available, but the current status is "
                f'"{status}".',
                status=status,
            )
        table.change_snapshot(tx, snapshot_id, status="backing-up")

    def _take_volume_for_backup(self, tx: Transaction, volume_id: str, *, in_use: bool) -> None:
        status = self._true_status(tx, self._held(tx, volume_id))
        if status == "in-use" and not in_use:
            raise WrongStatus("Backing up an in-use volume must use the force flag.", status=status)
        if status not in ("available", "in-use"):
            raise WrongStatus(
                "Volume to be backed up must be available or in-use, but the current status is "
                f'"{status}".',
                status=status,
            )
        table.change(tx, volume_id, status="backing-up", previous_status=status)

    def reserve_for_restore(
        self, job_id: str, volume_id: str, *, tx: Transaction | None
    ) -> Reservation:
        """Also refused while a snapshot or clone of the volume waits to be made: it is to hold
        what the volume held when it was asked for."""
        with self._in(tx) as inner:
            if known := self._known(inner, job_id):
                return known
            status = self._true_status(inner, self._held(inner, volume_id))
            if status != "available" or table.is_being_copied(inner, volume_id):
                raise WrongStatus("Volume to be restored to must be available", status=status)
            table.change(inner, volume_id, status="restoring-backup", previous_status=status)
            return self._reserve(inner, job_id, volume_id, Purpose.RESTORE)

    def create_for_restore(
        self, job_id: str, volume: NewVolume, *, tx: Transaction | None
    ) -> Reservation:
        with self._in(tx) as inner:
            if known := self._known(inner, job_id):
                return known
            volume_type = self.check_type(volume.volume_type)
            zone = self._check_zone(volume.availability_zone)
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
                volume_type=volume_type,
            )
            return self._reserve(inner, job_id, row.id, Purpose.CREATE)

    def reservation(self, job_id: str, *, tx: Transaction | None) -> Reservation | None:
        with self._in(tx) as inner:
            row = table.get_reservation(inner, job_id)
            if row is None or row.released is not None:
                return None
            return self._reservation(inner, row)

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
            purpose = Purpose(held.purpose)
            if purpose is not Purpose.BACKUP:
                self._give_after_writing(inner, held.volume_id, purpose, outcome, restored)
            elif held.snapshot_id is not None:
                table.change_snapshot(
                    inner, held.snapshot_id, when=("backing-up",), status="available"
                )
            else:
                self._give_back(inner, held.volume_id, outcome)

    @staticmethod
    def _give_after_writing(
        tx: Transaction,
        volume_id: str,
        purpose: Purpose,
        outcome: Outcome,
        restored: Attributes | None,
    ) -> None:
        row = table.held(tx, volume_id)
        if row is None or row.status == "deleting":  # by force: it stays so
            return
        given = {} if restored is None else _columns(restored)
        table.change(tx, volume_id, status=AFTER_WRITING[purpose, outcome], **given)

    def _give_back(self, tx: Transaction, volume_id: str, outcome: Outcome) -> None:
        """Give a volume that was backed up the status that it had."""
        row = table.held(tx, volume_id)
        if row is None:
            return
        table.change(
            tx,
            volume_id,
            when=("backing-up",),
            status=row.previous_status or "available",
            previous_status=PREVIOUS_AFTER_BACKUP[outcome],
        )

    def open_source(self, reservation: Reservation) -> AbstractContextManager[Source]:
        backend = reservation.volume.backend
        driver = self.driver(backend)
        if reservation.snapshot_id is not None:
            path = self.snapshot_path(reservation.snapshot_id, backend)
            return driver.point_in_time(path, reservation.job_id, in_use=False)
        with self._database.reading() as tx:
            row = self._row(tx, reservation.volume.id)
        in_use = row.previous_status == "in-use"
        return driver.point_in_time(self.path_of(row), reservation.job_id, in_use=in_use)

    def open_target(self, reservation: Reservation) -> AbstractContextManager[Target]:
        with self._database.reading() as tx:
            row = self._row(tx, reservation.volume.id)
        driver = self.driver(row.backend)
        new = reservation.purpose is Purpose.CREATE
        if new:  # in every attempt: what the one before wrote is not zeros
            driver.renew(row.id, row.size * GIB)
            self.leave_nothing(driver, row.id)
        elif row.path is None:
            driver.extend(row.id, row.size * GIB)
        return driver.target(self.path_of(row), size=row.size * GIB, reads_as_zeros=new)

    @contextlib.contextmanager
    def _in(self, tx: Transaction | None) -> Iterator[Transaction]:
        if tx is not None:
            yield tx
        else:
            with self._database.writing() as own:
                yield own

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
        return self._reservation(tx, row)

    def _known(self, tx: Transaction, job_id: str) -> Reservation | None:
        """What the job got when it reserved before, even if it was released meanwhile."""
        row = table.get_reservation(tx, job_id)
        return None if row is None else self._reservation(tx, row)

    def _reservation(self, tx: Transaction, row: ReservationRow) -> Reservation:
        volume = _volume(self._row(tx, row.volume_id))
        return Reservation(row.job_id, Purpose(row.purpose), volume, row.snapshot_id)


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
