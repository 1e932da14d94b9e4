"""Many callers and workers at once: no quota overrun, no locked database, no wrong status."""

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.stage import CALLER, Stage, at_once
from tests.world import a_caller

from emberkeep.backups.errors import BackupError, InvalidBackup, InvalidVolume, QuotaExceeded
from emberkeep.backups.service import Restoring
from emberkeep.db.backups import Backup
from emberkeep.db.database import utc_now
from emberkeep.jobs.queue import Settings as Patience
from emberkeep.volumes.errors import VolumeError

ADMIN = a_caller(is_admin=True)
THREADS = 16
DATA = random.Random(7).randbytes(300_000)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """With a clock that goes."""
    made = Stage(tmp_path, clock=utc_now, patience=replace(Patience(), grace=0))
    yield made
    made.close()


def test_the_quota_is_never_overrun(stage: Stage) -> None:
    volumes = [stage.a_volume() for _ in range(THREADS)]
    stage.set_limits(quota_backups=5)
    ended = at_once(*[lambda v=v: stage.create(v) for v in volumes])  # type: ignore[misc]
    assert sum(isinstance(end, Backup) for end in ended) == 5
    assert sum(isinstance(end, QuotaExceeded) for end in ended) == THREADS - 5
    assert [stage.volume_status(v) for v in volumes].count("backing-up") == 5


def test_the_gigabytes_are_never_overrun(stage: Stage) -> None:
    volumes = [stage.a_volume(size_gib=3) for _ in range(THREADS)]
    stage.set_limits(quota_backup_gigabytes=10)
    ended = at_once(*[lambda v=v: stage.create(v) for v in volumes])  # type: ignore[misc]
    assert sum(isinstance(end, Backup) for end in ended) == 3
    assert sum(isinstance(end, QuotaExceeded) for end in ended) == THREADS - 3


def test_a_volume_is_backed_up_by_one_at_a_time(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    ended = at_once(*[lambda: stage.create(volume_id)] * THREADS)
    (backup,) = [end for end in ended if isinstance(end, Backup)]
    others = [end for end in ended if end is not backup]
    assert {str(end) for end in others} == {
        "Invalid volume: Volume to be backed up must be available or in-use, but the current "
        'status is "backing-up".'
    }
    stage.one.run_until_idle()
    assert stage.status(backup.id) == "available"


def test_a_volume_is_restored_to_by_one_at_a_time(stage: Stage) -> None:
    backups = [stage.a_backup(stage.a_volume(bytes([n]) * 1000)) for n in range(4)]
    target = stage.a_volume()
    ended = at_once(*[lambda b=b: stage.restore(b.id, target) for b in backups])  # type: ignore[misc]
    (won,) = [end for end in ended if isinstance(end, Restoring)]
    assert all(isinstance(end, InvalidVolume) for end in ended if end is not won)
    stage.one.run_until_idle()
    (number,) = [n for n, backup in enumerate(backups) if backup.id == won.backup_id]
    assert stage.content(target, 1000) == bytes([number]) * 1000
    assert {stage.status(backup.id) for backup in backups} == {"available"}


def test_a_backup_is_restored_once_at_a_time_and_not_while_it_goes(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    before = stage.local_volumes()
    calls = [lambda: stage.restore(backup.id)] * 8
    calls += [lambda: stage.backups.delete(CALLER, backup.id)] * 8  # type: ignore[list-item]
    ended = at_once(*calls)
    won = [end for end in ended if not isinstance(end, BaseException)]
    assert len(won) == 1
    assert {type(end) for end in ended if isinstance(end, BaseException)} == {InvalidBackup}
    made = stage.local_volumes() - before
    assert made == (1 if isinstance(won[0], Restoring) else 0)


def test_two_first_backups_of_one_container_share_a_domain(stage: Stage) -> None:
    volumes = [stage.a_volume(DATA) for _ in range(8)]
    for volume_id in volumes:
        stage.create(volume_id)
    workers = [stage.worker(f"worker {number}") for number in range(8)]
    ended = at_once(*[worker.run_one for worker in workers])
    assert ended == [True] * 8
    backups = stage.backups.list(CALLER, stage.everything).items
    assert {backup.status for backup in backups} == {"available"}
    assert len({backup.domain for backup in backups}) == 1


def test_everything_at_once_ends_well(stage: Stage) -> None:
    """Callers create, restore, delete and reset while workers work; then all is as it should be."""
    stage.set_limits(quota_backups=12)
    volumes = {stage.a_volume(DATA): DATA for _ in range(4)}
    stop = threading.Event()
    failures: list[BaseException] = []

    def call(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(12):
            items = stage.backups.list(CALLER, stage.everything).items
            backup = dice.choice(items) if items else None
            try:
                match dice.choice(["create", "create", "increment", "restore", "delete", "force"]):
                    case "create":
                        stage.create(dice.choice(list(volumes)))
                    case "increment":
                        stage.create(dice.choice(list(volumes)), incremental=True)
                    case "restore" if backup is not None:
                        stage.restore(backup.id)
                    case "delete" if backup is not None:
                        stage.backups.delete(CALLER, backup.id)
                    case "force" if backup is not None:
                        stage.backups.force_delete(ADMIN, backup.id)
            except (BackupError, VolumeError):
                pass  # refused in words
            assert len(stage.backups.list(CALLER, stage.everything).items) <= 12

    def work(name: str) -> None:
        worker = stage.worker(name)
        while not stop.is_set():
            if not worker.run_one():
                stop.wait(0.01)
            worker.beat()

    def guarded(number: int) -> None:
        try:
            work(f"worker {number}") if number < 4 else call(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(4 + THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads[4:]:
        thread.join()
    stop.set()
    for thread in threads[:4]:
        thread.join()
    assert failures == []
    while [job for job in stage.jobs() if job.state == "queued"]:
        stage.one.run_one()
    for volume_id in volumes:
        assert stage.volume_status(volume_id) == "available"
    roots = {name.rpartition("/")[2] for name in stage.stores["az1"].names("/r/")}
    left = stage.backups.list(CALLER, stage.everything).items
    assert {backup.status for backup in left} <= {"available"}
    assert {backup.root for backup in left} == roots
    for backup in left:
        restored = stage.restore(backup.id).volume_id
        stage.one.run_until_idle()
        assert stage.content(restored, len(DATA)) == DATA
        stage.backups.delete(CALLER, backup.id)
    while [job for job in stage.jobs() if job.state == "queued"]:
        stage.one.run_one()
    assert stage.stores["az1"].names("/r/") == stage.stores["az1"].names("/s/") == []
