"""Any backup may go, in any order; its data goes with the last row that uses it."""

import itertools

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups.errors import BackupNotFound, InvalidBackup
from emberkeep.jobs.queue import Kind
from emberkeep.volumes.drivers.files import FilesDriver

ADMIN = a_caller(is_admin=True)
ADMIN_HERE = a_caller(CALLER.project_id, is_admin=True)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_in_any_order_the_others_stay_whole(stage: Stage, order: tuple[int, ...]) -> None:
    volume_id = stage.a_volume()
    ids, images = [], []
    for letter in (b"a", b"b", b"c"):
        stage.write(volume_id, letter * 100_000, 50_000 * len(ids))
        images.append(stage.content(volume_id, 300_000))
        ids.append(stage.a_backup(volume_id, incremental=bool(ids)).id)
    for number in order:
        stage.backups.delete(CALLER, ids[number])
        stage.work()
        with pytest.raises(BackupNotFound):
            stage.backups.show(CALLER, ids[number])
        ids[number] = ""
        for backup_id, image in zip(ids, images, strict=True):
            if backup_id:
                restored = stage.restore(backup_id).volume_id
                stage.work()
                assert stage.volume_status(restored) == "available"
                assert stage.content(restored, 300_000) == image
    assert stage.stores["az1"].names("/r/") == []
    assert stage.stores["az1"].names("/s/") == []


def test_an_operator_may_want_cinders_refusal(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    parent = stage.a_backup(volume_id)
    child = stage.a_backup(volume_id, incremental=True)
    stage.set_backup(child.id, status="error", project_id="another")
    stage.set_limits(refuse_delete_of_parents=True)
    for delete in (
        lambda: stage.backups.delete(CALLER, parent.id),
        lambda: stage.backups.force_delete(ADMIN, parent.id),
    ):
        with pytest.raises(InvalidBackup) as caught:
            delete()
        assert str(caught.value) == "Invalid backup: Incremental backups exist for this backup."
    stage.backups.delete(ADMIN, child.id)
    stage.work()
    stage.backups.delete(CALLER, parent.id)


def test_a_forced_deletion_of_what_waits_gives_the_volume_back(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    backup = stage.create(volume_id)
    stage.backups.force_delete(ADMIN, backup.id)
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    stage.work()
    assert stage.volume_status(volume_id) == "available"
    assert stage.stores["az1"].names("/r/") == []
    assert stage.a_backup(volume_id).status == "available"


def test_a_forced_deletion_stops_what_runs(stage: Stage) -> None:
    volume_id = stage.a_volume(bytes(range(256)) * 20_000)
    backup = stage.create(volume_id)
    asked = []

    def delete(name: str) -> None:
        if "/s/" in name and not asked:
            asked.append(name)
            stage.backups.force_delete(ADMIN, backup.id)
            stage.one.beat()

    stage.stores["az1"].before_put = delete
    stage.work()
    assert asked
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert stage.volume_status(volume_id) == "available"
    assert stage.stores["az1"].names("/r/") == []
    assert stage.stores["az1"].names("/s/") == []


def test_two_deletions_at_once_take_one_child_from_the_parent(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    parent = stage.a_backup(volume_id)
    child = stage.a_backup(volume_id, incremental=True)
    other = stage.a_backup(volume_id, incremental=True)
    stage.set_backup(other.id, parent_id=parent.id)
    stage.set_backup(parent.id, num_dependent_backups=2)
    for _ in range(2):
        stage.backups.force_delete(ADMIN, child.id)
    ran: list[bool] = []

    def delete_too(name: str) -> None:
        if "/r/" in name and not ran:
            ran.append(True)
            assert stage.worker("two").run_one((Kind.DELETE,))

    stage.stores["az1"].before_delete = delete_too
    stage.work()
    assert ran
    assert stage.shown(parent.id).num_dependent_backups == 1


def test_a_deletion_waits_until_a_restore_has_stopped(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = stage.a_backup(stage.a_volume(b"x" * 1000))
    target = stage.restore(backup.id).volume_id
    open_target = FilesDriver.target
    left: list[object] = []

    def delete(self: FilesDriver, *given: object, **named: object) -> object:
        stage.backups.force_delete(ADMIN, backup.id)
        stage.worker("two").run_one((Kind.DELETE,))
        left.append(stage.stores["az1"].names("/r/"))
        stage.one.beat()
        return open_target(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(FilesDriver, "target", delete)
    stage.one.run_one((Kind.RESTORE,))
    assert [len(roots) for roots in left] == [1]  # type: ignore[arg-type]
    stage.work()
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert stage.volume_status(target) == "error"
    assert stage.stores["az1"].names("/r/") == []


def test_a_store_that_is_away_leaves_a_backup_that_can_be_forced(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    stage.stores["az1"].away = True
    stage.backups.delete(CALLER, backup.id)
    stage.work()
    shown = stage.shown(backup.id)
    assert shown.status == "error_deleting"
    assert "no route to the store" in (shown.fail_reason or "")
    stage.stores["az1"].away = False
    stage.backups.force_delete(ADMIN, backup.id)
    stage.work()
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert stage.stores["az1"].names("/r/") == []


def test_there_is_no_way_back_once_the_data_goes(stage: Stage) -> None:
    """An operator's reset comes between the decision to remove the root and the row's end."""
    backup = stage.a_backup(stage.a_volume(b"x"))
    asked = []

    def reset(name: str) -> None:
        if "/r/" in name and not asked:
            asked.append(name)
            stage.backups.reset_status(ADMIN, backup.id, "available")
            assert stage.status(backup.id) == "deleting"
            stage.backups.reset_status(ADMIN, backup.id, "error")
            raise SystemExit

    stage.stores["az1"].before_delete = reset
    stage.backups.delete(CALLER, backup.id)
    with pytest.raises(SystemExit):
        stage.one.run_until_idle()
    assert asked
    stage.one.register()  # it starts again
    stage.work()
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert stage.session(backup.root) == "removed"
    assert stage.stores["az1"].names("/r/") == []


def test_a_reset_in_time_keeps_the_backup(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"kept"))
    stage.backups.delete(CALLER, backup.id)
    stage.backups.reset_status(ADMIN, backup.id, "available")
    stage.work()
    assert stage.status(backup.id) == "available"
    restored = stage.restore(backup.id).volume_id
    stage.work()
    assert stage.content(restored, 4) == b"kept"


def test_two_rows_of_one_root_go_one_after_the_other(stage: Stage) -> None:
    volume_id = stage.a_volume(b"shared")
    backup = stage.a_backup(volume_id)
    record = stage.backups.export_record(ADMIN_HERE, backup.id)
    twin = stage.a_twin(record, project="twins")
    stage.backups.delete(CALLER, backup.id)
    stage.work()
    assert stage.session(backup.root) == "committed"
    restored = stage.restore_as(ADMIN, twin.id)
    stage.work()
    assert stage.content(restored, 6) == b"shared"
    stage.backups.delete(ADMIN, twin.id)
    stage.work()
    assert stage.session(backup.root) == "removed"
    assert stage.stores["az1"].names("/r/") == []
