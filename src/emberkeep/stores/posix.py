"""A store in a directory: one file an object, its name the path.

Invariants
* a file is visible under its name only when it and its name are durable: it is written and synced
  under a temporary name in `.incoming`, then linked, then the directory is synced;
* a name is never replaced: linking fails if it exists.
"""

import contextlib
import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from emberkeep.stores import directory
from emberkeep.stores.base import Buffer, StoredObject
from emberkeep.stores.errors import ObjectExists, ObjectNotFound, StoreError, StoreFull
from emberkeep.stores.findings import Finding
from emberkeep.stores.names import checked

_INCOMING = ".incoming"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_STRAY_SECONDS = 24 * 3600  # a temporary file this old belongs to nobody who lives


class PosixStore:
    """A directory as a store.  Any number of processes may share it."""

    settles_within = 0.0

    def __init__(self, directory: Path) -> None:
        """Use `directory`, which is made (0700) when the first object is put."""
        self.directory = directory

    def put(self, name: str, data: Buffer) -> None:
        path = self._path(name)
        try:
            self._make_directory(path.parent)
            self._make_directory(self.directory / _INCOMING)
            self._put(path, data)
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFull(
                    f"{self.directory} is full: no room for {len(memoryview(data).cast('B'))} "
                    "bytes; free some space there"
                ) from error
            raise StoreError(f"{path}: {error.strerror}") from error

    def _put(self, path: Path, data: Buffer) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.directory / _INCOMING)
        try:
            with open(descriptor, "wb", buffering=0) as file:
                view = memoryview(data).cast("B")
                while view:
                    view = view[file.write(view) :]
                os.fchmod(descriptor, 0o400)
                os.fsync(descriptor)
            try:
                os.link(temporary, path)
            except FileExistsError:
                if path.read_bytes() != data:
                    raise ObjectExists(f"{path} exists with other bytes") from None
        finally:
            os.unlink(temporary)
        _sync_directory(path.parent)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        with self._reading(name) as descriptor:
            size = os.fstat(descriptor).st_size
            start = min(size, max(0, size + offset) if offset < 0 else offset)
            wanted = size - start if length is None else min(length, size - start)
            data = os.pread(descriptor, wanted, start)
            while len(data) < wanted:  # a read may be cut at 2 GiB, or by a signal
                more = os.pread(descriptor, wanted - len(data), start + len(data))
                if not more:
                    raise StoreError(f"{self._path(name)} became shorter while it was read")
                data += more
            return data

    def stat(self, name: str) -> StoredObject:
        with self._reading(name) as descriptor:
            return StoredObject(name, os.fstat(descriptor).st_size)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        # Only the directory that the prefix ends in can hold matches; its own names are filtered.
        parent = self.directory / prefix.rpartition("/")[0]
        yield from (
            StoredObject(name, size) for name, size in self._walk(parent) if name.startswith(prefix)
        )

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        _sync_directory(path.parent)

    def remove_strays(self) -> int:
        """Remove what killed processes left in `.incoming` a day ago; return how many files."""
        removed = 0
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.directory / _INCOMING):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < time.time() - _STRAY_SECONDS:
                        os.unlink(entry)
                        removed += 1
        return removed

    def reached(self) -> Iterator[Finding]:
        """See `stores.check`."""
        return directory.reached(self.directory)

    def _walk(self, directory: Path) -> Iterator[tuple[str, int]]:
        """Yield (name, size) below `directory` in ascending order of the names."""
        try:
            entries = list(os.scandir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return
        # Names sort as whole strings, so a directory sorts as if its name ended in "/".
        keyed = sorted((e.name + ("/" if e.is_dir() else ""), e) for e in entries)
        for key, entry in keyed:
            if key.startswith("."):
                continue
            if key.endswith("/"):
                yield from self._walk(Path(entry.path))
            else:
                with contextlib.suppress(FileNotFoundError):
                    name = Path(entry.path).relative_to(self.directory).as_posix()
                    yield name, entry.stat().st_size

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[int]:
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectNotFound(f"{path} is not there") from None
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        try:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise ObjectNotFound(f"{path} is not there")
            yield descriptor
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self.directory / checked(name)

    def _make_directory(self, directory: Path) -> None:
        """Make the directory and those above it, each durable in its parent."""
        if directory.is_dir():
            return
        self._make_directory(directory.parent)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
