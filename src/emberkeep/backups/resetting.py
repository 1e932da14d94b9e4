"""Saying what status a backup has, for when an operator knows better."""

from emberkeep.backups import access, lifecycle, placement
from emberkeep.backups.errors import InvalidBackup
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.means import Means
from emberkeep.backups.notifications import Event as Told
from emberkeep.caller import Caller
from emberkeep.db import sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.engine.repository import State

RULE = "volume_extension:backup_admin_actions:reset_status"
EVENTS = {"available": Event.RESET_TO_AVAILABLE, "error": Event.RESET_TO_ERROR}


def reset_status(means: Means, caller: Caller, backup_id: str, status: str) -> None:
    """Make a backup `available` or `error`; what is under way with it is stopped.

    Like Cinder's, it keeps silent where it does nothing: for a backup that no worker ever began.
    The same holds for `available` where there is nothing to restore: a backup without data, or
    one whose data is being deleted.
    Raises `InvalidBackup` (no such status, nothing looked up), `BackupNotFound`, what `authorize`
    raises, and `ServiceNotFound`.
    """
    event = EVENTS.get(status.lower())
    if event is None:
        raise InvalidBackup(f"{status} is no status that a backup can be reset to")
    tell = means.notifications.after
    with means.database.writing() as tx:
        backup = access.get(tx, caller, backup_id, RULE)
        tell(tx, Told.RESET_START, backup_id)
        placement.require_service(tx, backup.availability_zone)
        if backup.service is None:
            return
        if event is Event.RESET_TO_AVAILABLE and not _has_data(tx, backup):
            return
        means.queue.cancel(tx, backup_id)
        lifecycle.happen(tx, backup_id, event)
        tell(tx, Told.RESET_END, backup_id)
    means.queue.wake()


def _has_data(tx: Transaction, backup: Backup) -> bool:
    return backup.root is not None and sessions.held_state(tx, backup.root) == State.COMMITTED
