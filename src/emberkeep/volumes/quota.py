"""What a project may have of volumes and snapshots, with Cinder's words when it has no more."""

from dataclasses import dataclass

from emberkeep.db import volumes as table
from emberkeep.db.database import Transaction
from emberkeep.volumes.errors import VolumeQuotaExceeded


@dataclass(frozen=True, slots=True)
class VolumeQuotas:
    """Limits of each project; -1: none."""

    volumes: int = 10
    snapshots: int = 10
    gigabytes: int = 1000


def check_volume(tx: Transaction, quotas: VolumeQuotas, project_id: str, size_gib: int) -> None:
    """Raise `VolumeQuotaExceeded` if one more volume is too much; gigabytes come first."""
    table.lock_project(tx, project_id)
    used = table.usage(tx, project_id)
    _check_gigabytes(quotas, used.gigabytes, size_gib)
    if 0 <= quotas.volumes < used.volumes + 1:
        raise VolumeQuotaExceeded(
            "VolumeLimitExceeded",
            f"Maximum number of volumes allowed ({quotas.volumes}) exceeded for quota 'volumes'.",
        )


def check_snapshot(tx: Transaction, quotas: VolumeQuotas, project_id: str, size_gib: int) -> None:
    """Raise `VolumeQuotaExceeded` if one more snapshot is too much."""
    table.lock_project(tx, project_id)
    used = table.usage(tx, project_id)
    _check_gigabytes(quotas, used.gigabytes, size_gib)
    if 0 <= quotas.snapshots < used.snapshots + 1:
        raise VolumeQuotaExceeded(
            "SnapshotLimitExceeded",
            f"Maximum number of snapshots allowed ({quotas.snapshots}) exceeded",
        )


def check_growth(tx: Transaction, quotas: VolumeQuotas, project_id: str, added_gib: int) -> None:
    """Raise `VolumeQuotaExceeded` if a volume may not grow by so much."""
    table.lock_project(tx, project_id)
    _check_gigabytes(quotas, table.usage(tx, project_id).gigabytes, added_gib)


def _check_gigabytes(quotas: VolumeQuotas, used: int, wanted: int) -> None:
    if 0 <= quotas.gigabytes < used + wanted:
        raise VolumeQuotaExceeded(
            "VolumeSizeExceedsAvailableQuota",
            "Requested volume or snapshot exceeds allowed gigabytes quota. Requested "
            f"{wanted}G, quota is {quotas.gigabytes}G and {used}G has been consumed.",
        )
