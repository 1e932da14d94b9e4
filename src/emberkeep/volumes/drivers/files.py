"""Volumes as sparse raw files in a directory; sources and targets of files and block devices.

Invariants
* a file is there under its name only when it is whole: it is made as `.<name>.partial` and renamed;
* a copy is refused before it begins if there is no room for it;
* a source that changed while it was read ends in an error, so no torn image becomes a backup.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from emberkeep.engine.errors import SourceError, TargetError
from emberkeep.engine.protocols import Extent
from emberkeep.stores.base import Buffer
from emberkeep.volumes.errors import NoRoom, VolumeError

_FICLONE = 0x40049409
_BLKZEROOUT = 0x127F
_PUNCH_HOLE = 0x01 | 0x02  # and keep the size
_COPY = 8 << 20  # bytes at a time
_ZEROS = bytes(1 << 20)
# What a file system answers that can't do what was asked, rather than failing at it.
_CANNOT = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.ENOTTY}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_libc = ctypes.CDLL(None, use_errno=True)
Copied = Callable[[int, int], None]  # bytes copied, bytes to copy; may raise to stop


def _unwatched(_done: int, _total: int) -> None:
    pass


class FileSource:
    """A file or block device to read.  May be used from many threads."""

    change_id = None

    def __init__(self, path: Path) -> None:
        """Open `path`.  Raises `SourceError`."""
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error
        self._path = path
        self._before = self._fingerprint()

    def extents(self) -> Iterator[Extent]:
        """The allocated ranges; all of it where the file system can't tell."""
        return _extents(self._descriptor, self.size)

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
        if self._fingerprint() != self._before:
            raise SourceError(
                f"{self._path} was written to while it was backed up; end what writes to it, "
                "or back it up as in use"
            )

    def close(self) -> None:
        os.close(self._descriptor)

    def _fingerprint(self) -> tuple[int, ...]:
        found = os.fstat(self._descriptor)
        if stat.S_ISBLK(found.st_mode):
            return ()
        return found.st_size, found.st_mtime_ns


class FileTarget:
    """A file or block device to write.  May be used from many threads."""

    def __init__(self, path: Path, *, reads_as_zeros: bool) -> None:
        """Open `path`.  Raises `TargetError`."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self.size = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise TargetError(f"{path}: {error.strerror}") from error
        self.reads_as_zeros = reads_as_zeros
        self._path = path
        self._is_device = stat.S_ISBLK(os.fstat(self._descriptor).st_mode)

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self._descriptor, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise self._error(error) from error

    def zero(self, offset: int, length: int) -> None:
        if not length:
            return
        try:
            if self._is_device:
                fcntl.ioctl(self._descriptor, _BLKZEROOUT, struct.pack("QQ", offset, length))
            else:
                _punch_hole(self._descriptor, offset, length)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise self._error(error) from error
            for start in range(offset, offset + length, len(_ZEROS)):
                self.write(start, _ZEROS[: min(len(_ZEROS), offset + length - start)])

    def flush(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        os.close(self._descriptor)

    def _error(self, error: OSError) -> TargetError:
        hint = "; free some space there" if error.errno in _FULL else ""
        return TargetError(f"{self._path}: {error.strerror}{hint}")


class FilesDriver:
    """Sparse files in one directory, each named by what it is of."""

    def __init__(self, directory: Path) -> None:
        """`directory` is made (0700) if there is none."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory

    def path(self, name: str) -> Path:
        """Where the file `name` is, or will be."""
        return self._directory / name

    def create(self, name: str, size: int) -> None:
        """Make an empty file of `size` bytes, in place of one that is there."""
        with self._whole(name) as descriptor:
            os.truncate(descriptor, size)

    def copy(
        self, source: Path, name: str, *, size: int | None = None, copied: Copied = _unwatched
    ) -> None:
        """Make the file `name` a copy of `source`, shared where the file system can, else sparse.

        It is extended to `size` bytes.  `copied` may raise to stop.  Raises `NoRoom` before the
        copy begins if there is not the space, and `VolumeError`.
        """
        try:
            original = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise VolumeError(f"{source}: {error.strerror}") from error
        try:
            with self._whole(name) as descriptor:
                length = os.lseek(original, 0, os.SEEK_END)
                if not _reflinked(original, descriptor):
                    self._copy(original, descriptor, length, copied)
                os.truncate(descriptor, max(length, size or 0))
        finally:
            os.close(original)

    def extend(self, name: str, size: int) -> None:
        """Make the file longer; it never becomes shorter."""
        path = self.path(name)
        try:
            if path.stat().st_size < size:
                os.truncate(path, size)
        except OSError as error:
            raise VolumeError(f"{path}: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Remove the file, if there is one."""
        self.path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def point_in_time(self, path: Path, name: str, *, in_use: bool) -> Iterator[FileSource]:
        """The bytes of `path` as they are now, for the length of the block.

        A copy that shares all blocks, where the file system makes one.  Else a file that nobody may
        write is read where it lies, and checked at the end not to have changed; one that is
        `in_use` is copied (`NoRoom`).  See docs/decisions/0001.
        """
        temporary = f"point-{name}"
        try:
            if self._reflink(path, temporary):
                source = FileSource(self.path(temporary))
            elif in_use:
                self.copy(path, temporary)
                source = FileSource(self.path(temporary))
            else:
                source = FileSource(path)
            with contextlib.closing(source):
                yield source
                source.check_unchanged()
        finally:
            self.delete(temporary)

    @contextlib.contextmanager
    def target(self, path: Path, *, reads_as_zeros: bool) -> Iterator[FileTarget]:
        """The file at `path`, to be written."""
        with contextlib.closing(FileTarget(path, reads_as_zeros=reads_as_zeros)) as target:
            yield target

    def _reflink(self, source: Path, name: str) -> bool:
        try:
            original = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{source}: {error.strerror}") from error
        try:
            with self._whole(name) as descriptor:
                if not _reflinked(original, descriptor):
                    raise _NoReflink
        except _NoReflink:
            return False
        finally:
            os.close(original)
        return True

    @contextlib.contextmanager
    def _whole(self, name: str) -> Iterator[int]:
        """A new file's descriptor; the file gets its name, durably, if the block ends well."""
        partial = self._directory / f".{name}.partial"
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                yield descriptor
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            partial.rename(self.path(name))
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise NoRoom(f"{self._directory} is full; free some space there") from error
            raise VolumeError(f"{self.path(name)}: {error.strerror}") from error
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _copy(self, original: int, descriptor: int, length: int, copied: Copied) -> None:
        total = sum(extent.length for extent in _extents(original, length))
        room = os.statvfs(self._directory)
        if total > room.f_bavail * room.f_frsize:
            raise NoRoom(
                f"{self._directory} has {room.f_bavail * room.f_frsize >> 20} MiB free, the copy "
                f"needs {total >> 20} MiB; free some space there"
            )
        done = 0
        for extent in _extents(original, length):
            for start in range(extent.offset, extent.end, _COPY):
                copied(done, total)
                count = min(_COPY, extent.end - start)
                _copy_range(original, descriptor, start, count)
                done += count
        copied(done, total)


class _NoReflink(Exception):
    """The file system can't share blocks between these files."""


def _extents(descriptor: int, size: int) -> Iterator[Extent]:
    place = 0
    while place < size:
        try:
            data = os.lseek(descriptor, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here
                return
            yield Extent(place, size - place)
            return
        hole = min(os.lseek(descriptor, data, os.SEEK_HOLE), size)
        if hole > data:
            yield Extent(data, hole - data)
        place = hole


def _reflinked(original: int, descriptor: int) -> bool:
    try:
        fcntl.ioctl(descriptor, _FICLONE, original)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _copy_range(original: int, descriptor: int, offset: int, length: int) -> None:
    while length:
        try:
            count = os.copy_file_range(original, descriptor, length, offset, offset)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            count = os.pwrite(descriptor, os.pread(original, length, offset), offset)
        if not count:
            raise VolumeError("the file became shorter while it was copied")
        offset, length = offset + count, length - count


def _punch_hole(descriptor: int, offset: int, length: int) -> None:
    done = _libc.fallocate(
        descriptor, _PUNCH_HOLE, ctypes.c_longlong(offset), ctypes.c_longlong(length)
    )
    if done:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
