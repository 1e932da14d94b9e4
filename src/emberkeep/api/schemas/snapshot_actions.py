"""What the bodies of actions on snapshots look like."""

from emberkeep.api.validation import FORMATS, action, one_of

STATUSES = (
    "error", "available", "creating", "deleting", "deleted", "updating", "error_deleting",
    "unmanaging", "backing-up", "restoring",
)  # fmt: skip

FORMATS.checks("snapshot_status")(one_of("Snapshot status", STATUSES, empty=False))

RESET_STATUS = action(
    "os-reset_status",
    {"status": {"type": "string", "format": "snapshot_status"}},
    required=("status",),
)
FORCE_DELETE = action("os-force_delete")
