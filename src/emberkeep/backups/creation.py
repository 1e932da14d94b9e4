"""Accepting a new backup: its row, its volume's reservation and its job come to be together.

The checks are in Cinder's order.  What is named is looked up first; that it still is as it was seen
is made sure of by the reservation.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from emberkeep.backups import messages, parents, placement, quota, rows
from emberkeep.backups.errors import InvalidSnapshot, InvalidVolume
from emberkeep.backups.lifecycle import Status
from emberkeep.backups.means import Means
from emberkeep.backups.messages import Action, Detail
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.db.services import Service
from emberkeep.jobs.queue import Kind, NewJob
from emberkeep.volumes.errors import WrongStatus
from emberkeep.volumes.service import Reservation, Snapshot, Volume

NO_SERVICE = "Service not found for creating backup."


@dataclass(frozen=True, slots=True)
class NewBackup:
    """What a caller asks for."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    container: str | None = None
    incremental: bool = False
    force: bool = False
    snapshot_id: str | None = None
    metadata: Mapping[str, str] | None = None
    availability_zone: str | None = None


def create(means: Means, caller: Caller, new: NewBackup) -> Backup:
    """Accept a backup; without a service in its zone it is accepted, too, and in `error` at once.

    Raises `VolumeNotFound`, what `authorize` raises, `SnapshotNotFound`, `InvalidVolume`,
    `InvalidSnapshot`, `QuotaExceeded` and `InvalidBackup`, in this order.
    """
    snapshot = _look(means, caller, new)
    job_id, backup_id = str(uuid.uuid4()), str(uuid.uuid4())
    stub = NewJob(Kind.BACKUP, backup_id, caller.project_id, caller.user_id, caller.request_id)

    def reserve(tx: Transaction | None) -> Reservation:
        try:
            return means.volumes.reserve_for_backup(
                job_id, new.volume_id, snapshot_id=new.snapshot_id, in_use=new.force, tx=tx
            )
        except WrongStatus as error:
            _check_status(new, error.status)
            raise InvalidVolume(str(error)) from error

    with means.seam.opening(stub, job_id, reserve) as opening:
        tx, volume = opening.tx, opening.reservation.volume
        quota.check(
            tx,
            caller.project_id,
            volume.size_gib,
            backups=means.settings.quota_backups,
            gigabytes=means.settings.quota_backup_gigabytes,
        )
        parent = _parent(tx, caller, new, snapshot)
        zone = placement.zone_of_new_backup(
            asked=new.availability_zone,
            parent=parent,
            volume_zone=volume.availability_zone,
            default=means.settings.default_availability_zone,
            enabled=means.settings.enabled_zones,
        )
        service = placement.enabled_service(tx, zone)
        now = tx.now()
        backup = rows.new(
            caller,
            backup_id,
            now=now,
            status=Status.CREATING.value if service else Status.ERROR.value,
            fail_reason=None if service else NO_SERVICE,
            display_name=new.name,
            display_description=new.description,
            metadata=dict(new.metadata or {}),
            volume_id=volume.id,
            snapshot_id=new.snapshot_id,
            parent_id=parent.id if parent else None,
            size=volume.size_gib,
            availability_zone=new.availability_zone or None,
            container=new.container,
            data_timestamp=snapshot.created_at if snapshot else now,
        )
        table.insert(tx, backup)
        if service is None:
            means.seam.abandon(opening)
            messages.tell(
                tx,
                Action.CREATE,
                Detail.NOT_SCHEDULED,
                project_id=caller.project_id,
                request_id=caller.request_id,
                resource_uuid=backup_id,
                ttl=means.settings.message_ttl,
            )
        else:
            means.seam.submit(opening, _job(means, caller, backup, volume, zone, service))
    means.queue.wake()
    return backup


def _look(means: Means, caller: Caller, new: NewBackup) -> Snapshot | None:
    """Check what is named, in Cinder's order; the snapshot, if it is one."""
    with means.seam.looking() as tx:
        volume = means.volumes.get(new.volume_id, project_id=caller.sees, tx=tx)
        caller.authorize("backup:create", volume.project_id)
        if new.snapshot_id is None:
            _check_status(new, volume.status)
            return None
        snapshot = means.volumes.get_snapshot(new.snapshot_id, project_id=caller.sees, tx=tx)
    if snapshot.volume_id != volume.id:
        raise InvalidVolume(
            f"Volume {volume.id} does not match with snapshot.volume_id {snapshot.volume_id}."
        )
    _check_status(new, snapshot.status)
    return snapshot


def _check_status(new: NewBackup, status: str) -> None:
    """Raise, in Cinder's words, if a volume or snapshot in this status can't be backed up."""
    if new.snapshot_id is not None:
        if status != "available":
            raise InvalidSnapshot(
                f'Snapshot to be backed up must be available, but the current status is "{status}".'
            )
    elif status not in ("available", "in-use"):
        raise InvalidVolume(
            "Volume to be backed up must be available or in-use, but the current status is "
            f'"{status}".'
        )
    elif status == "in-use" and not new.force:
        raise InvalidVolume("Backing up an in-use volume must use the force flag.")


def _parent(
    tx: Transaction, caller: Caller, new: NewBackup, snapshot: Snapshot | None
) -> Backup | None:
    if not new.incremental:
        return None
    candidates = table.of_volume(tx, new.volume_id, project_id=caller.project_id)
    return parents.choose(candidates, snapshot_created_at=snapshot.created_at if snapshot else None)


def _job(
    means: Means,
    caller: Caller,
    backup: Backup,
    volume: Volume,
    zone: str,
    service: Service,
) -> NewJob:
    """The job that makes the backup."""
    label = means.settings.default_container if backup.container is None else backup.container
    return NewJob(
        kind=Kind.BACKUP,
        subject=backup.id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        arguments={"availability_zone": zone, "container": label},
        needs_repository=service.repository,
        needs_backend=volume.backend,
        prefers_zone=volume.availability_zone,
    )
