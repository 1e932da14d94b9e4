"""A volume is given its latest snapshot's bytes, or keeps its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.volumes.kept import CALLER, LocalPlace, a_caller, create, first_bytes

from emberkeep.volumes import tasks
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

    monkeypatch.setattr(place.service.driver("host@az1"), "_fill", full)
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


def do(place: LocalPlace, checkpoint: Callable[[], None]) -> None:
    """Do the task that there is, with this at its last checkpoint."""
    (task,) = place.tasks
    place.tasks.clear()
    driver = place.service.driver("host@az1")
    copied: list[Path] = []

    def last() -> None:
        if copied:
            checkpoint()

    def fill(*given: object, **named: object) -> None:
        whole(*given, **named)
        copied.append(driver.directory)

    whole: Callable[..., None] = driver._fill
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(driver, "_fill", fill)
        nothing: Callable[[object], None] = lambda _tx: None  # noqa: E731
        tasks.run(
            task, place.database, place.service, hold=nothing, finish=nothing, checkpoint=last
        )


def test_what_a_killed_worker_copied_is_not_taken_for_a_later_snapshot(place: LocalPlace) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    volume_id, snapshot_id = a_snapshot_of(place, b"first")
    place.service.revert(CALLER, volume_id, snapshot_id)
    (task,) = place.tasks
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            do(place, kill)
    with place.database.writing() as tx:
        tasks.fail(tx, task)
    assert first_bytes(place.path(volume_id), 5) == b"later"
    place.set_status(volume_id, "available")
    latest = place.a_snapshot(volume_id)
    written(place, volume_id, b"again")
    place.service.revert(CALLER, volume_id, latest)
    place.work()
    assert first_bytes(place.path(volume_id), 5) == b"later"
    place.service.sweep()
    assert len(place.files()) == 3


def test_a_volume_that_an_operator_gave_free_meanwhile_stays_as_it_is(place: LocalPlace) -> None:
    def give_free() -> None:
        place.service.reset_status(
            a_caller(is_admin=True),
            volume_id,
            status="available",
            attach_status=None,
            migration_status=None,
        )
        written(place, volume_id, b"since")

    volume_id, snapshot_id = a_snapshot_of(place, b"first")
    place.service.revert(CALLER, volume_id, snapshot_id)
    do(place, give_free)
    assert first_bytes(place.path(volume_id), 5) == b"since"
    assert place.status(volume_id) == "available"
    assert place.service.show_snapshot(snapshot_id).status == "available"
    assert len(place.files()) == 2
