"""A collection removes what no backup needs, and never runs beside one that is being written."""

import random
from collections.abc import Callable

import pytest
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.db import sessions
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


def while_backing_up(stage: Stage, do: Callable[[], None], *, container: str | None = None) -> str:
    """Back up, and do something when the first segment is put; returns the backup's id."""
    done = []

    def once(name: str) -> None:
        if "/s/" in name and not done:
            done.append(name)
            do()

    stage.stores["az1"].before_put = once
    backup = stage.create(stage.a_volume(DATA[::-1]), container=container)
    assert stage.one.run_one((Kind.BACKUP,))
    assert done
    return backup.id


@pytest.mark.parametrize("lease", ["held", "run out"])
@pytest.mark.parametrize("known", [True, False], ids=["known domain", "first of its domain"])
def test_no_collection_begins_while_a_backup_is_written(
    stage: Stage, known: bool, lease: str
) -> None:
    if known:
        stage.a_backup(stage.a_volume(DATA))
    seen = []

    def try_to_collect() -> None:
        assert collect(stage)
        if lease == "run out":
            stage.clock.pass_by(stage.patience.lease + 1)
        other = stage.worker("two")
        seen.append(other.run_one((Kind.COLLECT,)))

    backup_id = while_backing_up(stage, try_to_collect)
    assert seen == [False]
    stage.one.beat()
    stage.work()
    assert stage.status(backup_id) == "available"
    assert states(stage, Kind.COLLECT) == ["done"]
    restored = stage.restore(backup_id).volume_id
    stage.work()
    assert stage.content(restored, len(DATA)) == DATA[::-1]


@pytest.mark.parametrize("lease", ["held", "run out"])
@pytest.mark.parametrize("known", [True, False], ids=["known domain", "unknown when it was asked"])
def test_no_backup_begins_while_a_collection_runs(stage: Stage, known: bool, lease: str) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    volume_id = stage.a_volume(DATA[::-1])
    accepted = None
    if not known:  # its job was made when there was no such domain yet
        accepted = stage.create(volume_id)
        (job,) = [job for job in stage.jobs(Kind.BACKUP) if job.subject == accepted.id]
        with stage.database.writing() as tx:
            from emberkeep.db import jobs

            jobs.update(tx, job.id, domain=None)
    stage.backups.delete(CALLER, backup.id)
    stage.one.run_one((Kind.DELETE,))
    begun: list[str] = []

    def try_to_back_up(name: str) -> None:
        if "/s/" in name and not begun:
            begun.append(name)
            other = accepted or stage.create(volume_id)
            if lease == "run out":
                stage.clock.pass_by(stage.patience.lease + 1)
            two = stage.worker("two")
            two.run_one((Kind.BACKUP,))
            assert stage.stores["az1"].names("/r/") == []
            assert stage.status(other.id) == "creating"

    stage.stores["az1"].before_delete = try_to_back_up
    stage.one.run_one((Kind.COLLECT,))
    assert begun
    stage.one.beat()
    stage.work()
    (other,) = stage.backups.list(CALLER, stage.everything).items
    assert other.status == "available"
    restored = stage.restore(other.id).volume_id
    stage.work()
    assert stage.content(restored, len(DATA)) == DATA[::-1]


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
    assert stage.session(second.root) == sessions.REMOVED
    restored = stage.restore(third.id).volume_id
    stage.work()
    assert stage.content(restored, len(DATA)) == image
