"""Microversions: which version of the v3 API a request speaks.

A client asks with `OpenStack-API-Version: volume X.Y`; the answer carries the version that was
applied.  Without the header a request speaks 3.0.
"""

import re
from typing import NamedTuple

from emberkeep.api.faults import BadRequest, Fault

HEADER = "OpenStack-API-Version"
_FORM = re.compile(r"([1-9][0-9]*)\.([1-9][0-9]*|0)")
_LONGEST = 9  # digits of a number that may still be a version's


class Microversion(NamedTuple):
    """Compares as numbers do: 3.9 is before 3.18."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def v3(minor: int) -> Microversion:
    return Microversion(3, minor)


MIN = v3(0)
MAX = v3(71)


class UnsupportedVersion(Fault):
    """The version has the right form but is none of ours.

    `shown` is what the answer's version header says: the refused version, or nothing for one that
    is older than any.
    """

    status = 406

    def __init__(self, asked: str, *, too_old: bool) -> None:
        super().__init__(
            f"Version {asked} is not supported by the API. Minimum is {MIN} and maximum is {MAX}."
        )
        self.shown = None if too_old else asked


def negotiated(header: str | None) -> Microversion:
    """The version that the request's header asks for.

    Raises `BadRequest` for a malformed header and `UnsupportedVersion`.
    """
    if header is None:
        return MIN
    for item in header.split(","):
        if "volume" in item:
            words = item.split()
            if len(words) != 2:
                raise BadRequest
            return _version(words[1])
    raise BadRequest


def _version(text: str) -> Microversion:
    if text == "latest":
        return MAX
    form = _FORM.fullmatch(text)
    if form is None:
        raise BadRequest(
            f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum."
        )
    if max(len(number) for number in form.groups()) > _LONGEST:
        raise UnsupportedVersion(text, too_old=False)
    version = Microversion(int(form[1]), int(form[2]))
    if not MIN <= version <= MAX:
        raise UnsupportedVersion(text, too_old=version < MIN)
    return version
