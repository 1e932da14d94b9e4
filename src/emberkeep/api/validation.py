"""Request bodies against their schemas, with the texts that Cinder's clients know.

A schema is JSON Schema draft 4 and may differ between microversions.  The order of its keywords,
and of its properties, is the order in which problems are found; the first one is told.
Validators are compiled once, when the module that names the schema is imported.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsonschema

from emberkeep.api.faults import UNDECODABLE, BadRequest
from emberkeep.api.microversions import MIN, Microversion

FORMATS = jsonschema.FormatChecker(formats=())


def _number(value: Any) -> int | float | None:
    """The number that a value is, or that a string of digits means."""
    readers: tuple[Callable[[Any], int | float], ...] = (int, float)
    for read in readers:
        try:
            return read(value)
        except (TypeError, ValueError):
            continue
    return None


def _for_digits(keyword: str) -> Callable[..., Any]:
    """`minimum` and `maximum` for strings of digits, too, as Cinder has them."""
    check = jsonschema.Draft4Validator.VALIDATORS[keyword]

    def checked(validator: Any, bound: int, value: object, schema: Any) -> Any:
        number = _number(value)
        return () if number is None else check(validator, bound, number, schema)

    return checked


_extend: Callable[..., Any] = jsonschema.validators.extend
_Validator = _extend(
    jsonschema.Draft4Validator,
    {keyword: _for_digits(keyword) for keyword in ("minimum", "maximum")},
)

JSON = Any


class Schema:
    """What a body must look like: by the first microversion for which each form holds."""

    def __init__(self, forms: Mapping[Microversion, dict[str, Any]]) -> None:
        self._root: str = forms[MIN].get("required", [""])[0]
        self.newest = forms[max(forms)]  # the form of the latest microversion, as JSON Schema
        self._validators = [
            (since, _Validator(form, format_checker=FORMATS))
            for since, form in sorted(forms.items(), reverse=True)
        ]

    @property
    def root(self) -> str:
        """The key under which everything stands; empty where the body has no root."""
        return self._root

    def check(self, body: JSON, version: Microversion) -> None:
        """Raise `BadRequest` with the first thing that is wrong with `body`."""
        validator = next(validator for since, validator in self._validators if version >= since)
        try:
            for error in validator.iter_errors(body):
                raise BadRequest(_told(error))
        except RecursionError:
            raise BadRequest from None


def _told(error: jsonschema.ValidationError) -> str:
    if not error.absolute_path:
        return error.message
    return (
        f"Invalid input for field/attribute {error.absolute_path[-1]}. "
        f"Value: {error.instance}. {error.message}"
    )


def only(properties: dict[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


TRUE = (True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t")
FALSE = (False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f")

UUID = {"type": "string", "format": "uuid"}
UUID_OR_NULL = {"oneOf": [UUID, {"type": "null"}]}
BOOLEAN = {"type": ["boolean", "string"], "enum": [*TRUE, *FALSE]}
STRING_255 = {"type": "string", "minLength": 0, "maxLength": 255}
STRING_255_OR_NULL = {"type": ["string", "null"], "minLength": 0, "maxLength": 255}


def _printable_line() -> str:
    """A pattern for printable characters of the basic plane; its text is told to clients.

    One newline at the end passes it, as in Cinder.
    """
    runs: list[list[str]] = []
    for number in range(0xFFFF):
        character = chr(number)
        category = unicodedata.category(character)
        if category[0] == "C" or category in ("Zl", "Zp"):
            continue
        if runs and ord(runs[-1][-1]) == number - 1:
            runs[-1][1:] = [character]
        else:
            runs.append([character])
    return f"^[{''.join('-'.join(map(re.escape, run)) for run in runs)}]*$"


DESCRIPTION = {**STRING_255_OR_NULL, "pattern": _printable_line()}
METADATA = {
    "type": "object",
    "patternProperties": {"^[a-zA-Z0-9-_:. /]{1,255}$": {"type": "string", "maxLength": 255}},
    "additionalProperties": False,
}
METADATA_OR_NULL = {**METADATA, "type": ["object", "null"]}
BOOLEAN_OR_NULL = {"oneOf": [{"type": "null"}, BOOLEAN]}
SIZE = {"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": 1, "maximum": 2147483647}
METADATA_ITEM = {**METADATA, "minProperties": 1, "maxProperties": 1}
ANYTHING: dict[str, Any] = {}


def action(
    name: str, properties: dict[str, Any] | None = None, *, required: tuple[str, ...] = ()
) -> Schema:
    """The schema of an action's body; without `properties` its value may be anything."""
    inside = ANYTHING if properties is None else only(properties, required=required)
    return Schema({MIN: only({name: inside}, required=(name,))})


def one_of(what: str, valid: Sequence[str], *, empty: bool = True) -> Callable[[object], bool]:
    """A format: one of these words in any case; refused with all of them."""

    def check(value: object) -> bool:
        if not isinstance(value, str) or (empty and not value) or value.lower() in valid:
            return True
        raise BadRequest(f"{what}: {value} is invalid, valid statuses are: {valid}.")

    return check


def number(value: int | str) -> int:
    """What a value of `SIZE` means.  It may have more zeros in front than `int` would read."""
    return int(str(value).strip().lstrip("0") or "0")


def is_true(value: bool | str | None) -> bool:
    """What a value of `BOOLEAN` means; an absent one is false."""
    return value in TRUE and value is not None


_BOOLEAN_WORDS = {
    **dict.fromkeys(("1", "t", "true", "on", "y", "yes"), True),
    **dict.fromkeys(("0", "f", "false", "off", "n", "no"), False),
}


def boolean_word(text: str) -> bool | None:
    """What a boolean in a query string means, in any case; None if it is none."""
    return _BOOLEAN_WORDS.get(text.lower())


def boolean(name: str, text: str) -> bool:
    """The same of what is named `name`.  Raises `BadRequest` if it is none."""
    word = boolean_word(text)
    if word is None:
        raise BadRequest(f"Value '{text}' for '{name}' is not a boolean.")
    return word


@FORMATS.checks("uuid")
def _is_uuid(value: object) -> bool:
    if not isinstance(value, str):
        return True
    bare = value.replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "").lower()
    return re.fullmatch("[0-9a-f]{32}", bare) is not None


def is_canonical_uuid(text: str) -> bool:
    """Whether it is a UUID as this API writes it."""
    form = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    return re.fullmatch(form, text) is not None


@FORMATS.checks("base64")
def _is_base64(value: object) -> bool:
    """Characters outside of the alphabet are skipped; what is left must be padded."""
    if not isinstance(value, str):
        return True
    try:
        base64.decodebytes(value.encode(errors="surrogatepass"))
    except binascii.Error:
        return False
    if not value.isascii():
        raise BadRequest(UNDECODABLE)
    return True
