"""Both volume services keep the contract; the remote one also loses answers on demand."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from tests.databases import a_database
from tests.volumes.kept import LocalPlace

from emberkeep.db.database import Transaction
from emberkeep.testing.remote import RemoteVolumes
from emberkeep.testing.volumes import VolumesConformance
from emberkeep.volumes.errors import VolumesUnavailable
from emberkeep.volumes.service import Outcome, VolumeService


class RemotePlace:
    def __init__(self) -> None:
        self.remote = RemoteVolumes()

    @property
    def service(self) -> VolumeService:
        return self.remote

    def transaction(self) -> AbstractContextManager[Transaction | None]:
        return nullcontext()

    def a_volume(self, *, status: str = "available", data: bytes = b"") -> str:
        return self.remote.add(status=status, data=data)

    def a_snapshot(self, volume_id: str, *, status: str = "available") -> str:
        return self.remote.add_snapshot(volume_id, status=status)


class TestRemote(VolumesConformance):
    @pytest.fixture
    def place(self) -> RemotePlace:
        return RemotePlace()

    @pytest.mark.parametrize("after", [False, True])
    def test_a_call_that_got_no_answer_may_be_repeated(
        self, place: RemotePlace, after: bool
    ) -> None:
        volume_id = place.a_volume()
        place.remote.lose("reserve_for_backup", after=after)
        with pytest.raises(VolumesUnavailable):
            self.for_backup(place, "job", volume_id)
        assert self.status(place, volume_id) == ("backing-up" if after else "available")
        assert self.for_backup(place, "job", volume_id).volume.id == volume_id
        place.remote.lose("release", after=after)
        with pytest.raises(VolumesUnavailable):
            self.release(place, "job", Outcome.COMPLETED)
        self.release(place, "job", Outcome.COMPLETED)
        assert self.status(place, volume_id) == "available"


class TestLocal(VolumesConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[LocalPlace]:
        database = a_database(tmp_path)
        yield LocalPlace(database, tmp_path / "volumes")
        database.close()

    def test_all_or_nothing_with_the_callers_transaction(self, place: LocalPlace) -> None:
        volume_id = place.a_volume()

        def fail_after_reserving() -> None:
            with place.transaction() as tx:
                place.service.reserve_for_restore("job", volume_id, tx=tx)
                raise KeyError

        with pytest.raises(KeyError):
            fail_after_reserving()
        assert self.status(place, volume_id) == "available"
        assert self.reservation(place, "job") is None
