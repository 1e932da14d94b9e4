"""What the API tells other services, and what every notification says."""

from collections.abc import Callable
from datetime import datetime

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups import lifecycle
from emberkeep.backups.errors import BackupError
from emberkeep.backups.notifications import Event, Notifications, payload

ADMIN = a_caller(is_admin=True)
START, END = "backup.reset_status.start", "backup.reset_status.end"
KEYS = [
    "tenant_id", "user_id", "availability_zone", "backup_id", "host", "display_name", "created_at",
    "status", "volume_id", "size", "service_metadata", "service", "fail_reason", "parent_id",
    "num_dependent_backups", "snapshot_id",
]  # fmt: skip


def test_a_payload_has_cinders_keys(stage: Stage) -> None:
    parent = stage.a_backup(stage.a_volume(b"x"), name="first")
    backup = stage.shown(stage.a_backup(parent.volume_id, incremental=True).id)
    told = payload(backup)
    assert list(told) == KEYS
    assert told == {
        "tenant_id": backup.project_id,
        "user_id": "user",
        "availability_zone": "az1",
        "backup_id": backup.id,
        "host": "one@az1",
        "display_name": None,
        "created_at": f"{backup.created_at.isoformat()}+00:00",
        "status": "available",
        "volume_id": parent.volume_id,
        "size": 1,
        "service_metadata": backup.service_metadata,
        "service": backup.service,
        "fail_reason": None,
        "parent_id": parent.id,
        "num_dependent_backups": 0,
        "snapshot_id": None,
    }
    assert payload(stage.shown(parent.id))["num_dependent_backups"] == 1
    assert datetime.fromisoformat(told["created_at"]).utcoffset() is not None


def test_a_reset_is_told_before_and_after(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    stage.notified.clear()
    stage.backups.reset_status(ADMIN, backup.id, "error")
    assert [(who, event, told["status"]) for who, event, told in stage.notified] == [
        ("backup.one@az1", START, "available"),
        ("backup.one@az1", END, "error"),
    ]


def test_a_reset_that_does_nothing_has_no_end(stage: Stage) -> None:
    waiting = stage.create(stage.a_volume(b"x"))  # no worker has begun it
    stage.backups.reset_status(ADMIN, waiting.id, "error")
    assert [(who, event) for who, event, _told in stage.notified] == [("backup.here", START)]


class Forbidden(Exception):
    """As the policy says."""


def deny(rule: str, _project_id: str | None) -> None:
    if "reset_status" in rule:
        raise Forbidden(rule)


def test_a_reset_that_is_refused_is_not_told(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    stage.set_backup(backup.id, availability_zone="nowhere")
    stage.notified.clear()
    with pytest.raises(Forbidden):
        stage.backups.reset_status(a_caller(is_admin=True, authorize=deny), backup.id, "error")
    for backup_id in ("nothing", backup.id):
        with pytest.raises(BackupError):
            stage.backups.reset_status(ADMIN, backup_id, "error")
    assert stage.notified == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda stage, backup_id: stage.backups.delete(CALLER, backup_id),
        lambda stage, backup_id: stage.restore(backup_id),
        lambda stage, backup_id: stage.backups.update(CALLER, backup_id, name="new"),
    ],
    ids=["delete", "restore", "update"],
)
def test_of_all_else_the_worker_tells(stage: Stage, ask: Callable[[Stage, str], object]) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    stage.notified.clear()
    ask(stage, backup.id)
    assert stage.notified == []


def test_what_is_told_is_committed(stage: Stage) -> None:
    """Who hears of it can look, and sees it."""
    backup = stage.a_backup(stage.a_volume(b"x"))
    seen: list[str] = []
    notifications = Notifications(lambda *_told: seen.append(stage.status(backup.id)))
    with stage.database.writing() as tx:
        lifecycle.happen(tx, backup.id, lifecycle.Event.RESET_TO_ERROR)
        notifications.after(tx, Event.RESET_END, backup.id)
        assert seen == []
    assert seen == ["error"]


def test_what_is_rolled_back_is_not_told(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    seen: list[object] = []
    notifications = Notifications(lambda *told: seen.append(told))

    def fail() -> None:
        with stage.database.writing() as tx:
            notifications.after(tx, Event.RESET_END, backup.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == []
