"""What the queue promises to who enqueues, and to workers."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.databases import Clock, a_database

from emberkeep.db import services, tables
from emberkeep.db.database import Database
from emberkeep.jobs.errors import LeaseLost
from emberkeep.jobs.queue import Beat, Job, Kind, NewJob, Queue, Settings, Worker

SETTINGS = Settings()
ONE = Worker("one", frozenset({"az1"}), frozenset({"r1"}), frozenset({"b1"}))
OTHER = replace(ONE, name="other")
TWO = Worker("two", frozenset({"az2"}), frozenset({"r1", "r2"}), frozenset({"b1", "b2"}))


class Place:
    """A queue whose database's clock the test turns."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.database = a_database(directory, clock=self.clock)
        self.queue = Queue(self.database, SETTINGS)

    def enqueue(self, subject: str = "subject", **fields: object) -> str:
        job = a_job(subject, **fields)
        with self.database.writing() as tx:
            return self.queue.enqueue(tx, job)

    def claim(self, worker: Worker = ONE) -> Job:
        job = self.queue.claim(worker)
        assert job is not None
        return job

    def finish(self, job: Job) -> None:
        with self.database.writing() as tx:
            self.queue.finish(tx, job)

    def show(self, job_id: str) -> Job:
        with self.database.reading() as tx:
            job = self.queue.get(tx, job_id)
        assert job is not None
        return job

    def live(self, worker: Worker) -> None:
        self.queue.beat(worker, [], {})

    def let_the_lease_expire(self) -> None:
        self.clock.pass_by(SETTINGS.lease + 1)


def a_job(subject: str = "subject", **fields: object) -> NewJob:
    everything: dict[str, object] = {"kind": Kind.BACKUP, "project_id": "p", "user_id": "u"}
    return NewJob(subject=subject, **{**everything, **fields})  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.database.close()


def test_the_oldest_job_is_claimed_first_and_once(place: Place) -> None:
    first = place.enqueue(arguments={"n": 1})
    place.clock.pass_by(1)
    second = place.enqueue()
    claimed = [place.claim(), place.claim()]
    assert [job.id for job in claimed] == [first, second]
    assert claimed[0].arguments == {"n": 1}
    assert claimed[0].state == "running"
    assert claimed[0].attempt == 1
    assert place.queue.claim(ONE) is None


def test_what_is_enqueued_in_a_transaction_that_fails_never_was(place: Place) -> None:
    def begin_and_fail() -> None:
        with place.database.writing() as tx:
            place.queue.enqueue(tx, a_job())
            raise KeyError

    with pytest.raises(KeyError):
        begin_and_fail()
    assert place.queue.claim(ONE) is None


def test_a_reserving_job_waits_until_it_is_ready(place: Place) -> None:
    with place.database.writing() as tx:
        job_id = place.queue.enqueue(tx, a_job(), job_id="mine", reserving=True)
    assert job_id == "mine"
    assert place.queue.claim(ONE) is None
    with place.database.writing() as tx:
        assert place.queue.ready(tx, job_id, a_job(needs_backend="b1"))
    assert place.claim().needs_backend == "b1"
    with place.database.writing() as tx:
        assert not place.queue.ready(tx, job_id)


def test_a_dropped_job_is_forgotten_but_never_one_that_was_ready(place: Place) -> None:
    with place.database.writing() as tx:
        dropped = place.queue.enqueue(tx, a_job(), reserving=True)
        kept = place.queue.enqueue(tx, a_job())
        place.queue.drop(tx, dropped)
        place.queue.drop(tx, kept)
        assert not place.queue.ready(tx, dropped)
    assert place.claim().id == kept


def test_a_reserving_job_older_than_a_lease_is_forsaken(place: Place) -> None:
    with place.database.writing() as tx:
        job_id = place.queue.enqueue(tx, a_job(), reserving=True)
        assert place.queue.forsaken(tx) == []
    place.let_the_lease_expire()
    with place.database.reading() as tx:
        assert [job.id for job in place.queue.forsaken(tx)] == [job_id]


def test_a_job_is_claimed_by_who_reaches_both_its_ends(place: Place) -> None:
    place.enqueue(needs_repository="r2", needs_backend="b1")
    assert place.queue.claim(ONE) is None
    assert place.queue.claim(replace(TWO, backends=frozenset())) is None
    assert place.claim(TWO).worker == "two"


def test_the_next_attempt_begins_when_the_lease_expired_by_the_databases_clock(
    place: Place,
) -> None:
    place.enqueue()
    first = place.claim(ONE)
    place.clock.pass_by(SETTINGS.lease - 1)
    assert place.queue.claim(OTHER) is None
    place.clock.pass_by(2)
    second = place.claim(OTHER)
    assert (second.id, second.attempt, second.worker) == (first.id, 2, "other")


def test_a_beat_renews_the_lease_and_keeps_the_progress(place: Place) -> None:
    place.enqueue()
    job = place.claim()
    place.clock.pass_by(SETTINGS.lease - 1)
    verdict = place.queue.beat(ONE, [], {job.id: Beat(job.attempt, done=5, total=9, stored=3)})
    assert (verdict.lost, verdict.cancelled) == (frozenset(), frozenset())
    place.clock.pass_by(SETTINGS.lease - 1)
    assert place.queue.claim(OTHER) is None
    shown = place.show(job.id)
    assert (shown.bytes_done, shown.bytes_total, shown.bytes_stored) == (5, 9, 3)


def test_a_zombie_can_change_nothing(place: Place) -> None:
    place.enqueue()
    zombie = place.claim(ONE)
    place.let_the_lease_expire()
    living = place.claim(ONE)  # the same worker's name, even
    before = place.show(living.id)
    queue = place.queue
    for change in (
        lambda tx: queue.hold(tx, zombie),
        lambda tx: queue.checkpoint(tx, zombie, {"n": 1}),
        lambda tx: queue.finish(tx, zombie),
        lambda tx: queue.fail(tx, zombie, "no"),
        lambda tx: queue.retry(tx, zombie, "no", delay=1),
        lambda tx: queue.hand_back(tx, zombie),
    ):
        with pytest.raises(LeaseLost), place.database.writing() as tx:
            change(tx)
    assert queue.beat(ONE, [], {zombie.id: Beat(zombie.attempt, done=7)}).lost == {zombie.id}
    assert place.show(living.id) == before
    place.finish(living)
    assert place.show(living.id).state == "done"


def test_what_ended_can_not_be_ended_again(place: Place) -> None:
    place.enqueue()
    job = place.claim()
    place.finish(job)
    with pytest.raises(LeaseLost), place.database.writing() as tx:
        place.queue.fail(tx, job, "late")
    place.let_the_lease_expire()
    assert place.queue.claim(ONE) is None


def test_a_checkpoint_reaches_the_next_attempt(place: Place) -> None:
    place.enqueue()
    job = place.claim()
    with place.database.writing() as tx:
        place.queue.checkpoint(tx, job, {"at": 17})
    place.let_the_lease_expire()
    assert place.claim().checkpoint == {"at": 17}


def test_a_retry_waits_for_its_delay_and_remembers_the_error(place: Place) -> None:
    place.enqueue()
    job = place.claim()
    with place.database.writing() as tx:
        place.queue.retry(tx, job, "the store is away", delay=30)
    place.clock.pass_by(29)
    assert place.queue.claim(ONE) is None
    place.clock.pass_by(1)
    again = place.claim()
    assert (again.attempt, again.error) == (2, "the store is away")


def test_attempts_are_counted_until_they_are_exhausted(place: Place) -> None:
    place.enqueue()
    for attempt in range(1, SETTINGS.max_attempts + 1):
        job = place.claim()
        assert place.queue.exhausted(job) == (attempt == SETTINGS.max_attempts)
        assert not place.queue.overspent(job)
        place.let_the_lease_expire()
    assert place.queue.overspent(place.claim())


def test_an_attempt_handed_back_does_not_count_but_its_number_is_never_used_again(
    place: Place,
) -> None:
    place.enqueue()
    numbers = []
    for _ in range(2 * SETTINGS.max_attempts):
        job = place.claim()
        assert not place.queue.exhausted(job)
        numbers.append(job.attempt)
        with place.database.writing() as tx:
            place.queue.hand_back(tx, job)
    assert numbers == sorted(set(numbers))


def test_a_worker_that_starts_again_takes_back_its_own_jobs_only(place: Place) -> None:
    mine, other = place.enqueue("mine"), place.enqueue("other")
    by_worker = {place.claim(ONE).id: "one", place.claim(OTHER).id: "other"}
    assert set(by_worker) == {mine, other}
    assert place.queue.take_back("one") == 1
    again = place.claim(ONE)
    assert by_worker[again.id] == "one"
    assert again.attempt == 2
    assert place.queue.claim(ONE) is None


def test_cancelling_flags_what_waits_and_what_runs(place: Place) -> None:
    running, waiting = place.enqueue(), place.enqueue()
    job = place.claim()
    with place.database.writing() as tx:
        place.queue.cancel(tx, "subject")
    verdict = place.queue.beat(ONE, [], {job.id: Beat(job.attempt)})
    assert verdict.cancelled == {job.id}
    assert {job.id, place.claim().id} == {running, waiting}
    assert place.show(waiting).cancelled
    assert place.show(running).cancelled


def test_the_latest_job_and_the_unfinished_ones_of_a_subject(place: Place) -> None:
    first = place.enqueue(kind=Kind.BACKUP)
    place.finish(place.claim())
    place.clock.pass_by(1)
    second = place.enqueue(kind=Kind.RESTORE)
    place.enqueue("another")
    with place.database.reading() as tx:
        newest = place.queue.latest(tx, "subject")
        backup = place.queue.latest(tx, "subject", Kind.BACKUP)
        unfinished = place.queue.unfinished(tx, "subject")
    assert newest is not None
    assert newest.id == second
    assert backup is not None
    assert backup.id == first
    assert [job.id for job in unfinished] == [second]


# Zones.


def test_a_job_waits_a_grace_for_a_live_worker_in_its_preferred_zone(place: Place) -> None:
    place.live(TWO)
    place.enqueue(prefers_zone="az2")
    assert place.queue.claim(ONE) is None
    place.clock.pass_by(SETTINGS.grace)
    assert place.claim(ONE).worker == "one"


def test_the_worker_in_the_preferred_zone_claims_at_once(place: Place) -> None:
    place.live(TWO)
    place.enqueue(prefers_zone="az2")
    assert place.claim(TWO).worker == "two"


@pytest.mark.parametrize("absence", ["never there", "left", "silent", "does not reach"])
def test_nobody_waits_for_a_worker_that_will_not_come(place: Place, absence: str) -> None:
    match absence:
        case "left":
            place.live(TWO)
            with place.database.writing() as tx:
                services.leave(tx, "two")
        case "silent":
            place.live(TWO)
            place.clock.pass_by(61)
        case "does not reach":
            place.live(replace(TWO, repositories=frozenset()))
    place.enqueue(prefers_zone="az2", needs_repository="r1")
    assert place.claim(ONE).worker == "one"


def test_a_job_that_nobody_reaches_is_overdue_after_the_zones_wait(place: Place) -> None:
    unreachable = place.enqueue(needs_repository="r2")
    place.enqueue(needs_repository="r1")
    place.clock.pass_by(SETTINGS.zone_wait)
    place.live(ONE)
    with place.database.reading() as tx:
        overdue = place.queue.overdue(tx)
    assert [job.id for job in overdue] == [unreachable]
    seized = place.queue.seize(overdue[0], ONE)
    assert seized is not None
    assert place.queue.seize(overdue[0], ONE) is None
    with place.database.writing() as tx:
        place.queue.fail(tx, seized, "nobody serves its zone")
    ended = place.show(unreachable)
    assert (ended.state, ended.error) == ("failed", "nobody serves its zone")


def test_a_worker_claims_the_kinds_that_it_asks_for(place: Place) -> None:
    place.enqueue(kind=Kind.BACKUP)
    short = place.enqueue(kind=Kind.DELETE)
    job = place.queue.claim(ONE, {Kind.DELETE})
    assert job is not None
    assert job.id == short
    assert place.queue.claim(ONE, {Kind.DELETE}) is None


def test_a_job_is_not_overdue_while_who_reaches_it_lives(place: Place) -> None:
    place.enqueue(needs_repository="r2")
    place.clock.pass_by(SETTINGS.zone_wait)
    place.live(TWO)
    with place.database.reading() as tx:
        assert place.queue.overdue(tx) == []


def test_the_zones_wait_begins_anew_when_a_job_is_handed_back(place: Place) -> None:
    place.enqueue()
    job = place.claim()
    place.clock.pass_by(SETTINGS.zone_wait)
    with place.database.writing() as tx:
        place.queue.hand_back(tx, job)
    place.clock.pass_by(SETTINGS.zone_wait - 1)
    with place.database.reading() as tx:
        assert place.queue.overdue(tx) == []
    place.clock.pass_by(1)
    with place.database.reading() as tx:
        assert [found.id for found in place.queue.overdue(tx)] == [job.id]


# Many at once.


def in_threads(count: int, work: Callable[[], None]) -> None:
    """Run `work` in so many threads and raise what any of them raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def claimed_by_many(database: Database, count: int) -> list[str]:
    claimed: list[str] = []

    def work() -> None:
        queue = Queue(database)
        while (job := queue.claim(replace(ONE, name=threading.current_thread().name))) is not None:
            claimed.append(job.id)

    in_threads(count, work)
    return claimed


def test_many_workers_never_get_one_job_twice(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    queue = Queue(database)
    with database.writing() as tx:
        ids = {queue.enqueue(tx, a_job(str(n))) for n in range(60)}
    claimed = claimed_by_many(database, 8)
    while (job := queue.claim(ONE)) is not None:  # who lost every race looks again
        claimed.append(job.id)
    assert Counter(claimed) == Counter(ids)
    database.close()


def serve(place: Place, worker: str, repository: str, *, disabled: bool) -> None:
    with place.database.writing() as tx:
        host = f"{worker}@{repository}"
        services.register(
            tx,
            host=host,
            binary=services.BACKUP,
            availability_zone=repository,
            repository=repository,
        )
        services.set_disabled(tx, host=host, binary=services.BACKUP, disabled=disabled, reason=None)


def test_a_disabled_service_leaves_work_to_an_enabled_one_that_can_do_it(place: Place) -> None:
    one, two = (
        Worker(name, frozenset(), frozenset({"r1", "r2"}), frozenset({"shared", f"of {name}"}))
        for name in ("one", "two")
    )
    place.queue.beat(one, [], {})
    place.queue.beat(two, [], {})
    serve(place, "one", "r1", disabled=True)
    serve(place, "one", "r2", disabled=False)
    serve(place, "two", "r1", disabled=False)
    theirs = place.enqueue(needs_repository="r1", needs_backend="shared")
    assert place.queue.claim(one) is None
    assert place.claim(two).id == theirs
    other = place.enqueue(needs_repository="r2", needs_backend="shared")
    assert place.claim(one).id == other
    out_of_their_reach = place.enqueue(needs_repository="r1", needs_backend="of one")
    assert place.claim(one).id == out_of_their_reach
    serve(place, "two", "r1", disabled=True)
    nobody_is_enabled = place.enqueue(needs_repository="r1", needs_backend="shared")
    assert place.claim(one).id == nobody_is_enabled


def test_every_job_that_is_changed_was_locked_by_its_key_alone(place: Place) -> None:
    """Else MariaDB locks the index of states first, and who ends a job waits for who renews it."""
    seen: list[str] = []

    def note(_connection: object, statement: object, *_: object) -> None:
        if isinstance(statement, sa.Select) and statement._for_update_arg is not None:
            seen.append(str(statement.whereclause))
        elif isinstance(statement, sa.Update) and statement.table is tables.jobs:
            seen.append("update")

    place.enqueue()
    sa.event.listen(place.database.engine, "before_execute", note)
    job = place.claim()
    place.queue.beat(ONE, [], {job.id: Beat(job.attempt, 0, 0, 0)})
    with place.database.writing() as tx:
        place.queue.cancel(tx, job.subject)
    place.finish(job)
    key = "jobs.id = :id_1"
    assert seen[:6] == [key, "update"] * 3  # claimed, renewed, cancelled
    assert (seen[6], seen[-1]) == (key, "update")
