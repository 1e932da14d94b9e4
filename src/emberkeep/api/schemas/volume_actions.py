"""What the bodies of actions on volumes look like."""

from emberkeep.api.faults import BadRequest
from emberkeep.api.microversions import MIN
from emberkeep.api.validation import (
    BOOLEAN,
    FORMATS,
    SIZE,
    UUID,
    UUID_OR_NULL,
    Schema,
    action,
    one_of,
    only,
)

STATUSES = (
    "creating", "available", "deleting", "error", "error_deleting", "error_managing", "managing",
    "attaching", "in-use", "detaching", "maintenance", "restoring-backup", "error_restoring",
    "reserved", "awaiting-transfer", "backing-up", "error_backing-up", "error_extending",
    "downloading", "uploading", "retyping", "extending",
)  # fmt: skip
ATTACH_STATUSES = ["attached", "detached"]
MIGRATION_STATUSES = ("migrating", "error", "success", "completing", "none", "starting")
RESETS = ("status", "attach_status", "migration_status")

FORMATS.checks("volume_status")(one_of("Volume status", STATUSES))
FORMATS.checks("volume_attach_status")(one_of("Volume attach status", ATTACH_STATUSES))
FORMATS.checks("volume_migration_status")(one_of("Volume migration status", MIGRATION_STATUSES))


@FORMATS.checks("volume_reset")
def _resets_anything(value: object) -> bool:
    if isinstance(value, dict) and not any(value.get(key) for key in RESETS):
        raise BadRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    return True


_CONNECTOR_OR_NULL = {"type": ["string", "object", "null"]}

EXTEND = action("os-extend", {"new_size": SIZE}, required=("new_size",))
SET_BOOTABLE = action("os-set_bootable", {"bootable": BOOLEAN}, required=("bootable",))
UPDATE_READONLY_FLAG = action(
    "os-update_readonly_flag", {"readonly": BOOLEAN}, required=("readonly",)
)
FORCE_DELETE = action("os-force_delete")
RESET_STATUS = Schema(
    {
        MIN: only(
            {
                "os-reset_status": {
                    "type": "object",
                    "format": "volume_reset",
                    "properties": {
                        key: {"type": ["string", "null"], "format": f"volume_{key}"}
                        for key in RESETS
                    },
                    "additionalProperties": False,
                }
            },
            required=("os-reset_status",),
        )
    }
)

REVERT = Schema(
    {
        MIN: only(
            {
                "revert": {
                    "type": "object",
                    "properties": {"snapshot_id": {"type": ["string", "null"]}},
                    "additionalProperties": True,
                }
            },
            required=("revert",),
        )
    }
)

RESERVE = action("os-reserve")
UNRESERVE = action("os-unreserve")
BEGIN_DETACHING = action("os-begin_detaching")
ROLL_DETACHING = action("os-roll_detaching")
ATTACH = Schema(
    {
        MIN: only(
            {
                "os-attach": {
                    "type": "object",
                    "properties": {
                        "instance_uuid": UUID,
                        "mountpoint": {"type": "string", "minLength": 1, "maxLength": 255},
                        "host_name": {"type": "string", "maxLength": 255},
                        "mode": {"type": "string", "enum": ["rw", "ro"]},
                    },
                    "required": ["mountpoint"],
                    "anyOf": [{"required": ["instance_uuid"]}, {"required": ["host_name"]}],
                    "additionalProperties": False,
                }
            },
            required=("os-attach",),
        )
    }
)
DETACH = Schema(
    {
        MIN: only(
            {"os-detach": {**only({"attachment_id": UUID_OR_NULL}), "type": ["object", "null"]}},
            required=("os-detach",),
        )
    }
)
FORCE_DETACH = action(
    "os-force_detach",
    {"connector": _CONNECTOR_OR_NULL, "attachment_id": {"type": ["string", "null"]}},
)
INITIALIZE_CONNECTION = action(
    "os-initialize_connection",
    {"connector": {"type": ["object", "string"]}},
    required=("connector",),
)
TERMINATE_CONNECTION = action(
    "os-terminate_connection", {"connector": _CONNECTOR_OR_NULL}, required=("connector",)
)
