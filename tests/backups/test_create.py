"""Creating a backup: the checks in Cinder's order and words, and what comes to be."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups.errors import (
    InvalidBackup,
    InvalidSnapshot,
    InvalidVolume,
    QuotaExceeded,
)
from emberkeep.caller import Caller
from emberkeep.db import volumes as volumes_table
from emberkeep.testing.volumes import PROJECT
from emberkeep.volumes.errors import SnapshotNotFound, VolumeNotFound

NOBODY = str(uuid.UUID(int=7))


class Denied(Exception):
    pass


def denied(rule: str, project_id: str | None) -> None:
    raise Denied(rule, project_id)


FORBIDDEN = a_caller(PROJECT, authorize=denied)


def over_quota(stage: Stage) -> None:
    stage.set_limits(quota_backups=0, quota_backup_gigabytes=0)


def no_quota_count(stage: Stage) -> None:
    stage.set_limits(quota_backups=0)


def set_snapshot(stage: Stage, snapshot_id: str, status: str) -> None:
    with stage.database.writing() as tx:
        volumes_table.change_snapshot(tx, snapshot_id, status=status)


def refused(stage: Stage, caller: Caller, **asked: Any) -> tuple[type[Exception], str]:
    before = stage.jobs(), stage.backups.list(CALLER, stage.everything).items
    with pytest.raises(Exception) as caught:  # noqa: PT011
        stage.create(asked.pop("volume_id"), caller=caller, **asked)
    assert (stage.jobs(), stage.backups.list(CALLER, stage.everything).items) == before
    return caught.type, str(caught.value)


def test_of_a_volume_the_first_check_that_fails_is_told(stage: Stage) -> None:
    """Each time, everything that is checked later is wrong, too."""
    volume_id = stage.a_volume()
    stage.set_volume(volume_id, status="error")
    over_quota(stage)

    def told(caller: Caller = CALLER, volume_id: str = volume_id) -> tuple[type[Exception], str]:
        return refused(stage, caller, volume_id=volume_id, incremental=True)

    assert told(FORBIDDEN, NOBODY) == (VolumeNotFound, f"Volume {NOBODY} could not be found.")
    assert told(FORBIDDEN) == (Denied, str(Denied("backup:create", PROJECT)))
    assert told() == (
        InvalidVolume,
        "Invalid volume: Volume to be backed up must be available or in-use, but the current "
        'status is "error".',
    )
    stage.set_volume(volume_id, status="in-use")
    assert told() == (
        InvalidVolume,
        "Invalid volume: Backing up an in-use volume must use the force flag.",
    )
    stage.set_volume(volume_id, status="available")
    assert told() == (
        QuotaExceeded,
        "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes "
        "quota. Requested 1G, quota is 0G and 0G has been consumed.",
    )
    no_quota_count(stage)
    assert told() == (
        QuotaExceeded,
        "BackupLimitExceeded: Maximum number of backups allowed (0) exceeded",
    )
    stage.set_limits()
    assert told() == (
        InvalidBackup,
        "Invalid backup: No backups available to do an incremental backup.",
    )
    assert stage.volume_status(volume_id) == "available"


def test_of_a_snapshot_the_first_check_that_fails_is_told(stage: Stage) -> None:
    volume_id, other = stage.a_volume(), stage.a_volume()
    snapshot_id, elsewhere = stage.a_snapshot(volume_id), stage.a_snapshot(other)
    set_snapshot(stage, snapshot_id, "error")
    set_snapshot(stage, elsewhere, "error")
    stage.set_volume(volume_id, status="error")  # which does not matter for a snapshot
    over_quota(stage)

    def told(snapshot_id: str, caller: Caller = CALLER) -> tuple[type[Exception], str]:
        return refused(
            stage, caller, volume_id=volume_id, snapshot_id=snapshot_id, incremental=True
        )

    assert told(NOBODY, FORBIDDEN)[0] is Denied
    assert told(NOBODY) == (SnapshotNotFound, f"Snapshot {NOBODY} could not be found.")
    assert told(elsewhere) == (
        InvalidVolume,
        f"Invalid volume: Volume {volume_id} does not match with snapshot.volume_id {other}.",
    )
    assert told(snapshot_id) == (
        InvalidSnapshot,
        "Invalid snapshot: Snapshot to be backed up must be available, but the current status is "
        '"error".',
    )
    set_snapshot(stage, snapshot_id, "available")
    assert told(snapshot_id)[0] is QuotaExceeded
    stage.set_limits()
    assert told(snapshot_id)[0] is InvalidBackup
    assert stage.snapshot_status(snapshot_id) == "available"


@pytest.mark.parametrize(
    "hidden",
    [
        lambda stage: stage.create(stage.a_volume(), caller=a_caller("other")),
        lambda stage: stage.create(
            stage.a_volume(), caller=a_caller("other"), snapshot_id=NOBODY, incremental=True
        ),
    ],
)
def test_another_projects_volume_is_not_found(
    stage: Stage, hidden: Callable[[Stage], object]
) -> None:
    with pytest.raises(VolumeNotFound):
        hidden(stage)


def test_what_is_accepted_is_creating_reserved_and_queued(stage: Stage) -> None:
    volume_id = stage.a_volume(zone="az2")
    backup = stage.create(volume_id, name="n", description="d", metadata={"k": "v"}, container="")
    assert stage.shown(backup.id) == backup
    assert (backup.status, backup.fail_reason, backup.size) == ("creating", None, 1)
    assert (backup.display_name, backup.display_description) == ("n", "d")
    assert (backup.metadata, backup.container) == ({"k": "v"}, "")
    assert (backup.availability_zone, backup.host, backup.service) == (None, None, None)
    assert backup.data_timestamp == backup.created_at == stage.clock()
    assert (backup.project_id, backup.user_id) == (CALLER.project_id, CALLER.user_id)
    assert stage.volume_status(volume_id) == "backing-up"
    *_, job = stage.jobs()
    assert (job.kind, job.state, job.subject) == ("backup", "queued", backup.id)
    assert job.needs_repository == stage.repositories["az2"].id
    assert (job.needs_backend, job.prefers_zone) == ("host@az2", "az2")


def test_a_worker_makes_it_available(stage: Stage) -> None:
    volume_id = stage.a_volume(b"data" * 100)
    backup = stage.a_backup(volume_id)
    assert (backup.status, backup.availability_zone) == ("available", "az1")
    assert (backup.container, backup.host) == ("volumebackups", "one@az1")
    assert backup.object_count > 0
    assert (backup.size, backup.size_bytes) == (1, 1 << 30)
    assert backup.service == "cinder.backup.drivers.emberkeep.EmberkeepBackupDriver"
    assert stage.volume_status(volume_id) == "available"
    assert stage.local.show(volume_id).previous_status == "backing-up"


def test_an_in_use_volume_is_in_use_again(stage: Stage) -> None:
    volume_id = stage.a_volume(b"data")
    stage.set_volume(volume_id, status="in-use")
    backup = stage.a_backup(volume_id, force=True)
    assert backup.status == "available"
    assert stage.volume_status(volume_id) == "in-use"


def test_a_snapshots_backup_leaves_the_volume_alone(stage: Stage) -> None:
    volume_id = stage.a_volume(b"then")
    snapshot_id = stage.a_snapshot(volume_id)
    stage.write(volume_id, b"now!")
    stage.clock.pass_by(100)
    accepted = stage.create(volume_id, snapshot_id=snapshot_id)
    assert stage.volume_status(volume_id) == "available"
    assert stage.snapshot_status(snapshot_id) == "backing-up"
    stage.work()
    backup = stage.shown(accepted.id)
    assert (backup.status, backup.snapshot_id) == ("available", snapshot_id)
    assert backup.data_timestamp == stage.local.show_snapshot(snapshot_id).created_at
    assert stage.snapshot_status(snapshot_id) == "available"
    restored = stage.restore(backup.id).volume_id
    stage.work()
    assert stage.content(restored, 4) == b"then"


def test_an_admins_backup_of_anybodys_volume_is_the_admins(stage: Stage) -> None:
    admin = a_caller("admins", is_admin=True)
    backup = stage.create(stage.a_volume(), caller=admin)
    assert backup.project_id == "admins"


@pytest.mark.parametrize("asked", ["typo", None])
def test_without_a_service_it_ends_in_error_at_once(stage: Stage, asked: str | None) -> None:
    volume_id = stage.a_volume()
    snapshot_id = stage.a_snapshot(volume_id)
    stage.disable("az1")
    for snapshot in (None, snapshot_id):
        backup = stage.create(volume_id, availability_zone=asked, snapshot_id=snapshot)
        shown = stage.shown(backup.id)
        assert (shown.status, shown.fail_reason) == (
            "error",
            "Service not found for creating backup.",
        )
        assert (shown.availability_zone, shown.service) == (asked, None)
        assert stage.jobs()[-1].kind != "backup"
        assert stage.volume_status(volume_id) == "available"
        assert stage.snapshot_status(snapshot_id) == "available"
        stage.backups.delete(CALLER, backup.id)
        assert stage.row(backup.id).deleted  # type: ignore[union-attr]


def test_where_the_service_sleeps_the_job_waits_and_then_ends_as_if_there_were_none(
    stage: Stage,
) -> None:
    volume_id = stage.a_volume()
    stage.clock.pass_by(3600)
    two = stage.worker("two", zones=("az2",))
    backup = stage.create(volume_id)
    assert stage.status(backup.id) == "creating"
    stage.clock.pass_by(stage.patience.zone_wait - 1)
    two.beat()
    two.keep_house()
    assert stage.status(backup.id) == "creating"
    stage.clock.pass_by(2)
    two.beat()
    two.keep_house()
    shown = stage.shown(backup.id)
    assert (shown.status, shown.fail_reason) == ("error", "Service not found for creating backup.")
    assert stage.volume_status(volume_id) == "available"


def test_a_worker_that_comes_in_time_takes_what_waited(stage: Stage) -> None:
    volume_id = stage.a_volume()
    stage.clock.pass_by(3600)
    backup = stage.create(volume_id)
    stage.clock.pass_by(300)
    stage.worker("one").run_until_idle()
    assert stage.status(backup.id) == "available"


@pytest.mark.parametrize(
    ("default", "asked", "zone"),
    [
        ("same-as-volume", None, "az1"),
        ("same-as-volume", "", "az1"),
        ("same-as-volume", "az2", "az2"),
        ("other-than-volume", None, "az2"),
        ("other-than-volume", "az1", "az1"),
        ("az2", None, "az2"),
        ("nowhere", None, "nowhere"),
    ],
)
def test_the_zone_is_the_one_asked_for_or_the_operators_choice(
    stage: Stage, default: str, asked: str | None, zone: str
) -> None:
    stage.set_limits(default_availability_zone=default)
    accepted = stage.create(stage.a_volume(zone="az1"), availability_zone=asked)
    assert accepted.availability_zone == (asked or None)
    stage.one.run_until_idle()
    shown = stage.shown(accepted.id)
    if zone == "nowhere":
        assert (shown.status, shown.availability_zone) == ("error", None)
    else:
        assert (shown.status, shown.availability_zone) == ("available", zone)


def test_an_incremental_goes_where_its_parent_is_unless_asked(stage: Stage) -> None:
    volume_id = stage.a_volume(b"1")
    parent = stage.a_backup(volume_id, availability_zone="az2")
    child = stage.a_backup(volume_id, incremental=True)
    assert (child.parent_id, child.availability_zone) == (parent.id, "az2")
    other = stage.a_backup(volume_id, incremental=True, availability_zone="az1")
    assert (other.parent_id, other.availability_zone) == (child.id, "az1")


def test_quota_counts_what_is_not_deleted_in_the_callers_project(stage: Stage) -> None:
    stage.set_limits(quota_backups=2, quota_backup_gigabytes=3)
    one, two = stage.a_volume(), stage.a_volume(size_gib=2)
    failed = stage.create(one, availability_zone="typo")
    assert failed.status == "error"  # counts
    stage.set_limits(quota_backups=2, quota_backup_gigabytes=2)
    with pytest.raises(QuotaExceeded, match="Requested 2G, quota is 2G and 1G has been consumed"):
        stage.create(two)
    stage.set_limits(quota_backups=2, quota_backup_gigabytes=3)
    stage.a_backup(two)
    stage.set_limits(quota_backups=2, quota_backup_gigabytes=-1)
    with pytest.raises(QuotaExceeded, match="BackupLimitExceeded: Maximum number of backups"):
        stage.create(one)
    stage.create(one, caller=a_caller("others", is_admin=True))  # charged to the admin's project
    stage.work()
    stage.backups.delete(CALLER, failed.id)
    assert stage.a_backup(one).status == "available"
    stage.set_limits(quota_backups=-1, quota_backup_gigabytes=-1)
    assert stage.a_backup(two).status == "available"


def test_settings_are_the_operators(stage: Stage) -> None:
    stage.set_limits(default_container="nightly")
    assert stage.a_backup(stage.a_volume()).container == "nightly"
