"""JSON documents as templates: what a document must be, but for what is new each time.

In a template `%(uuid)s`, `%(time)s` and the like, alone or within a text, stand for any text of
that kind, `%(number)s` for any integer; everything else is exact, a key more or less is a
difference.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_HEX = "[0-9a-f]"
KINDS = {
    "uuid": f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}",
    "request": f"req-{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    "base64": "[A-Za-z0-9+/]+={0,2}",
    "text": "(?s:.*)",
}


def differences(
    template: Any, found: Any, *, values: Mapping[str, str] | None = None, place: str = "$"
) -> Iterator[str]:
    """What is otherwise in `found`, a line each.  `values` are placeholders with one meaning."""
    match template:
        case dict() if isinstance(found, dict):
            for key in template.keys() | found.keys():
                if key not in found:
                    yield f"{place}.{key} is missing"
                elif key not in template:
                    yield f"{place}.{key} is new: {found[key]!r}"
                else:
                    yield from differences(
                        template[key], found[key], values=values, place=f"{place}.{key}"
                    )
        case list() if isinstance(found, list) and len(found) == len(template):
            for number, (wanted, item) in enumerate(zip(template, found, strict=True)):
                yield from differences(wanted, item, values=values, place=f"{place}[{number}]")
        case "%(number)s":
            if type(found) is not int:
                yield f"{place} is {found!r}, no number"
        case str() if "%(" in template:
            if not isinstance(found, str) or not _pattern(template, values).fullmatch(found):
                yield f"{place} is {found!r}, not {template!r}"
        case _ if type(template) is not type(found) or template != found:
            yield f"{place} is {found!r}, not {template!r}"


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """The document that has these values in their places."""
    match template:
        case dict():
            return {key: filled(value, values) for key, value in template.items()}
        case list():
            return [filled(value, values) for value in template]
        case str() if "%(" in template:
            return template % values
    return template


def _pattern(template: str, values: Mapping[str, str] | None) -> re.Pattern[str]:
    kinds = KINDS | {name: re.escape(value) for name, value in (values or {}).items()}
    parts = re.split(r"%\((\w+)\)s", template)
    return re.compile(
        "".join(kinds[part] if n % 2 else re.escape(part) for n, part in enumerate(parts))
    )
