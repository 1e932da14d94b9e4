"""What backups a repository holds: found, listed, shown, deleted."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from emberkeep.cli import options, shown
from emberkeep.cli.errors import Failure
from emberkeep.cli.repo import bare
from emberkeep.cli.repo.bare import Bare
from emberkeep.cli.repo.options import Where, container
from emberkeep.cli.repo.options import bare as bare_options
from emberkeep.engine.errors import EngineError
from emberkeep.engine.repository import DomainId, Root, RootId, State

LATEST = "latest"
_AT_ONCE = 8
_LEAST = 4  # digits of an id
_PREFIX = re.compile(f"[0-9a-f]{{{_LEAST},32}}")

_volume = click.option("--volume", metavar="NAME", help="Only the backups of this volume.")


@dataclass(frozen=True, slots=True)
class Entry:
    """One backup.  `root` is None if it can't be read, and `problem` says why.

    `quarantined`: a verification found that some of what it needs is damaged.
    """

    domain: DomainId
    id: RootId
    root: Root | None
    problem: str | None
    quarantined: bool

    @property
    def volume(self) -> str:
        return str(self._described.get("volume_id", ""))

    @property
    def container(self) -> str:
        return str(self._described.get("container") or self._by_service.get("container") or "")

    @property
    def created_at(self) -> datetime | None:
        text = self._described.get("created_at") or self._by_service.get("created_at")
        try:
            when = datetime.fromisoformat(str(text))
        except ValueError:
            return None
        return when if when.tzinfo else when.replace(tzinfo=UTC)

    @property
    def state(self) -> str:
        if self.problem is not None:
            return "unreadable"
        return "damaged" if self.quarantined else "whole"

    @property
    def _described(self) -> dict[str, Any]:
        return {} if self.root is None else dict(self.root.description)

    @property
    def _by_service(self) -> dict[str, Any]:
        """What the service says of a backup, in a repository of its own."""
        found = self._described.get("backup")
        return found if isinstance(found, dict) else {}

    def plain(self) -> dict[str, Any]:
        """For JSON; sizes in bytes."""
        counters = {} if self.root is None else self.root.layout.counters
        return {
            "id": self.id,
            "volume": self.volume,
            "container": self.container,
            "created_at": self.created_at and self.created_at.isoformat(),
            "size": self.root and self.root.size,
            "new_chunks": counters.get("new_chunks"),
            "stored_bytes": counters.get("stored_bytes"),
            "base": self.root and self.root.base,
            "domain": self.domain,
            "state": self.state,
            "problem": self.problem,
        }


def entries(found: Bare, *, container: str | None = None, volume: str | None = None) -> list[Entry]:
    """The backups, oldest first.  What can't be read is among them if nothing else is asked for."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        every = [
            entry
            for domain, roots, quarantined in _ids(found)
            for entry in threads.map(partial(_entry, found, domain, quarantined), roots)
        ]
    wanted = [
        entry
        for entry in every
        if container in (None, entry.container) and volume in (None, entry.volume)
    ]
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(wanted, key=lambda entry: (entry.created_at or never, entry.id))


def newest(found: Bare, *, container: str | None = None, volume: str | None = None) -> Entry | None:
    """The newest backup that can be read."""
    readable = (e for e in entries(found, container=container, volume=volume) if e.root is not None)
    return max(readable, key=lambda e: (e.created_at is not None, e.created_at), default=None)


def find(found: Bare, text: str) -> tuple[DomainId, RootId]:
    """The backup whose id begins with `text`.  Raises `Failure` if there is not exactly one."""
    if not _PREFIX.fullmatch(text):
        raise Failure(f"{text!r} is no backup's id, nor the first {_LEAST} or more digits of one")
    matching = [
        (domain, root)
        for domain, roots, _quarantined in _ids(found)
        for root in roots
        if root.startswith(text)
    ]
    if len(matching) > 1:
        raise Failure(f"{text} is ambiguous: {len(matching)} backups begin with it")
    if not matching:
        raise Failure(f"there is no backup {text}; see emberkeep repo list")
    return matching[0]


def _ids(found: Bare) -> Iterator[tuple[DomainId, list[RootId], frozenset[RootId]]]:
    """The backups of each domain, and those of them in quarantine."""
    repository = found.repository
    if found.database is None:
        for domain in repository.domains():
            yield domain, list(repository.roots(domain)), frozenset()
        return
    for domain in found.labels():
        fence = repository.ledger.fence(domain, 0)
        whole = sorted(root for root, state in fence.roots.items() if state == State.COMMITTED)
        yield domain, whole, fence.quarantined


def _entry(found: Bare, domain: DomainId, quarantined: frozenset[RootId], root: RootId) -> Entry:
    try:
        described = found.repository.describe(domain, root)
    except EngineError as error:
        return Entry(domain, root, None, str(error), root in quarantined)
    return Entry(domain, root, described, None, root in quarantined)


@click.command("list")
@bare_options
@container
@_volume
@options.as_json
def list_backups(where: Where, container: str | None, volume: str | None, as_json: bool) -> None:
    """List the backups, oldest first."""
    with bare.reading(where) as found:
        listed = entries(found, container=container, volume=volume)
    if as_json:
        click.echo(json.dumps([entry.plain() for entry in listed]))
        return
    table = Table("volume", "container")
    for header in ("id", "created"):
        table.add_column(header, no_wrap=True)
    for header in ("size", "stored by it"):
        table.add_column(header, justify="right")
    table.add_column("state")
    for entry in listed:
        sizes = ("", "")
        if entry.root is not None:
            stored = entry.root.layout.counters.get("stored_bytes", 0)
            sizes = (shown.size(entry.root.size), shown.size(stored))
        table.add_row(
            entry.volume, entry.container, entry.id[:12], shown.moment(entry.created_at), *sizes,
            entry.state,
        )  # fmt: skip
    Console().print(table)


@click.command()
@bare_options
@options.as_json
@click.argument("backup")
def show(where: Where, as_json: bool, backup: str) -> None:
    """Show what is known of BACKUP, an id or the first digits of one."""
    with bare.reading(where) as found:
        domain, root = find(found, backup)
        ((_domain, _roots, quarantined),) = [ids for ids in _ids(found) if ids[0] == domain]
        entry = _entry(found, domain, quarantined, root)
        damage = found.repository.ledger.damage(root) if found.database is not None else ()
    facts = {
        **entry.plain(),
        "damage": list(damage),
        "description": {} if entry.root is None else dict(entry.root.description),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    table = Table("field", "value", show_header=False)
    for name, value in facts.items():
        match value:
            case None | [] | {}:
                continue
            case int() if name in ("size", "stored_bytes"):
                text = f"{shown.size(value)} ({value})"
            case dict() | list():
                text = json.dumps(value, ensure_ascii=False)
            case _:
                text = str(value)
        table.add_row(name, text)
    Console().print(table)


@click.command()
@bare_options
@options.as_json
@click.argument("backups", nargs=-1, required=True)
def delete(where: Where, as_json: bool, backups: Sequence[str]) -> None:
    """Delete BACKUPS, each an id or the first digits of one, in any order.

    Every backup is complete in itself, so any may go.  Their space comes back with a collection.
    """
    with bare.writing(where) as found:
        chosen = dict.fromkeys(find(found, text) for text in backups)
        for domain, root in chosen:
            found.repository.delete(domain, root)
    deleted = [root for _domain, root in chosen]
    click.echo(json.dumps({"deleted": deleted}) if as_json else _lines(deleted))


def _lines(roots: Iterable[RootId]) -> str:
    return "\n".join(f"deleted {root}" for root in roots)
