"""Files brought in as volumes, and taken out again."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.volumes.kept import CALLER, LocalPlace, first_bytes

from emberkeep.db.database import Database
from emberkeep.db.paging import Query
from emberkeep.volumes.drivers import blocks
from emberkeep.volumes.errors import (
    UnknownZone,
    VolumeError,
    VolumeNotFound,
    VolumeQuotaExceeded,
)
from emberkeep.volumes.local import GIB
from emberkeep.volumes.quota import VolumeQuotas


def an_image(path: Path, size: int = 3 << 20) -> Path:
    with path.open("wb") as file:
        file.write(b"image")
        file.truncate(size)
    return path


def bring_in(place: LocalPlace, path: Path, **options: Any) -> str:
    asked = {"name": "i", "zone": "az2", "project_id": "p", "user_id": "u", **options}
    return place.service.import_file(path, **asked).id


def test_an_imported_image_is_a_volume_of_the_gib_that_hold_it(
    place: LocalPlace, tmp_path: Path
) -> None:
    image = an_image(tmp_path / "image", GIB + 1)
    volume_id = bring_in(
        place, image, metadata={"k": "v"}, image_metadata={"os": "linux"}, bootable=True
    )
    row = place.service.show(volume_id)
    assert (row.status, row.size, row.availability_zone) == ("available", 2, "az2")
    assert (row.metadata, row.image_metadata, row.bootable) == ({"k": "v"}, {"os": "linux"}, True)
    assert place.path(volume_id).stat().st_size == 2 * GIB
    assert place.path(volume_id).stat().st_blocks < 100
    assert first_bytes(place.path(volume_id), 6) == b"image\0"
    image.unlink()
    place.service.delete(CALLER, volume_id)
    place.work()
    assert place.files("az2") == []


def test_a_file_that_is_referred_to_stays_as_it_lies(place: LocalPlace, tmp_path: Path) -> None:
    image = an_image(tmp_path / "image")
    before = image.read_bytes()
    volume_id = bring_in(place, image, reference=True)
    assert place.path(volume_id) == image.resolve()
    assert place.service.show(volume_id).size == 1
    assert place.files("az2") == []
    with place.transaction() as tx:
        held = place.service.reserve_for_backup(
            "b", volume_id, snapshot_id=None, in_use=False, tx=tx
        )
    with place.service.open_source(held) as source:
        assert source.size == len(before)
    place.set_status(volume_id, "available")
    place.service.extend(CALLER, volume_id, 2)
    place.work()
    assert place.status(volume_id) == "error_extending"
    place.service.delete(CALLER, volume_id)
    place.work()
    assert image.read_bytes() == before
    with pytest.raises(VolumeNotFound):
        place.service.show(volume_id)


def test_one_file_is_one_volume(place: LocalPlace, tmp_path: Path) -> None:
    image = an_image(tmp_path / "image")
    volume_id = bring_in(place, image, reference=True)
    (tmp_path / "link").symlink_to(image)
    with pytest.raises(VolumeError, match=f"is the volume {volume_id} already"):
        bring_in(place, tmp_path / "link", reference=True)
    ours = place.path(place.a_volume())
    with pytest.raises(VolumeError, match="which holds volumes; import a copy"):
        bring_in(place, ours, reference=True)
    assert image.exists()
    assert ours.exists()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that shares no blocks, so that an import is a copy that takes its time."""
    monkeypatch.setattr(blocks, "share", lambda _original, _descriptor: False)


@pytest.mark.usefixtures("alone")
def test_what_cannot_be_imported_says_why_and_leaves_nothing(
    place: LocalPlace, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(VolumeError, match="nothing: No such file"):
        bring_in(place, tmp_path / "nothing")
    with pytest.raises(VolumeError, match="is neither a file nor a block device"):
        bring_in(place, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VolumeError, match="is neither a file nor a block device"):
        bring_in(place, tmp_path / "pipe")
    image = an_image(tmp_path / "image")
    with pytest.raises(UnknownZone):
        bring_in(place, image, zone="az9")

    class Stopped(Exception):
        pass

    def stop(_done: int, _total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        bring_in(place, image, copied=stop)
    full = LocalPlace(database, tmp_path / "volumes", VolumeQuotas(volumes=0))
    with pytest.raises(VolumeQuotaExceeded):
        bring_in(full, image)
    assert place.files("az2") == []
    assert place.service.find(Query(None, limit=9))[0] == []


@pytest.mark.usefixtures("alone")
def test_a_quota_that_was_used_up_during_the_copy_is_not_exceeded(
    database: Database, tmp_path: Path
) -> None:
    place = LocalPlace(database, tmp_path / "volumes", VolumeQuotas(volumes=1))

    def use_up(done: int, total: int) -> None:
        if done == total:
            place.a_volume()

    with pytest.raises(VolumeQuotaExceeded):
        bring_in(place, an_image(tmp_path / "image"), copied=use_up)
    assert place.files("az2") == []
    assert len(place.service.find(Query(None, limit=9))[0]) == 1


def test_a_volume_is_exported_to_a_new_file(place: LocalPlace, tmp_path: Path) -> None:
    volume_id = place.a_volume(data=b"data")
    destination = tmp_path / "out.raw"
    place.service.export_file(volume_id, destination)
    assert destination.stat().st_size == GIB
    assert first_bytes(destination, 5) == b"data\0"
    with pytest.raises(VolumeError, match="exists; name another file"):
        place.service.export_file(volume_id, destination)
    with pytest.raises(VolumeError, match="is no directory"):
        place.service.export_file(volume_id, tmp_path / "away" / "out.raw")
    with pytest.raises(VolumeNotFound):
        place.service.export_file(str(uuid.uuid4()), tmp_path / "other")
