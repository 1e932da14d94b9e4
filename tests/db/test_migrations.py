"""What the database held before is there afterwards, in the new tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from emberkeep.db import migrations
from emberkeep.db.database import Database
from emberkeep.db.ledger import SqlLedger
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.ledger import Phase, State

DOMAIN = DomainId("d" * 32)
STATES = ("active", "committed", "aborted", "removing", "removed")


def session(state: str) -> SessionId:
    return SessionId(state.ljust(32, "0"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """That of a database which held a session of each state."""
    database = Database.in_file(tmp_path / "emberkeep.sqlite")
    migrations.upgrade(database, to="0001")
    with database.writing() as tx:
        tx.changed(
            sa.text(
                f"INSERT INTO domains (id, repository, project_id) VALUES ('{DOMAIN}', 'r', 'p')"
            )
        )
        for state in STATES:
            row = f"'{session(state)}', 'r', '{DOMAIN}', '{state}', 'job', 1"
            tx.changed(
                sa.text(
                    "INSERT INTO sessions (id, repository, domain, state, job_id, attempt,"
                    f" created_at) VALUES ({row}, '2026-01-01 00:00:00.000000')"
                )
            )
    yield SqlLedger(database, "r")
    database.close()


def refer(ledger: SqlLedger, *, backup: str, deleted: bool = False) -> None:
    """Let a backup's row refer to the committed root."""
    values = {
        "id": backup,
        "root": session("committed"),
        "deleted": deleted,
        "metadata": "{}",
        "created_at": "2026-01-01 00:00:00.000000",
        **dict.fromkeys(("project_id", "user_id", "status", "volume_id"), "x"),
        **dict.fromkeys(("size", "object_count", "num_dependent_backups"), 1),
    }
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    with ledger._database.writing() as tx:
        tx.connection.execute(sa.text(f"INSERT INTO backups ({names}) VALUES ({marks})"), values)


def upgrade(ledger: SqlLedger) -> None:
    migrations.upgrade(ledger._database)


def test_sessions_stay_and_what_was_under_way_is_given_up(ledger: SqlLedger) -> None:
    upgrade(ledger)
    assert ledger.sessions(DOMAIN) == {
        session(state): State.ABORTED if state == "active" else State(state) for state in STATES
    }


def test_each_session_has_an_open_segset(ledger: SqlLedger) -> None:
    upgrade(ledger)
    found = {row.session: (row.phase, row.pins, row.gens) for row in ledger.segsets(DOMAIN)}
    assert found == {session(state): (Phase.OPEN, 0, None) for state in STATES}


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_root_has_a_reference_for_each_row_of_a_backup(ledger: SqlLedger, rows: int) -> None:
    for number in range(rows):
        refer(ledger, backup=f"backup {number}")
    refer(ledger, backup="a deleted one", deleted=True)
    upgrade(ledger)
    root = RootId(session("committed"))
    drops = [ledger.drop(root) for _ in range(max(1, rows))]
    assert drops == [False] * (len(drops) - 1) + [True]


def test_a_root_may_use_every_segset_of_its_domain(ledger: SqlLedger) -> None:
    upgrade(ledger)
    for state in STATES:
        assert ledger.users(session(state)) == [session("committed")]


def test_what_was_given_up_can_be_collected(ledger: SqlLedger) -> None:
    upgrade(ledger)
    cycle = ledger.begin_cycle(seen=0)
    assert ledger.drain(session("active"), cycle)
    assert [row.session for row in ledger.fence(DOMAIN, cycle).segsets] == [session("active")]
