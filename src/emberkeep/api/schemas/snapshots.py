"""What the bodies of requests about snapshots look like."""

from emberkeep.api.microversions import MIN
from emberkeep.api.validation import (
    BOOLEAN,
    DESCRIPTION,
    METADATA_OR_NULL,
    STRING_255_OR_NULL,
    UUID_OR_NULL,
    Schema,
    only,
)

_SNAPSHOT = {
    "name": STRING_255_OR_NULL,
    "display_name": STRING_255_OR_NULL,
    "description": DESCRIPTION,
    "volume_id": UUID_OR_NULL,
    "force": BOOLEAN,
    "metadata": METADATA_OR_NULL,
}
_CHANGES = {
    "name": STRING_255_OR_NULL,
    "description": DESCRIPTION,
    "display_name": STRING_255_OR_NULL,
    "display_description": DESCRIPTION,
}
_ANY_CHANGE = {**only(_CHANGES), "anyOf": [{"required": [key]} for key in _CHANGES]}

CREATE = Schema(
    {MIN: only({"snapshot": only(_SNAPSHOT, required=("volume_id",))}, required=("snapshot",))}
)
UPDATE = Schema({MIN: only({"snapshot": _ANY_CHANGE}, required=("snapshot",))})
