"""A new backup's row, before anything has become of it."""

from datetime import datetime
from typing import Any

from emberkeep.caller import Caller
from emberkeep.db.backups import COLUMNS, Backup


def new(caller: Caller, backup_id: str, *, now: datetime, **given: Any) -> Backup:
    """A row of the caller's, with what is given; all else is empty."""
    empty: dict[str, Any] = dict.fromkeys(COLUMNS)
    common = {
        "id": backup_id,
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "created_at": now,
        "metadata": {},
        "object_count": 0,
        "num_dependent_backups": 0,
        "deleted": False,
    }
    return Backup(**{**empty, **common, **given})
