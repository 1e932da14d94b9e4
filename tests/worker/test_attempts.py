"""Attempts that fail, die, sleep through their lease, or are asked to stop."""

import random
import threading

import pytest
from tests.stage import Stage
from tests.world import a_caller

from emberkeep.db.backups import FAIL_REASON_LENGTH
from emberkeep.jobs.errors import JobCancelled, LeaseLost
from emberkeep.jobs.queue import Kind
from emberkeep.volumes.drivers.files import FilesDriver
from emberkeep.worker.site import HandBack, Run

ADMIN = a_caller(is_admin=True)
DATA = random.Random(7).randbytes(5_000_000)  # some segments


def test_a_full_store_is_told_with_what_to_do(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    store = stage.stores["az1"]

    def fill(name: str) -> None:
        store.full = store.full or len(store.names("/s/")) == 2

    store.before_put = fill
    backup = stage.a_backup(volume_id)
    assert backup.status == "error"
    assert (backup.fail_reason or "").startswith(
        "The backup store is full; free some space, then try again."
    )
    assert len(backup.fail_reason or "") <= FAIL_REASON_LENGTH
    assert stage.volume_status(volume_id) == "available"
    assert store.names("/r/") == []
    assert store.names("/s/") == []  # what it had stored was collected
    store.before_put = lambda _name: None
    store.full = False
    assert stage.a_backup(volume_id).status == "available"


def test_a_failure_is_tried_again_and_then_told(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)
    stage.stores["az1"].away = True
    stage.work()
    shown = stage.shown(backup.id)
    assert shown.status == "error"
    assert (shown.fail_reason or "").startswith("Given up after 3 attempts; see the worker's log")
    assert "no route to the store" in (shown.fail_reason or "")
    assert stage.jobs(Kind.BACKUP)[0].attempt == 3
    assert stage.volume_status(volume_id) == "available"


def test_what_ends_in_time_leaves_no_trace_of_its_failures(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)
    stage.stores["az1"].away = True
    stage.one.run_until_idle()
    stage.stores["az1"].away = False
    stage.work()
    shown = stage.shown(backup.id)
    assert (shown.status, shown.fail_reason) == ("available", None)


def test_a_worker_that_dies_each_time_ends_in_error(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)

    def die(_name: str) -> None:
        raise SystemExit

    stage.stores["az1"].before_put = die
    for _ in range(3):
        with pytest.raises(SystemExit):
            stage.one.run_one()
        assert stage.status(backup.id) == "creating"
        stage.clock.pass_by(stage.patience.lease + 1)
        stage.one.beat()
    stage.stores["az1"].before_put = lambda _name: None
    stage.work()
    shown = stage.shown(backup.id)
    assert shown.status == "error"
    assert "its worker died" in (shown.fail_reason or "")
    assert stage.volume_status(volume_id) == "available"


def test_a_worker_that_stops_hands_back_and_loses_no_attempt(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)
    for number in range(5):
        worker = stage.worker(f"worker {number}")
        stage.stores["az1"].before_put = lambda _name, worker=worker: worker.stop()  # type: ignore[misc]
        assert worker.run_one()
        job = stage.jobs(Kind.BACKUP)[0]
        assert (job.state, job.worker) == ("queued", None)
    stage.stores["az1"].before_put = lambda _name: None
    stage.clock.pass_by(stage.patience.grace)
    stage.one.beat()
    stage.work()
    assert stage.status(backup.id) == "available"
    assert len(stage.stores["az1"].names("/r/")) == 1


def sleep_through_the_lease(stage: Stage, other: str) -> None:
    """Let the lease run out, and another worker do everything."""
    stage.clock.pass_by(stage.patience.lease + 1)
    worker = stage.worker(other)
    worker.run_until_idle()


@pytest.mark.parametrize("part", ["/s/", "/r/"])
def test_a_zombie_changes_nothing(stage: Stage, part: str) -> None:
    """It sleeps before a segment, or before its root, until another worker has done the job."""
    volume_id = stage.a_volume(DATA)
    backup = stage.create(volume_id)
    store = stage.stores["az1"]
    asleep = []

    def sleep(name: str) -> None:
        if part in name and not asleep:
            asleep.append(name)
            sleep_through_the_lease(stage, "two")

    store.before_put = sleep
    assert stage.one.run_one()
    assert asleep
    shown = stage.shown(backup.id)
    assert (shown.status, shown.host) == ("available", "two@az1")
    assert stage.volume_status(volume_id) == "available"
    assert [shown.root] == [name.rpartition("/")[2] for name in store.names("/r/")]
    with stage.database.writing() as tx:
        stage.backups.collect(tx)
    stage.worker("two").run_until_idle()
    restored = stage.restore(backup.id).volume_id
    stage.worker("two").run_until_idle()
    assert stage.content(restored, len(DATA)) == DATA


def test_a_zombie_of_a_deleted_backup_leaves_no_root(stage: Stage) -> None:
    backup = stage.create(stage.a_volume(DATA))
    store = stage.stores["az1"]
    asleep = []

    def sleep(name: str) -> None:
        if "/r/" in name and not asleep:
            asleep.append(name)
            sleep_through_the_lease(stage, "two")
            stage.backups.delete(ADMIN, backup.id)
            stage.worker("two").run_until_idle()

    store.before_put = sleep
    stage.one.run_one()
    assert asleep
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert store.names("/r/") == []
    with stage.database.writing() as tx:
        stage.backups.collect(tx)
    stage.worker("two").run_until_idle()
    assert store.names("/s/") == []


def test_a_zombie_restore_ends_nothing(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    target = stage.restore(backup.id).volume_id
    driver, asleep = stage.drivers["host@az1"], []
    open_target = FilesDriver.target

    def sleep(self: FilesDriver, *given: object, **named: object) -> object:
        if not asleep:
            asleep.append(self)
            sleep_through_the_lease(stage, "two")
            stage.write(target, b"its new owner's")
        return open_target(self, *given, **named)  # type: ignore[arg-type]

    FilesDriver.target = sleep  # type: ignore[method-assign, assignment]
    try:
        stage.one.run_one()
    finally:
        FilesDriver.target = open_target  # type: ignore[method-assign]
    assert asleep == [driver]
    assert stage.status(backup.id) == "available"
    assert stage.volume_status(target) == "available"


def a_run(stage: Stage, now: list[float]) -> Run:
    stage.create(stage.a_volume())
    job = stage.queue.claim(stage.one._card)
    assert job is not None
    return Run(job, threading.Event(), lease_until=100, clock=lambda: now[0])


def test_an_attempt_that_slept_through_its_lease_stops_by_itself(stage: Stage) -> None:
    now = [99.0]
    run = a_run(stage, now)
    run.checkpoint()
    now[0] = 100.0
    with pytest.raises(LeaseLost):
        run.checkpoint()


def test_an_attempt_stops_for_the_reason_that_counts_most(stage: Stage) -> None:
    run = a_run(stage, [0.0])
    run.stop.set()
    with pytest.raises(HandBack):
        run.checkpoint()
    run.cancelled = True
    with pytest.raises(JobCancelled):
        run.checkpoint()
    run.lost = True
    with pytest.raises(LeaseLost):
        run.checkpoint()


def test_a_worker_that_gets_its_own_lost_job_again_runs_it_once(stage: Stage) -> None:
    """The process slept; its other lane claims the job that the first still believes to have."""
    backup = stage.create(stage.a_volume(DATA))
    asleep = []
    told: list[tuple[bool, bool]] = []

    def sleep(name: str) -> None:
        if "/s/" in name and not asleep:
            asleep.append(name)
            stage.clock.pass_by(stage.patience.lease + 1)
            (first,) = stage.one._runs.values()
            second = stage.one.run_one()
            told.append((second, first.lost))

    stage.stores["az1"].before_put = sleep
    assert stage.one.run_one()
    assert told == [(True, True)]
    assert stage.status(backup.id) == "available"
    assert stage.jobs(Kind.BACKUP)[0].attempt == 2
    assert len(stage.stores["az1"].names("/r/")) == 1
    assert stage.one._runs == {}


def test_a_root_whose_commit_fails_is_taken_back(stage: Stage) -> None:
    backup = stage.create(stage.a_volume(DATA))

    def reset(name: str) -> None:
        if "/r/" in name:
            stage.backups.reset_status(ADMIN, backup.id, "error")

    stage.stores["az1"].before_put = reset
    stage.one.run_until_idle()
    assert stage.status(backup.id) == "error"
    assert stage.stores["az1"].names("/r/") == []
    assert stage.stores["az1"].names("/s/") == []


def test_a_base_deleted_while_it_is_looked_at_is_done_without(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emberkeep.worker import backup as work

    volume_id = stage.a_volume(DATA)
    base = stage.a_backup(volume_id)
    choose = work._base
    chosen: list[object] = []

    def choose_then_lose(*given: object) -> object:
        chosen.append(choose(*given))  # type: ignore[arg-type]
        stage.backups.delete(ADMIN, base.id)
        stage.worker("two").run_one((Kind.DELETE,))
        return chosen[0]

    monkeypatch.setattr(work, "_base", choose_then_lose)
    again = stage.a_backup(volume_id)
    assert chosen == [base.root]
    assert (again.status, again.fail_reason) == ("available", None)
    stage.work()
    restored = stage.restore(again.id).volume_id
    stage.work()
    assert stage.content(restored, len(DATA)) == DATA
