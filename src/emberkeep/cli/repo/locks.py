"""Locks on this machine: one backup of a volume at a time, and nobody beside a rebuilding.

The kernel gives them back when their process ends, however it does.

Invariant: what a volume's lock file names is the last session that was begun for it, so a session
in it that has not ended is nobody's any more as soon as somebody else gets the lock.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from emberkeep.cli.errors import Failure
from emberkeep.engine.ids import ID
from emberkeep.engine.repository import SessionId

_PATIENCE = 1  # seconds; who only looks holds a lock for a moment


class VolumeLock:
    """The lock of one volume's backups, held."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def last(self) -> SessionId | None:
        """The last session that was begun for the volume."""
        return _session(self._descriptor)

    def note(self, session: SessionId) -> None:
        """Name a session durably, before it is begun."""
        os.pwrite(self._descriptor, f"{session}\n".encode(), 0)
        os.fsync(self._descriptor)


@contextlib.contextmanager
def of_volume(home: Path, container: str, volume: str) -> Iterator[VolumeLock]:
    """Hold the lock of a volume's backups.  Raises `Failure` if another process does."""
    directory = home / "volumes"
    directory.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(f"{container}\0{volume}".encode()).hexdigest()[:32]
    with _file(directory / name) as descriptor:
        deadline = time.monotonic() + _PATIENCE
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise Failure(f"{volume} is being backed up by another process; wait for that one")
            time.sleep(0.05)
        yield VolumeLock(descriptor)


def running(home: Path) -> set[SessionId]:
    """The sessions of the backups that run on this machine now."""
    found = set()
    for path in (home / "volumes").glob("*"):
        with _file(path) as descriptor:
            if not _locked(descriptor, fcntl.LOCK_SH) and (session := _session(descriptor)):
                found.add(session)
    return found


@contextlib.contextmanager
def shared(home: Path) -> Iterator[None]:
    """Use the repository, beside others.  Raises `Failure` while it is being rebuilt."""
    with _file(home / "lock") as descriptor:
        if not _locked(descriptor, fcntl.LOCK_SH):
            raise Failure("the repository is being rebuilt by another process; wait for that one")
        yield


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Use the repository, and nobody else on this machine does.  Raises `Failure` if one does."""
    with _file(home / "lock") as descriptor:
        if not _locked(descriptor, fcntl.LOCK_EX):
            raise Failure("the repository is in use by another process on this machine; end it")
        yield


@contextlib.contextmanager
def making(home: Path) -> Iterator[None]:
    """Make the repository's ledger or change its tables, one process after the other."""
    with _file(home / "making") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _session(descriptor: int) -> SessionId | None:
    text = os.pread(descriptor, 33, 0).decode("ascii", "replace").rstrip("\n")
    return SessionId(text) if ID.fullmatch(text) else None
