"""A volume is given its latest snapshot's bytes, or keeps its own."""

from pathlib import Path

import pytest
from tests.volumes.kept import CALLER, LocalPlace, create, first_bytes

from emberkeep.volumes.errors import Conflict, NoRoom


def written(place: LocalPlace, volume_id: str, data: bytes) -> None:
    with place.path(volume_id).open("r+b") as file:
        file.write(data)


def a_snapshot_of(place: LocalPlace, data: bytes) -> tuple[str, str]:
    """A volume that was written to since its snapshot was made."""
    volume_id = place.a_volume(data=data)
    snapshot_id = place.a_snapshot(volume_id)
    written(place, volume_id, b"later")
    return volume_id, snapshot_id


def test_what_was_written_since_is_undone(place: LocalPlace) -> None:
    volume_id, snapshot_id = a_snapshot_of(place, b"first")
    place.service.revert(CALLER, volume_id, snapshot_id)
    assert first_bytes(place.path(volume_id), 5) == b"later"
    place.work()
    assert place.status(volume_id) == "available"
    assert place.service.show_snapshot(snapshot_id).status == "available"
    assert first_bytes(place.path(volume_id), 6) == b"first\0"
    assert len(place.files()) == 2
    written(place, volume_id, b"again")
    assert first_bytes(place.directory / "az1" / f"snapshot-{snapshot_id}", 5) == b"first"


def test_a_late_worker_undoes_nothing(place: LocalPlace) -> None:
    volume_id, snapshot_id = a_snapshot_of(place, b"first")
    place.service.revert(CALLER, volume_id, snapshot_id)
    (task,) = place.tasks
    place.work()
    written(place, volume_id, b"since")
    place.run(task)
    assert first_bytes(place.path(volume_id), 5) == b"since"
    assert place.status(volume_id) == "available"


def test_a_volume_that_can_not_be_reverted_keeps_its_bytes(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id, snapshot_id = a_snapshot_of(place, b"first")
    place.service.revert(CALLER, volume_id, snapshot_id)

    def full(*_: object, **__: object) -> None:
        raise NoRoom("the disk is full")

    monkeypatch.setattr(place.service.driver("host@az1"), "copy", full)
    place.work()
    assert place.status(volume_id) == "error"
    assert place.service.show_snapshot(snapshot_id).status == "available"
    assert first_bytes(place.path(volume_id), 5) == b"later"


def test_a_volume_that_lies_elsewhere_stays(place: LocalPlace, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"mine")
    row = place.service.import_file(
        image, name=None, zone="az1", project_id="p", user_id="u", reference=True
    )
    snapshot_id = place.a_snapshot(row.id)
    place.service.revert(CALLER, row.id, snapshot_id)
    place.work()
    assert (place.status(row.id), image.read_bytes()) == ("error", b"mine")


def test_what_is_being_copied_is_not_reverted(place: LocalPlace) -> None:
    volume_id, snapshot_id = a_snapshot_of(place, b"first")
    clone = create(place, source_volid=volume_id)
    with pytest.raises(Conflict):
        place.service.revert(CALLER, volume_id, snapshot_id)
    place.work()
    assert first_bytes(place.path(clone), 5) == b"later"
    place.service.revert(CALLER, volume_id, snapshot_id)
