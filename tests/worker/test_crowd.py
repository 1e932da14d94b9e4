"""Many at once: quotas hold, nothing is locked, and no status is one that it can't be."""

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.world import World, a_world

from emberkeep.backups.errors import BackupError, QuotaExceeded
from emberkeep.backups.service import NewBackup, Query
from emberkeep.volumes.errors import VolumeError

THREADS = 16
QUOTA = 5


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "state", conf=f"[DEFAULT]\nquota_backups = {QUOTA}\n") as made:
        yield made


def at_once(act: Callable[[int], object], *, threads: int = THREADS) -> list[object]:
    """What each thread got or raised; only what callers are told of counts as raised."""
    barrier = threading.Barrier(threads)
    results: list[object] = [None] * threads

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = act(number)
        except (BackupError, VolumeError) as error:
            results[number] = error
        except BaseException as error:
            results[number] = ("not for a caller", error)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not [result for result in results if isinstance(result, tuple)], results
    return results


def succeeded(results: list[object]) -> list[object]:
    return [result for result in results if not isinstance(result, Exception)]


def test_the_quota_is_never_overrun(world: World) -> None:
    volumes = [world.a_volume(b"data").id for _ in range(8)]
    results = at_once(
        lambda number: world.backups.create(world.caller, NewBackup(volumes[number % 8]))
    )
    assert len(succeeded(results)) == QUOTA
    assert any(isinstance(result, QuotaExceeded) for result in results)
    world.work()
    listed = world.backups.list(world.caller, Query()).items
    assert [backup.status for backup in listed] == ["available"] * QUOTA
    assert {world.volumes.show(volume).status for volume in volumes} == {"available"}


def test_of_two_backups_of_one_volume_one_is_accepted(world: World) -> None:
    volume = world.a_volume(b"data")
    results = at_once(lambda _number: world.backups.create(world.caller, NewBackup(volume.id)))
    assert len(succeeded(results)) == 1
    refused = {str(result) for result in results if isinstance(result, Exception)}
    assert refused == {
        "Invalid volume: Volume to be backed up must be available or in-use, but the current "
        'status is "backing-up".'
    }
    world.work()
    assert world.volumes.show(volume.id).status == "available"


def test_of_many_restores_into_one_volume_one_is_accepted(world: World) -> None:
    source = world.a_volume(b"data")
    backups = [world.a_backup(source.id).id for _ in range(4)]
    target = world.a_volume(b"old")
    results = at_once(
        lambda number: world.backups.restore(
            world.caller, backups[number % 4], volume_id=target.id, name=None
        )
    )
    assert len(succeeded(results)) == 1
    world.work()
    assert world.content(target.id, 4) == b"data"
    assert {world.backups.show(world.caller, backup).status for backup in backups} == {"available"}


def test_creating_deleting_and_restoring_at_once_ends_well(world: World) -> None:
    """Sixteen callers and three workers' lanes for as long as the callers have something to do."""
    volumes = [world.a_volume(bytes([number]) * 100_000).id for number in range(1, 5)]
    worker = world.worker()
    calling = threading.Event()

    def work(_number: int) -> None:
        while not calling.is_set() or worker.run_one():
            worker.run_one()

    def call(number: int) -> None:
        dice = random.Random(number)
        for _ in range(12):
            mine = world.backups.list(world.caller, Query()).items
            try:
                match dice.choice(("create", "create", "delete", "restore")):
                    case "create":
                        asked = NewBackup(
                            dice.choice(volumes),
                            incremental=dice.random() < 0.5,
                            availability_zone=dice.choice(("az1", "az2", None)),
                        )
                        world.backups.create(world.caller, asked)
                    case "delete" if mine:
                        world.backups.delete(world.caller, dice.choice(mine).id)
                    case "restore" if mine:
                        backup = dice.choice(mine)
                        world.backups.restore(
                            world.caller, backup.id, volume_id=backup.volume_id, name=None
                        )
            except (BackupError, VolumeError):
                continue
            used = len(world.backups.list(world.caller, Query()).items)
            assert used <= QUOTA

    lanes = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for lane in lanes:
        lane.start()
    try:
        at_once(call)
    finally:
        calling.set()
        for lane in lanes:
            lane.join()
    world.work()
    left = world.backups.list(world.caller, Query()).items
    assert len(left) <= QUOTA
    assert {backup.status for backup in left} <= {"available"}
    for number, volume in enumerate(volumes, 1):
        assert world.volumes.show(volume).status == "available"
        assert world.content(volume, 100_000) == bytes([number]) * 100_000
    for backup in left:
        restored = world.restored(backup.id)
        number = volumes.index(backup.volume_id) + 1
        assert world.content(restored, 100_000) == bytes([number]) * 100_000
    for backup in left:
        world.backups.delete(world.caller, backup.id)
    world.work()
    for repository in world.repositories.values():
        for domain in repository.domains():
            assert list(repository.roots(domain)) == []
    assert not [path for path in world.store("az1").rglob("*.0") if path.is_file()]
