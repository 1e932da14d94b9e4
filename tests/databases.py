"""Databases for tests, with a clock that a test turns."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from emberkeep.db import migrations
from emberkeep.db.database import Database, utc_now


class Clock:
    """The database's time, which passes only when a test says so."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1)

    def __call__(self) -> datetime:
        return self._now

    def pass_by(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def a_database(directory: Path, *, clock: Callable[[], datetime] = utc_now) -> Database:
    """A migrated SQLite database of its own."""
    database = Database.in_file(directory / "emberkeep.sqlite", clock=clock)
    migrations.upgrade(database)
    return database
