"""The names that every store takes."""

import re

from emberkeep.stores.errors import InvalidName

_NAME = re.compile(r"[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*)*")


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def checked(name: str) -> str:
    """Return the name if it is one (`stores.base`).  Raises `InvalidName`."""
    if not is_name(name):
        raise InvalidName(f"{name!r} is no name of an object")
    return name
