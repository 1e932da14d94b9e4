"""Which backup an incremental one refers to.

The parent is the API's (`parent_id`, `is_incremental`, `has_dependent_backups`).  What the engine
shares data with is another thing: `worker.backup` chooses that.
"""

from collections.abc import Iterable
from datetime import datetime

from emberkeep.backups.errors import InvalidBackup
from emberkeep.db.backups import Backup


def choose(candidates: Iterable[Backup], *, snapshot_created_at: datetime | None) -> Backup:
    """The available backup with the latest data, for a snapshot the latest from before it.

    `candidates`: the project's backups of the volume, newest first, of any status.
    Raises `InvalidBackup` if none will do.
    """
    eligible = [
        backup
        for backup in candidates
        if backup.status == "available"
        and backup.data_timestamp is not None
        and (snapshot_created_at is None or backup.data_timestamp < snapshot_created_at)
    ]
    if not eligible:
        raise InvalidBackup("No backups available to do an incremental backup.")
    return max(eligible, key=lambda backup: backup.data_timestamp or datetime.min)
