"""Limits: a project's quotas in other words, for who plans what to ask for."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.microversions import v3

OF_OTHER_PROJECTS = v3(39)
LIMITS = {
    "maxTotalVolumes": "volumes",
    "maxTotalSnapshots": "snapshots",
    "maxTotalVolumeGigabytes": "gigabytes",
    "maxTotalBackups": "backups",
    "maxTotalBackupGigabytes": "backup_gigabytes",
}
USED = {
    "totalVolumesUsed": "volumes",
    "totalGigabytesUsed": "gigabytes",
    "totalSnapshotsUsed": "snapshots",
    "totalBackupsUsed": "backups",
    "totalBackupGigabytesUsed": "backup_gigabytes",
}


def index(core: Core, call: Call) -> Reply:
    standing = core.quota_sets.standing(_project(call))
    absolute = {key: standing[name].limit for key, name in LIMITS.items()}
    if call.allows("limits_extension:used_limits"):
        absolute |= {key: standing[name].in_use for key, name in USED.items()}
    return Reply(200, {"limits": {"rate": [], "absolute": absolute}})


def _project(call: Call) -> str:
    """Whose limits: an admin may name a project, under either of its names."""
    own = call.caller.project_id
    if call.version < OF_OTHER_PROJECTS or not call.caller.is_admin:
        return own
    named = dict(call.query)
    return named.get("project_id", named.get("tenant_id", own))
