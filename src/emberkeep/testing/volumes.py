"""What every `VolumeService` must do.

Inherit `VolumesConformance`, give a fixture `place`, and run pytest.
"""

import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from emberkeep.db.database import Transaction
from emberkeep.volumes.errors import (
    SnapshotNotFound,
    VolumeNotFound,
    WrongStatus,
)
from emberkeep.volumes.service import (
    Attributes,
    NewVolume,
    Outcome,
    Purpose,
    Reservation,
    VolumeService,
)

GIB = 1 << 30
PROJECT = "p"


class VolumesPlace(Protocol):
    """A service to be tested, and how a test puts things there and looks at them."""

    @property
    def service(self) -> VolumeService: ...

    def transaction(self) -> AbstractContextManager[Transaction | None]:
        """What calls get as `tx`."""

    def a_volume(self, *, status: str = "available", data: bytes = b"") -> str:
        """The id of a volume of 1 GiB of the project `PROJECT` that begins with `data`."""

    def a_snapshot(self, volume_id: str, *, status: str = "available") -> str:
        """The id of a snapshot of the volume."""


NEW = NewVolume(
    project_id=PROJECT,
    user_id="u",
    size_gib=1,
    name="new",
    description="made",
    metadata={"k": "v"},
    availability_zone=None,
)
RESTORED = Attributes("restored", "as it was", {"a": "b"}, {"os": "linux"}, bootable=True)


class VolumesConformance:
    """The contract of `volumes.service`, as tests; each needs an empty `place`."""

    def status(self, place: VolumesPlace, volume_id: str) -> str:
        with place.transaction() as tx:
            return place.service.get(volume_id, project_id=None, tx=tx).status

    def for_backup(
        self,
        place: VolumesPlace,
        job_id: str,
        volume_id: str,
        *,
        snapshot_id: str | None = None,
        in_use: bool = False,
    ) -> Reservation:
        with place.transaction() as tx:
            return place.service.reserve_for_backup(
                job_id, volume_id, snapshot_id=snapshot_id, in_use=in_use, tx=tx
            )

    def for_restore(self, place: VolumesPlace, job_id: str, volume_id: str) -> Reservation:
        with place.transaction() as tx:
            return place.service.reserve_for_restore(job_id, volume_id, tx=tx)

    def new(self, place: VolumesPlace, job_id: str) -> Reservation:
        with place.transaction() as tx:
            return place.service.create_for_restore(job_id, NEW, tx=tx)

    def release(
        self,
        place: VolumesPlace,
        job_id: str,
        outcome: Outcome,
        restored: Attributes | None = None,
    ) -> None:
        with place.transaction() as tx:
            place.service.release(job_id, outcome, restored=restored, tx=tx)

    def reservation(self, place: VolumesPlace, job_id: str) -> Reservation | None:
        with place.transaction() as tx:
            return place.service.reservation(job_id, tx=tx)

    def test_volumes_and_snapshots_are_their_projects_alone(self, place: VolumesPlace) -> None:
        volume_id = place.a_volume()
        snapshot_id = place.a_snapshot(volume_id)
        with place.transaction() as tx:
            for project_id in (None, PROJECT):
                volume = place.service.get(volume_id, project_id=project_id, tx=tx)
                snapshot = place.service.get_snapshot(snapshot_id, project_id=project_id, tx=tx)
                assert (volume.id, volume.size_gib) == (volume_id, 1)
                assert (snapshot.id, snapshot.volume_id) == (snapshot_id, volume_id)
            with pytest.raises(VolumeNotFound):
                place.service.get(volume_id, project_id="other", tx=tx)
            with pytest.raises(SnapshotNotFound):
                place.service.get_snapshot(snapshot_id, project_id="other", tx=tx)
            with pytest.raises(VolumeNotFound):
                place.service.get(snapshot_id, project_id=None, tx=tx)

    @pytest.mark.parametrize("outcome", Outcome)
    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_volume_is_backing_up_until_it_is_released(
        self, place: VolumesPlace, before: str, outcome: Outcome
    ) -> None:
        volume_id = place.a_volume(status=before)
        held = self.for_backup(place, "job", volume_id, in_use=True)
        assert (held.purpose, held.volume.id) == (Purpose.BACKUP, volume_id)
        assert self.status(place, volume_id) == "backing-up"
        self.release(place, "job", outcome)
        assert self.status(place, volume_id) == before
        assert self.reservation(place, "job") is None

    @pytest.mark.parametrize("outcome", Outcome)
    def test_a_snapshot_is_backing_up_until_it_is_released(
        self, place: VolumesPlace, outcome: Outcome
    ) -> None:
        volume_id = place.a_volume(status="in-use")
        snapshot_id = place.a_snapshot(volume_id)
        held = self.for_backup(place, "job", volume_id, snapshot_id=snapshot_id)
        assert held.snapshot_id == snapshot_id
        assert self.status(place, volume_id) == "in-use"
        with place.transaction() as tx:
            found = place.service.get_snapshot(snapshot_id, project_id=None, tx=tx)
        assert found.status == "backing-up"
        self.release(place, "job", outcome)
        with place.transaction() as tx:
            found = place.service.get_snapshot(snapshot_id, project_id=None, tx=tx)
        assert found.status == "available"

    @pytest.mark.parametrize(
        ("outcome", "after"),
        [
            (Outcome.COMPLETED, "available"),
            (Outcome.FAILED, "error_restoring"),
            (Outcome.CANCELLED, "error"),
            (Outcome.ABANDONED, "available"),
        ],
    )
    def test_a_volume_is_restoring_until_it_is_released(
        self, place: VolumesPlace, outcome: Outcome, after: str
    ) -> None:
        volume_id = place.a_volume()
        assert self.for_restore(place, "job", volume_id).purpose is Purpose.RESTORE
        assert self.status(place, volume_id) == "restoring-backup"
        self.release(place, "job", outcome)
        assert self.status(place, volume_id) == after

    @pytest.mark.parametrize(
        ("outcome", "after"),
        [
            (Outcome.COMPLETED, "available"),
            (Outcome.FAILED, "error_restoring"),
            (Outcome.CANCELLED, "error"),
            (Outcome.ABANDONED, "error"),
        ],
    )
    def test_a_new_volume_is_what_its_job_came_to(
        self, place: VolumesPlace, outcome: Outcome, after: str
    ) -> None:
        held = self.new(place, "job")
        assert held.purpose is Purpose.CREATE
        assert self.status(place, held.volume.id) == "restoring-backup"
        assert held.volume.attributes == Attributes("new", "made", {"k": "v"})
        self.release(place, "job", outcome)
        assert self.status(place, held.volume.id) == after

    def test_a_restored_volume_gets_the_attributes_that_it_is_given(
        self, place: VolumesPlace
    ) -> None:
        held = self.new(place, "job")
        self.release(place, "job", Outcome.COMPLETED, RESTORED)
        with place.transaction() as tx:
            found = place.service.get(held.volume.id, project_id=None, tx=tx)
        assert found.attributes == RESTORED

    @pytest.mark.parametrize("status", ["in-use", "error", "backing-up", "creating"])
    def test_only_what_is_available_is_reserved(self, place: VolumesPlace, status: str) -> None:
        volume_id = place.a_volume(status=status)
        with pytest.raises(WrongStatus) as caught:
            self.for_backup(place, "one", volume_id)
        assert caught.value.status == status
        with pytest.raises(WrongStatus):
            self.for_restore(place, "two", volume_id)
        snapshot_id = place.a_snapshot(volume_id, status="error")
        with pytest.raises(WrongStatus):
            self.for_backup(place, "three", volume_id, snapshot_id=snapshot_id)
        assert self.status(place, volume_id) == status
        assert self.reservation(place, "one") is None

    def test_what_is_not_there_is_not_reserved(self, place: VolumesPlace) -> None:
        volume_id = place.a_volume()
        with pytest.raises(VolumeNotFound):
            self.for_backup(place, "job", str(uuid.uuid4()))
        with pytest.raises(VolumeNotFound):
            self.for_restore(place, "job", str(uuid.uuid4()))
        with pytest.raises(SnapshotNotFound):
            self.for_backup(place, "job", volume_id, snapshot_id=str(uuid.uuid4()))
        assert self.status(place, volume_id) == "available"

    def test_a_repeated_call_changes_nothing_more(self, place: VolumesPlace) -> None:
        one, two = place.a_volume(), place.a_volume()
        calls: list[Callable[[], Reservation]] = [
            lambda: self.for_backup(place, "backup", one),
            lambda: self.for_restore(place, "restore", two),
            lambda: self.new(place, "new"),
        ]
        first = [call() for call in calls]
        again = [call() for call in calls]
        assert [held.volume.id for held in again] == [held.volume.id for held in first]
        assert [held.purpose for held in again] == [held.purpose for held in first]
        for held in first:
            self.release(place, held.job_id, Outcome.COMPLETED)
        late = [call() for call in calls]
        assert [held.volume.id for held in late] == [held.volume.id for held in first]
        assert {self.status(place, held.volume.id) for held in late} == {"available"}
        assert [self.reservation(place, held.job_id) for held in late] == [None] * 3

    def test_only_the_first_release_counts(self, place: VolumesPlace) -> None:
        volume_id = place.a_volume()
        self.for_restore(place, "job", volume_id)
        self.release(place, "other", Outcome.FAILED)
        assert self.status(place, volume_id) == "restoring-backup"
        self.release(place, "job", Outcome.COMPLETED)
        self.for_backup(place, "next", volume_id)
        self.release(place, "job", Outcome.FAILED, RESTORED)
        assert self.status(place, volume_id) == "backing-up"
        assert self.reservation(place, "next") is not None

    def test_of_many_at_once_one_gets_the_volume(self, place: VolumesPlace) -> None:
        volume_id = place.a_volume()
        for turn in range(4):
            won, failures = self._reserve_at_once(place, volume_id, f"{turn}", 16)
            assert failures == []
            assert len(won) == 1
            self.release(place, won[0], Outcome.COMPLETED)

    def _reserve_at_once(
        self, place: VolumesPlace, volume_id: str, turn: str, count: int
    ) -> tuple[list[str], list[BaseException]]:
        """Let so many jobs want the volume, every other one to back it up; who got it, and what
        else happened."""
        start = threading.Barrier(count)
        won: list[str] = []
        failures: list[BaseException] = []

        def reserve(job_id: str, call: Callable[[VolumesPlace, str, str], Reservation]) -> None:
            start.wait()
            try:
                call(place, job_id, volume_id)
                won.append(job_id)
            except WrongStatus:
                pass
            except BaseException as error:
                failures.append(error)

        calls = [self.for_backup, self.for_restore] * (count // 2)
        threads = [
            threading.Thread(target=reserve, args=(f"{turn} {n}", call))
            for n, call in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return won, failures

    def test_a_source_has_the_volumes_bytes(self, place: VolumesPlace) -> None:
        volume_id = place.a_volume(data=b"data" * 1000)
        held = self.for_backup(place, "job", volume_id)
        with place.service.open_source(held) as source:
            assert source.size == GIB
            assert sum(extent.length for extent in source.extents()) < GIB
            buffer = bytearray(8000)
            source.read_into(0, memoryview(buffer))
        assert buffer == b"data" * 1000 + bytes(4000)

    def test_a_snapshots_bytes_are_those_of_its_time(self, place: VolumesPlace) -> None:
        volume_id = place.a_volume(data=b"before")
        snapshot_id = place.a_snapshot(volume_id)
        held = self.for_restore(place, "restore", volume_id)
        with place.service.open_target(held) as target:
            target.write(0, b"after!")
            target.flush()
        held = self.for_backup(place, "backup", volume_id, snapshot_id=snapshot_id)
        buffer = bytearray(6)
        with place.service.open_source(held) as source:
            source.read_into(0, memoryview(buffer))
        assert buffer == b"before"

    def test_what_is_written_to_a_target_is_read_back(self, place: VolumesPlace) -> None:
        volume_id = place.a_volume(data=b"x" * 9000)
        held = self.for_restore(place, "job", volume_id)
        with place.service.open_target(held) as target:
            assert target.size == GIB
            assert not target.reads_as_zeros
            target.write(10, b"new")
            target.zero(100, 8000)
            target.flush()
        self.release(place, "job", Outcome.COMPLETED)
        held = self.for_backup(place, "next", volume_id)
        buffer = bytearray(9000)
        with place.service.open_source(held) as source:
            source.read_into(0, memoryview(buffer))
        assert buffer == b"x" * 10 + b"new" + b"x" * 87 + bytes(8000) + b"x" * 900

    def test_each_attempt_to_fill_a_new_volume_finds_zeros(self, place: VolumesPlace) -> None:
        held = self.new(place, "job")
        for byte in (b"1", b"2"):
            with place.service.open_target(held) as target:
                assert target.reads_as_zeros
                target.write(int(byte) * 1000, byte)
                target.flush()
        self.release(place, "job", Outcome.COMPLETED)
        held = self.for_backup(place, "next", held.volume.id)
        buffer = bytearray(3000)
        with place.service.open_source(held) as source:
            source.read_into(0, memoryview(buffer))
        assert buffer == bytes(2000) + b"2" + bytes(999)
