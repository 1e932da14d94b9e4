"""What the body of a request for a new volume looks like.

Keys that no schema knows are ignored before 3.53 and refused from there on.
"""

from typing import Any

from emberkeep.api.microversions import v3
from emberkeep.api.validation import METADATA_OR_NULL, UUID_OR_NULL, Schema, only

_NAME = {"type": ["string", "null"], "format": "volume_name"}
_DESCRIPTION = {"type": ["string", "null"], "format": "volume_description"}
_TEXT_OR_NULL = {"type": ["string", "null"], "minLength": 0, "maxLength": 255}

_VOLUME: dict[str, Any] = {
    "name": _NAME,
    "description": _DESCRIPTION,
    "display_name": _NAME,
    "display_description": _DESCRIPTION,
    "volume_type": _TEXT_OR_NULL,
    "metadata": METADATA_OR_NULL,
    "snapshot_id": UUID_OR_NULL,
    "source_volid": UUID_OR_NULL,
    "consistencygroup_id": UUID_OR_NULL,
    "size": {
        "type": ["integer", "string", "null"],
        "pattern": "^[0-9]+$",
        "minimum": 1,
        "maximum": 2147483647,
    },
    "availability_zone": {"type": ["string", "null"], "minLength": 1, "maxLength": 255},
    "multiattach": {"format": "multiattach"},
    "imageRef": _TEXT_OR_NULL,
    "image_id": _TEXT_OR_NULL,
    "backup_id": UUID_OR_NULL,
}
_VOLUME_3_13 = {**_VOLUME, "group_id": _TEXT_OR_NULL}


def _body(properties: dict[str, Any], *, others: bool) -> dict[str, Any]:
    return only(
        {
            "volume": {
                "type": "object",
                "properties": properties,
                "additionalProperties": others,
            },
            "OS-SCH-HNT:scheduler_hints": {"type": ["object", "null"]},
        },
        required=("volume",),
    )


CREATE = Schema(
    {
        v3(0): _body(_VOLUME, others=True),
        v3(13): _body(_VOLUME_3_13, others=True),
        v3(53): _body(_VOLUME_3_13, others=False),
    }
)
