"""Connections and the two kinds of transactions: `reading()` and `writing()` are the only ways in.

Invariants
* no transaction spans data I/O or a call to another service: it holds statements and decisions;
* a `writing()` transaction on SQLite takes the write lock at its begin, so nothing read in it is
  stale when it writes, and nobody is told "database is locked" (a waiting writer waits
  `BUSY_TIMEOUT_SECONDS`);
* all times come from `Transaction.now()`: one clock, the database's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DatabaseError as DatabaseError

BUSY_TIMEOUT_SECONDS = 30


def utc_now() -> datetime:
    """The time of this machine (UTC, without zone)."""
    return datetime.now(UTC).replace(tzinfo=None)


class Transaction:
    """What a transaction hands to the functions of this package.  Used by one thread."""

    def __init__(self, connection: sa.Connection, clock: Callable[[], datetime] = utc_now) -> None:
        """`clock` (UTC, without zone) is that of a database that runs in this process."""
        self.connection = connection
        self._clock = clock
        self._now: datetime | None = None
        self.committed: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """The database's time (UTC, without zone), the same throughout the transaction."""
        if self._now is None:
            self._now = self._database_time()
        return self._now

    def _database_time(self) -> datetime:
        match self.connection.dialect.name:
            case "sqlite":  # in this process, so its clock is the machine's; SQL has milliseconds
                return self._clock()
            case "postgresql":
                statement = "SELECT clock_timestamp() AT TIME ZONE 'UTC'"
            case _:
                statement = "SELECT UTC_TIMESTAMP(6)"
        moment = self.connection.scalar(sa.text(statement))
        assert isinstance(moment, datetime)
        return moment

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have something done once a `writing()` transaction is committed, and only then.

        The call must not raise: what it is about has happened.
        """
        self.committed.append(call)

    def rows(self, statement: sa.Executable) -> list[dict[str, Any]]:
        """Run a query and return its rows by column name."""
        return [dict(row) for row in self.connection.execute(statement).mappings()]

    def row(self, statement: sa.Executable) -> dict[str, Any] | None:
        """Run a query and return its first row, or None."""
        found = self.connection.execute(statement).mappings().first()
        return None if found is None else dict(found)

    def put(self, table: sa.Table, row: Mapping[str, Any], *changed: str) -> None:
        """Insert a row; where there is one of its key, give that its values of `changed`.

        In one statement: two that insert and then, told that somebody was faster, update or lock,
        wait for each other on MariaDB.
        """
        key = [column.name for column in table.primary_key]
        values = {name: row[name] for name in changed}
        statement: sa.Executable
        match self.connection.dialect.name:
            case "sqlite" | "postgresql" as name:
                make: Any = sqlite.insert if name == "sqlite" else postgresql.insert
                insert = make(table).values(row)
                statement = (
                    insert.on_conflict_do_update(index_elements=key, set_=values)
                    if values
                    else insert.on_conflict_do_nothing(index_elements=key)
                )
            case _:
                unchanged = {key[0]: row[key[0]]}
                insert = mysql.insert(table).values(row)
                statement = insert.on_duplicate_key_update(values or unchanged)
        self.changed(statement)

    def changed(self, statement: sa.Executable) -> int:
        """Run an UPDATE, DELETE or INSERT and return how many rows it touched."""
        return self.connection.execute(statement).rowcount


class Database:
    """One database.  May be used from many threads; each transaction belongs to one."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock
        self._writing = engine.execution_options(emberkeep_writing=True)

    @classmethod
    def connect(cls, url: str, *, clock: Callable[[], datetime] = utc_now) -> "Database":
        """Open `url` (SQLAlchemy's form).  Nothing is created; see `migrations.upgrade`.

        `clock` takes SQLite's place, which has no clock but this process's; others use their own.
        """
        engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if engine.dialect.name == "sqlite":
            _prepare_sqlite(engine)
        else:
            engine = engine.execution_options(isolation_level="READ COMMITTED")
        return cls(engine, clock)

    @classmethod
    def in_file(cls, path: Path, *, clock: Callable[[], datetime] = utc_now) -> "Database":
        """Open the SQLite database at `path`."""
        return cls.connect(f"sqlite:///{path}", clock=clock)

    @property
    def engine(self) -> sa.Engine:
        return self._engine

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A consistent view (SQLite) or the latest committed rows; what is written is lost."""
        with self._engine.connect() as connection:
            yield Transaction(connection, self._clock)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Committed at the end of the block, rolled back if it raises."""
        with self._writing.begin() as connection:
            tx = Transaction(connection, self._clock)
            yield tx
        for call in tx.committed:
            call()

    def close(self) -> None:
        self._engine.dispose()


def _prepare_sqlite(engine: sa.Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late and is deferred
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get("emberkeep_writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
