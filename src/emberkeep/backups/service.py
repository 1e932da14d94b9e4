"""What callers do with backups: each method is one decision in one transaction.

Checks are in the contract's order; `caller.authorize` stands where a denial is due.  The work
itself is a job for a worker.
"""

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from emberkeep.backups import collection, lifecycle, parents, placement, quota, records
from emberkeep.backups.errors import (
    BackupNotFound,
    InvalidBackup,
    InvalidInput,
    InvalidSnapshot,
    InvalidVolume,
    QuotaExceeded,
    ServiceUnavailable,
)
from emberkeep.backups.lifecycle import Event, Status
from emberkeep.backups.placement import Zone
from emberkeep.backups.records import Place, Record
from emberkeep.backups.seam import Seam
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db import paging, sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Database, Transaction
from emberkeep.db.paging import InvalidSortKey, MarkerNotFound
from emberkeep.jobs.queue import Kind, NewJob, Queue
from emberkeep.volumes.errors import VolumeQuotaExceeded, WrongStatus
from emberkeep.volumes.service import (
    NewVolume,
    Reservation,
    Snapshot,
    Volume,
    VolumeService,
)

NO_SERVICE = "Service not found for creating backup."

_NOWHERE = dict.fromkeys(("repository", "domain", "root", "root_sha256", "size_bytes", "service"))


class Keep(Enum):
    """Stands for what an update leaves as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides about backups; quotas of -1 are without limit."""

    quota_backups: int = 10
    quota_backup_gigabytes: int = 1000
    default_container: str = "volumebackups"
    default_availability_zone: str = placement.SAME_AS_VOLUME
    refuse_delete_of_parents: bool = False
    enabled_zones: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Query:
    """Which backups a caller lists; `sort` holds (column, "asc" or "desc")."""

    limit: int = 1000
    marker: str | None = None
    offset: int = 0
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"),)
    filters: Mapping[str, str] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    all_tenants: bool = False
    with_count: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the backups, and how many there are in all, if that was asked."""

    items: list[Backup]
    count: int | None


@dataclass(frozen=True, slots=True)
class Restoring:
    """A restore that was accepted."""

    backup_id: str
    volume_id: str
    volume_name: str | None


class Backups:
    """The rules of backups.  May be used from many threads."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        volumes: VolumeService,
        settings: Settings,
    ) -> None:
        self.settings = settings
        self._database = database
        self._queue = queue
        self._volumes = volumes
        self._seam = Seam(database, queue, volumes)

    def list(self, caller: Caller, query: Query) -> Page:
        """A page of the caller's backups, or of all projects' for an admin who asks for that.

        Raises `InvalidInput` and `BackupNotFound` (the marker).
        """
        everywhere = caller.is_admin and query.all_tenants
        filters = dict(query.filters)
        if not everywhere:
            filters.pop("project_id", None)
        marker_of = None if caller.is_admin else caller.project_id
        wanted = paging.Query(
            project_id=None if everywhere else caller.project_id,
            limit=query.limit,
            marker=query.marker,
            offset=query.offset,
            sort=tuple((key, direction == "asc") for key, direction in query.sort),
            filters=filters,
            like=query.like,
            marker_project_id=marker_of,
        )
        with self._database.reading() as tx:
            try:
                items = table.page(tx, wanted)
            except InvalidSortKey as error:
                raise InvalidInput("Invalid sort key") from error
            except MarkerNotFound as error:
                raise BackupNotFound(error.marker) from error
            return Page(items, table.count(tx, wanted) if query.with_count else None)

    def show(self, caller: Caller, backup_id: str) -> Backup:
        with self._database.reading() as tx:
            return self._get(tx, caller, backup_id)

    def create(self, caller: Caller, new: NewBackup) -> Backup:
        """Accept a backup: its row, its volume's reservation and its job are one transaction.

        Without a service in its zone it is accepted, too, and in `error` at once.
        """
        volume, snapshot = self._subject(caller, new)
        job_id = str(uuid.uuid4())
        backup_id = str(uuid.uuid4())
        stub = NewJob(Kind.BACKUP, backup_id, caller.project_id, caller.user_id, caller.request_id)

        def reserve(tx: Transaction | None) -> Reservation:
            try:
                return self._volumes.reserve_for_backup(
                    job_id, volume.id, snapshot_id=new.snapshot_id, in_use=new.force, tx=tx
                )
            except WrongStatus as error:
                _check_status(new, error.status)
                raise InvalidVolume(str(error)) from error

        with self._seam.opening(stub, job_id, reserve) as opening:
            tx = opening.tx
            quota.check(
                tx,
                caller.project_id,
                volume.size_gib,
                backups=self.settings.quota_backups,
                gigabytes=self.settings.quota_backup_gigabytes,
            )
            parent = None
            if new.incremental:
                candidates = table.of_volume(tx, volume.id, project_id=caller.project_id)
                parent = parents.choose(
                    candidates, snapshot_created_at=snapshot.created_at if snapshot else None
                )
            zone = placement.zone_of_new_backup(
                asked=new.availability_zone,
                parent=parent,
                volume_zone=volume.availability_zone,
                default=self.settings.default_availability_zone,
                enabled=self.settings.enabled_zones,
            )
            service = placement.enabled_service(tx, zone)
            now = tx.now()
            backup = _new_row(
                caller,
                backup_id,
                now=now,
                status=Status.CREATING if service else Status.ERROR,
                fail_reason=None if service else NO_SERVICE,
                display_name=new.name,
                display_description=new.description,
                metadata=dict(new.metadata or {}),
                volume_id=volume.id,
                snapshot_id=new.snapshot_id,
                parent_id=parent.id if parent else None,
                size=volume.size_gib,
                availability_zone=new.availability_zone or (None if service else zone),
                container=new.container,
                data_timestamp=snapshot.created_at if snapshot else now,
            )
            table.insert(tx, backup)
            if service is None:
                self._seam.abandon(opening)
            else:
                container = self._container(new.container)
                domain = sessions.domain(
                    tx,
                    repository=service.repository or "",
                    project_id=caller.project_id,
                    container=container,
                )
                self._seam.submit(
                    opening,
                    NewJob(
                        kind=Kind.BACKUP,
                        subject=backup_id,
                        project_id=caller.project_id,
                        user_id=caller.user_id,
                        request_id=caller.request_id,
                        arguments={"availability_zone": zone, "container": container},
                        needs_repository=service.repository,
                        needs_backend=volume.backend,
                        prefers_zone=volume.availability_zone,
                        domain=domain.id if domain else None,
                    ),
                )
        self._queue.wake()
        return backup

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
        values: dict[str, Any] = {}
        if name is not KEEP:
            values["display_name"] = name
        if description is not KEEP:
            values["display_description"] = description
        if not isinstance(metadata, Keep):
            values["metadata"] = dict(metadata)
        with self._database.writing() as tx:
            self._get(tx, caller, backup_id, "backup:update")
            if values:
                table.change(tx, backup_id, **values)
            return self._row(tx, caller, backup_id)

    def delete(self, caller: Caller, backup_id: str) -> None:
        """Delete a backup; every backup is whole in itself, so any may go."""
        with self._database.writing() as tx:
            backup = self._get(tx, caller, backup_id, "backup:delete")
            lifecycle.check(Event.DELETION_ACCEPTED, backup.status)
            self._delete(tx, caller, backup, Event.DELETION_ACCEPTED)
        self._queue.wake()

    def force_delete(self, caller: Caller, backup_id: str) -> None:
        """Delete a backup in whatever status; what is under way with it is stopped."""
        with self._database.writing() as tx:
            rule = "volume_extension:backup_admin_actions:force_delete"
            backup = self._get(tx, caller, backup_id, rule, "backup:delete")
            self._delete(tx, caller, backup, Event.FORCED_DELETION_ACCEPTED)
        self._queue.wake()

    def _delete(self, tx: Transaction, caller: Caller, backup: Backup, event: Event) -> None:
        if self.settings.refuse_delete_of_parents and table.has_children(tx, backup.id):
            raise InvalidBackup("Incremental backups exist for this backup.")
        if backup.service is None and not self._queue.unfinished(tx, backup.id):
            table.remove(tx, backup.id)  # no worker ever began: there is nothing in any store
            return
        service = placement.require_service(tx, backup.availability_zone)
        self._queue.cancel(tx, backup.id)
        table.change(tx, backup.id, status=lifecycle.after(event), host=service.host)
        self._queue.enqueue(
            tx,
            NewJob(
                kind=Kind.DELETE,
                subject=backup.id,
                project_id=backup.project_id,
                user_id=caller.user_id,
                request_id=caller.request_id,
                needs_repository=backup.repository or service.repository,
            ),
        )

    def reset_status(self, caller: Caller, backup_id: str, status: str) -> None:
        """Say that a backup is `available` or `error`; what is under way with it is stopped."""
        event = {
            "available": Event.RESET_TO_AVAILABLE,
            "error": Event.RESET_TO_ERROR,
        }.get(status.lower())
        if event is None:
            raise InvalidBackup(f"{status} is no status that a backup can be reset to")
        with self._database.writing() as tx:
            rule = "volume_extension:backup_admin_actions:reset_status"
            backup = self._get(tx, caller, backup_id, rule)
            placement.require_service(tx, backup.availability_zone)
            if backup.service is None:
                return  # as Cinder: nobody ever worked on it, and nobody will answer
            self._queue.cancel(tx, backup_id)
            table.change(tx, backup_id, status=lifecycle.after(event))
        self._queue.wake()

    def restore(
        self, caller: Caller, backup_id: str, *, volume_id: str | None, name: str | None
    ) -> Restoring:
        """Accept a restore to a volume that is there, or to a new one of the backup's size."""
        with self._database.reading() as tx:
            backup = self._get(tx, caller, backup_id, "backup:restore")
        lifecycle.check(Event.RESTORE_ACCEPTED, backup.status)
        if not backup.size:
            raise InvalidBackup("Backup to be restored has invalid size")
        if volume_id is not None:
            with self._looking() as looking:
                volume = self._volumes.get(volume_id, project_id=caller.sees, tx=looking)
            if volume.status != "available":
                raise InvalidVolume("Volume to be restored to must be available")
            _check_room(volume, backup)
        job_id = str(uuid.uuid4())

        def reserve(tx: Transaction | None) -> Reservation:
            try:
                if volume_id is not None:
                    return self._volumes.reserve_for_restore(job_id, volume_id, tx=tx)
                new = NewVolume(
                    project_id=caller.project_id,
                    user_id=caller.user_id,
                    size_gib=backup.size,
                    name=f"restore_backup_{backup_id}" if name is None else name,
                    description="auto-created_from_restore_from_backup",
                    metadata={},
                    availability_zone=None,
                )
                return self._volumes.create_for_restore(job_id, new, tx=tx)
            except WrongStatus as error:
                raise InvalidVolume("Volume to be restored to must be available") from error
            except VolumeQuotaExceeded as error:
                raise QuotaExceeded(error.text) from error

        reservation = self._restore(caller, backup_id, job_id, reserve)
        volume = reservation.volume
        return Restoring(backup_id, volume.id, volume.attributes.name)

    def create_volume(self, caller: Caller, backup_id: str, new: NewVolume) -> str:
        """Make a volume from a backup; returns its id.  `new.size_gib` 0: the backup's size."""
        with self._database.reading() as tx:
            backup = self._get(tx, caller, backup_id)
        size = new.size_gib or backup.size
        if not lifecycle.allowed(Event.RESTORE_ACCEPTED, backup.status):
            raise InvalidBackup("Originating backup status must be one of 'available' values")
        if size < backup.size:
            raise InvalidInput(
                f"Volume size {size}GB cannot be smaller than the backup size {backup.size}GB. "
                "It must be >= backup size."
            )
        job_id = str(uuid.uuid4())
        wanted = NewVolume(
            project_id=caller.project_id,
            user_id=caller.user_id,
            size_gib=size,
            name=new.name,
            description=new.description,
            metadata=new.metadata,
            availability_zone=new.availability_zone,
            volume_type=new.volume_type,
            status="creating",
        )
        reservation = self._restore(
            caller,
            backup_id,
            job_id,
            lambda tx: self._volumes.create_for_restore(job_id, wanted, tx=tx),
        )
        return reservation.volume.id

    def _restore(self, caller: Caller, backup_id: str, job_id: str, reserve: Any) -> Reservation:
        """Reserve, and let the backup be restored if it still may."""
        stub = NewJob(Kind.RESTORE, backup_id, caller.project_id, caller.user_id, caller.request_id)
        with self._seam.opening(stub, job_id, reserve) as opening:
            tx = opening.tx
            backup = self._row(tx, caller, backup_id)
            lifecycle.check(Event.RESTORE_ACCEPTED, backup.status)
            volume = opening.reservation.volume
            _check_room(volume, backup)
            service = placement.require_service(tx, backup.availability_zone)
            table.change(
                tx,
                backup_id,
                status=lifecycle.after(Event.RESTORE_ACCEPTED),
                restore_volume_id=volume.id,
            )
            self._seam.submit(
                opening,
                NewJob(
                    kind=Kind.RESTORE,
                    subject=backup_id,
                    project_id=caller.project_id,
                    user_id=caller.user_id,
                    request_id=caller.request_id,
                    arguments={"volume_id": volume.id},
                    needs_repository=backup.repository or service.repository,
                    needs_backend=volume.backend,
                    prefers_zone=volume.availability_zone,
                ),
            )
        self._queue.wake()
        return opening.reservation

    def export_record(self, caller: Caller, backup_id: str) -> Record:
        """The backup as text to keep elsewhere."""
        with self._database.reading() as tx:
            backup = self._get(tx, caller, backup_id, "backup:export-import")
            if backup.status != Status.AVAILABLE:
                raise InvalidBackup(f"Backup status must be available and not {backup.status}.")
            placement.require_service(tx, backup.availability_zone)
            return records.encode(backup)

    def import_record(self, caller: Caller, record: Record) -> Backup:
        """Make a row of an exported record; a worker looks for its data."""
        caller.authorize("backup:backup-import", None)
        with self._database.writing() as tx:
            if not any(service.up for service in placement.usable(tx)):
                raise ServiceUnavailable(record.backup_service)
            content = records.decode(record)
            backup_id = content["id"]
            known = table.get(tx, backup_id, deleted=True)
            if known is not None and not known.deleted:
                raise InvalidBackup("Backup already exists in database.")
            quota.check(
                tx,
                caller.project_id,
                content["size"],
                backups=self.settings.quota_backups,
                gigabytes=self.settings.quota_backup_gigabytes,
            )
            fresh: dict[str, Any] = {
                "status": Status.CREATING,
                "volume_id": records.NO_VOLUME,
                "metadata": {},
                "size": content["size"],
            }
            if known is not None:
                owner = {"project_id": caller.project_id, "user_id": caller.user_id}
                table.revive(tx, backup_id, **owner, **fresh, **_NOWHERE)
            else:
                row = _new_row(caller, backup_id, now=tx.now(), **fresh)
                table.insert(tx, row)
            created = table.get(tx, backup_id)
            assert created is not None
            place = Place.parse(content.get("service_metadata"))
            self._queue.enqueue(
                tx,
                NewJob(
                    kind=Kind.IMPORT,
                    subject=backup_id,
                    project_id=caller.project_id,
                    user_id=caller.user_id,
                    request_id=caller.request_id,
                    arguments={"service": record.backup_service, "content": dict(content)},
                    needs_repository=placement.known_repository(tx, place),
                ),
            )
        self._queue.wake()
        return created

    def collect(self, tx: Transaction) -> Sequence[str]:
        """Let every domain be collected; returns the jobs' ids."""
        known = {service.repository for service in placement.usable(tx) if service.repository}
        return [
            collection.enqueue(
                tx,
                self._queue,
                domain=domain.id,
                repository=repository,
                project_id=domain.project_id,
                user_id="operator",
            )
            for repository in sorted(known)
            for domain in sessions.domains_of(tx, repository)
        ]

    def progress(self, caller: Caller, backup_id: str) -> dict[str, Any]:
        """How far the latest work on the backup is; bytes."""
        with self._database.reading() as tx:
            backup = self._get(tx, caller, backup_id)
            job = self._queue.latest(
                tx, backup_id, Kind.BACKUP, Kind.RESTORE, Kind.DELETE, Kind.IMPORT
            )
        shown: dict[str, Any] = {"backup_id": backup_id, "status": backup.status}
        if job is None:
            return {**shown, "work": None, "state": None}
        return {
            **shown,
            "work": job.kind,
            "state": job.state,
            "attempt": job.attempt,
            "bytes_done": job.bytes_done,
            "bytes_total": job.bytes_total,
            "bytes_stored": job.bytes_stored,
        }

    def zones(self) -> Sequence[Zone]:
        """The availability zones, in configured order."""
        with self._database.reading() as tx:
            return placement.zones(tx, self.settings.enabled_zones)

    def _subject(self, caller: Caller, new: NewBackup) -> tuple[Volume, Snapshot | None]:
        """What is to be backed up, checked in the contract's order."""
        with self._looking() as tx:
            volume = self._volumes.get(new.volume_id, project_id=caller.sees, tx=tx)
            caller.authorize("backup:create", volume.project_id)
            snapshot = None
            if new.snapshot_id is not None:
                snapshot = self._volumes.get_snapshot(
                    new.snapshot_id, project_id=caller.sees, tx=tx
                )
                if snapshot.volume_id != volume.id:
                    raise InvalidVolume(
                        f"Volume {volume.id} does not match with snapshot.volume_id "
                        f"{snapshot.volume_id}."
                    )
        _check_status(new, snapshot.status if snapshot else volume.status)
        return volume, snapshot

    def _get(self, tx: Transaction, caller: Caller, backup_id: str, *rules: str) -> Backup:
        """The backup, after `backup:get` and the other rules.  Raises `BackupNotFound`."""
        backup = self._row(tx, caller, backup_id)
        for rule in ("backup:get", *rules):
            caller.authorize(rule, backup.project_id)
        return backup

    def _row(self, tx: Transaction, caller: Caller, backup_id: str) -> Backup:
        backup = table.get(tx, backup_id, project_id=caller.sees)
        if backup is None:
            raise BackupNotFound(backup_id)
        return backup

    @contextlib.contextmanager
    def _looking(self) -> Iterator[Transaction | None]:
        """What a look at volumes is given: a transaction, if the service joins ours."""
        if self._volumes.joins_transactions:
            with self._database.reading() as tx:
                yield tx
        else:
            yield None

    def _container(self, label: str | None) -> str:
        return self.settings.default_container if label is None else label


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


def _check_room(volume: Volume, backup: Backup) -> None:
    if volume.size_gib < backup.size:
        raise InvalidVolume(
            f"volume size {volume.size_gib} is too small to restore backup of size {backup.size}."
        )


def _new_row(caller: Caller, backup_id: str, *, now: datetime, **given: Any) -> Backup:
    """A row of the caller's, with what is given."""
    empty: dict[str, Any] = dict.fromkeys(table.COLUMNS)
    common = {
        "id": backup_id,
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "created_at": now,
        "object_count": 0,
        "num_dependent_backups": 0,
        "deleted": False,
    }
    return Backup(**{**empty, **common, **given})
