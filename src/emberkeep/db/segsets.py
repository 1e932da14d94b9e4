"""Statements about segsets: the collectors' and verifications' half of `emberkeep.engine.ledger`.

Each is one conditional UPDATE of one row, or one SELECT.
"""

from collections.abc import Collection
from datetime import UTC
from typing import Any

import sqlalchemy as sa

from emberkeep.db.database import Transaction
from emberkeep.db.tables import segsets, sessions
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import Fence, Phase, Segset, State

_OF_SESSION = segsets.c.session == sessions.c.id


def of_domain(tx: Transaction, domain: str) -> list[Segset]:
    """The domain's segsets, those that were checked longest ago first."""
    found = sa.select(segsets).join(sessions, _OF_SESSION).where(sessions.c.domain == domain)
    all_of_them = [_segset(row) for row in tx.rows(found)]
    return sorted(all_of_them, key=lambda segset: (segset.checked_at, segset.session))


def get(tx: Transaction, session: str) -> Segset | None:
    row = tx.row(sa.select(segsets).where(segsets.c.session == session))
    return None if row is None else _segset(row)


def drain(tx: Transaction, session: str, cycle: int) -> bool:
    """Close an open segset, or take it from an earlier cycle; False if a later one has it."""
    mine = (
        segsets.c.session == session,
        segsets.c.phase.in_((Phase.OPEN, Phase.DRAINING)),
        segsets.c.cycle < cycle,
    )
    drained = sa.update(segsets).where(*mine).values(phase=Phase.DRAINING, cycle=cycle)
    return tx.changed(drained) == 1


def fence(tx: Transaction, domain: str, cycle: int) -> Fence:
    """What this cycle drained and nobody pins, and the roots: one statement sees one moment."""
    drained = sa.and_(
        segsets.c.phase == Phase.DRAINING, segsets.c.cycle == cycle, segsets.c.pins == 0
    )
    is_root = sessions.c.state.in_((State.COMMITTED, State.REMOVING))
    found = (
        sa.select(
            sessions.c.id,
            sessions.c.state,
            sessions.c.damage,
            drained.label("drained"),
            segsets,
        )
        .outerjoin(segsets, _OF_SESSION)
        .where(sessions.c.domain == domain, sa.or_(is_root, drained))
    )
    rows = tx.rows(found)
    roots = [row for row in rows if row["state"] in (State.COMMITTED, State.REMOVING)]
    return Fence(
        segsets=tuple(_segset(row) for row in rows if row["drained"]),
        roots={RootId(row["id"]): State(row["state"]) for row in roots},
        quarantined=frozenset(RootId(row["id"]) for row in roots if row["damage"]),
    )


def gate(tx: Transaction, session: str, cycle: int, *, gens: str | None, gone: bool) -> bool:
    """Say what is left of a drained segset; False, and nothing changed, if a later cycle has it."""
    mine = (
        segsets.c.session == session,
        segsets.c.phase == Phase.DRAINING,
        segsets.c.cycle == cycle,
    )
    phase = Phase.GONE if gone else Phase.OPEN
    return tx.changed(sa.update(segsets).where(*mine).values(phase=phase, gens=gens)) == 1


def mark_bad(tx: Transaction, session: str, bad: Collection[str]) -> None:
    """The objects that list the segset's damaged records from now on."""
    mine = segsets.c.session == session
    tx.changed(sa.update(segsets).where(mine).values(bad=list(bad) or None))


def bad(tx: Transaction, domain: str) -> dict[SessionId, tuple[str, ...]]:
    """The segsets with damaged records, and the objects that list them."""
    found = (
        sa.select(segsets.c.session, segsets.c.bad)
        .join(sessions, _OF_SESSION)
        .where(sessions.c.domain == domain, segsets.c.bad.is_not(None))
    )
    return {SessionId(row["session"]): tuple(row["bad"]) for row in tx.rows(found)}


def check(tx: Transaction, session: str, *, depth: int, position: int) -> None:
    """The segset was verified before this segment's number; 0: all of it, at this depth."""
    values: dict[str, Any] = {"position": position}
    if not position:
        values |= {"checked_at": tx.now(), "depth": depth}
    tx.changed(sa.update(segsets).where(segsets.c.session == session).values(values))


def _segset(row: dict[str, Any]) -> Segset:
    checked_at = row["checked_at"]
    return Segset(
        session=SessionId(row["session"]),
        phase=Phase(row["phase"]),
        pins=row["pins"],
        cycle=row["cycle"],
        gens=row["gens"],
        bad=tuple(row["bad"] or ()),
        checked_at=0 if checked_at is None else checked_at.replace(tzinfo=UTC).timestamp(),
        depth=row["depth"],
        position=row["position"],
    )
