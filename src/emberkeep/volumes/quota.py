"""What a project may have of volumes and snapshots, with Cinder's words when it has no more.

Each check locks the project's row, so what it adds up stays true until the transaction ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from emberkeep.db import quotas as limits_table
from emberkeep.db import volumes as table
from emberkeep.db.database import Transaction
from emberkeep.db.volumes import Usage
from emberkeep.volumes.errors import VolumeQuotaExceeded
from emberkeep.volumes.types import DEFAULT

PER_VOLUME = "per_volume_gigabytes"


@dataclass(frozen=True, slots=True)
class VolumeQuotas:
    """Limits of each project, unless the database has others; -1: none.

    `no_snapshot_gb_quota`: the sizes of snapshots don't count.
    """

    volumes: int = 10
    snapshots: int = 10
    gigabytes: int = 1000
    groups: int = 10
    per_volume_gigabytes: int = -1
    no_snapshot_gb_quota: bool = False

    @property
    def limits(self) -> dict[str, int]:
        """By the resources' names."""
        names = ("volumes", PER_VOLUME, "snapshots", "gigabytes", "groups")
        return {name: getattr(self, name) for name in names}


def of_type(resource: str, volume_type: str = DEFAULT.name) -> str:
    """The name of a resource as one type of volumes has it."""
    return f"{resource}_{volume_type}"


def in_use(tx: Transaction, quotas: VolumeQuotas, project_id: str) -> dict[str, int]:
    """What the project has of each resource, in all and of each type, where it is not 0."""
    by_type = table.usage(tx, project_id)
    found = _counted(quotas, sum(by_type.values(), Usage()))
    for volume_type, usage in by_type.items():
        counted = _counted(quotas, usage)
        found |= {of_type(name, volume_type): number for name, number in counted.items()}
    return found


def _counted(quotas: VolumeQuotas, usage: Usage) -> dict[str, int]:
    snapshots = 0 if quotas.no_snapshot_gb_quota else usage.snapshot_gigabytes
    return {
        "volumes": usage.volumes,
        "snapshots": usage.snapshots,
        "gigabytes": usage.volume_gigabytes + snapshots,
    }


def check_volume(tx: Transaction, quotas: VolumeQuotas, project_id: str, size_gib: int) -> None:
    """Raise `VolumeQuotaExceeded` if one more volume is too much; gigabytes come first."""
    limits, used = _standing(tx, quotas, project_id)
    _check_size(limits, size_gib)
    _check(limits, used, {"volumes": 1, "gigabytes": size_gib})


def check_snapshot(tx: Transaction, quotas: VolumeQuotas, project_id: str, size_gib: int) -> None:
    """Raise `VolumeQuotaExceeded` if one more snapshot is too much."""
    limits, used = _standing(tx, quotas, project_id)
    gigabytes = {} if quotas.no_snapshot_gb_quota else {"gigabytes": size_gib}
    _check(limits, used, {"snapshots": 1, **gigabytes})


def check_growth(
    tx: Transaction,
    quotas: VolumeQuotas,
    project_id: str,
    added_gib: int,
    *,
    new_size_gib: int | None = None,
) -> None:
    """Raise `VolumeQuotaExceeded` if a volume may not grow by so much, or not be so large."""
    limits, used = _standing(tx, quotas, project_id)
    if new_size_gib is not None:
        _check_size(limits, new_size_gib)
    _check(limits, used, {"gigabytes": added_gib})


def _standing(
    tx: Transaction, quotas: VolumeQuotas, project_id: str
) -> tuple[dict[str, int], dict[str, int]]:
    """What the locked project may have, and what it has."""
    table.lock_project(tx, project_id)
    limits = limits_table.limits(tx, project_id, quotas.limits)
    return limits, in_use(tx, quotas, project_id)


def _check_size(limits: Mapping[str, int], size_gib: int) -> None:
    if 0 <= limits[PER_VOLUME] < size_gib:
        raise VolumeQuotaExceeded(
            "VolumeSizeExceedsLimit",
            f"Requested volume size {size_gib}G is larger than maximum allowed limit "
            f"{limits[PER_VOLUME]}G.",
        )


def _check(limits: Mapping[str, int], used: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    """Raise for the first resource, in the order of their names, of which it is too much."""
    amounts = {**wanted, **{of_type(name): amount for name, amount in wanted.items()}}
    for name, amount in sorted(amounts.items()):
        limit, consumed = limits.get(name, -1), used.get(name, 0)
        if 0 <= limit < consumed + amount:
            raise _exceeded(name, amount, limit, consumed)


def _exceeded(name: str, amount: int, limit: int, consumed: int) -> VolumeQuotaExceeded:
    if name.startswith("gigabytes"):
        return VolumeQuotaExceeded(
            "VolumeSizeExceedsAvailableQuota",
            f"Requested volume or snapshot exceeds allowed {name} quota. Requested {amount}G, "
            f"quota is {limit}G and {consumed}G has been consumed.",
        )
    if name.startswith("snapshots"):
        return VolumeQuotaExceeded(
            "SnapshotLimitExceeded", f"Maximum number of snapshots allowed ({limit}) exceeded"
        )
    return VolumeQuotaExceeded(
        "VolumeLimitExceeded",
        f"Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'.",
    )
