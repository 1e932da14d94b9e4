"""Whether a backup's data is whole, as far as verifications have looked."""

from typing import Any

from emberkeep.backups import access
from emberkeep.backups.means import Means
from emberkeep.caller import Caller
from emberkeep.db import maintenance as table
from emberkeep.db.maintenance import Condition

UNVERIFIED, WHOLE, DAMAGED = "unverified", "whole", "damaged"


def condition(means: Means, caller: Caller, backup_id: str) -> dict[str, Any]:
    """The backup's status, size in bytes, and what is known of its data.

    Raises `BackupNotFound` and what `authorize` raises.
    """
    with means.database.reading() as tx:
        backup = access.get(tx, caller, backup_id)
        found = None if backup.root is None else table.condition(tx, backup.root)
    shown: dict[str, Any] = {
        "id": backup.id,
        "status": backup.status,
        "availability_zone": backup.availability_zone,
        "size_bytes": backup.size_bytes,
        "verification": None,
    }
    if found is not None:
        shown["verification"] = {
            "result": _result(found),
            "checked_at": found.checked_at,
            "depth": found.depth or None,
            "damage": list(found.damage),
        }
    return shown


def _result(found: Condition) -> str:
    if found.damage:
        return DAMAGED
    return UNVERIFIED if found.checked_at is None else WHOLE
