"""The states of a backup, and what moves it from one to another."""

import itertools

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups import lifecycle
from emberkeep.backups.errors import InvalidBackup, ServiceNotFound
from emberkeep.backups.lifecycle import TRANSITIONS, Event, Status

ADMIN = a_caller(is_admin=True)
# What is allowed, written down once more: from -> to, by event.
ALLOWED = {
    Event.CREATED: ("creating", "available"),
    Event.CREATION_FAILED: ("creating", "error"),
    Event.RESTORE_ACCEPTED: ("available", "restoring"),
    Event.RESTORE_ENDED: ("restoring", "available"),
    Event.RESTORE_CANCELLED: ("restoring error", "available"),
    Event.DELETION_ACCEPTED: ("available error", "deleting"),
    Event.DELETION_FAILED: ("deleting", "error_deleting"),
}


@pytest.mark.parametrize(("event", "status"), list(itertools.product(ALLOWED, Status)))
def test_an_event_happens_in_its_states_only(stage: Stage, event: Event, status: Status) -> None:
    before, after = ALLOWED[event]
    backup = stage.a_backup(stage.a_volume())
    if status == "deleted":
        stage.backups.delete(CALLER, backup.id)
        stage.work()
    else:
        stage.set_backup(backup.id, status=status.value)
    with stage.database.writing() as tx:
        happened = lifecycle.happen(tx, backup.id, event)
    assert happened == (status in before.split())
    row = stage.row(backup.id)
    assert row is not None
    assert row.status == (after if happened else status)


def test_an_event_happens_to_what_is_as_it_was_believed_to_be(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume())
    with stage.database.writing() as tx:
        event, other = Event.RESTORE_ACCEPTED, {"restore_volume_id": "another"}
        assert not lifecycle.happen(tx, backup.id, event, only_if=other)
    assert stage.status(backup.id) == "available"


def test_every_event_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Event)
    others = set(Event) - set(ALLOWED)
    for event in others:  # forced, or said by an operator
        assert set(TRANSITIONS[event][0]) == set(Status) - {Status.DELETED}


@pytest.mark.parametrize("status", [s for s in Status if s not in ("available", "error")])
def test_a_plain_deletion_needs_an_idle_backup(stage: Stage, status: Status) -> None:
    backup = stage.a_backup(stage.a_volume())
    stage.set_backup(backup.id, status=status.value)
    with pytest.raises(InvalidBackup) as caught:
        stage.backups.delete(CALLER, backup.id)
    assert str(caught.value) == "Invalid backup: Backup status must be available or error"


@pytest.mark.parametrize("status", [s for s in Status if s != "deleted"])
def test_a_forced_deletion_needs_nothing(stage: Stage, status: Status) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    stage.set_backup(backup.id, status=status.value)
    stage.backups.force_delete(ADMIN, backup.id)
    assert stage.status(backup.id) == "deleting"
    stage.work()
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert stage.stores["az1"].names("/r/") == []


@pytest.mark.parametrize("status", [s for s in Status if s != "deleted"])
@pytest.mark.parametrize("wanted", ["available", "error", "ERROR"])
def test_an_operator_says_what_it_is(stage: Stage, status: Status, wanted: str) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    stage.set_backup(backup.id, status=status.value, fail_reason="kept")
    stage.backups.reset_status(ADMIN, backup.id, wanted)
    shown = stage.shown(backup.id)
    assert (shown.status, shown.fail_reason) == (wanted.lower(), "kept")


def test_what_no_worker_ever_began_keeps_its_status(stage: Stage) -> None:
    backup = stage.create(stage.a_volume())
    stage.backups.reset_status(ADMIN, backup.id, "error")
    assert stage.status(backup.id) == "creating"
    stage.one.run_until_idle()
    assert stage.status(backup.id) == "available"


def test_what_has_no_data_is_never_made_available(stage: Stage) -> None:
    stage.stores["az1"].full = True
    backup = stage.a_backup(stage.a_volume(b"x"))
    assert backup.status == "error"
    stage.backups.reset_status(ADMIN, backup.id, "available")
    assert stage.status(backup.id) == "error"


def test_another_word_is_refused(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    with pytest.raises(InvalidBackup):
        stage.backups.reset_status(ADMIN, backup.id, "deleting")
    assert stage.status(backup.id) == "available"


@pytest.mark.parametrize("call", ["delete", "force_delete", "reset_status", "restore", "export"])
def test_without_a_service_in_its_zone_nothing_is_done(stage: Stage, call: str) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    jobs = stage.jobs()
    stage.disable("az1")
    calls = {
        "delete": lambda: stage.backups.delete(CALLER, backup.id),
        "force_delete": lambda: stage.backups.force_delete(ADMIN, backup.id),
        "reset_status": lambda: stage.backups.reset_status(ADMIN, backup.id, "error"),
        "restore": lambda: stage.restore(backup.id),
        "export": lambda: stage.backups.export_record(ADMIN, backup.id),
    }
    with pytest.raises(ServiceNotFound) as caught:
        calls[call]()
    assert str(caught.value) == "Service cinder-backup could not be found."
    assert stage.status(backup.id) == "available"
    assert stage.jobs() == jobs


@pytest.mark.parametrize("status", [s for s in Status if s not in ("available", "deleted")])
def test_only_what_is_available_is_restored_and_exported(stage: Stage, status: Status) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    stage.set_backup(backup.id, status=status.value)
    with pytest.raises(InvalidBackup) as caught:
        stage.restore(backup.id)
    assert str(caught.value) == "Invalid backup: Backup status must be available"
    with pytest.raises(InvalidBackup) as caught:
        stage.backups.export_record(ADMIN, backup.id)
    assert (
        str(caught.value)
        == f"Invalid backup: Backup status must be available and not {status.value}."
    )
