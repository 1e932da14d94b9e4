"""Statements about sessions: who wrote or reads what, and what of it may go.

They are the writers' and readers' half of `emberkeep.engine.ledger`, whose promises they keep
inside a caller's transaction; `emberkeep.db.segsets` has the collectors' half.

Invariants
* a row is locked before it is decided about, so the condition still holds when what depends on it
  is written, at READ COMMITTED, too;
* rows are locked in one order, so nobody waits in a circle: sessions that have not ended, roots,
  segsets, and of each kind by id;
* `pins` of a segset is its number of rows in `pins`; `refs` of a root counts its rows in `holds`;
* only committed roots have rows in `uses`.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from emberkeep.db import repositories
from emberkeep.db.database import Transaction
from emberkeep.db.domains import Domain as Domain
from emberkeep.db.domains import add_domain as add_domain
from emberkeep.db.domains import domain as domain
from emberkeep.db.domains import domains_of as domains_of
from emberkeep.db.domains import held_domain as held_domain
from emberkeep.db.domains import known_domain as known_domain
from emberkeep.db.domains import register_domain as register_domain
from emberkeep.db.tables import holds, pins, segsets, sessions, uses
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import Begun, Found, Phase, State

_UNENDED = (State.ACTIVE, State.EXPIRED)


def begin(
    tx: Transaction,
    session: str,
    *,
    repository: str,
    domain: str,
    base: str | None = None,
    predecessor: str | None = None,
    job_id: str | None = None,
    attempt: int | None = None,
) -> Begun:
    """Begin to write, as `Ledger.begin` says; the session of a job lives by the job's lease."""
    taken_over = pinned = held = None
    earlier = None if predecessor is None else held_state(tx, predecessor)
    if predecessor is not None and earlier in _UNENDED and _writes(tx, predecessor):
        taken_over = predecessor
        held = _take_over(tx, session, predecessor)
    else:
        if base is not None and _hold(tx, session, base):
            held = base
        if predecessor is not None and _pin(tx, session, predecessor):
            pinned = SessionId(predecessor)
    chain = [] if taken_over is None else [SessionId(taken_over), *_predecessors(tx, taken_over)]
    _insert(
        tx,
        session,
        repository=repository,
        domain=domain,
        base=held,
        predecessor=taken_over,
        job_id=job_id,
        attempt=attempt,
    )
    _insert_segset(tx, session, Phase.BUILDING)
    return Begun(None if held is None else RootId(held), tuple(chain), pinned)


def begin_reading(
    tx: Transaction,
    session: str,
    *,
    repository: str,
    domain: str,
    root: str,
    job_id: str | None = None,
    attempt: int | None = None,
) -> bool:
    """Begin to read a root, which is held; False if it is not committed.  Ends by `abort`."""
    if not _hold(tx, session, root):
        return False
    _insert(
        tx,
        session,
        repository=repository,
        domain=domain,
        base=root,
        job_id=job_id,
        attempt=attempt,
    )
    return True


def register(tx: Transaction, found: Found, *, repository: str, domain: str) -> None:
    """A session that the store told of; if it is committed, with one reference."""
    _insert(tx, found.session, repository=repository, domain=domain, state=State.ABORTED)
    _insert_segset(tx, found.session, Phase.OPEN, gens=found.gens)
    if found.committed:
        restore(tx, found.session, uses=found.uses)


def restore(tx: Transaction, session: str, *, uses: Collection[str]) -> None:
    """Make an ended session committed, with the references that it had, or one."""
    refs = sa.case((sessions.c.refs > 1, sessions.c.refs), else_=1)
    _move(tx, session, State.COMMITTED, refs=refs)
    set_uses(tx, session, uses)


def beat(tx: Transaction, session: str) -> bool:
    """A sign of life; False if the session is not active."""
    mine = (sessions.c.id == session, sessions.c.state == State.ACTIVE)
    return tx.changed(sa.update(sessions).where(*mine).values(heartbeat_at=tx.now())) == 1


def pin(tx: Transaction, session: str, segset: str) -> bool:
    """Pin a segset; False if it is not open or the session is not active."""
    return held_state(tx, session) == State.ACTIVE and (
        segset in _pinned(tx, session) or _pin(tx, session, segset)
    )


def commit(
    tx: Transaction,
    session: str,
    *,
    base: str | None,
    pins: Collection[str],
    uses: Collection[str],
) -> bool:
    """Commit, as `Ledger.commit` says; False, and nothing changed, if its condition fails."""
    asked = (sessions.c.repository, sessions.c.state, sessions.c.incarnation)
    row = tx.row(sa.select(*asked).where(sessions.c.id == session).with_for_update())
    if (
        row is None
        or row["state"] != State.ACTIVE
        or row["incarnation"] != repositories.incarnation(tx, row["repository"])
        or _held(tx, session) != base
        or not _pinned(tx, session).issuperset(pins)
        or not _writes(tx, session)
    ):
        return False
    _move(tx, session, State.COMMITTED, refs=1)
    set_uses(tx, session, uses)
    _release(tx, [session])
    return True


def abort(tx: Transaction, session: str) -> bool:
    """Give up an active or expired session: its segset opens, pins and hold are released."""
    return bool(_abort(tx, [session]))


def abort_all(tx: Transaction, job_id: str) -> None:
    """Give up all that the job's attempts wrote or read and did not end."""
    mine = (sessions.c.job_id == job_id, sessions.c.state.in_(_UNENDED))
    found = tx.connection.scalars(sa.select(sessions.c.id).where(*mine))
    _abort(tx, sorted(found))


def of_job(tx: Transaction, job_id: str) -> list[tuple[SessionId, State]]:
    """What the job's attempts began, newest first."""
    found = (
        sa.select(sessions.c.id, sessions.c.state)
        .where(sessions.c.job_id == job_id)
        .order_by(sessions.c.attempt.desc(), sessions.c.created_at.desc())
    )
    return [(SessionId(row["id"]), State(row["state"])) for row in tx.rows(found)]


def expire(tx: Transaction, repository: str, *, silent_for: float) -> list[SessionId]:
    """Expire the active sessions without a job or a sign of life for so many seconds."""
    silent = (
        sessions.c.repository == repository,
        sessions.c.state == State.ACTIVE,
        sessions.c.job_id.is_(None),
        sessions.c.heartbeat_at <= tx.now() - timedelta(seconds=silent_for),
    )
    found = tx.connection.scalars(sa.select(sessions.c.id).where(*silent))
    expired = sa.update(sessions).values(state=State.EXPIRED)
    return [
        SessionId(session)
        for session in sorted(found)
        if tx.changed(expired.where(sessions.c.id == session, *silent))
    ]


def state(tx: Transaction, session: str) -> State | None:
    """The state of a session; None if it is unknown."""
    return _state(tx, sa.select(sessions.c.state).where(sessions.c.id == session))


def held_state(tx: Transaction, session: str) -> State | None:
    """The session's state, which nobody else changes until the transaction ends."""
    found = sa.select(sessions.c.state).where(sessions.c.id == session)
    return _state(tx, found.with_for_update())


def states(tx: Transaction, domain_id: str) -> dict[SessionId, State]:
    """The state of each session of a domain."""
    found = sa.select(sessions.c.id, sessions.c.state).where(sessions.c.domain == domain_id)
    return {SessionId(row["id"]): State(row["state"]) for row in tx.rows(found)}


# Roots.


def refer(tx: Transaction, root: str) -> bool:
    """Add a reference; False if the root is not committed."""
    committed = (sessions.c.id == root, sessions.c.state == State.COMMITTED)
    return tx.changed(sa.update(sessions).where(*committed).values(refs=sessions.c.refs + 1)) == 1


def recount(tx: Transaction, root: str, references: int) -> None:
    """Say how many references a root has; nobody else may be at work."""
    tx.changed(sa.update(sessions).where(sessions.c.id == root).values(refs=references))


def drop(tx: Transaction, root: str) -> bool:
    """Take a reference away; True if it was the last: then remove the root, say `removed`."""
    found = sa.select(sessions.c.state, sessions.c.refs).where(sessions.c.id == root)
    row = tx.row(found.with_for_update())
    if row is None or row["state"] != State.COMMITTED:
        return False
    last: bool = row["refs"] == 1
    _move(tx, root, State.REMOVING if last else State.COMMITTED, refs=row["refs"] - 1)
    if last:
        set_uses(tx, root, ())
    return last


def removed(tx: Transaction, root: str) -> None:
    """The root's removal was answered."""
    removing = (sessions.c.id == root, sessions.c.state == State.REMOVING)
    tx.changed(sa.update(sessions).where(*removing).values(state=State.REMOVED))


def users(tx: Transaction, segset: str) -> list[RootId]:
    """The committed roots whose maps point, or may point, into the session's segments."""
    domain_id = sa.select(sessions.c.domain).where(sessions.c.id == segset).scalar_subquery()
    theirs = sa.or_(uses.c.segset == segset, uses.c.segset == domain_id)
    found = tx.connection.scalars(sa.select(uses.c.root).distinct().where(theirs))
    return [RootId(root) for root in found]


def set_uses(tx: Transaction, root: str, segsets: Collection[str]) -> None:
    """The sessions into whose segments the root's map points, instead of those known before."""
    tx.changed(sa.delete(uses).where(uses.c.root == root))
    if segsets:
        rows = [{"root": root, "segset": segset} for segset in sorted(set(segsets))]
        tx.connection.execute(sa.insert(uses), rows)


def quarantine(tx: Transaction, root: str, damage: Collection[str]) -> None:
    """The root's map reaches damaged records, which `damage` names; none: it is whole."""
    lines = list(damage) or None
    tx.changed(sa.update(sessions).where(sessions.c.id == root).values(damage=lines))


def damage(tx: Transaction, root: str) -> tuple[str, ...]:
    """What `quarantine` said last."""
    lines = tx.connection.scalar(sa.select(sessions.c.damage).where(sessions.c.id == root))
    return tuple(lines or ())


# The parts of these.


def _insert(
    tx: Transaction,
    session: str,
    *,
    repository: str,
    domain: str,
    state: State = State.ACTIVE,
    **values: Any,
) -> None:
    now = tx.now()
    new = {
        "id": session,
        "repository": repository,
        "domain": domain,
        "state": state,
        "incarnation": repositories.incarnation(tx, repository),
        "refs": 0,
        "heartbeat_at": now,
        "created_at": now,
    }
    tx.changed(sa.insert(sessions).values({**new, **values}))


def _insert_segset(tx: Transaction, session: str, phase: Phase, *, gens: str | None = None) -> None:
    new = {"session": session, "phase": phase, "pins": 0, "cycle": 0, "depth": 0, "position": 0}
    tx.changed(sa.insert(segsets).values(**new, gens=gens))


def _state(tx: Transaction, statement: sa.Select[Any]) -> State | None:
    found = tx.connection.scalar(statement)
    return None if found is None else State(found)


def _move(tx: Transaction, session: str, state: State, **values: Any) -> None:
    tx.changed(sa.update(sessions).where(sessions.c.id == session).values(state=state, **values))


def _writes(tx: Transaction, session: str) -> bool:
    """Whether it is one that writes, and not one that reads."""
    found = sa.select(segsets.c.session).where(segsets.c.session == session)
    return tx.connection.scalar(found) is not None


def _held(tx: Transaction, session: str) -> str | None:
    return tx.connection.scalar(sa.select(holds.c.root).where(holds.c.session == session))


def _hold(tx: Transaction, session: str, root: str) -> bool:
    if not refer(tx, root):
        return False
    tx.changed(sa.insert(holds).values(session=session, root=root))
    return True


def _pinned(tx: Transaction, session: str) -> set[str]:
    return set(tx.connection.scalars(sa.select(pins.c.segset).where(pins.c.session == session)))


def _pin(tx: Transaction, session: str, segset: str, *, phase: Phase = Phase.OPEN) -> bool:
    """Pin a segset that is in this phase, and open afterwards."""
    wanted = (segsets.c.session == segset, segsets.c.phase == phase)
    pinned = sa.update(segsets).where(*wanted)
    if not tx.changed(pinned.values(phase=Phase.OPEN, pins=segsets.c.pins + 1)):
        return False
    tx.changed(sa.insert(pins).values(session=session, segset=segset))
    return True


def _take_over(tx: Transaction, session: str, predecessor: str) -> str | None:
    """Abort the predecessor, and get its hold, its pins and one on what it wrote."""
    _move(tx, predecessor, State.ABORTED)
    for had in (holds, pins):
        tx.changed(sa.update(had).where(had.c.session == predecessor).values(session=session))
    _pin(tx, session, predecessor, phase=Phase.BUILDING)
    return _held(tx, session)


def _predecessors(tx: Transaction, session: str) -> list[SessionId]:
    """Those that it took over, newest first."""
    before = sa.select(sessions.c.predecessor).where(sessions.c.id == session)
    found = tx.connection.scalar(before)
    return [] if found is None else [SessionId(found), *_predecessors(tx, found)]


def _abort(tx: Transaction, found: Sequence[str]) -> list[str]:
    """Abort those that have not ended; `found` is in order."""
    ended = [session for session in found if held_state(tx, session) in _UNENDED]
    for session in ended:
        _move(tx, session, State.ABORTED)
    _release(tx, ended)
    return ended


def _release(tx: Transaction, ended: Sequence[str]) -> None:
    """Open what the sessions wrote, and give back what they held and pinned."""
    held = tx.connection.scalars(sa.select(holds.c.root).where(holds.c.session.in_(ended)))
    for root in sorted(held):
        drop(tx, root)
    tx.changed(sa.delete(holds).where(holds.c.session.in_(ended)))
    pinned = {session: _pinned(tx, session) for session in ended}
    touched = set(ended).union(*pinned.values())
    tx.rows(
        sa.select(segsets.c.session)
        .where(segsets.c.session.in_(touched))
        .order_by(segsets.c.session)
        .with_for_update()
    )
    built = segsets.c.session.in_(ended)
    tx.changed(sa.update(segsets).where(built).values(phase=Phase.OPEN))
    for session, theirs in pinned.items():
        less = sa.update(segsets).where(segsets.c.session.in_(theirs))
        tx.changed(less.values(pins=segsets.c.pins - 1))
        tx.changed(sa.delete(pins).where(pins.c.session == session))
