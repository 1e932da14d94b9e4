"""Statements about repositories: the numbers of incarnation and collection, and how to settle.

A repository without a row is of incarnation 1 and was never collected.
"""

import sqlalchemy as sa

from emberkeep.db.database import Transaction
from emberkeep.db.tables import repositories
from emberkeep.engine.errors import LedgerBehind
from emberkeep.engine.ledger import behind


def knows(tx: Transaction, repository: str) -> bool:
    mine = repositories.c.id == repository
    return tx.row(sa.select(repositories.c.id).where(mine)) is not None


def add(tx: Transaction, repository: str) -> None:
    """Raises `IntegrityError` if somebody else did meanwhile."""
    tx.changed(sa.insert(repositories).values(id=repository, incarnation=1, gc_cycle=0))


def incarnation(tx: Transaction, repository: str) -> int:
    """How often it was rebuilt, from 1 on."""
    mine = repositories.c.id == repository
    return tx.connection.scalar(sa.select(repositories.c.incarnation).where(mine)) or 1


def begin_cycle(tx: Transaction, repository: str, *, seen: int) -> int:
    """The number of a new cycle of a repository with a row.

    Raises `LedgerBehind` if the store has seen a later one.
    """
    mine = repositories.c.id == repository
    cycle = sa.select(repositories.c.gc_cycle).where(mine).with_for_update()
    known = tx.connection.scalar(cycle) or 0
    if known < seen:
        raise LedgerBehind(behind(known, seen))
    tx.changed(sa.update(repositories).where(mine).values(gc_cycle=known + 1))
    return known + 1


def raise_to(tx: Transaction, repository: str, *, incarnation: int, cycle: int) -> None:
    """Make both numbers of a repository with a row at least these."""
    for column, least in (
        (repositories.c.incarnation, incarnation),
        (repositories.c.gc_cycle, cycle),
    ):
        lower = (repositories.c.id == repository, column < least)
        tx.changed(sa.update(repositories).where(*lower).values({column: least}))
