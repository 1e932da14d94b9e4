"""Volume types as JSON, with the keys that the caller's policies show."""

from typing import Any

from emberkeep.api.context import Call
from emberkeep.volumes.types import VolumeType


def item(volume_type: VolumeType, call: Call, *, with_access: bool = True) -> dict[str, Any]:
    """`with_access`: also whether everybody may use it, under its second name."""
    document: dict[str, Any] = {
        "id": volume_type.id,
        "name": volume_type.name,
        "is_public": True,
        "description": volume_type.description,
    }
    if call.allows("volume_extension:access_types_extra_specs"):
        document["extra_specs"] = {}
    if call.allows("volume_extension:access_types_qos_specs_id"):
        document["qos_specs_id"] = None
    if with_access and call.allows("volume_extension:volume_type_access"):
        document["os-volume-type-access:is_public"] = True
    return document
