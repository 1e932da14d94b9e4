"""Volumes of another service, in memory: a `VolumeService` each call of which may be lost.

It joins no transaction; a call fails, or its answer does, when a test says so.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from emberkeep.db.database import Transaction
from emberkeep.engine.protocols import Extent, Source, Target
from emberkeep.stores.base import Buffer
from emberkeep.testing.volumes import GIB, PROJECT
from emberkeep.volumes.errors import (
    SnapshotNotFound,
    VolumeNotFound,
    VolumeQuotaExceeded,
    VolumesUnavailable,
    WrongStatus,
)
from emberkeep.volumes.service import (
    Attributes,
    NewVolume,
    Outcome,
    Purpose,
    Reservation,
    Snapshot,
    Volume,
)


@dataclass
class RemoteVolume:
    """A volume of `RemoteVolumes`.  `data`: its first bytes; all others are zeros."""

    shown: Volume
    data: bytearray
    previous_status: str | None = None

    @property
    def status(self) -> str:
        return self.shown.status

    @status.setter
    def status(self, status: str) -> None:
        self.shown = replace(self.shown, status=status)


class _Bytes:
    """The bytes of a remote volume, as a source or a target."""

    change_id = None

    def __init__(self, size: int, data: bytearray, *, reads_as_zeros: bool) -> None:
        self.size = size
        self.reads_as_zeros = reads_as_zeros
        self._data = data
        self._lock = threading.Lock()

    def extents(self) -> Iterator[Extent]:
        if self._data:
            yield Extent(0, len(self._data))

    def changed_extents(self, since: str) -> Iterator[Extent] | None:
        return None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        found = self._data[offset : offset + len(buffer)]
        buffer[:] = bytes(found).ljust(len(buffer), b"\0")

    def write(self, offset: int, data: Buffer) -> None:
        assert offset + len(data) <= self.size
        with self._lock:
            if len(self._data) < offset + len(data):
                self._data.extend(bytes(offset + len(data) - len(self._data)))
            self._data[offset : offset + len(data)] = data

    def zero(self, offset: int, length: int) -> None:
        assert offset + length <= self.size
        with self._lock:
            end = min(offset + length, len(self._data))
            if offset < end:
                self._data[offset:end] = bytes(end - offset)

    def flush(self) -> None:
        pass


@dataclass
class _Fault:
    after: bool
    times: int


@dataclass
class RemoteVolumes:
    """The volumes of another service, each call to which may get no answer (`lose`).

    Give it volumes by `add`, look at them in `volumes`; `calls` counts what was asked.
    """

    limit: int = 10  # volumes a project
    volumes: dict[str, RemoteVolume] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    joins_transactions: bool = field(default=False, init=False)
    _images: dict[str, bytearray] = field(default_factory=dict)  # of snapshots
    _held: dict[str, Reservation] = field(default_factory=dict)
    _released: set[str] = field(default_factory=set)
    _faults: dict[str, _Fault] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def lose(self, call: str, *, after: bool, times: int = 1) -> None:
        """Let the next `times` calls of that name raise `VolumesUnavailable`.

        `after`: when they took effect; that is what a caller sees of a time-out, too.
        """
        self._faults[call] = _Fault(after, times)

    def add(
        self, *, status: str = "available", size_gib: int = 1, data: bytes = b"", zone: str = "az1"
    ) -> str:
        """Put a volume there; returns its id."""
        volume_id = str(uuid.uuid4())
        shown = Volume(
            id=volume_id,
            project_id=PROJECT,
            status=status,
            size_gib=size_gib,
            availability_zone=zone,
            backend="remote",
            attributes=Attributes("volume", None),
        )
        self.volumes[volume_id] = RemoteVolume(shown, bytearray(data))
        return volume_id

    def add_snapshot(self, volume_id: str, *, status: str = "available") -> str:
        """Put a snapshot of the volume there; returns its id."""
        snapshot_id = str(uuid.uuid4())
        volume = self.volumes[volume_id]
        self.snapshots[snapshot_id] = Snapshot(
            id=snapshot_id,
            volume_id=volume_id,
            project_id=PROJECT,
            status=status,
            size_gib=volume.shown.size_gib,
            created_at=datetime(2026, 1, 1),
        )
        self._images[snapshot_id] = bytearray(volume.data)
        return snapshot_id

    # VolumeService.

    def get(self, volume_id: str, *, project_id: str | None, tx: Transaction | None) -> Volume:
        with self._call("get", tx):
            return self._volume(volume_id, project_id).shown

    def get_snapshot(
        self, snapshot_id: str, *, project_id: str | None, tx: Transaction | None
    ) -> Snapshot:
        with self._call("get_snapshot", tx):
            return self._snapshot(snapshot_id, project_id)

    def reserve_for_backup(
        self,
        job_id: str,
        volume_id: str,
        *,
        snapshot_id: str | None,
        in_use: bool,
        tx: Transaction | None,
    ) -> Reservation:
        with self._call("reserve_for_backup", tx):
            if job_id in self._held:
                return self._held[job_id]
            volume = self._volume(volume_id, None)
            if snapshot_id is not None:
                snapshot = self._snapshot(snapshot_id, None)
                if snapshot.status != "available":
                    raise WrongStatus("the snapshot is not available", status=snapshot.status)
                self.snapshots[snapshot_id] = replace(snapshot, status="backing-up")
            else:
                _check(volume, "available", *(["in-use"] if in_use else []))
                volume.previous_status, volume.status = volume.status, "backing-up"
            return self._hold(Reservation(job_id, Purpose.BACKUP, volume.shown, snapshot_id))

    def reserve_for_restore(
        self, job_id: str, volume_id: str, *, tx: Transaction | None
    ) -> Reservation:
        with self._call("reserve_for_restore", tx):
            if job_id in self._held:
                return self._held[job_id]
            volume = self._volume(volume_id, None)
            _check(volume, "available")
            volume.status = "restoring-backup"
            return self._hold(Reservation(job_id, Purpose.RESTORE, volume.shown))

    def create_for_restore(
        self, job_id: str, volume: NewVolume, *, tx: Transaction | None
    ) -> Reservation:
        with self._call("create_for_restore", tx):
            if job_id in self._held:
                return self._held[job_id]
            if len(self.volumes) >= self.limit:
                raise VolumeQuotaExceeded(
                    "VolumeLimitExceeded",
                    f"Maximum number of volumes allowed ({self.limit}) exceeded for quota "
                    "'volumes'.",
                )
            volume_id = self.add(status=volume.status, size_gib=volume.size_gib)
            made = self.volumes[volume_id]
            made.shown = replace(
                made.shown,
                project_id=volume.project_id,
                availability_zone=volume.availability_zone or "az1",
                attributes=Attributes(volume.name, volume.description, dict(volume.metadata)),
            )
            return self._hold(Reservation(job_id, Purpose.CREATE, made.shown))

    def reservation(self, job_id: str, *, tx: Transaction | None) -> Reservation | None:
        with self._call("reservation", tx):
            return None if job_id in self._released else self._held.get(job_id)

    def release(
        self,
        job_id: str,
        outcome: Outcome,
        *,
        restored: Attributes | None = None,
        tx: Transaction | None,
    ) -> None:
        with self._call("release", tx):
            held = self._held.get(job_id)
            if held is None or job_id in self._released:
                return
            self._released.add(job_id)
            volume = self.volumes[held.volume.id]
            if held.snapshot_id is not None:
                snapshot = self.snapshots[held.snapshot_id]
                self.snapshots[held.snapshot_id] = replace(snapshot, status="available")
            elif held.purpose is Purpose.BACKUP:
                volume.status = volume.previous_status or "available"
            else:
                volume.status = _AFTER_WRITING[outcome]
                if held.purpose is Purpose.CREATE and outcome is Outcome.ABANDONED:
                    volume.status = "error"
                if restored is not None:
                    volume.shown = replace(volume.shown, attributes=restored)

    @contextmanager
    def open_source(self, reservation: Reservation) -> Iterator[Source]:
        with self._call("open_source", None):
            volume = self.volumes[reservation.volume.id]
            snapshot_id = reservation.snapshot_id
            data = volume.data if snapshot_id is None else self._images[snapshot_id]
            size = volume.shown.size_gib * GIB
        yield _Bytes(size, bytearray(data), reads_as_zeros=False)

    @contextmanager
    def open_target(self, reservation: Reservation) -> Iterator[Target]:
        with self._call("open_target", None):
            volume = self.volumes[reservation.volume.id]
            new = reservation.purpose is Purpose.CREATE
            if new:
                volume.data = bytearray()
        yield _Bytes(volume.shown.size_gib * GIB, volume.data, reads_as_zeros=new)

    @contextmanager
    def _call(self, name: str, tx: Transaction | None) -> Iterator[None]:
        assert tx is None, "another service knows nothing of our transactions"
        with self._lock:
            self.calls[name] += 1
            fault = self._faults.get(name)
            lost = fault is not None and fault.times > 0
            if fault is not None and lost:
                fault.times -= 1
                if not fault.after:
                    raise VolumesUnavailable(f"{name}: no answer")
            yield
            if lost:
                raise VolumesUnavailable(f"{name}: the answer was lost")

    def _hold(self, reservation: Reservation) -> Reservation:
        self._held[reservation.job_id] = reservation
        return reservation

    def _volume(self, volume_id: str, project_id: str | None) -> RemoteVolume:
        volume = self.volumes.get(volume_id)
        if volume is None or project_id not in (None, volume.shown.project_id):
            raise VolumeNotFound(volume_id)
        return volume

    def _snapshot(self, snapshot_id: str, project_id: str | None) -> Snapshot:
        snapshot = self.snapshots.get(snapshot_id)
        if snapshot is None or project_id not in (None, snapshot.project_id):
            raise SnapshotNotFound(snapshot_id)
        return snapshot


_AFTER_WRITING = {
    Outcome.COMPLETED: "available",
    Outcome.FAILED: "error_restoring",
    Outcome.CANCELLED: "error",
    Outcome.ABANDONED: "available",
}


def _check(volume: RemoteVolume, *allowed: str) -> None:
    if volume.status not in allowed:
        raise WrongStatus(f"the volume is {volume.status}", status=volume.status)
