"""Statements about messages to users."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from emberkeep.db import paging
from emberkeep.db.database import Transaction
from emberkeep.db.paging import Query
from emberkeep.db.tables import messages


@dataclass(frozen=True, slots=True)
class Message:
    """A row of `messages`: what (`action_id`) failed, and why (`detail_id`).

    `request_id` is that of the request that began it.  Times are UTC.
    """

    id: str
    project_id: str
    request_id: str | None
    resource_type: str | None
    resource_uuid: str | None
    action_id: str
    detail_id: str
    event_id: str
    message_level: str
    expires_at: datetime
    created_at: datetime
    updated_at: datetime | None
    deleted_at: datetime | None
    deleted: bool


COLUMNS = frozenset(Message.__slots__)


def add(
    tx: Transaction,
    *,
    project_id: str,
    request_id: str | None,
    resource_type: str,
    resource_uuid: str,
    action_id: str,
    detail_id: str,
    ttl: float,
) -> None:
    """Tell the project of a failure, for `ttl` seconds."""
    row = {
        "id": str(uuid.uuid4()),
        "project_id": project_id,
        "request_id": request_id,
        "resource_type": resource_type,
        "resource_uuid": resource_uuid,
        "action_id": action_id,
        "detail_id": detail_id,
        "event_id": f"VOLUME_{resource_type}_{action_id}_{detail_id}",
        "message_level": "ERROR",
        "expires_at": tx.now() + timedelta(seconds=ttl),
        "created_at": tx.now(),
        "deleted": False,
    }
    tx.changed(sa.insert(messages).values(row))


def get(tx: Transaction, message_id: str, *, project_id: str | None) -> Message | None:
    """The message that is there, if it is of the project (None: of any)."""
    found = sa.select(messages).where(
        messages.c.id == message_id,
        sa.not_(messages.c.deleted),
        messages.c.expires_at > tx.now(),
    )
    if project_id is not None:
        found = found.where(messages.c.project_id == project_id)
    row = tx.row(found)
    return None if row is None else Message(**row)


def page(tx: Transaction, query: Query) -> list[Message]:
    """A page of the messages that are there.  Raises what `paging.page` raises."""
    selected = paging.page(tx, messages, query).where(messages.c.expires_at > tx.now())
    return [Message(**row) for row in tx.rows(selected)]


def remove(tx: Transaction, message_id: str) -> None:
    values = {"deleted": True, "deleted_at": tx.now()}
    tx.changed(sa.update(messages).where(messages.c.id == message_id).values(values))


def reap(tx: Transaction) -> int:
    """Remove the rows of messages whose time is over; return how many."""
    return tx.changed(sa.delete(messages).where(messages.c.expires_at <= tx.now()))
