"""What the bodies of requests about backups look like."""

from typing import Any

from emberkeep.api.microversions import v3
from emberkeep.api.validation import (
    BOOLEAN,
    DESCRIPTION,
    FORMATS,
    METADATA,
    METADATA_OR_NULL,
    STRING_255,
    STRING_255_OR_NULL,
    UUID,
    UUID_OR_NULL,
    Schema,
    action,
    one_of,
    only,
)

FORMATS.checks("backup_status")(one_of("Backup status", ["available", "error"], empty=False))

_CREATE: dict[str, Any] = {
    "volume_id": UUID,
    "container": STRING_255_OR_NULL,
    "description": DESCRIPTION,
    "incremental": BOOLEAN,
    "force": BOOLEAN,
    "name": STRING_255_OR_NULL,
    "snapshot_id": UUID_OR_NULL,
}
_CREATE_3_43 = {**_CREATE, "metadata": METADATA_OR_NULL}
_CREATE_3_51 = {**_CREATE_3_43, "availability_zone": STRING_255_OR_NULL}

_UPDATE: dict[str, Any] = {"name": STRING_255_OR_NULL, "description": DESCRIPTION}
_UPDATE_3_43 = {**_UPDATE, "metadata": METADATA}

_RESTORE = {"name": STRING_255_OR_NULL, "volume_id": UUID_OR_NULL}

_RECORD = {
    "backup_service": STRING_255,
    "backup_url": {"type": "string", "minLength": 1, "format": "base64"},
}


def _body(root: str, properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return only({root: only(properties, required=required)}, required=(root,))


def _lax(root: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A body whose object may be null says Cinder's schema; ours says so, and refuses null then."""
    inside = only(properties) | {"type": ["object", "null"], "allOf": [{"type": "object"}]}
    return only({root: inside}, required=(root,))


CREATE = Schema(
    {
        v3(0): _body("backup", _CREATE, ("volume_id",)),
        v3(43): _body("backup", _CREATE_3_43, ("volume_id",)),
        v3(51): _body("backup", _CREATE_3_51, ("volume_id",)),
    }
)
UPDATE = Schema({v3(0): _lax("backup", _UPDATE), v3(43): _lax("backup", _UPDATE_3_43)})
RESTORE = Schema({v3(0): _lax("restore", _RESTORE)})
IMPORT = Schema({v3(0): _body("backup-record", _RECORD, ("backup_service", "backup_url"))})

RESET_STATUS = action(
    "os-reset_status",
    {"status": {"type": "string", "format": "backup_status"}},
    required=("status",),
)
FORCE_DELETE = action("os-force_delete")
