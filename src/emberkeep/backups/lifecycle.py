"""The states of a backup, and every way from one to another.

Invariant
* a status changes by `happen`, or with the row's removal, alone: it looks and writes in one
  statement, so of two events that exclude each other one happens.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from emberkeep.backups.errors import InvalidBackup
from emberkeep.db import backups as table
from emberkeep.db.database import Transaction


class Status(StrEnum):
    CREATING = "creating"
    AVAILABLE = "available"
    RESTORING = "restoring"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    DELETED = "deleted"


class Event(StrEnum):
    CREATED = "created"
    CREATION_FAILED = "creation failed"
    RESTORE_ACCEPTED = "restore accepted"
    RESTORE_ENDED = "restore ended"  # well, or not well
    RESTORE_CANCELLED = "restore cancelled"  # after somebody reset the status
    DELETION_ACCEPTED = "deletion accepted"
    FORCED_DELETION_ACCEPTED = "forced deletion accepted"
    DELETION_FAILED = "deletion failed"
    DELETED = "deleted"
    RESET_TO_AVAILABLE = "reset to available"
    RESET_TO_ERROR = "reset to error"


_ANY = tuple(status for status in Status if status is not Status.DELETED)

# event: (the statuses in which it may happen, what follows)
TRANSITIONS: dict[Event, tuple[tuple[Status, ...], Status]] = {
    Event.CREATED: ((Status.CREATING,), Status.AVAILABLE),
    Event.CREATION_FAILED: ((Status.CREATING,), Status.ERROR),
    Event.RESTORE_ACCEPTED: ((Status.AVAILABLE,), Status.RESTORING),
    Event.RESTORE_ENDED: ((Status.RESTORING,), Status.AVAILABLE),
    Event.RESTORE_CANCELLED: ((Status.RESTORING, Status.ERROR), Status.AVAILABLE),
    Event.DELETION_ACCEPTED: ((Status.AVAILABLE, Status.ERROR), Status.DELETING),
    Event.FORCED_DELETION_ACCEPTED: (_ANY, Status.DELETING),
    Event.DELETION_FAILED: ((Status.DELETING,), Status.ERROR_DELETING),
    Event.DELETED: (_ANY, Status.DELETED),  # its bytes are gone, whatever was said meanwhile
    Event.RESET_TO_AVAILABLE: (_ANY, Status.AVAILABLE),
    Event.RESET_TO_ERROR: (_ANY, Status.ERROR),
}

_REFUSALS = {
    Event.RESTORE_ACCEPTED: "Backup status must be available",
    Event.DELETION_ACCEPTED: "Backup status must be available or error",
}


def allowed(event: Event, status: str) -> bool:
    """Whether the event may happen to a backup in this status."""
    return status in TRANSITIONS[event][0]


def check(event: Event, status: str) -> None:
    """Raise `InvalidBackup`, in Cinder's words, if a caller may not cause the event now."""
    if not allowed(event, status):
        raise InvalidBackup(_REFUSALS[event])


def is_kept(tx: Transaction, backup_id: str) -> bool:
    """Whether the backup is there, and nobody has asked for its deletion."""
    backup = table.get(tx, backup_id)
    return backup is not None and backup.status != Status.DELETING


def happen(
    tx: Transaction,
    backup_id: str,
    event: Event,
    *,
    only_if: Mapping[str, Any] | None = None,
    **columns: Any,
) -> bool:
    """Let the event happen, and set `columns` with it, if the status allows it and the row's
    values are those of `only_if`; return whether it happened."""
    before, after = TRANSITIONS[event]
    return table.change(
        tx, backup_id, when=before, only_if=only_if or {}, status=after.value, **columns
    )
