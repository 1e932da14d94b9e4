"""What is deleted by force goes, whatever is under way with it, and leaves nothing behind."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.volumes.kept import CALLER, LocalPlace, a_caller, create, snapshot

from emberkeep.engine.errors import TargetError
from emberkeep.volumes.errors import (
    Conflict,
    InvalidVolume,
    SnapshotNotFound,
    VolumeNotFound,
    WrongStatus,
)
from emberkeep.volumes.service import NewVolume, Outcome

ADMIN = a_caller(is_admin=True)


@pytest.mark.parametrize("created_first", [True, False])
def test_a_volume_that_is_being_made(place: LocalPlace, created_first: bool) -> None:
    volume_id = create(place, size_gib=1)
    place.service.delete(CALLER, volume_id, force=True)
    made, deleted = place.tasks
    for task in (made, deleted) if created_first else (deleted, made):
        place.run(task)
    with pytest.raises(VolumeNotFound):
        place.service.show(volume_id)
    assert place.files() == []


@pytest.mark.parametrize("created_first", [True, False])
def test_a_snapshot_that_is_being_made(place: LocalPlace, created_first: bool) -> None:
    volume_id = place.a_volume()
    snapshot_id = snapshot(place, volume_id)
    place.service.delete_snapshot(ADMIN, snapshot_id, force=True)
    made, deleted = place.tasks
    for task in (made, deleted) if created_first else (deleted, made):
        place.run(task)
    with pytest.raises(SnapshotNotFound):
        place.service.show_snapshot(snapshot_id)
    assert place.files() == [volume_id]


def test_a_volume_goes_with_snapshots_that_are_busy(place: LocalPlace) -> None:
    volume_id = place.a_volume()
    place.a_snapshot(volume_id, status="backing-up")
    with pytest.raises(InvalidVolume):
        place.service.delete(CALLER, volume_id, cascade=True)
    with pytest.raises(InvalidVolume):
        place.service.delete(CALLER, volume_id, force=True)
    place.service.delete(CALLER, volume_id, cascade=True, force=True)
    place.work()
    assert place.files() == []


def test_what_an_admin_says_of_a_volume_stays_when_its_task_ends(place: LocalPlace) -> None:
    volume_id = create(place, size_gib=1)
    place.service.reset_status(
        ADMIN, volume_id, status="error", attach_status=None, migration_status=None
    )
    place.work()
    assert place.status(volume_id) == "error"
    assert place.files() == [volume_id]


def test_a_volume_that_is_being_reverted(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id = place.a_volume()
    snapshot_id = place.a_snapshot(volume_id)
    place.service.revert(CALLER, volume_id, snapshot_id)
    place.service.delete(CALLER, volume_id, cascade=True, force=True)
    driver = place.service.driver("host@az1")
    replace = os.replace

    def late(source: Path, destination: Path) -> None:
        place.run(deletion)
        replace(source, destination)

    reverting, *others, deletion = place.tasks
    monkeypatch.setattr(os, "replace", late)
    # The worker looked before it was deleted, and replaces the file afterwards.
    place.set_status(volume_id, "reverting")
    place.run(reverting)
    for task in others:
        place.run(task)
    assert not driver.path(volume_id).exists()
    assert place.files() == []


def test_what_a_restore_writes_is_left_alone_when_an_admin_says_that_it_is_available(
    place: LocalPlace,
) -> None:
    volume_id = place.a_volume()
    snapshot_id = place.a_snapshot(volume_id)
    place.service.reserve_for_restore("job", volume_id, tx=None)
    place.service.reset_status(
        ADMIN, volume_id, status="available", attach_status=None, migration_status=None
    )

    def backup() -> None:
        place.service.reserve_for_backup(
            "another", volume_id, snapshot_id=None, in_use=True, tx=None
        )

    uses: tuple[Callable[[], object], ...] = (
        lambda: place.service.reserve_for_restore("another", volume_id, tx=None),
        backup,
        lambda: snapshot(place, volume_id, in_use=True),
        lambda: place.service.revert(CALLER, volume_id, snapshot_id),
        lambda: create(place, source_volid=volume_id),
    )
    for use in uses:
        with pytest.raises((WrongStatus, InvalidVolume, Conflict)):
            use()
    assert place.tasks == []
    place.service.release("job", Outcome.COMPLETED, tx=None)
    backup()


def test_a_volume_that_is_about_to_be_restored_to(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = NewVolume("p", "u", 1, name=None, description=None, metadata={}, availability_zone="az1")
    held = place.service.create_for_restore("job", new, tx=None)
    place.service.delete(ADMIN, held.volume.id, force=True)
    driver = place.service.driver("host@az1")
    renew = driver.renew

    def late(name: str, size: int) -> None:
        place.work()
        renew(name, size)

    monkeypatch.setattr(driver, "renew", late)
    with pytest.raises(TargetError), place.service.open_target(held):
        pass
    assert place.files() == []
