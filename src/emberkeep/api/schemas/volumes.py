"""What the bodies of requests about volumes look like.

Keys of a new volume that no schema knows are ignored before 3.53 and refused from there on.
"""

from collections.abc import Callable
from typing import Any

from emberkeep.api.faults import BadRequest
from emberkeep.api.microversions import v3
from emberkeep.api.validation import (
    BOOLEAN_OR_NULL,
    FORMATS,
    METADATA,
    METADATA_OR_NULL,
    SIZE,
    STRING_255_OR_NULL,
    UUID,
    UUID_OR_NULL,
    Schema,
    only,
)

LONGEST = 255  # characters of a name or description


def _fits_trimmed(what: str) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if isinstance(value, str) and (length := len(value.strip())) > LONGEST:
            raise BadRequest(
                f"Invalid input received: {what} has {length} characters, more than {LONGEST}."
            )
        return True

    return check


FORMATS.checks("volume_name")(_fits_trimmed("name"))
FORMATS.checks("volume_description")(_fits_trimmed("description"))

_TEXTS: dict[str, Any] = {
    key: {"type": ["string", "null"], "format": f"volume_{key.removeprefix('display_')}"}
    for key in ("name", "description", "display_name", "display_description")
}

_VOLUME: dict[str, Any] = {
    **_TEXTS,
    "volume_type": STRING_255_OR_NULL,
    "metadata": METADATA_OR_NULL,
    "snapshot_id": UUID_OR_NULL,
    "source_volid": UUID_OR_NULL,
    "consistencygroup_id": UUID_OR_NULL,
    "size": {**SIZE, "type": ["integer", "string", "null"]},
    "availability_zone": {"type": ["string", "null"], "minLength": 1, "maxLength": 255},
    "multiattach": BOOLEAN_OR_NULL,
    "image_id": STRING_255_OR_NULL,
    "imageRef": STRING_255_OR_NULL,
}
_VOLUME_3_13 = {**_VOLUME, "group_id": STRING_255_OR_NULL}
_VOLUME_3_47 = {**_VOLUME_3_13, "backup_id": UUID_OR_NULL}


# Checked as Cinder does, and of no effect: there is nothing to schedule.
_HOSTS = {"oneOf": [UUID, {"type": "array", "items": UUID, "uniqueItems": True}]}
_HINTS = {
    "type": ["object", "null"],
    "properties": {
        "local_to_instance": UUID_OR_NULL,
        "different_host": _HOSTS,
        "same_host": _HOSTS,
        "query": {"type": ["string", "object"]},
    },
    "additionalProperties": True,
}


def _body(properties: dict[str, Any], *, others: bool) -> dict[str, Any]:
    return only(
        {
            "volume": {
                "type": "object",
                "properties": properties,
                "additionalProperties": others,
            },
            "OS-SCH-HNT:scheduler_hints": _HINTS,
        },
        required=("volume",),
    )


CREATE = Schema(
    {
        v3(0): _body(_VOLUME, others=True),
        v3(13): _body(_VOLUME_3_13, others=True),
        v3(47): _body(_VOLUME_3_47, others=True),
        v3(53): _body(_VOLUME_3_47, others=False),
    }
)

_CHANGES = only({**_TEXTS, "metadata": METADATA})
_ANY_CHANGE = {**_CHANGES, "anyOf": [{"required": [key]} for key in (*_TEXTS, "metadata")]}
UPDATE = Schema(
    {
        v3(0): only({"volume": _CHANGES}, required=("volume",)),
        v3(53): only({"volume": _ANY_CHANGE}, required=("volume",)),
    }
)
