"""How far the latest work on a backup is."""

from typing import Any

from emberkeep.backups import access
from emberkeep.backups.means import Means
from emberkeep.caller import Caller
from emberkeep.jobs.queue import Kind

WORK = (Kind.BACKUP, Kind.RESTORE, Kind.DELETE, Kind.IMPORT)


def progress(means: Means, caller: Caller, backup_id: str) -> dict[str, Any]:
    """What is done with the backup, or was done last, and how much of it, in bytes.

    Raises `BackupNotFound` and what `authorize` raises.
    """
    with means.database.reading() as tx:
        backup = access.get(tx, caller, backup_id)
        job = means.queue.latest(tx, backup_id, *WORK)
    shown: dict[str, Any] = {"backup_id": backup_id, "status": backup.status}
    if job is None:
        return {**shown, "work": None, "state": None}
    return {
        **shown,
        "work": job.kind,
        "state": job.state,
        "attempt": job.attempt,
        "bytes_done": job.bytes_done,
        "bytes_total": job.bytes_total,
        "bytes_stored": job.bytes_stored,
    }
