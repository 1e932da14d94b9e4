"""Pins on segsets and references to roots: what others rely on stays."""

from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import Ledger, Phase, State
from emberkeep.testing.ledger.means import (
    DOMAIN,
    committed,
    drained,
    new_session,
    reading,
    segset,
    sessions,
    writing,
)


class PinConformance:
    """Who may begin to rely on a foreign segset."""

    def test_a_pin_counts_once(self, ledger: Ledger) -> None:
        foreign = SessionId(committed(ledger))
        first, second = writing(ledger), writing(ledger)
        assert ledger.pin(first, foreign) == ledger.pin(first, foreign) == segset(ledger, foreign)
        assert segset(ledger, foreign).pins == 1
        assert ledger.pin(second, foreign) == segset(ledger, foreign)
        assert segset(ledger, foreign).pins == 2

    def test_a_pin_tells_what_is_left_of_the_segset(self, ledger: Ledger) -> None:
        foreign = SessionId(committed(ledger))
        ledger.mark_bad(foreign, ["b1"])
        ledger.gate(foreign, drained(ledger, foreign), gens="g1", gone=False)
        pinned = ledger.pin(writing(ledger), foreign)
        assert pinned is not None
        assert (pinned.gens, pinned.bad) == ("g1", ("b1",))

    def test_only_an_open_segset_can_be_pinned(self, ledger: Ledger) -> None:
        building = writing(ledger)
        draining, gone = SessionId(committed(ledger)), SessionId(committed(ledger))
        drained(ledger, draining)
        ledger.gate(gone, drained(ledger, gone), gens=None, gone=True)
        session = writing(ledger)
        for foreign in (building, draining, gone, new_session()):
            assert ledger.pin(session, foreign) is None
        assert not any(segset(ledger, foreign).pins for foreign in (building, draining, gone))
        assert not ledger.commit(session, base=None, pins=[draining], uses=())

    def test_only_an_active_session_can_pin(self, ledger: Ledger) -> None:
        foreign = SessionId(committed(ledger))
        expired, aborted = writing(ledger), writing(ledger)
        ledger.abort(aborted)
        ledger.expire(silent_for=0)
        for session in (expired, aborted, SessionId(committed(ledger)), new_session()):
            assert ledger.pin(session, foreign) is None
        assert segset(ledger, foreign).pins == 0

    def test_who_has_a_pin_keeps_it_while_the_segset_is_drained(self, ledger: Ledger) -> None:
        foreign = committed(ledger)
        session = writing(ledger, pins=[foreign])
        cycle = drained(ledger, foreign)
        pinned = ledger.pin(session, SessionId(foreign))
        assert pinned is not None
        assert (pinned.phase, pinned.pins) == (Phase.DRAINING, 1)
        assert ledger.fence(DOMAIN, cycle).segsets == ()
        assert ledger.commit(session, base=None, pins=sessions(foreign), uses=())
        assert ledger.fence(DOMAIN, cycle).segsets == (segset(ledger, foreign),)


class RootConformance:
    """References to roots: who takes the last one away removes the root."""

    def test_the_last_reference_takes_the_root_along(self, ledger: Ledger) -> None:
        root = committed(ledger)
        assert ledger.refer(root)
        assert not ledger.drop(root)
        assert ledger.state(SessionId(root)) == State.COMMITTED
        assert ledger.drop(root)
        assert ledger.state(SessionId(root)) == State.REMOVING
        ledger.removed(root)
        assert ledger.state(SessionId(root)) == State.REMOVED

    def test_what_is_not_committed_is_not_referred_to(self, ledger: Ledger) -> None:
        removing, removed = committed(ledger), committed(ledger)
        active, aborted = RootId(writing(ledger)), RootId(writing(ledger))
        ledger.drop(removing)
        ledger.drop(removed)
        ledger.removed(removed)
        ledger.abort(SessionId(aborted))
        for root in (removing, removed, active, aborted, RootId(new_session())):
            state = ledger.state(SessionId(root))
            assert not ledger.refer(root)
            assert not ledger.drop(root)
            assert not ledger.begin_reading(session := new_session(), domain=DOMAIN, root=root)
            assert ledger.state(session) is None
            assert ledger.state(SessionId(root)) == state

    def test_only_a_root_on_its_way_is_removed(self, ledger: Ledger) -> None:
        root = committed(ledger)
        ledger.removed(root)
        assert ledger.state(SessionId(root)) == State.COMMITTED

    def test_a_root_that_is_read_stays_until_the_reader_ends(self, ledger: Ledger) -> None:
        root = committed(ledger)
        reader = reading(ledger, root)
        assert ledger.state(reader) == State.ACTIVE
        assert ledger.segset(reader) is None
        assert not ledger.drop(root)
        assert not ledger.refer(RootId(reader))
        assert ledger.state(SessionId(root)) == State.COMMITTED
        assert ledger.abort(reader)
        assert ledger.state(SessionId(root)) == State.REMOVING

    def test_a_reader_expires_and_keeps_its_root_until_it_is_aborted(self, ledger: Ledger) -> None:
        root = committed(ledger)
        reader = reading(ledger, root)
        assert ledger.expire(silent_for=0) == [reader]
        assert not ledger.drop(root)
        assert ledger.abort(reader)
        assert ledger.state(SessionId(root)) == State.REMOVING

    def test_a_root_stays_for_a_row_when_its_holder_ends(self, ledger: Ledger) -> None:
        root = committed(ledger)
        ledger.abort(reading(ledger, root))
        ledger.abort(writing(ledger, base=root))
        assert ledger.state(SessionId(root)) == State.COMMITTED
        assert ledger.drop(root)
