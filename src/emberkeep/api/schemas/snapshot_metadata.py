"""What the bodies of requests about a snapshot's metadata look like.

Unlike a volume's, keys have no slash, and there may be other things beside them.
"""

from typing import Any

from emberkeep.api.microversions import MIN
from emberkeep.api.validation import Schema, only

_METADATA = {
    "type": "object",
    "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": "string", "maxLength": 255}},
    "additionalProperties": False,
}


def _body(root: str, inside: dict[str, Any]) -> Schema:
    return Schema({MIN: {**only({root: inside}, required=(root,)), "additionalProperties": True}})


ALL = _body("metadata", _METADATA)
ITEM = _body("meta", {**_METADATA, "minProperties": 1, "maxProperties": 1})
