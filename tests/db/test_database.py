import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import mysql, postgresql

from emberkeep.db import migrations, tables
from emberkeep.db.database import Database, Transaction


def a_database(directory: Path) -> Database:
    database = Database.in_file(directory / "emberkeep.sqlite")
    migrations.upgrade(database)
    return database


def test_the_revisions_make_the_tables_of_the_code(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    assert differences == []
    database.close()


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    migrations.upgrade(database)
    database.close()


def test_a_row_that_is_put_changes_what_is_named_of_the_one_that_is_there(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    row = {"project_id": "p", "resource": "volumes", "hard_limit": 1}
    with database.writing() as tx:
        tx.put(tables.quotas, row)
        tx.put(tables.quotas, {**row, "hard_limit": 2})
        assert [found["hard_limit"] for found in tx.rows(sa.select(tables.quotas))] == [1]
        tx.put(tables.quotas, {**row, "hard_limit": 3}, "hard_limit")
        tx.put(tables.quotas, {**row, "project_id": "other"}, "hard_limit")
        found = tx.rows(sa.select(tables.quotas.c.hard_limit).order_by("hard_limit"))
        assert [row["hard_limit"] for row in found] == [1, 3]
    database.close()


@pytest.mark.parametrize(
    ("dialect", "leaves", "changes"),
    [
        (
            postgresql.dialect(),
            "ON CONFLICT (project_id, resource) DO NOTHING",
            "ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit =",
        ),
        (
            mysql.dialect(),
            "ON DUPLICATE KEY UPDATE project_id =",
            "ON DUPLICATE KEY UPDATE hard_limit =",
        ),
    ],
)
def test_a_row_is_put_in_one_statement(dialect: sa.Dialect, leaves: str, changes: str) -> None:
    told: list[str] = []

    class Connection:
        def __init__(self) -> None:
            self.dialect = dialect

        def execute(self, statement: sa.Executable) -> Any:
            told.append(str(statement.compile(dialect=dialect)))  # type: ignore[attr-defined]
            return SimpleNamespace(rowcount=1)

    tx = Transaction(cast(sa.Connection, Connection()))
    row = {"project_id": "p", "resource": "volumes", "hard_limit": 1}
    tx.put(tables.quotas, row)
    tx.put(tables.quotas, row, "hard_limit")
    assert [leaves in told[0], changes in told[1]] == [True, True], told


def test_writing_rolls_back_what_raised(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    try:
        with database.writing() as tx:
            tx.changed(sa.insert(tables.projects).values(id="p"))
            raise KeyError
    except KeyError:
        pass
    with database.reading() as tx:
        assert tx.rows(sa.select(tables.projects)) == []
    database.close()


def test_reading_then_updating_in_many_threads_loses_no_update(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    counter = sa.Table("counter", sa.MetaData(), sa.Column("n", sa.Integer))
    with database.writing() as tx:
        counter.create(tx.connection)
        tx.changed(sa.insert(counter).values(n=0))
    failures: list[BaseException] = []

    def count() -> None:
        try:
            for _ in range(25):
                with database.writing() as tx:
                    n = tx.connection.scalar(sa.select(counter.c.n))
                    tx.changed(sa.update(counter).values(n=n + 1))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.reading() as tx:
        assert tx.connection.scalar(sa.select(counter.c.n)) == 200
    database.close()
