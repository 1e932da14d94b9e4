"""After a disaster the stores are the truth: every root in them becomes a backup again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.stage import CALLER, Stage
from tests.world import a_caller

from emberkeep.backups.rebuild import rebuild
from emberkeep.db import tables
from emberkeep.db.backups import Backup
from emberkeep.jobs.queue import Kind

ADMIN = a_caller(is_admin=True)


@pytest.fixture
def other(stage: Stage, tmp_path: Path) -> Iterator[Stage]:
    """A new service with the stores of the first."""
    (tmp_path / "other").mkdir()
    made = Stage(tmp_path / "other", stores=stage.stores)
    yield made
    made.close()


def kept(backup: Backup) -> Backup:
    """What of a row survives a disaster: not who worked on it, and when it was changed last."""
    return replace(backup, host=None, updated_at=None)


def test_every_backup_is_there_again(stage: Stage, other: Stage) -> None:
    volume_id = stage.a_volume(b"one")
    first = stage.a_backup(volume_id, name="first", metadata={"k": "v"}, container="label")
    stage.write(volume_id, b"two")
    ids = [first.id]
    ids += [stage.a_backup(volume_id, incremental=True, container="label").id for _ in range(2)]
    elsewhere = stage.a_backup(volume_id, availability_zone="az2")
    found = rebuild(other.database, other.repositories["az1"], "az1")
    assert sorted(found.registered) == sorted(ids)
    assert (found.known, found.unreadable) == (0, [])
    assert rebuild(other.database, other.repositories["az2"], "az2").registered == [elsewhere.id]
    for backup_id in (*ids, elsewhere.id):
        assert kept(other.shown(backup_id)) == kept(stage.shown(backup_id))
    again = rebuild(other.database, other.repositories["az1"], "az1")
    assert (again.registered, again.known) == ([], 3)
    for backup_id, wanted in ((ids[0], b"one"), (ids[2], b"two")):
        restored = other.restore_as(CALLER, backup_id)
        other.work()
        assert other.content(restored, 3) == wanted


def test_what_was_rebuilt_is_a_service_like_any(stage: Stage, other: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    rebuild(other.database, other.repositories["az1"], "az1")
    other.backups.delete(ADMIN, backup.id)
    other.work()
    assert stage.stores["az1"].names("/r/") == []
    assert stage.stores["az1"].names("/s/") == []


def test_a_root_that_can_not_be_read_stops_nothing_else(stage: Stage, other: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    broken, whole = stage.a_backup(volume_id), stage.a_backup(volume_id)
    (name,) = [name for name in stage.stores["az1"].names("/r/") if broken.root in name]
    stage.stores["az1"].delete(name)
    stage.stores["az1"].put(name, b"no root")
    found = rebuild(other.database, other.repositories["az1"], "az1")
    assert found.registered == [whole.id]
    (told,) = found.unreadable
    assert broken.root
    assert broken.root in told


def test_a_second_root_of_a_backup_gets_an_id_of_its_own(stage: Stage, other: Stage) -> None:
    """An attempt died between its root and its commit; the next one finished."""
    volume_id = stage.a_volume(b"twice")
    store = stage.stores["az1"]
    accepted = stage.create(volume_id)

    def die(name: str) -> None:
        if "/r/" in name:
            raise SystemExit

    put = store.put

    def put_then_die(name: str, data: bytes) -> None:
        put(name, data)
        die(name)

    store.put = put_then_die  # type: ignore[method-assign, assignment]
    with pytest.raises(SystemExit):
        stage.one.run_until_idle()
    store.put = put  # type: ignore[method-assign]
    stage.one.register()
    stage.one.run_one((Kind.BACKUP,))  # and no collection yet
    assert stage.status(accepted.id) == "available"
    assert len(store.names("/r/")) == 2
    found = rebuild(other.database, other.repositories["az1"], "az1")
    assert len(set(found.registered)) == 2
    assert accepted.id in found.registered
    for backup_id in found.registered:
        restored = other.restore_as(ADMIN, backup_id)
        other.work()
        assert other.content(restored, 5) == b"twice"
        other.backups.delete(ADMIN, backup_id)
        other.work()
    assert store.names("/r/") == []


def forget(stage: Stage, *which: sa.Table) -> None:
    """Make the tables' rows unknown, as in a database that is older than the store."""
    with stage.database.writing() as tx:
        for table in which:
            tx.changed(table.delete())


LEDGER = (tables.sessions, tables.segsets, tables.uses)


def test_a_row_that_has_data_is_left_alone(stage: Stage, other: Stage) -> None:
    backup = stage.a_backup(stage.a_volume(b"x"))
    rebuild(other.database, other.repositories["az1"], "az1")
    forget(other, *LEDGER)
    found = rebuild(other.database, other.repositories["az1"], "az1")
    assert (found.registered, found.known) == ([], 1)
    assert kept(other.shown(backup.id)) == kept(stage.shown(backup.id))
    restored = other.restore_as(CALLER, backup.id)
    other.work()
    assert other.content(restored, 1) == b"x"


def test_a_row_whose_data_is_gone_says_so(stage: Stage, other: Stage) -> None:
    volume_id = stage.a_volume(b"x")
    lost, whole = stage.a_backup(volume_id), stage.a_backup(volume_id)
    rebuild(other.database, other.repositories["az1"], "az1")
    (name,) = [name for name in stage.stores["az1"].names("/r/") if (lost.root or "-") in name]
    stage.stores["az1"].delete(name)
    assert rebuild(other.database, other.repositories["az1"], "az1").lost == [lost.id]
    shown = other.shown(lost.id)
    assert shown.status == "error"
    assert "delete it" in (shown.fail_reason or "")
    assert other.status(whole.id) == "available"
    other.backups.delete(ADMIN, lost.id)
    other.work()
    assert other.row(lost.id).deleted  # type: ignore[union-attr]


def test_a_damaged_backup_is_registered_as_such_and_kept_as_it_is(
    stage: Stage, other: Stage
) -> None:
    volume_id = stage.a_volume(b"x")
    damaged, whole = stage.a_backup(volume_id), stage.a_backup(stage.a_volume(b"y"))
    store = stage.stores["az1"]
    names = [name for name in store.names("/s/") if (damaged.root or "-") in name]
    for name in names:
        store.delete(name)
    found = rebuild(other.database, other.repositories["az1"], "az1")
    assert sorted(found.registered) == sorted([damaged.id, whole.id])
    assert damaged.root
    assert damaged.root in found.unreadable[0]
    assert other.status(damaged.id) == "error"
    assert "damaged or missing" in (other.shown(damaged.id).fail_reason or "")
    with other.database.writing() as tx:
        other.backups.collect(tx)
    other.work()
    assert len(store.names("/r/")) == 2
    other.backups.delete(ADMIN, damaged.id)
    other.work()
    assert len(store.names("/r/")) == 1
    restored = other.restore_as(CALLER, whole.id)
    other.work()
    assert other.content(restored, 1) == b"y"


def test_a_row_from_before_the_data_was_there_is_brought_up_to_date(
    stage: Stage, other: Stage
) -> None:
    """The database is an older copy than the store: it saw the backup fail, or go."""
    backup = stage.a_backup(stage.a_volume(b"x"))
    rebuild(other.database, other.repositories["az1"], "az1")
    forget(other, *LEDGER)
    with other.database.writing() as tx:
        tx.changed(tables.backups.update().values(status="error", root=None, domain=None))
    assert rebuild(other.database, other.repositories["az1"], "az1").registered == [backup.id]
    assert kept(other.shown(backup.id)) == kept(stage.shown(backup.id))
