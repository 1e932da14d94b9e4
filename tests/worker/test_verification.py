"""Damage is found by a verification, told with the backup, healed by the next one."""

import random
from typing import Any

from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups import maintenance
from emberkeep.backups.maintenance import Schedule
from emberkeep.db import sessions

ADMIN = a_caller(is_admin=True)
DATA = random.Random(7).randbytes(5_000_000)  # some segments
DAY = 86_400


def verify(stage: Stage, depth: int = 2) -> None:
    with stage.database.writing() as tx:
        assert stage.backups.verify(tx, depth=depth, share=1.0)
    stage.work()


def verification(stage: Stage, backup_id: str) -> Any:
    return stage.backups.condition(CALLER, backup_id)["verification"]


def damage_a_segment(stage: Stage, root: str | None) -> tuple[str, bytes]:
    """Flip a bit in the root's first segment; returns its name and what it was."""
    store = stage.stores["az1"]
    name = next(name for name in store.names("/s/") if (root or "-") in name)
    before = store.get(name)
    store.delete(name)
    store.put(name, before[:1000] + bytes([before[1000] ^ 1]) + before[1001:])
    return name, before


def test_what_is_whole_is_said_to_be(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    assert verification(stage, backup.id)["result"] == "unverified"
    verify(stage, depth=3)
    shown = verification(stage, backup.id)
    assert (shown["result"], shown["depth"], shown["damage"]) == ("whole", 3, [])
    assert shown["checked_at"] is not None


def test_a_damaged_backup_says_what_is_wrong_and_is_no_base(stage: Stage) -> None:
    volume_id, other_id = stage.a_volume(DATA), stage.a_volume(DATA[::-1])
    damaged, other = stage.a_backup(volume_id), stage.a_backup(other_id)
    name, before = damage_a_segment(stage, damaged.root)
    verify(stage)
    shown = verification(stage, damaged.id)
    assert shown["result"] == "damaged"
    assert name in shown["damage"][0]
    assert verification(stage, other.id)["result"] == "whole"
    assert stage.status(damaged.id) == "available"

    healed = stage.a_backup(volume_id, incremental=True)
    restored = stage.restore(healed.id).volume_id
    stage.work()
    assert stage.content(restored, len(DATA)) == DATA
    verify(stage)
    assert verification(stage, healed.id)["result"] == "whole"
    assert verification(stage, damaged.id)["result"] == "damaged"

    store = stage.stores["az1"]
    store.delete(name)
    store.put(name, before)
    verify(stage)
    assert verification(stage, damaged.id)["result"] == "whole"


def test_damage_stops_no_collection_of_the_rest(stage: Stage) -> None:
    damaged = stage.a_backup(stage.a_volume(DATA))
    gone = stage.a_backup(stage.a_volume(DATA[::-1]))
    damage_a_segment(stage, damaged.root)
    verify(stage)
    stage.backups.delete(CALLER, gone.id)
    stage.work()
    names = stage.stores["az1"].names("/s/")
    assert not any((gone.root or "-") in name for name in names)
    assert any((damaged.root or "-") in name for name in names)


def test_maintenance_is_done_once_a_day_where_there_are_backups(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    schedule = Schedule(verify_depth=3, verify_share=1.0)

    def due() -> list[str]:
        with stage.database.writing() as tx:
            maintenance.enqueue_due(tx, stage.queue, schedule, list(stage.one._site.repositories))
        return [job.kind for job in stage.jobs() if job.state == "queued"]

    assert due() == []
    stage.clock.pass_by(DAY + 1)
    stage.one.beat()
    assert sorted(due()) == sorted(due()) == ["collect", "verify"]
    stage.work()
    assert due() == []
    assert verification(stage, backup.id)["result"] == "whole"
    stage.clock.pass_by(DAY + 1)
    assert sorted(due()) == ["collect", "verify"]


def test_a_dry_run_of_a_collection_says_why_and_removes_nothing(stage: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(DATA))
    with stage.database.writing() as tx:
        (domain,) = sessions.domains_of(tx, backup.repository or "")
        assert sessions.drop(tx, backup.root or "")  # as a deletion does first
        (job_id,) = stage.backups.collect(tx, dry_run=True)
    before = stage.stores["az1"].names("/")
    stage.work()
    with stage.database.reading() as tx:
        job = stage.queue.get(tx, job_id)
    assert job is not None
    assert (job.subject, job.state) == (domain.id, "done")
    assert job.checkpoint["kept_segments"] == len(stage.stores["az1"].names("/s/"))
    assert stage.stores["az1"].names("/") == before
