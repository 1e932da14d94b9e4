"""What the bodies of requests about attachments look like."""

from typing import Any

from emberkeep.api.microversions import MIN, v3
from emberkeep.api.validation import UUID, Schema, action, only

_NEW: dict[str, Any] = {
    "instance_uuid": UUID,
    "connector": {"type": ["object", "null"]},
    "volume_uuid": UUID,
}
_NEW_3_54 = {**_NEW, "mode": {"type": "string", "enum": ["rw", "ro"]}}


def _body(properties: dict[str, Any], required: str) -> dict[str, Any]:
    return only({"attachment": only(properties, required=(required,))}, required=("attachment",))


CREATE = Schema({MIN: _body(_NEW, "volume_uuid"), v3(54): _body(_NEW_3_54, "volume_uuid")})
UPDATE = Schema({MIN: _body({"connector": {"type": "object", "minProperties": 1}}, "connector")})
COMPLETE = action("os-complete")
