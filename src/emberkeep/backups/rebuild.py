"""Registering what a store holds: after a disaster, the store is the truth and the database is new.

Every root tells in its description what was backed up; that becomes a row again.  A root that can't
be read is reported, and stops nothing else.

Invariants
* what the database knows is not changed: a root whose session it has is left alone, and so is a
  row that has data;
* every root that can be read has a row in the end.  Two roots may be of one backup, when an attempt
  died between its root and its commit: the second one that is found gets an id of its own.
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
from emberkeep.engine.repository import DomainId, Repository, Root, RootId
from emberkeep.stores.errors import StoreError


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found in one zone's store."""

    registered: list[str] = field(default_factory=list)  # ids of backups
    known: int = 0  # roots that the database knew
    unreadable: list[str] = field(default_factory=list)  # what was wrong, and with what


def rebuild(
    database: Database,
    repository: Repository,
    zone: str,
    *,
    progress: Callable[[int], None] = lambda _roots: None,
) -> Rebuilt:
    """Register the roots of the repository that the database does not know, as backups in `zone`.

    May be repeated.  `progress` is told how many roots were looked at.
    """
    rebuilt = Rebuilt()
    looked_at = 0
    for domain in repository.domains():
        for root in repository.roots(domain):
            _register(database, repository, zone, domain, root, rebuilt)
            looked_at += 1
            progress(looked_at)
    return rebuilt


def _register(
    database: Database,
    repository: Repository,
    zone: str,
    domain: DomainId,
    root: RootId,
    rebuilt: Rebuilt,
) -> None:
    with database.reading() as tx:
        if sessions.state(tx, root) is not None:
            rebuilt.known += 1
            return
    try:
        found = repository.describe(domain, root)
        kept = found.description["backup"]
        owner = Domain(domain, repository.id, kept["project_id"], kept["container"])
        row = _row(found, kept, repository, zone)
    except (EngineError, StoreError, KeyError, TypeError, ValueError) as error:
        rebuilt.unreadable.append(f"root {root}: {error}")
        return
    with database.writing() as tx:
        if sessions.state(tx, root) is not None:
            rebuilt.known += 1
            return
        sessions.register_domain(tx, owner)
        sessions.register(tx, session=root, repository=repository.id, domain_id=domain)
        rebuilt.registered.append(_insert(tx, row))


def _insert(tx: Transaction, row: Backup) -> str:
    """Add the row, under its own id if that is free; returns the id."""
    row = replace(row, num_dependent_backups=table.finished_children(tx, row.id))
    known = table.get(tx, row.id, deleted=True)
    if known is None:
        table.insert(tx, row)
    elif known.deleted or (known.root is None and known.status == "error"):
        # Of a database that is older than the store: it has seen the backup begin, or go.
        values = {name: getattr(row, name) for name in table.COLUMNS - {"id"}}
        table.revive(tx, row.id, **values)
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
