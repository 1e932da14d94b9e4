"""Sources and targets: a file or block device as the engine reads and writes it."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from emberkeep.engine.errors import SourceError, TargetError
from emberkeep.engine.protocols import Extent
from emberkeep.stores.base import Buffer
from emberkeep.volumes.drivers import blocks

_SECOND = 1_000_000_000  # nanoseconds
_CLOCK_OF_STAMPS = 5  # Linux's CLOCK_REALTIME_COARSE, which Python has no name for

Stamps = tuple[int, int, int]


class FileSource:
    """A file or block device to read.  May be used from many threads."""

    change_id = None

    def __init__(self, path: Path) -> None:
        """Open `path`.  Raises `SourceError`."""
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error
        self._before = settled(self._descriptor)
        self.size = blocks.size_of(self._descriptor)

    def extents(self) -> Iterator[Extent]:
        """The allocated ranges; all of it where that is not known."""
        try:
            yield from blocks.extents(self._descriptor, self.size)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error

    def changed_extents(self, since: str) -> Iterator[Extent] | None:
        return None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        try:
            while buffer:
                count = os.preadv(self._descriptor, [buffer], offset)
                if not count:
                    raise SourceError(f"{self._path} became shorter while it was read")
                buffer, offset = buffer[count:], offset + count
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror} at byte {offset}") from error

    def check_unchanged(self) -> None:
        """Raise `SourceError` if somebody wrote to the file since it was opened."""
        if stamps(self._descriptor) != self._before:
            raise SourceError(
                f"{self._path} was written to while it was backed up; end what writes to it and "
                "back it up again"
            )

    def close(self) -> None:
        os.close(self._descriptor)


class FileTarget:
    """A file or block device to write.  May be used from many threads."""

    def __init__(self, path: Path, *, size: int, reads_as_zeros: bool) -> None:
        """Open `path`; a file may grow up to `size` bytes, a device has its own.

        Raises `TargetError`.
        """
        self.reads_as_zeros = reads_as_zeros
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise self._error(error) from error
        own = blocks.size_of(self._descriptor)
        self.size = own if blocks.is_device(self._descriptor) else max(own, size)

    def write(self, offset: int, data: Buffer) -> None:
        self._check(offset, len(data))
        try:
            blocks.write_all(self._descriptor, memoryview(data).cast("B"), offset)
        except OSError as error:
            raise self._error(error) from error

    def zero(self, offset: int, length: int) -> None:
        self._check(offset, length)
        if not length:
            return
        try:
            blocks.zero(self._descriptor, offset, length)
        except OSError as error:
            raise self._error(error) from error

    def flush(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._error(error) from error

    def check_in_place(self) -> None:
        """Raise `TargetError` if the path no longer leads to what is written here."""
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise self._error(error) from error
        if not os.path.samestat(found, os.fstat(self._descriptor)):
            raise TargetError(f"{self._path} was replaced while it was restored to")

    def close(self) -> None:
        os.close(self._descriptor)

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size:
            raise TargetError(f"{self._path} has {self.size} bytes; {offset} + {length} is beyond")

    def _error(self, error: OSError) -> TargetError:
        hint = "; free some space there" if blocks.is_full(error) else ""
        return TargetError(f"{self._path}: {error.strerror}{hint}")


def stamps(descriptor: int) -> Stamps:
    """What changes with every write to a file: its size and times (ns)."""
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def settled(descriptor: int, *, sleep: Callable[[float], None] = time.sleep) -> Stamps:
    """The file's stamps, once any later write is sure to give it others.

    File systems stamp with the kernel's clock of the last tick, some in whole seconds: a write soon
    after another leaves no trace.  So wait until the stamp is over, 10 ms or 2 s at most.
    """
    while True:
        found = stamps(descriptor)
        latest = max(found[1:])
        grain = 2 * _SECOND if latest % _SECOND == 0 else 0
        now = time.clock_gettime_ns(_CLOCK_OF_STAMPS)
        if not latest <= now <= latest + grain:
            return found
        sleep(max(latest + grain - now, 1_000_000) / _SECOND)
