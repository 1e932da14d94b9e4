"""Whether a directory can hold a store."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emberkeep.stores.findings import Finding, Result, gib

_SCARCE = 0.05  # of a file system


@contextmanager
def without_new(directory: Path) -> Iterator[None]:
    """Remove those that a store made there meanwhile, if they are empty again."""
    own = [directory / "check", directory / ".incoming", directory, *directory.parents]
    new = [path for path in own if not path.exists()]
    yield
    with suppress(OSError):
        for path in (directory / "check").iterdir():
            path.rmdir()
    for path in new:
        with suppress(OSError):
            path.rmdir()


def reached(directory: Path) -> Iterator[Finding]:
    """Whether a store can be kept there, step by step."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir():
        yield Finding("directory", Result.UNREACHABLE, f"{there} is no directory")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "directory",
            Result.UNREACHABLE,
            f"user {os.geteuid()} may not write to {there}; run this as the service's user, give "
            "it the directory (chown), or mount it for writing",
        )
        return
    if there == directory:
        yield _permissions(directory)
    else:
        text = f"{directory} is not there; it is made when the first object is put"
        yield Finding("directory", Result.NOTE, text)
    yield _file_system(there)
    yield _free(there)


def _permissions(directory: Path) -> Finding:
    mode = directory.stat().st_mode
    if mode & 0o022:
        text = f"others may remove what is in {directory}; run: chmod 700 {directory}"
        return Finding("directory", Result.WRONG, text)
    if mode & 0o055:
        text = f"others may see the objects' names in {directory}; run: chmod 700 {directory}"
        return Finding("directory", Result.NOTE, text)
    return Finding("directory", Result.FINE, f"{directory} is there, for its user alone")


def _file_system(directory: Path) -> Finding:
    """Whether it can do what `stores.posix` builds on."""
    try:
        with tempfile.TemporaryDirectory(prefix=".check-", dir=directory) as trial:
            with open(Path(trial) / "file", "wb") as file:
                file.write(b"x")
                os.fsync(file.fileno())
            os.link(Path(trial) / "file", Path(trial) / "link")
            descriptor = os.open(trial, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        return Finding(
            "file system",
            Result.WRONG,
            f"{directory}: it cannot sync files and link them ({error.strerror}); take one that "
            "can: ext4, xfs, btrfs, zfs, NFS",
        )
    return Finding("file system", Result.FINE, "files are synced and linked")


def _free(directory: Path) -> Finding:
    about = os.statvfs(directory)
    free, size = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
    text = f"{gib(free)} of {gib(size)} are free"
    if free < _SCARCE * size:
        return Finding("room", Result.NOTE, f"{text}; make some, or expire backups")
    if about.f_files and about.f_favail < _SCARCE * about.f_files:
        text += f", but only {about.f_favail:,} more files; make room for some"
        return Finding("room", Result.NOTE, text)
    return Finding("room", Result.FINE, text)
