"""Accepting a deletion, plain or forced.

Every backup is whole in itself, so any may go, in any order, unless the operator wants Cinder's
refusal for those that others were based on.
"""

from emberkeep.backups import access, lifecycle, placement
from emberkeep.backups.errors import InvalidBackup
from emberkeep.backups.lifecycle import Event
from emberkeep.backups.means import Means
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.jobs.queue import Kind, NewJob

FORCE_RULE = "volume_extension:backup_admin_actions:force_delete"


def delete(means: Means, caller: Caller, backup_id: str) -> None:
    """Delete a backup that is `available` or `error`.

    Raises `BackupNotFound`, what `authorize` raises, `InvalidBackup` and `ServiceNotFound`.
    """
    with means.database.writing() as tx:
        backup = access.get(tx, caller, backup_id, "backup:delete")
        lifecycle.check(Event.DELETION_ACCEPTED, backup.status)
        _delete(means, tx, caller, backup, Event.DELETION_ACCEPTED)
    means.queue.wake()


def force_delete(means: Means, caller: Caller, backup_id: str) -> None:
    """Delete a backup in whatever status; what is under way with it is stopped.

    Raises what `delete` raises.
    """
    with means.database.writing() as tx:
        backup = access.get(tx, caller, backup_id, FORCE_RULE, "backup:delete")
        _delete(means, tx, caller, backup, Event.FORCED_DELETION_ACCEPTED)
    means.queue.wake()


def _delete(means: Means, tx: Transaction, caller: Caller, backup: Backup, event: Event) -> None:
    if means.settings.refuse_delete_of_parents and table.has_children(tx, backup.id):
        raise InvalidBackup("Incremental backups exist for this backup.")
    if backup.service is None:  # no worker ever began, so there is nothing in any store
        table.remove(tx, backup.id)  # its job, if it waits, finds no row and gives the volume back
        return
    service = placement.require_service(tx, backup.availability_zone)
    means.queue.cancel(tx, backup.id)
    if not lifecycle.happen(tx, backup.id, event, host=service.host):
        lifecycle.check(event, access.visible(tx, caller, backup.id).status)
    means.queue.enqueue(
        tx,
        NewJob(
            kind=Kind.DELETE,
            subject=backup.id,
            project_id=caller.project_id,
            user_id=caller.user_id,
            request_id=caller.request_id,
            needs_repository=backup.repository or service.repository,
        ),
    )
