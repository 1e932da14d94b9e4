"""The engine's seams: where bytes come from, where they go, and who keeps the wrapping keys.

Offsets and lengths are bytes.  All calls may come from several threads at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from emberkeep.stores.base import Buffer


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes from `offset` up to, not including, `offset + length`."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


class Source(Protocol):
    """A point in time of a volume: reading it twice gives the same bytes."""

    @property
    def size(self) -> int:
        """Bytes; any number from 0 on, also one that is no multiple of a block."""

    @property
    def change_id(self) -> str | None:
        """The storage's name for this point in time, kept in the root; None if it has none."""

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges that may hold data, ascending and disjoint.

        All other bytes surely read as zeros.
        """

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes from `offset` on, all of it.

        Raises `SourceError` if the bytes can't be read; never returns part of them.
        """


class Target(Protocol):
    """A volume that a backup is restored to."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def reads_as_zeros(self) -> bool:
        """Whether all that has not been written to it surely reads as zeros."""

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data` at `offset`.  Raises `TargetError`."""

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros, giving its space back where possible."""

    def flush(self) -> None:
        """Return when everything written so far is durable."""


class KeyManager(Protocol):
    """Keeps the key-encrypting keys; the engine sees wrapped keys only.

    `domain` is a domain's id, or None for the repository's own metadata key: a manager that can
    keeps a key for each domain, so that destroying it destroys that domain alone.
    """

    def wrap(self, key: bytes, *, domain: str | None, context: bytes) -> bytes:
        """Encrypt `key`, bound to `context`."""

    def unwrap(self, wrapped: bytes, *, domain: str | None, context: bytes) -> bytes:
        """Give back what `wrap` was given.  Raises `WrongKey` if that can't be done."""
