"""Restoring: the checks in Cinder's order and words, and what becomes of the volume."""

import uuid
from typing import Any

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups.errors import (
    BackupNotFound,
    InvalidBackup,
    InvalidInput,
    InvalidVolume,
    QuotaExceeded,
    ServiceNotFound,
)
from emberkeep.caller import Caller
from emberkeep.db.backups import Backup
from emberkeep.testing.volumes import PROJECT
from emberkeep.volumes.errors import VolumeNotFound, VolumeQuotaExceeded
from emberkeep.volumes.quota import VolumeQuotas
from emberkeep.volumes.service import NewVolume

NOBODY = str(uuid.UUID(int=7))
ADMIN = a_caller(is_admin=True)
DATA = b"data" * 1000


@pytest.fixture
def backup(stage: Stage) -> Backup:
    return stage.a_backup(stage.a_volume(DATA, size_gib=2))


class Denied(Exception):
    pass


def only_get(rule: str, _project_id: str | None) -> None:
    if rule != "backup:get":
        raise Denied(rule)


def refused(
    stage: Stage, backup_id: str, volume_id: str | None, caller: Caller = CALLER
) -> tuple[type[Exception], str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        stage.backups.restore(caller, backup_id, volume_id=volume_id, name=None)
    return caught.type, str(caught.value)


def test_the_first_check_that_fails_is_told(stage: Stage, backup: Backup) -> None:
    """Each time, everything that is checked later is wrong, too."""
    small = stage.a_volume(size_gib=1)
    stage.set_volume(small, status="in-use")
    stage.set_backup(backup.id, status="error", size=0)
    stage.disable("az1")
    denied = a_caller(PROJECT, authorize=only_get)
    assert refused(stage, NOBODY, NOBODY, denied) == (
        BackupNotFound,
        f"Backup {NOBODY} could not be found.",
    )
    assert refused(stage, backup.id, NOBODY, a_caller("other"))[0] is BackupNotFound
    assert refused(stage, backup.id, NOBODY, denied) == (Denied, "backup:restore")
    assert refused(stage, backup.id, NOBODY) == (
        InvalidBackup,
        "Invalid backup: Backup status must be available",
    )
    stage.set_backup(backup.id, status="available")
    assert refused(stage, backup.id, NOBODY)[0] is InvalidBackup
    stage.set_backup(backup.id, size=2)
    assert refused(stage, backup.id, NOBODY) == (
        VolumeNotFound,
        f"Volume {NOBODY} could not be found.",
    )
    assert refused(stage, backup.id, small) == (
        InvalidVolume,
        "Invalid volume: Volume to be restored to must be available",
    )
    stage.set_volume(small, status="available")
    assert refused(stage, backup.id, small) == (
        InvalidVolume,
        "Invalid volume: volume size 1 is too small to restore backup of size 2.",
    )
    large = stage.a_volume(size_gib=2)
    assert refused(stage, backup.id, large) == (
        ServiceNotFound,
        "Service cinder-backup could not be found.",
    )
    assert stage.status(backup.id) == "available"
    assert stage.volume_status(large) == "available"


def test_a_refused_restore_leaves_no_new_volume(stage: Stage, backup: Backup) -> None:
    stage.disable("az1")
    before = stage.local_volumes()
    with pytest.raises(ServiceNotFound):
        stage.restore(backup.id)
    assert stage.local_volumes() == before


def test_the_quota_of_volumes_is_told_without_a_class(stage: Stage, backup: Backup) -> None:
    stage.limit_volumes(VolumeQuotas(volumes=1, gigabytes=1, snapshots=1))
    with pytest.raises(QuotaExceeded) as caught:
        stage.restore(backup.id)
    assert str(caught.value).startswith(
        "Requested volume or snapshot exceeds allowed gigabytes quota."
    )
    stage.limit_volumes(VolumeQuotas(volumes=1, gigabytes=-1, snapshots=1))
    with pytest.raises(QuotaExceeded) as caught:
        stage.restore(backup.id)
    assert (
        str(caught.value) == "Maximum number of volumes allowed (1) exceeded for quota 'volumes'."
    )
    assert stage.status(backup.id) == "available"


@pytest.mark.parametrize("name", [None, "", "mine"])
def test_a_new_volume_is_made_at_once(stage: Stage, backup: Backup, name: str | None) -> None:
    accepted = stage.backups.restore(CALLER, backup.id, volume_id=None, name=name)
    wanted = f"restore_backup_{backup.id}" if name is None else name
    assert (accepted.backup_id, accepted.volume_name) == (backup.id, wanted)
    row = stage.local.show(accepted.volume_id)
    assert (row.status, row.size, row.name) == ("restoring-backup", 2, wanted)
    assert row.description == "auto-created_from_restore_from_backup"
    assert (row.project_id, row.availability_zone) == (CALLER.project_id, "az1")
    shown = stage.shown(backup.id)
    assert (shown.status, shown.restore_volume_id) == ("restoring", accepted.volume_id)
    stage.work()
    row = stage.local.show(accepted.volume_id)
    assert (row.status, row.name) == ("available", "mine" if name else "volume")
    assert stage.content(accepted.volume_id, len(DATA)) == DATA
    assert stage.status(backup.id) == "available"


def test_the_new_volume_is_the_callers(stage: Stage, backup: Backup) -> None:
    admin = a_caller("admins", is_admin=True)
    accepted = stage.backups.restore(admin, backup.id, volume_id=None, name=None)
    assert stage.local.show(accepted.volume_id).project_id == "admins"


ORIGINAL = {
    "name": "original",
    "description": "as it was",
    "metadata": {"a": "1"},
    "image_metadata": {"os": "linux"},
    "bootable": True,
}
PLAIN = {"name": "n", "description": "d", "metadata": {}, "image_metadata": {}, "bootable": False}


@pytest.mark.parametrize(
    ("original", "target", "wanted"),
    [
        (ORIGINAL, {"name": "kept", "description": "k"}, {"name": "kept", "description": "k"}),
        (ORIGINAL, {"name": None}, {"name": "original", "description": "as it was"}),
        (ORIGINAL, {"name": ""}, {"name": "original", "description": "as it was"}),
        (ORIGINAL, {"name": "restore_backup_x"}, {"name": "original"}),
        (ORIGINAL, {"metadata": {"b": "2"}}, {"metadata": {"a": "1", "src_backup_id": "?"}}),
        (PLAIN, {"metadata": {"b": "2"}}, {"metadata": {"b": "2", "src_backup_id": "?"}}),
        (ORIGINAL, {}, {"image_metadata": {"os": "linux"}, "bootable": True}),
        (
            PLAIN,
            {"image_metadata": {"os": "other"}},
            {"image_metadata": {"os": "other"}, "bootable": False},
        ),
        ({**PLAIN, "bootable": True}, {"name": None}, {"bootable": False}),
    ],
)
def test_an_existing_volume_becomes_the_original_as_far_as_in_cinder(
    stage: Stage, original: dict[str, Any], target: dict[str, Any], wanted: dict[str, Any]
) -> None:
    volume_id, target_id = stage.a_volume(DATA), stage.a_volume(b"other" * 1000)
    stage.set_volume(volume_id, **original)
    stage.set_volume(target_id, **target)
    backup = stage.a_backup(volume_id)
    stage.restore(backup.id, target_id)
    assert stage.volume_status(target_id) == "restoring-backup"
    stage.work()
    row = stage.local.show(target_id)
    if "metadata" in wanted:
        wanted = {**wanted, "metadata": {**wanted["metadata"], "src_backup_id": backup.id}}
    assert {name: getattr(row, name) for name in wanted} == wanted
    assert row.status == "available"
    assert stage.content(target_id, 5000) == DATA + bytes(1000)


def test_the_original_is_marked_only_if_another_backup_had_been_restored_to_it(
    stage: Stage,
) -> None:
    volume_id = stage.a_volume(DATA)
    first, second = stage.a_backup(volume_id), stage.a_backup(volume_id)
    stage.restore(first.id, volume_id)
    stage.work()
    assert stage.local.show(volume_id).metadata == {}
    stage.set_volume(volume_id, metadata={"src_backup_id": first.id})
    stage.restore(second.id, volume_id)
    stage.work()
    assert stage.local.show(volume_id).metadata == {"src_backup_id": second.id}


@pytest.mark.parametrize(("name", "bootable"), [(None, True), ("named", False)])
def test_a_new_volume_without_a_name_boots_if_the_original_did(
    stage: Stage, name: str | None, bootable: bool
) -> None:
    volume_id = stage.a_volume(DATA)
    stage.set_volume(volume_id, bootable=True)
    restored = stage.restore(stage.a_backup(volume_id).id, name=name).volume_id
    stage.work()
    assert stage.local.show(restored).bootable is bootable


@pytest.mark.parametrize("into", ["new", "existing"])
def test_a_failure_leaves_the_backup_available_and_says_why(
    stage: Stage, backup: Backup, into: str
) -> None:
    target = stage.a_volume(size_gib=2) if into == "existing" else None
    volume_id = stage.restore(backup.id, target).volume_id
    stage.stores["az1"].away = True
    stage.work()
    shown = stage.shown(backup.id)
    assert shown.status == "available"
    assert "no route to the store" in (shown.fail_reason or "")
    assert len(shown.fail_reason or "") <= 255
    assert stage.volume_status(volume_id) == "error_restoring"
    stage.stores["az1"].away = False
    again = stage.restore(backup.id).volume_id
    stage.work()
    assert stage.shown(backup.id).fail_reason is None
    assert stage.content(again, len(DATA)) == DATA


@pytest.mark.parametrize("status", ["available", "error"])
def test_a_reset_cancels_a_restore(stage: Stage, backup: Backup, status: str) -> None:
    volume_id = stage.restore(backup.id).volume_id
    stage.backups.reset_status(ADMIN, backup.id, status)
    assert stage.status(backup.id) == status
    stage.work()
    assert stage.status(backup.id) == "available"
    assert stage.volume_status(volume_id) == "error"


def test_a_cancelled_restore_does_not_end_the_next_one(stage: Stage, backup: Backup) -> None:
    first = stage.restore(backup.id).volume_id
    stage.backups.reset_status(ADMIN, backup.id, "available")
    stage.clock.pass_by(1)  # the older job is done first
    second = stage.restore(backup.id).volume_id
    assert stage.one.run_one()
    assert stage.volume_status(first) == "error"
    assert stage.status(backup.id) == "restoring"
    stage.work()
    assert stage.volume_status(second) == "available"
    assert stage.content(second, len(DATA)) == DATA


def test_one_backup_is_restored_once_at_a_time(stage: Stage, backup: Backup) -> None:
    stage.restore(backup.id)
    with pytest.raises(InvalidBackup):
        stage.restore(backup.id)


def test_a_restore_goes_on_in_any_zone(stage: Stage, backup: Backup) -> None:
    target = stage.a_volume(zone="az2", size_gib=3)
    stage.restore(backup.id, target)
    stage.work()
    assert stage.content(target, len(DATA)) == DATA


def a_new_volume(size_gib: int = 0, name: str | None = None, **asked: Any) -> NewVolume:
    return NewVolume(
        project_id="ignored",
        user_id="ignored",
        size_gib=size_gib,
        name=name,
        description=asked.pop("description", None),
        metadata=asked.pop("metadata", {}),
        availability_zone=None,
    )


def test_a_volume_is_created_from_a_backup(stage: Stage, backup: Backup) -> None:
    volume_id = stage.backups.create_volume(CALLER, backup.id, a_new_volume(3, "mine"))
    row = stage.local.show(volume_id)
    assert (row.status, row.size, row.name) == ("creating", 3, "mine")
    assert row.project_id == CALLER.project_id
    assert stage.status(backup.id) == "restoring"
    stage.work()
    row = stage.local.show(volume_id)
    assert (row.status, row.name, row.metadata) == (
        "available",
        "mine",
        {"src_backup_id": backup.id},
    )
    assert stage.content(volume_id, len(DATA)) == DATA
    assert stage.status(backup.id) == "available"


def test_a_created_volume_gives_way_to_the_original(stage: Stage) -> None:
    original = stage.a_volume(DATA)
    stage.set_volume(original, **ORIGINAL)
    backup = stage.a_backup(original)
    wanted = a_new_volume(description="gone", metadata={"mine": "gone"})
    volume_id = stage.backups.create_volume(CALLER, backup.id, wanted)
    assert stage.local.show(volume_id).metadata == {"mine": "gone"}
    stage.work()
    row = stage.local.show(volume_id)
    assert (row.name, row.description) == ("original", "as it was")
    assert row.metadata == {"a": "1", "src_backup_id": backup.id}


def test_what_a_volume_from_a_backup_needs(stage: Stage, backup: Backup) -> None:
    stage.limit_volumes(VolumeQuotas(volumes=1, gigabytes=1, snapshots=1))
    stage.set_backup(backup.id, status="error")
    with pytest.raises(InvalidBackup) as caught:
        stage.backups.create_volume(CALLER, backup.id, a_new_volume(1))
    assert str(caught.value) == (
        "Invalid backup: Originating backup status must be one of 'available' values"
    )
    stage.set_backup(backup.id, status="available")
    with pytest.raises(InvalidInput) as told:
        stage.backups.create_volume(CALLER, backup.id, a_new_volume(1))
    assert str(told.value) == (
        "Invalid input received: Volume size 1GB cannot be smaller than the backup size 2GB. "
        "It must be >= backup size."
    )
    with pytest.raises(VolumeQuotaExceeded):
        stage.backups.create_volume(CALLER, backup.id, a_new_volume())
    assert stage.status(backup.id) == "available"
