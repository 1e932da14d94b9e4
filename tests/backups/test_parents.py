"""Which backup an incremental one refers to."""

import pytest
from tests.stage import Stage
from tests.world import a_caller

from emberkeep.backups.errors import InvalidBackup
from emberkeep.testing.volumes import PROJECT

NONE = "Invalid backup: No backups available to do an incremental backup."


def test_the_parent_is_the_available_one_with_the_latest_data(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    first = stage.a_backup(volume_id)
    second = stage.a_backup(volume_id)
    assert stage.a_backup(volume_id, incremental=True).parent_id == second.id
    stage.set_backup(first.id, data_timestamp=stage.clock())
    assert stage.a_backup(volume_id, incremental=True).parent_id == first.id


def test_what_is_not_available_or_has_no_time_is_passed_over(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    first, second, third = (stage.a_backup(volume_id) for _ in range(3))
    stage.set_backup(third.id, status="error")
    stage.set_backup(second.id, data_timestamp=None)
    assert stage.create(volume_id, incremental=True).parent_id == first.id


@pytest.mark.parametrize(
    "values", [{"data_timestamp": None}, {"status": "error"}, {"status": "restoring"}]
)
def test_without_an_eligible_one_there_is_none(stage: Stage, values: dict[str, object]) -> None:
    volume_id = stage.a_volume(b"x")
    stage.set_backup(stage.a_backup(volume_id).id, **values)
    with pytest.raises(InvalidBackup) as caught:
        stage.create(volume_id, incremental=True)
    assert str(caught.value) == NONE
    assert stage.volume_status(volume_id) == "available"


def test_of_a_snapshot_the_parent_is_from_before_it(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    before = stage.a_backup(volume_id)
    snapshot_id = stage.a_snapshot(volume_id)
    stage.clock.pass_by(10)
    stage.a_backup(volume_id)
    child = stage.a_backup(volume_id, snapshot_id=snapshot_id, incremental=True)
    assert child.parent_id == before.id
    stage.set_backup(before.id, status="error")
    stage.set_backup(child.id, status="error")
    with pytest.raises(InvalidBackup, match="No backups available"):
        stage.create(volume_id, snapshot_id=snapshot_id, incremental=True)


def test_another_projects_backup_is_nobodys_parent_here(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    admin = a_caller("admins", is_admin=True)
    stage.a_backup(volume_id, caller=admin)
    with pytest.raises(InvalidBackup, match="No backups available"):
        stage.create(volume_id, incremental=True)
    stage.a_backup(volume_id)
    mine = stage.create(volume_id, incremental=True)
    assert stage.shown(mine.parent_id or "").project_id == PROJECT


def test_the_counter_says_how_many_children_finished(stage: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    parent = stage.a_backup(volume_id)
    child = stage.create(volume_id, incremental=True)
    assert stage.shown(parent.id).num_dependent_backups == 0
    stage.one.run_until_idle()
    assert stage.shown(parent.id).num_dependent_backups == 1
    stage.stores["az1"].full = True
    stage.write(volume_id, bytes(range(256)) * 4096)
    assert stage.a_backup(volume_id, incremental=True).status == "error"
    assert stage.shown(parent.id).num_dependent_backups == 1
    stage.stores["az1"].full = False
    for _ in range(2):
        stage.backups.force_delete(a_caller(is_admin=True), child.id)
    stage.work()
    assert stage.shown(parent.id).num_dependent_backups == 0
    assert stage.row(child.id).deleted  # type: ignore[union-attr]
