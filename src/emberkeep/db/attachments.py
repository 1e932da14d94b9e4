"""Statements about attachments: who uses a volume.

Whoever changes one holds the volume's row (`volumes.held`): so the volume's status always tells of
all of its attachments.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from emberkeep.db import paging
from emberkeep.db.database import Transaction
from emberkeep.db.paging import Query
from emberkeep.db.tables import attachments


@dataclass(frozen=True, slots=True)
class AttachmentRow:
    """A row of `attachments`; the columns are Cinder's."""

    id: str
    volume_id: str
    project_id: str
    attach_status: str
    attach_mode: str | None
    instance_uuid: str | None
    attached_host: str | None
    mountpoint: str | None
    connector: dict[str, Any] | None
    connection_info: dict[str, Any]
    attach_time: datetime | None
    detach_time: datetime | None
    created_at: datetime
    updated_at: datetime | None
    deleted_at: datetime | None
    deleted: bool


COLUMNS = frozenset(AttachmentRow.__slots__)


def insert(tx: Transaction, row: AttachmentRow) -> None:
    values = {name: getattr(row, name) for name in row.__slots__}
    tx.changed(sa.insert(attachments).values(values))


def get(
    tx: Transaction, attachment_id: str, *, project_id: str | None = None
) -> AttachmentRow | None:
    """The attachment that is not deleted, if its volume is of the project (None: of any)."""
    found = sa.select(attachments).where(
        attachments.c.id == attachment_id, sa.not_(attachments.c.deleted)
    )
    if project_id is not None:
        found = found.where(attachments.c.project_id == project_id)
    row = tx.row(found)
    return None if row is None else AttachmentRow(**row)


def of_volumes(tx: Transaction, volume_ids: Collection[str]) -> list[AttachmentRow]:
    """All attachments of these volumes, the oldest first."""
    found = sa.select(attachments).where(
        attachments.c.volume_id.in_(volume_ids), sa.not_(attachments.c.deleted)
    )
    ordered = found.order_by(attachments.c.created_at, attachments.c.id)
    return [AttachmentRow(**row) for row in tx.rows(ordered)]


def page(tx: Transaction, query: Query) -> list[AttachmentRow]:
    """A page of the attachments.  Raises what `paging.page` raises."""
    return [AttachmentRow(**row) for row in tx.rows(paging.page(tx, attachments, query))]


def change(tx: Transaction, attachment_id: str, **values: Any) -> None:
    _update(tx, attachments.c.id == attachment_id, **values)


def remove(tx: Transaction, attachment_id: str) -> None:
    _update(tx, attachments.c.id == attachment_id, **_removed(tx))


def remove_all(tx: Transaction, volume_id: str) -> None:
    """Remove every attachment of the volume."""
    _update(tx, attachments.c.volume_id == volume_id, **_removed(tx))


def _removed(tx: Transaction) -> dict[str, Any]:
    now = tx.now()
    return {
        "attach_status": "detached",
        "detach_time": now,
        "deleted": True,
        "deleted_at": now,
    }


def _update(tx: Transaction, which: sa.ColumnElement[bool], **values: Any) -> None:
    values["updated_at"] = tx.now()
    tx.changed(sa.update(attachments).where(which, sa.not_(attachments.c.deleted)).values(values))
