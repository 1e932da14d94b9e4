"""What the body of a request for a new snapshot looks like."""

from emberkeep.api.microversions import v3
from emberkeep.api.validation import (
    BOOLEAN,
    METADATA_OR_NULL,
    STRING_255_OR_NULL,
    UUID,
    Schema,
    only,
)

_SNAPSHOT = {
    "volume_id": UUID,
    "name": STRING_255_OR_NULL,
    "display_name": STRING_255_OR_NULL,
    "description": STRING_255_OR_NULL,
    "force": BOOLEAN,
    "metadata": METADATA_OR_NULL,
}

CREATE = Schema(
    {v3(0): only({"snapshot": only(_SNAPSHOT, required=("volume_id",))}, required=("snapshot",))}
)
