import threading
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from emberkeep.db import migrations, tables
from emberkeep.db.database import Database


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
