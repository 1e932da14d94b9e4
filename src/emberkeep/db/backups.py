"""Statements about backups.  The rules are in `emberkeep.backups`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from emberkeep.db import paging
from emberkeep.db.database import Transaction
from emberkeep.db.paging import Query
from emberkeep.db.tables import backups, sessions

FAIL_REASON_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Backup:
    """A row of `backups`.  `size` is GiB, `size_bytes` the image's; times are UTC."""

    id: str
    project_id: str
    user_id: str
    status: str
    fail_reason: str | None
    display_name: str | None
    display_description: str | None
    metadata: dict[str, str]
    volume_id: str
    snapshot_id: str | None
    parent_id: str | None
    restore_volume_id: str | None
    temp_volume_id: str | None
    temp_snapshot_id: str | None
    size: int
    object_count: int
    num_dependent_backups: int
    availability_zone: str | None
    container: str | None
    host: str | None
    service: str | None
    service_metadata: str | None
    encryption_key_id: str | None
    data_timestamp: datetime | None
    created_at: datetime
    updated_at: datetime | None
    deleted_at: datetime | None
    deleted: bool
    repository: str | None
    domain: str | None
    root: str | None
    root_sha256: str | None
    size_bytes: int | None


COLUMNS = frozenset(Backup.__slots__)
OWN_COLUMNS = frozenset(("repository", "domain", "root", "root_sha256", "size_bytes"))


@dataclass(frozen=True, slots=True)
class Usage:
    """What of a project counts against its quota: all backups that are not deleted."""

    backups: int
    gigabytes: int


def usage(tx: Transaction, project_id: str) -> Usage:
    counted = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(backups.c.size), 0))
    mine = (backups.c.project_id == project_id, sa.not_(backups.c.deleted))
    count, size = tx.connection.execute(counted.where(*mine)).one()
    return Usage(int(count), int(size))


def insert(tx: Transaction, backup: Backup) -> None:
    tx.changed(sa.insert(backups).values({name: getattr(backup, name) for name in COLUMNS}))


def insert_first(tx: Transaction, backup: Backup) -> bool:
    """Insert the row; False if there is one of its id, be it deleted."""
    try:
        with tx.connection.begin_nested():
            insert(tx, backup)
    except IntegrityError:
        return False
    return True


def get(
    tx: Transaction, backup_id: str, *, project_id: str | None = None, deleted: bool = False
) -> Backup | None:
    """The backup, if it is of the project (None: of any), and not deleted unless that is asked."""
    found = sa.select(backups).where(backups.c.id == backup_id)
    if not deleted:
        found = found.where(sa.not_(backups.c.deleted))
    if project_id is not None:
        found = found.where(backups.c.project_id == project_id)
    row = tx.row(found)
    return None if row is None else Backup(**row)


def page(tx: Transaction, query: Query) -> list[Backup]:
    """A page of the backups that are not deleted.  Raises what `paging.page` raises."""
    return [Backup(**row) for row in tx.rows(paging.page(tx, backups, query))]


def count(tx: Transaction, query: Query) -> int:
    return paging.count(tx, backups, query)


def of_volume(tx: Transaction, volume_id: str, *, project_id: str) -> list[Backup]:
    """The project's backups of a volume, newest first."""
    found = (
        sa.select(backups)
        .where(
            backups.c.volume_id == volume_id,
            backups.c.project_id == project_id,
            sa.not_(backups.c.deleted),
        )
        .order_by(backups.c.created_at.desc(), backups.c.id.desc())
    )
    return [Backup(**row) for row in tx.rows(found)]


def newest_available(
    tx: Transaction, *, volume_id: str, repository: str, domain: str
) -> Backup | None:
    """The newest backup of the volume in a domain whose data may be built on."""
    found = (
        sa.select(backups)
        .where(
            backups.c.volume_id == volume_id,
            backups.c.repository == repository,
            backups.c.domain == domain,
            backups.c.root.is_not(None),
            backups.c.status.in_(("available", "restoring")),
            sa.not_(backups.c.deleted),
        )
        .order_by(backups.c.data_timestamp.desc(), backups.c.created_at.desc())
        .limit(1)
    )
    row = tx.row(found)
    return None if row is None else Backup(**row)


def change(
    tx: Transaction,
    backup_id: str,
    *,
    when: Collection[str] | None = None,
    only_if: Mapping[str, Any] | None = None,
    **values: Any,
) -> bool:
    """Update the backup if its status is one of `when` and the columns of `only_if` have these
    values; return whether that was so."""
    mine = [backups.c.id == backup_id, sa.not_(backups.c.deleted)]
    if when is not None:
        mine.append(backups.c.status.in_(when))
    mine += [backups.c[name] == value for name, value in (only_if or {}).items()]
    if (reason := values.get("fail_reason")) is not None:
        values["fail_reason"] = reason[:FAIL_REASON_LENGTH]
    values.setdefault("updated_at", tx.now())
    return tx.changed(sa.update(backups).where(*mine).values(values)) == 1


def revive(
    tx: Transaction, backup_id: str, values: Mapping[str, Any], *, failed: bool = False
) -> bool:
    """Bring a deleted row back, or if `failed` one in `error` without data, with these values;
    False if it is neither."""
    new = {**values, "deleted": False, "deleted_at": None}
    gone: sa.ColumnElement[bool] = backups.c.deleted
    if failed:
        gone = sa.or_(gone, sa.and_(backups.c.status == "error", backups.c.root.is_(None)))
    mine = (backups.c.id == backup_id, gone)
    return tx.changed(sa.update(backups).where(*mine).values(new)) == 1


def remove(tx: Transaction, backup_id: str) -> bool:
    """Mark the row as deleted; return whether it was not before."""
    now = tx.now()
    values = {"status": "deleted", "deleted": True, "deleted_at": now, "updated_at": now}
    mine = (backups.c.id == backup_id, sa.not_(backups.c.deleted))
    return tx.changed(sa.update(backups).where(*mine).values(values)) == 1


def count_child(tx: Transaction, parent_id: str, added: int) -> None:
    """Add a finished child to the parent's counter, or take one away; never below 0."""
    counter = backups.c.num_dependent_backups
    changed = sa.case((counter + added < 0, 0), else_=counter + added)
    tx.changed(
        sa.update(backups)
        .where(backups.c.id == parent_id)
        .values(num_dependent_backups=changed, updated_at=backups.c.updated_at)
    )


def has_children(tx: Transaction, parent_id: str) -> bool:
    """Whether any backup, of whatever project and status, names this one as its parent."""
    found = sa.select(backups.c.id).where(
        backups.c.parent_id == parent_id, sa.not_(backups.c.deleted)
    )
    return tx.row(found.limit(1)) is not None


def finished_children(tx: Transaction, parent_id: str) -> int:
    """How many backups that have data name this one as their parent."""
    found = sa.select(sa.func.count()).where(
        backups.c.parent_id == parent_id, backups.c.root.is_not(None), sa.not_(backups.c.deleted)
    )
    return int(tx.connection.scalar(found) or 0)


def users_of_root(tx: Transaction, root: str) -> int:
    """How many rows that are not deleted share the root."""
    found = sa.select(sa.func.count()).where(backups.c.root == root, sa.not_(backups.c.deleted))
    return int(tx.connection.scalar(found) or 0)


def lose(tx: Transaction, repository: str, *, fail_reason: str) -> list[str]:
    """Put the backups into `error` whose root is no committed session; their ids."""
    found = (
        sa.select(backups.c.id)
        .outerjoin(sessions, sessions.c.id == backups.c.root)
        .where(
            backups.c.repository == repository,
            backups.c.root.is_not(None),
            sa.not_(backups.c.deleted),
            backups.c.status.in_(("available", "restoring")),
            sa.or_(sessions.c.state.is_(None), sessions.c.state != "committed"),
        )
    )
    lost = list(tx.connection.scalars(found))
    for backup_id in lost:
        change(tx, backup_id, status="error", fail_reason=fail_reason)
    return lost
