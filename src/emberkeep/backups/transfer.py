"""Exporting a backup's record, and accepting one for import."""

from typing import Any

from emberkeep.backups import access, placement, quota, records, rows
from emberkeep.backups.errors import InvalidBackup, Mismatch, ServiceUnavailable
from emberkeep.backups.lifecycle import Status
from emberkeep.backups.means import Means
from emberkeep.backups.records import Place, Record
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db.backups import Backup
from emberkeep.jobs.queue import Kind, NewJob

_EXISTS = "Backup already exists in database."
# What a deleted backup's row still says of data that is gone.
_NOWHERE = dict.fromkeys(("repository", "domain", "root", "root_sha256", "size_bytes", "service"))


def export_record(means: Means, caller: Caller, backup_id: str) -> Record:
    """The backup as text to keep elsewhere.

    Raises `BackupNotFound`, what `authorize` raises, `InvalidBackup` and `ServiceNotFound`.
    """
    with means.database.reading() as tx:
        backup = access.get(tx, caller, backup_id, "backup:export-import")
        if backup.status != Status.AVAILABLE:
            raise InvalidBackup(f"Backup status must be available and not {backup.status}.")
        placement.require_service(tx, backup.availability_zone)
        return records.encode(backup)


def import_record(
    means: Means, caller: Caller, record: Record, *, backup_id: str | None = None
) -> Backup:
    """Make a row of an exported record, of the backup `backup_id` if that is said; a worker looks
    for its data.

    Raises what `authorize` raises, `ServiceUnavailable`, `InvalidInput`, `Malformed` or `Mismatch`,
    `InvalidBackup` and `QuotaExceeded`, in this order.
    """
    caller.authorize("backup:backup-import", None)
    with means.database.writing() as tx:
        if not any(service.up for service in placement.usable(tx)):
            raise ServiceUnavailable(record.backup_service)
        content = records.decode(record)
        if backup_id not in (None, content["id"]):
            raise Mismatch
        backup_id, size = content["id"], content["size"]
        known = table.get(tx, backup_id, deleted=True)
        if known is not None and not known.deleted:
            raise InvalidBackup(_EXISTS)
        if size > quota.LARGEST:
            raise quota.overflow()
        quota.check(
            tx,
            caller.project_id,
            size,
            backups=means.settings.quota_backups,
            gigabytes=means.settings.quota_backup_gigabytes,
        )
        fresh: dict[str, Any] = {
            "status": Status.CREATING.value,
            "volume_id": records.NO_VOLUME,
            "metadata": {},
            "size": size,
        }
        if known is None:
            made = table.insert_first(tx, rows.new(caller, backup_id, now=tx.now(), **fresh))
        else:
            owner = {"project_id": caller.project_id, "user_id": caller.user_id}
            made = table.revive(tx, backup_id, {**owner, **fresh, **_NOWHERE})
        if not made:  # another import of it came in between
            raise InvalidBackup(_EXISTS)
        means.queue.enqueue(
            tx,
            NewJob(
                kind=Kind.IMPORT,
                subject=backup_id,
                project_id=caller.project_id,
                user_id=caller.user_id,
                request_id=caller.request_id,
                arguments={"service": record.backup_service, "content": dict(content)},
                needs_repository=placement.known_repository(
                    tx, Place.parse(content.get("service_metadata"))
                ),
            ),
        )
        created = access.visible(tx, caller, backup_id)
    means.queue.wake()
    return created
