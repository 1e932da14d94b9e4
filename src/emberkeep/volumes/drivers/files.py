"""Volumes as sparse raw files in one directory, each named by what it is of.

Invariants
* a file is there under its name only when it is whole: it is made beside, synced and linked;
* a copy is refused before it begins if there is no room for it;
* what changed while it was read or copied ends in an error, so no torn image passes for whole.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from emberkeep.engine.errors import SourceError
from emberkeep.volumes.drivers import blocks
from emberkeep.volumes.drivers.blocks import Copied
from emberkeep.volumes.drivers.streams import FileSource, FileTarget, settled, stamps
from emberkeep.volumes.errors import NoRoom, VolumeError

_PARTIAL = ".partial"
_COPIES_OF_WHAT_IS_IN_USE = 3  # tries to copy it while nobody writes


def _unwatched(_done: int, _total: int) -> None:
    pass


class Changed(VolumeError):
    """The file was written to while it was copied."""


class FilesDriver:
    """The files of one directory.  May be used from many threads and processes."""

    def __init__(self, directory: Path) -> None:
        """`directory` is made (0700) if there is none."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory

    def path(self, name: str) -> Path:
        """Where the file `name` is, or will be."""
        return self.directory / name

    def create(self, name: str, size: int) -> None:
        """Make an empty file of `size` bytes; one that is there stays."""
        with self._whole(name) as descriptor:
            os.truncate(descriptor, size)

    def renew(self, name: str, size: int) -> None:
        """Make an empty file of `size` bytes, in place of one that is there."""
        self.delete(name)
        self.create(name, size)

    def copy(self, source: Path, name: str, *, size: int = 0, copied: Copied = _unwatched) -> None:
        """Make the file `name` a copy of `source`, shared where the file system can, else sparse.

        It is extended to `size` bytes; a file that is there under `name` stays: it is whole.
        `copied` is told how far it is, and may raise to stop.  Raises `NoRoom` before the copy
        begins if there is not the space, `Changed` if somebody wrote to `source` meanwhile, and
        `VolumeError`.  Then nothing is left under `name`.
        """
        if self.path(name).exists():
            return
        with self._whole(name) as descriptor:
            self._fill(descriptor, source, size=size, copied=copied)

    def replace(
        self,
        name: str,
        source: Path,
        *,
        size: int = 0,
        copied: Copied = _unwatched,
        may_replace: Callable[[], bool],
    ) -> None:
        """Give the file `name` the bytes of `source`: all of them at once, or none.

        They are copied beside it first, as by `copy`; then `may_replace` is asked whether the file
        is still to be replaced, and may raise to stop.
        """
        with self._translated(name), self._partial(name) as (descriptor, partial):
            self._fill(descriptor, source, size=size, copied=copied)
            os.fsync(descriptor)
            if may_replace():
                os.replace(partial, self.path(name))
                self._sync_directory()

    def extend(self, name: str, size: int) -> None:
        """Make the file longer; it never becomes shorter."""
        path = self.path(name)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_size < size:
                    os.truncate(descriptor, size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise VolumeError(f"{path}: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Remove the file, if there is one."""
        try:
            self.path(name).unlink(missing_ok=True)
            self._sync_directory()
        except OSError as error:
            raise VolumeError(f"{self.path(name)}: {error.strerror}") from error

    @contextlib.contextmanager
    def point_in_time(self, path: Path, name: str, *, in_use: bool) -> Iterator[FileSource]:
        """The bytes of `path` as they are now, for the length of the block.

        A copy that shares all blocks where the file system makes one.  Else a file that nobody may
        write to is read where it lies, and the block ends in `SourceError` if somebody did; one
        that is `in_use` is copied.  Raises `NoRoom`, `VolumeError`, `SourceError`.  The reasons are
        in docs/decisions/0001-point-in-time-of-local-volumes.md.
        """
        with contextlib.ExitStack() as made:
            descriptor, copy = made.enter_context(self._partial(f"point-{name}"))
            with self._translated(name):
                own = self._share(path, descriptor)
                if in_use and not own:
                    self._copy_between_writes(path, descriptor)
                    own = True
            if not own:
                made.close()
            with contextlib.closing(FileSource(copy if own else path)) as source:
                yield source
                source.check_unchanged()

    @contextlib.contextmanager
    def target(self, path: Path, *, size: int, reads_as_zeros: bool) -> Iterator[FileTarget]:
        """The file or device at `path`, to be written; a file may grow up to `size` bytes.

        Ends in `TargetError` if another file has taken the place meanwhile, as after a `renew` by
        who lost its lease: then what was written is not the volume's.
        """
        target = FileTarget(path, size=size, reads_as_zeros=reads_as_zeros)
        with contextlib.closing(target):
            yield target
            target.check_in_place()

    def sweep(self) -> None:
        """Remove what processes that were killed left half made."""
        for path in self.directory.glob(f".*{_PARTIAL}"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                if _locked(file.fileno()):
                    path.unlink()

    def _fill(self, descriptor: int, source: Path, *, size: int, copied: Copied) -> None:
        """Make the new file a copy of `source`, of `size` bytes at least."""
        with _opened(source) as original:
            length = blocks.size_of(original)
            if blocks.is_device(original) or not blocks.share(original, descriptor):
                self._copy(source, original, descriptor, copied)
            os.truncate(descriptor, max(length, size))

    def _share(self, path: Path, descriptor: int) -> bool:
        """Share all blocks of `path`; False if that can't be done."""
        with _opened(path) as original:
            return not blocks.is_device(original) and blocks.share(original, descriptor)

    def _copy_between_writes(self, path: Path, descriptor: int) -> None:
        for _ in range(_COPIES_OF_WHAT_IS_IN_USE):
            with contextlib.suppress(Changed), _opened(path) as original:
                os.truncate(descriptor, 0)
                self._copy(path, original, descriptor, _unwatched)
                os.truncate(descriptor, blocks.size_of(original))
                return
        raise SourceError(
            f"{path} was written to each time it was copied; pause what writes to it, or keep the "
            "volumes on a file system that shares blocks (XFS, Btrfs)"
        )

    def _copy(self, source: Path, original: int, descriptor: int, copied: Copied) -> None:
        before = settled(original)
        parts = list(blocks.extents(original, blocks.size_of(original)))
        total = sum(part.length for part in parts)
        free = self._free()
        if total > free:
            raise NoRoom(
                f"{self.directory} has {free >> 20} MiB free, the copy needs {total >> 20} MiB; "
                "free some space there"
            )
        blocks.copy(original, descriptor, parts, copied)
        if not blocks.is_device(original) and stamps(original) != before:
            raise Changed(f"{source} was written to while it was copied; end what writes to it")

    def _free(self) -> int:
        room = os.statvfs(self.directory)
        return room.f_bavail * room.f_frsize

    @contextlib.contextmanager
    def _whole(self, name: str) -> Iterator[int]:
        """A new file's descriptor; the file gets its name, durably, if the block ends well.

        Unless there is one of that name by then, which stays.
        """
        with self._partial(name) as (descriptor, partial), self._translated(name):
            yield descriptor
            os.fsync(descriptor)
            with contextlib.suppress(FileExistsError):
                os.link(partial, self.path(name))  # never over a file that somebody may use by now
            self._sync_directory()

    @contextlib.contextmanager
    def _partial(self, name: str) -> Iterator[tuple[int, Path]]:
        """A new file for the length of the block, locked so that nobody sweeps it away.

        Its name is its own: who lost its lease may still be writing to another.
        """
        with self._translated(name):
            descriptor, partial = self._locked_file(name)
        try:
            yield descriptor, partial
        finally:
            partial.unlink(missing_ok=True)
            os.close(descriptor)

    def _locked_file(self, name: str) -> tuple[int, Path]:
        while True:
            descriptor, place = tempfile.mkstemp(
                prefix=f".{name}.", suffix=_PARTIAL, dir=self.directory
            )
            if _locked(descriptor) and os.path.exists(place):
                return descriptor, Path(place)
            os.close(descriptor)  # it was swept before it was locked

    @contextlib.contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Errors of the file system, as a volume service's."""
        try:
            yield
        except OSError as error:
            if blocks.is_full(error):
                raise NoRoom(f"{self.directory} is full; free some space there") from error
            raise VolumeError(f"{self.path(name)}: {error.strerror}") from error

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Take the file's lock, which lasts as long as the descriptor; False if another has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
