"""Extensions: what of Cinder's many there is here, for clients that look before they ask.

Those that stand for nothing here are left out, but for `Hosts`, by which Tempest tells a list of
extensions from an empty one.
"""

from typing import Any

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import NotFound

# alias: (name, description, updated)
EXTENSIONS = {
    "backups": ("Backups", "Backups support.", "2012-12-12T00:00:00+00:00"),
    "capabilities": ("Capabilities", "Capabilities support.", "2015-08-31T00:00:00+00:00"),
    "os-admin-actions": ("AdminActions", "Enable admin actions.", "2012-08-25T00:00:00+00:00"),
    "os-availability-zone": (
        "AvailabilityZones",
        "Describe Availability Zones.",
        "2013-06-27T00:00:00+00:00",
    ),
    "os-extended-services": (
        "ExtendedServices",
        "Extended services support.",
        "2014-01-10T00:00:00-00:00",
    ),
    "os-extended-snapshot-attributes": (
        "ExtendedSnapshotAttributes",
        "Extended SnapshotAttributes support.",
        "2012-06-19T00:00:00+00:00",
    ),
    "os-hosts": ("Hosts", "Admin-only host administration.", "2011-06-29T00:00:00+00:00"),
    "os-quota-class-sets": (
        "QuotaClasses",
        "Quota classes management support.",
        "2012-03-12T00:00:00+00:00",
    ),
    "os-quota-sets": ("Quotas", "Quota management support.", "2011-08-08T00:00:00+00:00"),
    "OS-SCH-HNT": (
        "SchedulerHints",
        "Pass arbitrary key/value pairs to the scheduler.",
        "2013-04-18T00:00:00+00:00",
    ),
    "os-services": ("Services", "Services support.", "2012-10-28T00:00:00-00:00"),
    "os-used-limits": (
        "UsedLimits",
        "Provide data on limited resources that are being used.",
        "2013-10-03T00:00:00+00:00",
    ),
    "os-vol-host-attr": (
        "VolumeHostAttribute",
        "Expose host as an attribute of a volume.",
        "2011-11-03T00:00:00+00:00",
    ),
    "os-vol-image-meta": (
        "VolumeImageMetadata",
        "Show image metadata associated with the volume.",
        "2012-12-07T00:00:00+00:00",
    ),
    "os-vol-mig-status-attr": (
        "VolumeMigStatusAttribute",
        "Expose migration_status as an attribute of a volume.",
        "2013-08-08T00:00:00+00:00",
    ),
    "os-vol-tenant-attr": (
        "VolumeTenantAttribute",
        "Expose the internal project_id as an attribute of a volume.",
        "2011-11-03T00:00:00+00:00",
    ),
    "os-volume-actions": ("VolumeActions", "Enable volume actions.", "2012-05-31T00:00:00+00:00"),
    "os-volume-type-access": (
        "VolumeTypeAccess",
        "Volume type access support.",
        "2014-06-26T00:00:00Z",
    ),
    "scheduler-stats": (
        "Scheduler_stats",
        "Scheduler stats support.",
        "2014-09-07T00:00:00+00:00",
    ),
}


def index(core: Core, call: Call) -> Reply:
    return Reply(200, {"extensions": [_item(alias) for alias in EXTENSIONS]})


def show(core: Core, call: Call) -> Reply:
    alias = call.parameters["alias"]
    if alias not in EXTENSIONS:
        raise NotFound
    return Reply(200, {"extension": _item(alias)})


def _item(alias: str) -> dict[str, Any]:
    name, description, updated = EXTENSIONS[alias]
    return {
        "name": name,
        "alias": alias,
        "description": description,
        "updated": updated,
        "links": [],
    }
