"""What of the backups a caller may see and touch."""

from emberkeep.backups.errors import BackupNotFound
from emberkeep.caller import Caller
from emberkeep.db import backups as table
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction


def get(tx: Transaction, caller: Caller, backup_id: str, *rules: str) -> Backup:
    """The backup, after `backup:get` and then the other rules.

    Raises `BackupNotFound`, and what `authorize` raises.
    """
    backup = visible(tx, caller, backup_id)
    for rule in ("backup:get", *rules):
        caller.authorize(rule, backup.project_id)
    return backup


def visible(tx: Transaction, caller: Caller, backup_id: str) -> Backup:
    """The backup, if it is not deleted and of a project that the caller sees.

    Raises `BackupNotFound`.
    """
    backup = table.get(tx, backup_id, project_id=caller.sees)
    if backup is None:
        raise BackupNotFound(backup_id)
    return backup
