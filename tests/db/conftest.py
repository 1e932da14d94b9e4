from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import Clock, a_database

from emberkeep.db.database import Database
from emberkeep.db.ledger import SqlLedger

REPOSITORY = "5" * 32


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    database = a_database(tmp_path, clock=clock)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database) -> SqlLedger:
    return SqlLedger(database, REPOSITORY)
