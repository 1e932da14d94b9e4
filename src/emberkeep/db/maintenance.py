"""Statements about maintenance: what is due, and what verifications found of a backup."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from emberkeep.db.database import Transaction
from emberkeep.db.sessions import Domain
from emberkeep.db.tables import domains, jobs, segsets, sessions, uses


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of a backup's data.

    `damage`: what of it is damaged or missing, a line each.  `checked_at`: all of it was verified
    since then (UTC), at least as deeply as `depth`; None: not all of it was.
    """

    damage: tuple[str, ...]
    checked_at: datetime | None
    depth: int


def condition(tx: Transaction, root: str) -> Condition:
    """The condition of a root's data."""
    damage = tx.connection.scalar(sa.select(sessions.c.damage).where(sessions.c.id == root))
    checks = tx.rows(
        sa.select(segsets.c.checked_at, segsets.c.depth)
        .join(uses, uses.c.segset == segsets.c.session)
        .where(uses.c.root == root)
    )
    moments = [row["checked_at"] for row in checks]
    if not moments or None in moments:
        return Condition(tuple(damage or ()), None, 0)
    return Condition(tuple(damage or ()), min(moments), min(row["depth"] for row in checks))


def due(
    tx: Transaction, *, kind: str, before: datetime, repositories: Collection[str]
) -> list[Domain]:
    """The domains with backups of which no job of the kind began after `before`."""
    latest = sa.select(sa.func.max(jobs.c.created_at)).where(
        jobs.c.subject == domains.c.id, jobs.c.kind == kind
    )
    found = sa.select(domains).where(
        domains.c.repository.in_(repositories),
        sa.exists().where(sessions.c.domain == domains.c.id, sessions.c.created_at <= before),
        sa.func.coalesce(latest.scalar_subquery(), datetime.min) <= before,
    )
    return [Domain(**row) for row in tx.rows(found.order_by(domains.c.id))]
