"""Taking the store's word for a domain, after the database was lost or put back."""

from collections.abc import Collection

import sqlalchemy as sa

from emberkeep.db import repositories
from emberkeep.db import sessions as table
from emberkeep.db.database import Transaction
from emberkeep.db.tables import holds, pins, segsets, sessions, uses
from emberkeep.db.tables import repositories as repositories_table
from emberkeep.engine.ledger import Found, Phase, State


def settle(
    tx: Transaction,
    repository: str,
    domain: str,
    *,
    incarnation: int,
    cycle: int,
    found: Collection[Found],
) -> None:
    """As `Ledger.settle` says, of a repository with a row.  Roots keep the references they had."""
    repositories.raise_to(tx, repository, incarnation=incarnation, cycle=cycle)
    _end_all(tx, domain)
    seen = sa.select(repositories_table.c.gc_cycle).where(repositories_table.c.id == repository)
    for item in found:
        if table.state(tx, item.session) is None:
            table.register(tx, item, repository=repository, domain=domain)
        elif item.committed:
            table.restore(tx, item.session, uses=item.uses)
        theirs = sa.update(segsets).where(segsets.c.session == item.session)
        tx.changed(theirs.values(phase=Phase.OPEN, gens=item.gens, cycle=seen.scalar_subquery()))


def _end_all(tx: Transaction, domain: str) -> None:
    """Nobody is at work or committed in the domain, and nothing is pinned, held or closed."""
    mine = sa.select(sessions.c.id).where(sessions.c.domain == domain)
    held = list(tx.connection.scalars(sa.select(holds.c.root).where(holds.c.session.in_(mine))))
    for root in held:
        less = sa.update(sessions).where(sessions.c.id == root)
        tx.changed(less.values(refs=sessions.c.refs - 1))
    for had in (holds, pins):
        tx.changed(sa.delete(had).where(had.c.session.in_(mine)))
    tx.changed(sa.delete(uses).where(uses.c.root.in_(mine)))
    theirs = (segsets.c.session.in_(mine), segsets.c.phase != Phase.GONE)
    tx.changed(sa.update(segsets).where(*theirs).values(phase=Phase.OPEN, pins=0, gens=None))
    on_its_way = sessions.c.state.in_((State.REMOVING, State.REMOVED))
    ended = sa.case((on_its_way, State.REMOVED), else_=State.ABORTED)
    tx.changed(sa.update(sessions).where(sessions.c.domain == domain).values(state=ended))
