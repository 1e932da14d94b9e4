"""What Linux can do to the blocks of files and devices: share, find, copy, give back.

Each call says what it did; what a file system can't do is an answer, not an error.
"""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator

from emberkeep.engine.protocols import Extent

COPY_AT_ONCE = 1 << 20  # bytes; between two of these a copy may be stopped
_FICLONE = 0x40049409
_BLKZEROOUT = 0x127F
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
_CANNOT = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EBADF}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ZEROS = bytes(COPY_AT_ONCE)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

Copied = Callable[[int, int], None]  # bytes copied, bytes to copy; may raise to stop


def is_full(error: OSError) -> bool:
    """Whether there was no room for what was to be written."""
    return error.errno in _FULL


def size_of(descriptor: int) -> int:
    """Bytes of a file or block device."""
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    return os.lseek(descriptor, 0, os.SEEK_END)


def is_device(descriptor: int) -> bool:
    return stat.S_ISBLK(os.fstat(descriptor).st_mode)


def extents(descriptor: int, size: int) -> Iterator[Extent]:
    """The allocated ranges, ascending; one of everything where that is not known.

    The descriptor's position moves: use one that nobody reads from by position.
    """
    place = 0
    while place < size:
        try:
            data = os.lseek(descriptor, place, os.SEEK_DATA)
            hole = min(os.lseek(descriptor, data, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            if error.errno not in _CANNOT:
                raise
            data, hole = place, size
        if hole > data:
            yield Extent(data, hole - data)
        place = max(hole, data)


def share(original: int, descriptor: int) -> bool:
    """Give the file the original's blocks, copied on write; False if that can't be done."""
    try:
        fcntl.ioctl(descriptor, _FICLONE, original)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def copy(original: int, descriptor: int, parts: list[Extent], copied: Copied) -> None:
    """Copy `parts` to the same offsets.  The original must not become shorter meanwhile."""
    total, done = sum(part.length for part in parts), 0
    for part in parts:
        for start in range(part.offset, part.end, COPY_AT_ONCE):
            copied(done, total)
            length = min(COPY_AT_ONCE, part.end - start)
            _copy_range(original, descriptor, start, length)
            done += length
    copied(done, total)


def _copy_range(original: int, descriptor: int, offset: int, length: int) -> None:
    while length:
        try:
            count = os.copy_file_range(original, descriptor, length, offset, offset)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            count = _write(descriptor, os.pread(original, length, offset), offset)
        if not count:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        offset, length = offset + count, length - count


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = _write(descriptor, data, offset)
        data, offset = data[count:], offset + count


def _write(descriptor: int, data: bytes | memoryview, offset: int) -> int:
    return os.pwrite(descriptor, data, offset)


def zero(descriptor: int, offset: int, length: int) -> None:
    """Make the range read as zeros, given back to the file system or device if it can.

    A file becomes longer where the range goes beyond its end, never shorter.
    """
    try:
        if is_device(descriptor):
            fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("QQ", offset, length))
        else:
            _punch_hole(descriptor, offset, length)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        for start in range(offset, offset + length, len(_ZEROS)):
            count = min(len(_ZEROS), offset + length - start)
            write_all(descriptor, memoryview(_ZEROS)[:count], start)
    if not is_device(descriptor) and os.fstat(descriptor).st_size < offset + length:
        # Not by truncate: another thread may have written further meanwhile.
        write_all(descriptor, memoryview(b"\0"), offset + length - 1)


def _punch_hole(descriptor: int, offset: int, length: int) -> None:
    if _libc.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
