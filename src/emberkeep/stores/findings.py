"""What a check of a store found."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """From the best to the worst."""

    FINE = "fine"
    NOTE = "note"  # it works, but should be known
    WRONG = "wrong"
    UNREACHABLE = "unreachable"  # so nothing else can be told


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and in `text` what was found and, if that is needed, what to do."""

    step: str
    result: Result
    text: str


def gib(size: int) -> str:
    """A size in bytes, to be read."""
    return f"{size / 2**30:,.1f} GiB"
