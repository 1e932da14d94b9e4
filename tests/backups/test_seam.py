"""Volumes of another service, which may give no answer, are never left reserved for nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import Clock, a_database

from emberkeep.backups.seam import Opening, Seam
from emberkeep.db.database import Transaction
from emberkeep.db.services import Worker
from emberkeep.jobs.queue import Job, Kind, NewJob, Queue
from emberkeep.testing.remote import RemoteVolumes
from emberkeep.volumes.errors import VolumesUnavailable, WrongStatus
from emberkeep.volumes.service import Attributes, Outcome

JOB = "6b9e0f0c-0000-4000-8000-000000000000"
WORKER = Worker("one", frozenset(), frozenset(), frozenset({"remote"}))
NEW = NewJob(Kind.BACKUP, "backup", "p", "u", needs_backend="remote")


class Place:
    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.database = a_database(directory, clock=self.clock)
        self.queue = Queue(self.database)
        self.volumes = RemoteVolumes()
        self.seam = Seam(self.database, self.queue, self.volumes)
        self.volume_id = self.volumes.add()

    def take(self, tx: Transaction | None) -> object:
        return self.volumes.reserve_for_backup(
            JOB, self.volume_id, snapshot_id=None, in_use=False, tx=tx
        )

    def open(self) -> None:
        """Make a job that reserves the volume, as a request does."""
        with self.seam.opening(NEW, JOB, self.take) as opening:  # type: ignore[arg-type]
            self.submit(opening)

    def submit(self, opening: Opening) -> None:
        self.seam.submit(opening, NEW)

    def claim(self) -> Job:
        job = self.queue.claim(WORKER)
        assert job is not None
        return job

    def keep_house(self) -> None:
        """Give up what is forsaken, as a worker does now and then."""
        with self.database.reading() as tx:
            forsaken = self.queue.forsaken(tx)
        for job in forsaken:
            self.seam.give_up(job.id)

    def end(self, job: Job) -> None:
        self.seam.end(job, lambda _tx: (Outcome.COMPLETED, None))

    @property
    def status(self) -> str:
        return self.volumes.volumes[self.volume_id].status

    @property
    def job(self) -> Job | None:
        with self.database.reading() as tx:
            return self.queue.get(tx, JOB)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.database.close()


def test_a_job_is_claimed_once_its_volume_is_reserved(place: Place) -> None:
    place.open()
    assert place.status == "backing-up"
    assert place.claim().id == JOB


@pytest.mark.parametrize("after", [False, True])
def test_a_reservation_without_an_answer_is_given_back(place: Place, after: bool) -> None:
    place.volumes.lose("reserve_for_backup", after=after)
    with pytest.raises(VolumesUnavailable):
        place.open()
    assert place.status == "available"
    assert place.job is None


def test_a_refused_reservation_leaves_no_job(place: Place) -> None:
    place.volumes.volumes[place.volume_id].status = "error"
    with pytest.raises(WrongStatus):
        place.open()
    assert place.status == "error"
    assert place.job is None


def test_a_request_that_fails_after_reserving_gives_the_volume_back(place: Place) -> None:
    def refuse(_opening: Opening) -> None:
        raise KeyError

    place.submit = refuse  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        place.open()
    assert place.status == "available"
    assert place.job is None


def test_what_could_not_be_given_back_at_once_is_given_back_later(place: Place) -> None:
    place.volumes.lose("reserve_for_backup", after=True)
    place.volumes.lose("release", after=False)
    with pytest.raises(VolumesUnavailable):
        place.open()
    assert place.status == "backing-up"
    assert place.queue.claim(WORKER) is None
    place.keep_house()
    assert place.status == "backing-up"  # it is young: its maker may live
    place.clock.pass_by(place.queue.settings.lease + 1)
    place.keep_house()
    assert place.status == "available"
    assert place.job is None


def test_a_request_that_took_too_long_is_refused_and_holds_nothing(place: Place) -> None:
    take = place.take

    def take_long(tx: Transaction | None) -> object:
        reservation = take(tx)
        place.clock.pass_by(place.queue.settings.lease + 1)
        place.keep_house()
        return reservation

    place.take = take_long  # type: ignore[method-assign]
    with pytest.raises(VolumesUnavailable):
        place.open()
    assert place.status == "available"
    assert place.queue.claim(WORKER) is None


def test_a_job_that_came_to_be_is_never_given_up(place: Place) -> None:
    place.open()
    place.seam.give_up(JOB)
    assert place.status == "backing-up"
    assert place.claim().id == JOB


@pytest.mark.parametrize("after", [False, True])
def test_a_release_without_an_answer_is_repeated_by_the_next_attempt(
    place: Place, after: bool
) -> None:
    place.open()
    place.volumes.lose("release", after=after)
    place.end(place.claim())
    assert place.queue.claim(WORKER) is None  # not at once
    place.clock.pass_by(60)
    again = place.claim()
    assert not place.queue.exhausted(again)
    assert place.seam.resume(again)
    assert place.status == "available"
    assert place.job is not None
    assert place.job.state == "done"


def test_who_dies_before_the_release_is_followed_by_who_finishes_it(place: Place) -> None:
    place.open()
    job = place.claim()

    def die(*_arguments: object, **_named: object) -> None:
        raise SystemExit

    place.volumes.release = die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        place.seam.end(job, lambda _tx: (Outcome.COMPLETED, Attributes("n", None)))
    del place.volumes.release
    place.queue.take_back("one")
    assert place.seam.resume(place.claim())
    assert place.status == "available"
