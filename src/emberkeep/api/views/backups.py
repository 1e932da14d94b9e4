"""Backups as JSON: the summary, and the detail of each microversion."""

from collections.abc import Callable
from typing import Any

from emberkeep.api.context import Call, Place
from emberkeep.api.microversions import v3
from emberkeep.api.views.moments import moment
from emberkeep.db.backups import Backup

FIXED_KEY = "00000000-0000-0000-0000-000000000000"

_DETAIL: dict[str, Callable[[Backup, Place], Any]] = {
    "id": lambda backup, _: backup.id,
    "status": lambda backup, _: backup.status,
    "size": lambda backup, _: backup.size,
    "object_count": lambda backup, _: backup.object_count,
    "availability_zone": lambda backup, _: backup.availability_zone,
    "container": lambda backup, _: backup.container,
    "created_at": lambda backup, _: moment(backup.created_at),
    "updated_at": lambda backup, _: moment(backup.updated_at),
    "name": lambda backup, _: backup.display_name,
    "description": lambda backup, _: backup.display_description,
    "fail_reason": lambda backup, _: backup.fail_reason,
    "volume_id": lambda backup, _: backup.volume_id,
    "links": lambda backup, place: place.links("backups", backup.id),
    "is_incremental": lambda backup, _: backup.parent_id is not None,
    "has_dependent_backups": lambda backup, _: backup.num_dependent_backups > 0,
    "snapshot_id": lambda backup, _: backup.snapshot_id,
    "data_timestamp": lambda backup, _: moment(backup.data_timestamp),
}


def summary(backup: Backup, call: Call) -> dict[str, Any]:
    return {
        "id": backup.id,
        "name": backup.display_name,
        "links": call.place.links("backups", backup.id),
    }


def detail(backup: Backup, call: Call) -> dict[str, Any]:
    """Every key that the caller's version and policies show, in Cinder's order."""
    document = {key: value(backup, call.place) for key, value in _DETAIL.items()}
    if call.version >= v3(43):
        document["metadata"] = backup.metadata
    if call.version >= v3(64) and backup.encryption_key_id not in (None, FIXED_KEY):
        document["encryption_key_id"] = backup.encryption_key_id
    shows_owner = call.allows("backup:backup_project_attribute")
    if call.version >= v3(18) and shows_owner:
        document["os-backup-project-attr:project_id"] = backup.project_id
    if call.version >= v3(56) and shows_owner:
        document["user_id"] = backup.user_id
    return document
