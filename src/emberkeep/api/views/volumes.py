"""Volumes as JSON: the summary, the reply to a create, and the detail, each by microversion."""

import uuid
from collections.abc import Sequence
from typing import Any

from emberkeep.api.context import Call
from emberkeep.api.microversions import v3
from emberkeep.api.views.attachments import of_volume
from emberkeep.api.views.moments import moment
from emberkeep.db.attachments import AttachmentRow
from emberkeep.db.volumes import Summary, VolumeRow
from emberkeep.volumes.local import DEFAULT_TYPE_ID

# What is shown as something else, as in Cinder.
_STATUSES = {"managing": "creating", "error_managing": "error"}


def summary(volume: VolumeRow, call: Call) -> dict[str, Any]:
    return {
        "id": volume.id,
        "name": volume.name,
        "links": call.place.links("volumes", volume.id),
    }


def created(
    volume: VolumeRow, call: Call, attachments: Sequence[AttachmentRow] = ()
) -> dict[str, Any]:
    """What create and update answer: the detail without the extended attributes."""
    return {
        "id": volume.id,
        "status": _STATUSES.get(volume.status, volume.status),
        "size": volume.size,
        "availability_zone": volume.availability_zone,
        "created_at": moment(volume.created_at),
        "updated_at": moment(volume.updated_at),
        "name": volume.name,
        "description": volume.description,
        "volume_type": volume.volume_type,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "metadata": {**volume.metadata, **volume.admin_metadata},
        "links": call.place.links("volumes", volume.id),
        "user_id": volume.user_id,
        "bootable": str(volume.bootable).lower(),
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": False,
        "attachments": [of_volume(attachment, call) for attachment in attachments],
        **({"migration_status": volume.migration_status} if call.caller.is_admin else {}),
        **_since(call, volume),
    }


def _since(call: Call, volume: VolumeRow) -> dict[str, Any]:
    """What later microversions added, in their order."""
    version, is_admin = call.version, call.caller.is_admin
    added: dict[str, Any] = {}
    if version >= v3(13):
        added["group_id"] = None
    if version >= v3(21) and is_admin:
        added["provider_id"] = None
    if version >= v3(48):
        made = volume.status != "creating"  # before, no service is known to have it
        added["shared_targets"] = not made
        added["service_uuid"] = _service_uuid(volume.backend) if made else None
    if version >= v3(61) and is_admin:
        added["cluster_name"] = None
    if version >= v3(63):
        added["volume_type_id"] = DEFAULT_TYPE_ID
    if version >= v3(65):
        added["consumes_quota"] = True
    return added


def _service_uuid(backend: str) -> str:
    """The same for all volumes of a back end: clients use it to take turns there."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"cinder-volume {backend}"))


def detail(
    volume: VolumeRow, call: Call, attachments: Sequence[AttachmentRow] = ()
) -> dict[str, Any]:
    """Everything that the caller's version and policies show."""
    document = created(volume, call, attachments)
    if call.allows("volume_extension:volume_tenant_attribute"):
        document["os-vol-tenant-attr:tenant_id"] = volume.project_id
    if call.allows("volume_extension:volume_mig_status_attribute"):
        document["os-vol-mig-status-attr:migstat"] = volume.migration_status
        document["os-vol-mig-status-attr:name_id"] = None
    if call.allows("volume_extension:volume_host_attribute"):
        document["os-vol-host-attr:host"] = volume.backend
    if volume.image_metadata and call.allows("volume_extension:volume_image_metadata:show"):
        document["volume_image_metadata"] = volume.image_metadata
    return document


def quick(summary: Summary, call: Call) -> dict[str, Any]:
    """How many volumes there are, and how large they are together."""
    document: dict[str, Any] = {"total_count": summary.count, "total_size": summary.size}
    if call.version >= v3(36):
        document["metadata"] = summary.metadata
    return document
