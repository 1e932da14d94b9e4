"""A collection removes what no backup needs, beside whatever else is done."""

import random
from collections.abc import Callable

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.engine.repository import State
from emberkeep.jobs.queue import Kind

ADMIN = a_caller(is_admin=True)
DATA = random.Random(7).randbytes(5_000_000)  # some segments


def collect(stage: Stage) -> list[str]:
    with stage.database.writing() as tx:
        return list(stage.backups.collect(tx))


def states(stage: Stage, kind: Kind) -> list[str]:
    return [job.state for job in stage.jobs(kind)]


def test_of_a_domain_one_collection_waits(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    stage.a_backup(volume_id)
    stage.a_backup(volume_id, container="other")
    first = collect(stage)
    assert len(first) == 2
    assert sorted(collect(stage)) == sorted(first)
    stage.work()
    assert set(collect(stage)).isdisjoint(first)


def test_a_deletion_has_its_domain_collected(stage: Stage) -> None:
    ids = [stage.a_backup(stage.a_volume(DATA)).id for _ in range(3)]
    for backup_id in ids[:2]:
        stage.backups.delete(CALLER, backup_id)
    stage.one.run_one((Kind.DELETE,))
    stage.one.run_one((Kind.DELETE,))
    assert states(stage, Kind.COLLECT) == ["queued"]
    stage.work()
    restored = stage.restore(ids[2]).volume_id
    stage.work()
    assert stage.content(restored, len(DATA)) == DATA


def test_a_root_that_the_database_does_not_know_stops_the_collection(stage: Stage) -> None:
    from emberkeep.db.tables import sessions as table

    volume_id = stage.a_volume(DATA)
    kept, unknown = stage.a_backup(volume_id), stage.a_backup(volume_id)
    with stage.database.writing() as tx:
        tx.changed(table.delete().where(table.c.id == unknown.root))
    before = [store.names("") for store in stage.stores.values()]
    collect(stage)
    stage.one.run_until_idle()
    (job,) = stage.jobs(Kind.COLLECT)
    assert job.state == "failed"
    assert unknown.root
    assert unknown.root in (job.error or "")
    assert "emberkeep repo rebuild" in (job.error or "")
    assert [store.names("") for store in stage.stores.values()] == before
    assert stage.status(kept.id) == "available"


def while_backing_up(stage: Stage, volume_id: str, do: Callable[[], None]) -> str:
    """Back up, and do something when the first segment is put; returns the backup's id."""
    done = []

    def once(name: str) -> None:
        if "/s/" in name and not done:
            done.append(name)
            do()

    stage.stores["az1"].before_put = once
    backup = stage.create(volume_id)
    assert stage.one.run_one((Kind.BACKUP,))
    assert done
    return backup.id


def restores(stage: Stage, backup_id: str, data: bytes) -> bool:
    restored = stage.restore(backup_id).volume_id
    stage.work()
    return stage.content(restored, len(data)) == data


@pytest.mark.parametrize("lease", ["held", "run out"])
def test_a_collection_beside_a_backup_takes_nothing_from_it(stage: Stage, lease: str) -> None:
    """Its base is deleted and its domain collected, twice, while it is written."""
    volume_id = stage.a_volume(DATA)
    base = stage.a_backup(volume_id)
    stage.write(volume_id, b"changed" * 1000)
    image = stage.content(volume_id, len(DATA))
    collected = []

    def delete_and_collect() -> None:
        stage.backups.delete(CALLER, base.id)
        if lease == "run out":
            stage.clock.pass_by(stage.patience.lease + 1)
        other = stage.worker("two")
        assert other.run_one((Kind.DELETE,))
        for _ in range(2):
            collect(stage)
            collected.append(other.run_one((Kind.COLLECT,)))
        assert stage.row(base.id).deleted  # type: ignore[union-attr]

    backup_id = while_backing_up(stage, volume_id, delete_and_collect)
    assert collected == [True, True]
    stage.one.beat()
    stage.work()
    assert stage.status(backup_id) == "available"
    collect(stage)
    stage.work()
    assert stage.stores["az1"].names("/r/") == [
        name for name in stage.stores["az1"].names("/r/") if stage.shown(backup_id).root in name
    ]
    assert restores(stage, backup_id, image)


@pytest.mark.parametrize("known", [True, False], ids=["known domain", "first of its domain"])
def test_a_backup_is_made_while_a_collection_runs(stage: Stage, known: bool) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    volume_id = stage.a_volume(DATA[::-1])
    container = None if known else "another"
    stage.backups.delete(CALLER, backup.id)
    stage.one.run_one((Kind.DELETE,))
    made: list[str] = []

    def back_up(name: str) -> None:
        if "/s/" in name and not made:
            made.append(stage.create(volume_id, container=container).id)
            assert stage.worker("two").run_one((Kind.BACKUP,))
            assert stage.status(made[0]) == "available"

    stage.stores["az1"].before_delete = back_up
    stage.one.run_one((Kind.COLLECT,))
    collect(stage)
    stage.work()
    assert restores(stage, made[0], DATA[::-1])


def test_a_restore_keeps_its_data_while_it_is_deleted_and_collected(stage: Stage) -> None:
    """Forced: the deletion waits for the restore to stop, the collection removes nothing of it."""
    backup = stage.a_backup(stage.a_volume(DATA))
    stage.restore(backup.id)
    seen = []
    store = stage.stores["az1"]
    get = store.get

    def delete_and_collect(name: str, **given: int | None) -> bytes:
        if "/s/" in name and not seen:
            seen.append(name)
            stage.backups.force_delete(ADMIN, backup.id)
            two = stage.worker("two")
            two.run_one((Kind.DELETE,))
            collect(stage)
            two.run_one((Kind.COLLECT,))
            seen.append(len(store.names("/s/")))
        return get(name, **given)  # type: ignore[arg-type]

    store.get = delete_and_collect  # type: ignore[method-assign, assignment]
    while stage.one.run_one((Kind.CREATE_VOLUME, Kind.RESTORE)):
        pass
    assert seen[1:] == [len(store.names("/s/"))]
    store.get = get  # type: ignore[method-assign]
    stage.work()
    collect(stage)
    stage.work()
    assert stage.row(backup.id).deleted  # type: ignore[union-attr]
    assert store.names("/s/") == store.names("/r/") == []


def test_a_zombie_collection_harms_no_later_backup(stage: Stage) -> None:
    """It sleeps between its list and its deletions; meanwhile another one and a backup are done."""
    volume_id = stage.a_volume(DATA)
    gone = stage.a_backup(volume_id)
    stage.backups.delete(CALLER, gone.id)
    stage.one.run_one((Kind.DELETE,))
    later: list[str] = []

    def sleep(name: str) -> None:
        if "/s/" in name and not later:
            later.append("")
            stage.clock.pass_by(stage.patience.lease + 1)
            two = stage.worker("two")
            two.run_until_idle()
            created = stage.create(volume_id)
            two.run_until_idle()
            later[0] = created.id

    stage.stores["az1"].before_delete = sleep
    stage.one.run_one((Kind.COLLECT,))
    assert stage.status(later[0]) == "available"
    restored = stage.restore(later[0]).volume_id
    stage.worker("two").run_until_idle()
    assert stage.content(restored, len(DATA)) == DATA


def test_deleting_while_collecting_leaves_what_is_kept_whole(stage: Stage) -> None:
    volume_id = stage.a_volume(DATA)
    first = stage.a_backup(volume_id)
    stage.write(volume_id, b"changed" * 1000)
    second, third = stage.a_backup(volume_id), stage.a_backup(volume_id, incremental=True)
    image = stage.content(volume_id, len(DATA))
    stage.backups.delete(CALLER, first.id)
    stage.one.run_one((Kind.DELETE,))
    deleted: list[str] = []

    def delete(name: str) -> None:
        if "/s/" in name and not deleted:
            deleted.append(name)
            stage.backups.delete(CALLER, second.id)
            stage.worker("two").run_one((Kind.DELETE,))

    stage.stores["az1"].before_delete = delete
    stage.one.run_one((Kind.COLLECT,))
    stage.work()
    assert stage.session(second.root) == State.REMOVED
    restored = stage.restore(third.id).volume_id
    stage.work()
    assert stage.content(restored, len(DATA)) == image
