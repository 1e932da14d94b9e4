"""Accepting a restore: to a volume that is there, to a new one, or as a new volume's source."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from emberkeep.backups import access, lifecycle, placement
from emberkeep.backups.errors import InvalidBackup, InvalidInput, InvalidVolume, QuotaExceeded
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.means import Means
from emberkeep.caller import Caller
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.jobs.queue import Kind, NewJob
from emberkeep.volumes.errors import VolumeQuotaExceeded, WrongStatus
from emberkeep.volumes.service import NewVolume, Reservation, Volume

GENERATED_NAME = "restore_backup_"
DESCRIPTION = "auto-created_from_restore_from_backup"

Take = Callable[[str, Transaction | None], Reservation]  # reserves for the job of this id


@dataclass(frozen=True, slots=True)
class Restoring:
    """A restore that was accepted."""

    backup_id: str
    volume_id: str
    volume_name: str | None


def restore(
    means: Means, caller: Caller, backup_id: str, *, volume_id: str | None, name: str | None
) -> Restoring:
    """Accept a restore; without `volume_id` to a new volume of the backup's size, in the caller's
    project and the volume service's default zone.

    Raises `BackupNotFound`, what `authorize` raises, `InvalidBackup`, `VolumeNotFound`,
    `InvalidVolume`, `QuotaExceeded` and `ServiceNotFound`.
    """
    with means.database.reading() as tx:
        backup = access.get(tx, caller, backup_id, "backup:restore")
        lifecycle.check(Event.RESTORE_ACCEPTED, backup.status)
        if not backup.size:
            raise InvalidBackup("Backup to be restored has invalid size")
    if volume_id is None:
        take = _a_new_volume(means, caller, backup, name)
    else:
        with means.seam.looking() as looking:
            volume = means.volumes.get(volume_id, project_id=caller.sees, tx=looking)
        if volume.status != "available":
            raise InvalidVolume("Volume to be restored to must be available")
        _check_room(volume, backup)
        take = _the_volume(means, volume_id)
    volume = _accept(means, caller, backup, take).volume
    return Restoring(backup_id, volume.id, volume.attributes.name)


def create_volume(means: Means, caller: Caller, backup_id: str, new: NewVolume) -> str:
    """Make a volume from a backup; returns its id.  `new.size_gib` 0: the backup's size.

    Raises `BackupNotFound`, what `authorize` raises, `InvalidBackup`, `InvalidInput`,
    `VolumeQuotaExceeded`, whatever else forbids the volume, and `ServiceNotFound`.
    """
    with means.database.reading() as tx:
        backup = access.get(tx, caller, backup_id)
    if not lifecycle.allowed(Event.RESTORE_ACCEPTED, backup.status):
        raise InvalidBackup("Originating backup status must be one of 'available' values")
    size = new.size_gib or backup.size
    if size < backup.size:
        raise InvalidInput(
            f"Volume size {size}GB cannot be smaller than the backup size {backup.size}GB. "
            "It must be >= backup size."
        )
    wanted = replace(
        new,
        project_id=caller.project_id,
        user_id=caller.user_id,
        size_gib=size,
        status="creating",
    )

    def take(job_id: str, tx: Transaction | None) -> Reservation:
        return means.volumes.create_for_restore(job_id, wanted, tx=tx)

    return _accept(means, caller, backup, take).volume.id


def _the_volume(means: Means, volume_id: str) -> Take:
    def take(job_id: str, tx: Transaction | None) -> Reservation:
        try:
            return means.volumes.reserve_for_restore(job_id, volume_id, tx=tx)
        except WrongStatus as error:
            raise InvalidVolume("Volume to be restored to must be available") from error

    return take


def _a_new_volume(means: Means, caller: Caller, backup: Backup, name: str | None) -> Take:
    new = NewVolume(
        project_id=caller.project_id,
        user_id=caller.user_id,
        size_gib=backup.size,
        name=f"{GENERATED_NAME}{backup.id}" if name is None else name,
        description=DESCRIPTION,
        metadata={},
        availability_zone=None,
    )

    def take(job_id: str, tx: Transaction | None) -> Reservation:
        try:
            return means.volumes.create_for_restore(job_id, new, tx=tx)
        except VolumeQuotaExceeded as error:
            raise QuotaExceeded(error.text) from error

    return take


def _accept(means: Means, caller: Caller, backup: Backup, take: Take) -> Reservation:
    """Reserve, and let the backup be restored if it still may."""
    job_id = str(uuid.uuid4())
    stub = NewJob(Kind.RESTORE, backup.id, caller.project_id, caller.user_id, caller.request_id)
    with means.seam.opening(stub, job_id, lambda tx: take(job_id, tx)) as opening:
        tx, volume = opening.tx, opening.reservation.volume
        _check_room(volume, backup)
        event = Event.RESTORE_ACCEPTED
        if not lifecycle.happen(tx, backup.id, event, restore_volume_id=volume.id):
            lifecycle.check(event, access.visible(tx, caller, backup.id).status)
        service = placement.require_service(tx, backup.availability_zone)
        means.seam.submit(
            opening,
            NewJob(
                kind=Kind.RESTORE,
                subject=backup.id,
                project_id=caller.project_id,
                user_id=caller.user_id,
                request_id=caller.request_id,
                arguments={"volume_id": volume.id},
                needs_repository=backup.repository or service.repository,
                needs_backend=volume.backend,
                prefers_zone=volume.availability_zone,
            ),
        )
    means.queue.wake()
    return opening.reservation


def _check_room(volume: Volume, backup: Backup) -> None:
    if volume.size_gib < backup.size:
        raise InvalidVolume(
            f"volume size {volume.size_gib} is too small to restore backup of size {backup.size}."
        )
