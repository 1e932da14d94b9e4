"""What the engine asks of an object store: five verbs over named, immutable objects.

A *name* is one or more parts joined by `/`; a part is made of `a-z`, `0-9`, `.`, `-` and `_` and
does not begin with `.`.  The engine writes each name once and never uses it again, so a store
needs neither overwriting nor versions, and an object that was read once may be cached for ever.

Every implementation passes `emberkeep.testing.stores`.

Invariants
* an object is there whole or not at all, and whoever put it got an answer only when it was durable;
* all verbs may be called from any thread at once;
* a store retries by itself what is worth retrying; what it raises is final for this call.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

# Whatever has the buffer interface; collections.abc.Buffer from Python 3.12 on.
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a listing: its name and its size in bytes."""

    name: str
    size: int


class Store(Protocol):
    """One bucket, container or directory."""

    @property
    def settles_within(self) -> float:
        """Seconds until an object that was put is surely found; 0 if it is at once."""

    def put(self, name: str, data: Buffer) -> None:
        """Store `data` under `name`, durably, before returning.

        If the name exists with the same bytes the call succeeds (a retry after a lost answer);
        with other bytes it raises `ObjectExists` and changes nothing.
        Raises `StoreFull` when there is no room; then nothing is left under `name`.
        """

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`, to the end if `length` is None.

        A negative `offset` counts from the end, and is cut to the object's size.  A range that
        goes beyond the end is cut, too.  Raises `ObjectNotFound`.
        """

    def stat(self, name: str) -> StoredObject:
        """Return the object's name and size.  Raises `ObjectNotFound`."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects whose names begin with `prefix`, in ascending order of their names.

        A listing may be stale: nothing that must be right depends on one alone.
        """

    def delete(self, name: str) -> None:
        """Remove the object; succeed if there is none."""
