"""What a project may have of backups, with Cinder's words when it has no more."""

from emberkeep.backups.errors import QuotaExceeded
from emberkeep.db import backups as table
from emberkeep.db import quotas, volumes
from emberkeep.db.database import Transaction

LARGEST = 2**31 - 1  # GiB that can be counted


def overflow() -> QuotaExceeded:
    """Whatever the quota is, what is asked for is more than can be counted."""
    return QuotaExceeded(
        "QuotaUsageOverflow: Quota usage would overflow for resources: ['backup_gigabytes']. The "
        f"requested operation would exceed the maximum allowed value ({LARGEST}) for quota "
        "tracking."
    )


def check(tx: Transaction, project_id: str, size_gib: int, *, backups: int, gigabytes: int) -> None:
    """Raise `QuotaExceeded` if one more backup of `size_gib` is too much.

    `backups` and `gigabytes` hold unless the database has other limits; -1: no limit.
    The project's row is locked until the transaction ends, so the sum stays true.
    """
    volumes.lock_project(tx, project_id)
    limits = quotas.limits(tx, project_id, {"backups": backups, "backup_gigabytes": gigabytes})
    used = table.usage(tx, project_id)
    if 0 <= limits["backup_gigabytes"] < used.gigabytes + size_gib:
        raise QuotaExceeded(
            "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup "
            f"gigabytes quota. Requested {size_gib}G, quota is {limits['backup_gigabytes']}G and "
            f"{used.gigabytes}G has been consumed."
        )
    if 0 <= limits["backups"] < used.backups + 1:
        raise QuotaExceeded(
            f"BackupLimitExceeded: Maximum number of backups allowed ({limits['backups']}) exceeded"
        )
