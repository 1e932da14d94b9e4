"""What the worker tells other services of its work: each row of Cinder's table."""

import itertools
import random
import threading
from collections.abc import Callable

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups.notifications import Notifications, Pace, Payload
from emberkeep.engine.repository import Progress
from emberkeep.jobs.queue import Kind
from emberkeep.worker.progress import Telling
from emberkeep.worker.site import Run

ADMIN = a_caller(is_admin=True)
DATA = random.Random(11).randbytes(5_000_000)  # some segments
START, PROGRESS, END = "backup.create.start", "backup.createprogress", "backup.create.end"


def events(stage: Stage, *, progress: bool = False) -> list[str]:
    """What was told, in order."""
    return [event for _who, event, _told in stage.notified if progress or event != PROGRESS]


def statuses(stage: Stage) -> list[tuple[str, str]]:
    return [(event, told["status"]) for _who, event, told in stage.notified if event != PROGRESS]


def at_the_first_segment(stage: Stage, act: Callable[[], None]) -> None:
    """Let something happen while a backup runs, once: segments are put by several threads."""
    first = threading.Lock()

    def look(name: str) -> None:
        if "/s/" in name and first.acquire(blocking=False):
            act()

    stage.stores["az1"].before_put = look


def stopping(stage: Stage, backup_id: str, how: str) -> None:
    """Somebody stops what is under way with the backup."""

    def stop() -> None:
        if how == "delete":
            stage.backups.force_delete(ADMIN, backup_id)
        else:
            stage.backups.reset_status(ADMIN, backup_id, "error")
        stage.one.beat()

    at_the_first_segment(stage, stop)


# Creation.


def test_a_backup_is_told_from_start_to_end(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA), name="nightly")
    assert events(stage, progress=True) == [START, PROGRESS, PROGRESS, END]
    assert statuses(stage) == [(START, "creating"), (END, "available")]
    for publisher, _event, told in stage.notified:
        assert publisher == "backup.one@az1"
        assert (told["backup_id"], told["host"], told["display_name"]) == (
            backup.id,
            "one@az1",
            "nightly",
        )
        assert (told["service"], told["availability_zone"]) == (backup.service, "az1")
    assert stage.notified[-1][2]["service_metadata"] == backup.service_metadata


def test_a_backup_that_fails_has_no_end(stage: Stage) -> None:
    stage.stores["az1"].full = True
    assert stage.a_backup(stage.a_volume(DATA)).status == "error"
    assert events(stage) == [START]


def test_a_store_that_is_away_is_told_once(stage: Stage) -> None:
    """The attempts are one work."""
    stage.stores["az1"].away = True
    stage.create(stage.a_volume(DATA))
    stage.work()
    assert stage.jobs(Kind.BACKUP)[0].attempt == 3
    assert events(stage) == [START]


def test_a_backup_that_another_attempt_ends_is_told_once(stage: Stage) -> None:
    stage.create(stage.a_volume(DATA))
    stage.stores["az1"].away = True
    stage.one.run_until_idle()
    stage.stores["az1"].away = False
    stage.work()
    assert events(stage) == [START, END]


def test_who_lost_the_lease_tells_nothing(stage: Stage) -> None:
    stage.create(stage.a_volume(DATA))
    asleep: list[str] = []

    def sleep(name: str) -> None:
        if "/r/" in name and not asleep:
            asleep.append(name)
            stage.clock.pass_by(stage.patience.lease + 1)
            stage.worker("two").run_until_idle()

    stage.stores["az1"].before_put = sleep
    stage.one.run_one()
    assert asleep
    ends = [who for who, event, _told in stage.notified if event == END]
    assert (events(stage), ends) == ([START, END], ["backup.two@az1"])


@pytest.mark.parametrize(("how", "status"), [("delete", "deleting"), ("reset", "error")])
def test_a_backup_that_is_stopped_ends(stage: Stage, how: str, status: str) -> None:
    backup = stage.create(stage.a_volume(DATA))
    stopping(stage, backup.id, how)
    stage.work()
    told = [told for told in statuses(stage) if "reset" not in told[0]]
    assert told[:2] == [(START, "creating"), (END, status)]
    afterwards = ["backup.delete.start", "backup.delete.end"] if how == "delete" else []
    assert [event for event, _status in told[2:]] == afterwards


def test_a_backup_that_is_stopped_before_it_starts_is_not_told(stage: Stage) -> None:
    backup = stage.create(stage.a_volume(DATA))
    stage.set_backup(backup.id, status="error")
    stage.work()
    assert events(stage) == []


# Progress.


def progress(stage: Stage) -> list[dict[str, object]]:
    return [dict(told) for _who, event, told in stage.notified if event == PROGRESS]


def test_progress_says_what_a_driver_knows(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    first, last = progress(stage)
    for told, number, percent in ((first, 1, 0), (last, last["id"], 100)):
        assert list(told)[-5:] == ["id", "list", "prefix", "volume_meta", "backup_percent"]
        assert told["status"] == "creating"
        assert (told["id"], told["backup_percent"]) == (number, percent)
        assert (told["list"], told["volume_meta"]) == ([], None)
        segments = stage.stores["az1"].names("/s/")
        assert all(name.startswith(str(told["prefix"])) for name in segments)
    assert isinstance(last["id"], int)
    assert 1 < last["id"] <= backup.object_count + 1


def test_progress_is_told_every_few_objects(stage: Stage) -> None:
    stage.pace = Pace(objects=2, seconds=None)
    stage.one = stage.worker()
    stage.a_backup(stage.a_volume(DATA))
    told = progress(stage)
    numbers = [int(str(one["id"])) for one in told]
    percents = [float(str(one["backup_percent"])) for one in told]
    assert len(told) >= 3
    assert all(later - one >= 2 for one, later in itertools.pairwise(numbers[:-1]))
    assert percents == sorted(percents)
    assert 0 < percents[0] < percents[-1] == 100


def test_progress_is_told_every_so_often(stage: Stage) -> None:
    backup = stage.create(stage.a_volume())
    job, now = stage.jobs(Kind.BACKUP)[0], [1000.0]
    run = Run(job, threading.Event(), lease_until=0, clock=lambda: now[0])
    told: list[tuple[float, float]] = []

    def note(_publisher: str, _event: str, payload: Payload) -> None:
        told.append((now[0], payload["backup_percent"]))

    for seconds in (120, None):
        now[0] = 1000
        telling = Telling(Notifications(note), Pace(9, seconds), run, backup, prefix="p")
        for percent in range(0, 101, 10):
            telling.report(Progress(percent, 100, 0))
            now[0] += 59
        assert run.beat.done == 100  # the job's own progress goes on
        telling.all_sent()
    timed = [(1000, 0), (1177, 30), (1354, 60), (1531, 90), (1649, 100)]
    assert told == [*timed, (1649, 100)]


def test_progress_ends_with_a_failure(stage: Stage) -> None:
    def fill(name: str) -> None:
        stage.stores["az1"].full = "/s/" in name

    stage.stores["az1"].before_put = fill
    stage.a_backup(stage.a_volume(DATA))
    assert [told["backup_percent"] for told in progress(stage)] == [0]


# Deletion.


def test_a_deletion_is_told_from_start_to_end(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.notified.clear()
    stage.backups.delete(CALLER, backup.id)
    stage.work()
    assert statuses(stage) == [
        ("backup.delete.start", "deleting"),
        ("backup.delete.end", "deleted"),
    ]
    assert {who for who, _event, _told in stage.notified} == {"backup.one@az1"}


def test_a_deletion_that_fails_has_no_end(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.notified.clear()
    stage.stores["az1"].away = True
    stage.backups.delete(CALLER, backup.id)
    stage.work()
    assert stage.status(backup.id) == "error_deleting"
    assert events(stage) == ["backup.delete.start"]
    stage.stores["az1"].away = False
    stage.backups.force_delete(ADMIN, backup.id)
    stage.work()
    assert events(stage)[1:] == ["backup.delete.start", "backup.delete.end"]


def test_a_deletion_that_somebody_took_back_has_no_end(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.backups.delete(CALLER, backup.id)
    stage.backups.reset_status(ADMIN, backup.id, "available")
    stage.notified.clear()
    stage.work()
    assert events(stage) == ["backup.delete.start"]


def test_a_deletion_that_had_to_wait_is_told_once_it_starts(stage: Stage) -> None:
    backup = stage.create(stage.a_volume(DATA))
    waited: list[list[str]] = []

    def delete() -> None:
        stage.backups.force_delete(ADMIN, backup.id)
        assert stage.worker("two").run_one((Kind.DELETE,))
        waited.append(events(stage))
        stage.one.beat()

    at_the_first_segment(stage, delete)
    stage.work()
    assert waited == [[START]]
    assert events(stage) == [START, END, "backup.delete.start", "backup.delete.end"]


# Restores.


def test_a_restore_is_told_from_start_to_end(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.notified.clear()
    stage.restore(backup.id)
    stage.work()
    assert statuses(stage) == [
        ("backup.restore.start", "restoring"),
        ("backup.restore.end", "available"),
    ]


def test_a_restore_that_fails_has_no_end(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.notified.clear()
    stage.restore(backup.id)
    stage.stores["az1"].away = True
    stage.work()
    assert stage.jobs(Kind.RESTORE)[0].attempt == 3
    assert events(stage) == ["backup.restore.start"]


@pytest.mark.parametrize("when", ["describe", "read"])
def test_a_restore_that_is_stopped_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """On the way, or when all is done but for the last transaction."""
    backup = stage.a_backup(stage.a_volume(DATA))
    target = stage.restore(backup.id).volume_id
    stage.notified.clear()
    repository = stage.repositories["az1"]
    step = getattr(repository, when)

    def step_then_stop(*given: object, **named: object) -> object:
        done = step(*given, **named)
        stage.backups.reset_status(ADMIN, backup.id, "error")
        if when == "describe":
            stage.one.beat()
        return done

    monkeypatch.setattr(repository, when, step_then_stop)
    stage.work()
    assert stage.volume_status(target) == "error"
    assert [event for event in events(stage) if "restore" in event] == [
        "backup.restore.start",
        "backup.restore.end",
    ]
    assert statuses(stage)[-1] == ("backup.restore.end", "available")
