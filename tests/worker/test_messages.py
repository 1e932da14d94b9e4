"""What users are told when something fails that was accepted."""

import contextlib
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups import messages
from emberkeep.backups.messages import Detail
from emberkeep.db.jobs import Job
from emberkeep.db.messages import Message, page, reap
from emberkeep.db.paging import Query
from emberkeep.db.tables import jobs
from emberkeep.db.tables import messages as table
from emberkeep.engine.errors import SourceError
from emberkeep.testing.volumes import PROJECT
from emberkeep.worker.site import Run, attached

ADMIN = a_caller(is_admin=True)
DATA = b"data" * 1000


def told(stage: Stage, project: str = PROJECT) -> list[Message]:
    """The project's messages, newest first."""
    with stage.database.reading() as tx:
        return page(tx, Query(project, limit=100))


def the_message(stage: Stage) -> tuple[str, str, str | None]:
    """The only one: event, text and what it is about."""
    (message,) = told(stage)
    assert (message.message_level, message.request_id) == ("ERROR", CALLER.request_id)
    assert message.resource_type == "VOLUME_BACKUP"
    return message.event_id, messages.text(message), message.resource_uuid


def lose_file(stage: Stage, volume_id: str) -> None:
    stage.local.path_of(stage.local.show(volume_id)).unlink()


def test_no_service_takes_the_backup(stage: Stage) -> None:
    backup = stage.create(stage.a_volume(), availability_zone="nowhere")
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_013_024",
        "create backup:Backup failed to schedule. Service not found for creating backup.",
        backup.id,
    )


def test_no_worker_comes_to_the_zone(stage: Stage) -> None:
    kept, gone = stage.a_backup(stage.a_volume(DATA)), stage.a_backup(stage.a_volume(DATA))
    created = stage.create(stage.a_volume())
    stage.restore(kept.id)
    stage.backups.delete(CALLER, gone.id)
    other = stage.worker("two", zones=("az2",))
    stage.clock.pass_by(700)
    other.beat()
    other.keep_house()
    assert {(message.event_id, message.resource_uuid) for message in told(stage)} == {
        ("VOLUME_VOLUME_BACKUP_013_024", created.id),
        ("VOLUME_VOLUME_BACKUP_015_018", kept.id),
        ("VOLUME_VOLUME_BACKUP_014_018", gone.id),
    }


def test_the_store_does_not_take_the_backup(stage: Stage) -> None:
    stage.stores["az1"].full = True
    backup = stage.a_backup(stage.a_volume(DATA))
    assert backup.status == "error"
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_013_020",
        "create backup:Backup driver failed to create backup.",
        backup.id,
    )


def test_attempts_that_fail_are_one_failure(stage: Stage) -> None:
    stage.stores["az1"].away = True
    backup = stage.create(stage.a_volume(DATA))
    stage.work()
    assert stage.status(backup.id) == "error"
    assert the_message(stage)[0] == "VOLUME_VOLUME_BACKUP_013_020"


def test_an_attempt_that_died_is_a_failure(stage: Stage) -> None:
    backup = stage.create(stage.a_volume(DATA))
    with stage.database.writing() as tx:
        tx.changed(sa.update(jobs).where(jobs.c.subject == backup.id).values(attempt=3))
    stage.one.run_until_idle()
    assert the_message(stage)[0] == "VOLUME_VOLUME_BACKUP_013_020"


def test_the_volume_to_back_up_cannot_be_opened(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    lose_file(stage, volume_id)
    backup = stage.create(volume_id)
    stage.work()
    assert stage.status(backup.id) == "error"
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_013_021",
        "create backup:Failed to attach volume.",
        backup.id,
    )


def test_the_volume_to_back_up_is_somebody_elses_by_now(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)
    stage.set_volume(volume_id, status="error")
    stage.work()
    assert (stage.status(backup.id), stage.volume_status(volume_id)) == ("error", "error")
    assert stage.shown(backup.id).fail_reason == (
        "Create backup aborted, expected volume status backing-up but got error."
    )
    assert told(stage) == []


def test_the_backup_to_create_has_another_status(stage: Stage) -> None:
    backup = stage.create(stage.a_volume(DATA))
    stage.set_backup(backup.id, status="error")
    stage.work()
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_013_017",
        "create backup:Backup status is invalid.",
        backup.id,
    )


def test_a_backup_that_is_stopped_on_the_way_is_no_failure(stage: Stage) -> None:
    """Neither by a new status nor by its deletion."""

    def stop(_name: str) -> None:
        stage.stores["az1"].before_put = lambda _name: None
        if len(stopped) == 0:
            stage.backups.reset_status(ADMIN, backup.id, "error")
        else:
            stage.backups.force_delete(ADMIN, backup.id)
        stopped.append(backup.id)
        stage.one.beat()

    stopped: list[str] = []
    for _ in range(2):
        stage.stores["az1"].before_put = stop
        backup = stage.create(stage.a_volume(bytes(range(256)) * 20_000))
        stage.work()
    assert len(stopped) == 2
    assert told(stage) == []


def test_the_backup_cannot_be_read_for_a_restore(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    restoring = stage.restore(backup.id)
    stage.stores["az1"].away = True
    stage.work()
    assert stage.volume_status(restoring.volume_id) == "error_restoring"
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_015_026",
        "restore backup:Backup driver failed to restore backup.",
        backup.id,
    )


def test_the_volume_to_restore_to_cannot_be_opened(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    target = stage.a_volume()
    stage.restore(backup.id, target)
    lose_file(stage, target)
    stage.work()
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_015_021",
        "restore backup:Failed to attach volume.",
        backup.id,
    )


def test_the_volume_to_restore_to_has_another_status(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    target = stage.a_volume()
    stage.restore(backup.id, target)
    stage.set_volume(target, status="available")
    stage.work()
    assert (stage.status(backup.id), stage.volume_status(target)) == (
        "available",
        "error_restoring",
    )
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_015_027",
        "restore backup:Volume status is invalid.",
        target,
    )


def test_the_backup_to_restore_has_another_status(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    restoring = stage.restore(backup.id)
    stage.backups.reset_status(ADMIN, backup.id, "error")
    stage.work()
    assert stage.volume_status(restoring.volume_id) == "error"
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_015_017",
        "restore backup:Backup status is invalid.",
        backup.id,
    )


def test_the_store_does_not_delete(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.stores["az1"].away = True
    stage.backups.delete(CALLER, backup.id)
    stage.work()
    assert stage.status(backup.id) == "error_deleting"
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_014_025",
        "delete backup:Backup driver failed to delete backup.",
        backup.id,
    )


def test_the_backup_to_delete_has_another_status(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.backups.delete(CALLER, backup.id)
    stage.backups.reset_status(ADMIN, backup.id, "available")
    stage.work()
    assert stage.status(backup.id) == "available"
    assert the_message(stage) == (
        "VOLUME_VOLUME_BACKUP_014_017",
        "delete backup:Backup status is invalid.",
        backup.id,
    )


def test_what_does_well_is_not_told(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.restore(backup.id)
    stage.work()
    stage.backups.delete(CALLER, backup.id)
    stage.work()
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert told(stage) == []


def test_the_project_of_the_request_is_told(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.stores["az1"].away = True
    stage.backups.delete(a_caller("operators", is_admin=True), backup.id)
    stage.work()
    assert told(stage) == []
    assert [message.resource_uuid for message in told(stage, "operators")] == [backup.id]


def test_a_message_is_kept_for_its_time(stage: Stage) -> None:
    stage.create(stage.a_volume(), availability_zone="nowhere")
    (message,) = told(stage)
    assert (message.expires_at - message.created_at).days == 30
    stage.clock.pass_by(30 * 86_400 - 1)
    stage.one.keep_house()
    assert told(stage) == [message]
    stage.clock.pass_by(1)
    assert told(stage) == []
    stage.one.keep_house()
    with stage.database.reading() as tx:
        assert tx.rows(sa.select(table)) == []
        assert reap(tx) == 0


@contextlib.contextmanager
def a_volume(*, opening: Exception | None, closing: Exception | None) -> Iterator[None]:
    if opening is not None:
        raise opening
    yield
    if closing is not None:
        raise closing


@pytest.mark.parametrize(
    ("opening", "working", "closing", "detail"),
    [
        (OSError(), None, None, Detail.ATTACH_FAILED),
        (None, OSError(), None, Detail.CREATE_FAILED),
        (None, None, OSError(), Detail.CLEANUP_FAILED),
        (None, OSError(), OSError(), Detail.CREATE_FAILED),
        (None, None, SourceError("it changed"), Detail.CREATE_FAILED),
        (None, None, None, Detail.CREATE_FAILED),  # what follows is work, too
    ],
)
def test_of_a_volume_what_failed_first_is_kept(
    opening: Exception | None,
    working: Exception | None,
    closing: Exception | None,
    detail: Detail,
) -> None:
    run = Run(a_job(), threading.Event(), lease_until=0)
    with (
        contextlib.suppress(OSError, SourceError),
        attached(
            run,
            lambda: a_volume(opening=opening, closing=closing),
            working=Detail.CREATE_FAILED,
            closing=Detail.CLEANUP_FAILED,
        ),
    ):
        if working is not None:
            raise working
    assert run.failing is detail


def a_job() -> Job:
    return Job(**dict.fromkeys(Job.__slots__))  # type: ignore[arg-type]
