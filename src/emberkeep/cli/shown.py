"""How commands show sizes, moments and progress to people, and ask them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from emberkeep.engine import repository
from emberkeep.engine.work import Report

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size(count: int) -> str:
    """Bytes, in the largest unit that leaves a number above 1."""
    number, unit = float(count), 0
    while abs(number) >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:,.0f} bytes" if unit == 0 else f"{number:,.1f} {_UNITS[unit]}"


def moment(when: datetime | None) -> str:
    """The time here, to the minute."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M")


def agreed(question: str) -> bool:
    """Ask a person; who can't answer does not agree."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


class _Bytes(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "?" if task.total is None else size(int(task.total))
        stored = task.fields["stored"]
        more = f", {size(stored)} stored" if stored else ""
        return Text(f"{size(int(task.completed))} of {total}{more}", style="progress.download")


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "?" if task.total is None else f"{int(task.total):,}"
        return Text(f"{int(task.completed):,} of {total}", style="progress.download")


@contextmanager
def bytes_bar(text: str, *, quiet: bool) -> Iterator[Report]:
    """A bar of bytes on standard error, as long as the block."""
    with _bar(text, _Bytes(), quiet=quiet) as report:
        yield report


@contextmanager
def count_bar(text: str, *, quiet: bool) -> Iterator[Report]:
    """A bar of things that are counted, likewise."""
    with _bar(text, _Count(), quiet=quiet) as report:
        yield report


@contextmanager
def _bar(text: str, column: ProgressColumn, *, quiet: bool) -> Iterator[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), column, TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet)
    task = bar.add_task(text, total=None, stored=0)

    def report(progress: repository.Progress) -> None:
        bar.start()  # only now: what is refused shows no bar
        bar.update(task, completed=progress.done, total=progress.total, stored=progress.stored)

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()
