"""What the bodies of actions on a volume's image metadata look like."""

from typing import Any

from emberkeep.api.validation import FORMATS, METADATA, action

_LONGEST = 65535  # bytes of a value


@FORMATS.checks("mysql_text")
def _fits(value: object) -> bool:
    return not isinstance(value, str) or len(value.encode(errors="surrogatepass")) <= _LONGEST


_VALUES = {"type": "string", "format": "mysql_text"}
_METADATA: dict[str, Any] = {
    **METADATA,
    "patternProperties": {"^[a-zA-Z0-9-_:. /]{1,255}$": _VALUES},
}

SET = action("os-set_image_metadata", {"metadata": _METADATA}, required=("metadata",))
SHOW = action("os-show_image_metadata")
UNSET = action(
    "os-unset_image_metadata",
    {"key": {"type": "string", "minLength": 1, "maxLength": 255}},
    required=("key",),
)
