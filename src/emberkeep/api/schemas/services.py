"""What the bodies of requests that enable or disable a service look like."""

from typing import Any

from emberkeep.api.microversions import MIN
from emberkeep.api.validation import FORMATS, STRING_255_OR_NULL, Schema


@FORMATS.checks("disabled_reason")
def _is_reason(value: object) -> bool:
    return not isinstance(value, str) or value.strip() != ""


_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
_SERVICE: dict[str, Any] = {
    "binary": _NAME,
    "host": {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"^[a-zA-Z0-9-._#@:/+\[\]]*$",
    },
    "cluster": STRING_255_OR_NULL,
    "service": _NAME,
}


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "anyOf": [{"required": ["binary"]}, {"required": ["service"]}],
        "additionalProperties": False,
    }


UPDATE = Schema({MIN: _body(_SERVICE)})
WITH_REASON = Schema(
    {MIN: _body({**_SERVICE, "disabled_reason": {**_NAME, "format": "disabled_reason"}})}
)
