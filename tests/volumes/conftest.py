"""Our own volumes, for the tests of this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import a_database
from tests.volumes.kept import LocalPlace

from emberkeep.db.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = a_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def place(database: Database, tmp_path: Path) -> LocalPlace:
    return LocalPlace(database, tmp_path / "volumes")
