"""The ledger in the database passes the suite of all ledgers, and minds the sessions of jobs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import Clock, a_database

from emberkeep.db.database import Database
from emberkeep.db.ledger import SqlLedger
from emberkeep.testing.ledger import LedgerConformance, PassBy

REPOSITORY = "5" * 32


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pass_by(clock: Clock) -> PassBy:
    return clock.pass_by


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    database = a_database(tmp_path, clock=clock)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database) -> SqlLedger:
    return SqlLedger(database, REPOSITORY)


class TestSqlLedger(LedgerConformance):
    pass
