"""Registering what a store holds: after a disaster, the store is the truth and the database is new,
or an older copy.

First the ledger is settled; then every root's description, which tells what was backed up, becomes
a row again.  A root that can't be read is reported, and stops nothing else.

Invariants
* a row that has data in the store is not changed, one whose data is gone is in `error`;
* every root that can be read has a row in the end.  Two roots may be of one backup, when an attempt
  died between its root and its commit: the second one that is found gets an id of its own;
* a root has as many references as rows.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from emberkeep.backups.records import SERVICE, Place
from emberkeep.db import backups as table
from emberkeep.db import sessions
from emberkeep.db.backups import Backup
from emberkeep.db.database import Database, Transaction
from emberkeep.db.sessions import Domain
from emberkeep.engine.errors import EngineError
from emberkeep.engine.repository import DomainId, Repository, Root, RootId, Settled
from emberkeep.stores.errors import StoreError

_LOST = "The store does not hold this backup's data any more; delete it."
_DAMAGED = "Part of this backup's data is damaged or missing: {}"


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found in one zone's store."""

    registered: list[str] = field(default_factory=list)  # ids of backups
    known: int = 0  # roots that the database knew
    lost: list[str] = field(default_factory=list)  # ids of backups without data
    unreadable: list[str] = field(default_factory=list)  # what was wrong, and with what


def rebuild(
    database: Database,
    repository: Repository,
    zone: str,
    *,
    progress: Callable[[int], None] = lambda _roots: None,
) -> Rebuilt:
    """Register the roots of the repository that the database does not know, as backups in `zone`.

    Every process that uses the repository must have been stopped.  May be repeated.  `progress` is
    told how many roots were looked at.
    """
    rebuilt = Rebuilt()
    _register_domains(database, repository)
    settled = repository.settle()
    looked_at = 0
    for domain, result in settled.items():
        for root, reason in result.broken.items():
            rebuilt.unreadable.append(f"root {root}: {reason}")
        for root in (*result.backups, *result.broken):
            _register(database, repository, zone, domain, root, result, rebuilt)
            looked_at += 1
            progress(looked_at)
    with database.writing() as tx:
        rebuilt.lost += table.lose(tx, repository.id, fail_reason=_LOST)
    return rebuilt


def _register_domains(database: Database, repository: Repository) -> None:
    for domain in repository.domains():
        with database.reading() as tx:
            if sessions.known_domain(tx, domain) is not None:
                continue
        owner = _owner(repository, domain)
        with database.writing() as tx:
            sessions.register_domain(tx, owner)


def _owner(repository: Repository, domain: DomainId) -> Domain:
    """Whose the domain is, as any of its roots says; nobody's if none can be read."""
    for root in repository.roots(domain):
        try:
            kept = repository.describe(domain, root).description["backup"]
            return Domain(domain, repository.id, kept["project_id"], kept["container"])
        except (EngineError, StoreError, KeyError, TypeError):
            continue
    return Domain(domain, repository.id, "", None)


def _register(
    database: Database,
    repository: Repository,
    zone: str,
    domain: DomainId,
    root: RootId,
    settled: Settled,
    rebuilt: Rebuilt,
) -> None:
    with database.writing() as tx:
        if rows := table.users_of_root(tx, root):
            sessions.recount(tx, root, rows)
            rebuilt.known += 1
            return
    try:
        found = repository.describe(domain, root)
        row = _row(found, found.description["backup"], repository, zone)
    except (EngineError, StoreError, KeyError, TypeError, ValueError) as error:
        if root not in settled.broken:
            rebuilt.unreadable.append(f"root {root}: {error}")
        return
    if root in settled.broken:
        reason = _DAMAGED.format(settled.broken[root])
        row = replace(row, status="error", fail_reason=reason[: table.FAIL_REASON_LENGTH])
    with database.writing() as tx:
        rebuilt.registered.append(_insert(tx, row))
        sessions.recount(tx, root, 1)


def _insert(tx: Transaction, row: Backup) -> str:
    """Add the row, under its own id if that is free; returns the id."""
    row = replace(row, num_dependent_backups=table.finished_children(tx, row.id))
    known = table.get(tx, row.id, deleted=True)
    if known is None:
        table.insert(tx, row)
    elif known.deleted or (known.root is None and known.status == "error"):
        # Of a database that is older than the store: it has seen the backup begin, or go.
        values = {name: getattr(row, name) for name in table.COLUMNS - {"id"}}
        table.revive(tx, row.id, values, failed=True)
    else:
        row = replace(row, id=str(uuid.uuid4()), num_dependent_backups=0)
        table.insert(tx, row)
    if row.parent_id is not None:
        table.count_child(tx, row.parent_id, 1)
    return row.id


def _row(found: Root, kept: dict[str, Any], repository: Repository, zone: str) -> Backup:
    place = Place(repository.id, found.layout.domain, found.layout.root, found.sha256)
    moment = kept["data_timestamp"]
    empty: dict[str, Any] = dict.fromkeys(table.COLUMNS)
    copied = (
        "id", "project_id", "user_id", "display_name", "display_description", "metadata",
        "volume_id", "snapshot_id", "parent_id", "container", "size",
    )  # fmt: skip
    return Backup(
        **{
            **empty,
            **{name: kept[name] for name in copied},
            "status": "available",
            "availability_zone": zone,
            "created_at": datetime.fromisoformat(kept["created_at"]),
            "data_timestamp": moment and datetime.fromisoformat(moment),
            "object_count": found.layout.counters["segments"],
            "num_dependent_backups": 0,
            "deleted": False,
            "service": SERVICE,
            "service_metadata": str(place),
            "repository": place.repository,
            "domain": place.domain,
            "root": place.root,
            "root_sha256": place.sha256,
            "size_bytes": found.size,
        }
    )
