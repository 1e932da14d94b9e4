"""Sessions that write: who may commit, and who takes over what."""

import pytest

from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import Begun, Ledger, Phase, Segset, State
from emberkeep.testing.ledger.means import (
    DOMAIN,
    ELSEWHERE,
    PassBy,
    committed,
    drained,
    new_session,
    reading,
    segset,
    sessions,
    writing,
)


class WriterConformance:
    def test_a_new_session_is_active_and_builds_its_segset(self, ledger: Ledger) -> None:
        session = new_session()
        assert ledger.state(session) is None
        assert ledger.segset(session) is None
        assert ledger.begin(session, domain=DOMAIN) == Begun(None)
        assert ledger.state(session) == State.ACTIVE
        assert ledger.segset(session) == Segset(
            session=session,
            phase=Phase.BUILDING,
            pins=0,
            cycle=0,
            gens=None,
            bad=(),
            checked_at=0,
            depth=0,
            position=0,
        )

    def test_a_committed_session_has_one_reference_and_an_open_segset(self, ledger: Ledger) -> None:
        session = writing(ledger)
        assert ledger.commit(session, base=None, pins=(), uses=())
        assert ledger.state(session) == State.COMMITTED
        assert segset(ledger, session).phase == Phase.OPEN
        assert ledger.drop(RootId(session))

    def test_a_commit_releases_pins_and_hold(self, ledger: Ledger) -> None:
        base, foreign = committed(ledger), committed(ledger)
        session = writing(ledger, base=base, pins=[foreign])
        assert not ledger.drop(base)
        assert segset(ledger, foreign).pins == 1
        assert ledger.commit(session, base=base, pins=[SessionId(foreign)], uses=())
        assert ledger.state(SessionId(base)) == State.REMOVING
        assert segset(ledger, foreign).pins == 0

    def test_who_is_not_active_cannot_commit(self, ledger: Ledger) -> None:
        expired, aborted, done = writing(ledger), writing(ledger), SessionId(committed(ledger))
        ledger.abort(aborted)
        ledger.expire(silent_for=0)
        for session in (expired, aborted, done, new_session()):
            state = ledger.state(session)
            assert not ledger.commit(session, base=None, pins=(), uses=())
            assert ledger.state(session) == state
        assert segset(ledger, expired).phase == Phase.BUILDING
        assert ledger.drop(RootId(done))

    def test_a_reader_cannot_commit(self, ledger: Ledger) -> None:
        root = committed(ledger)
        reader = reading(ledger, root)
        assert not ledger.commit(reader, base=root, pins=(), uses=())
        assert ledger.state(reader) == State.ACTIVE

    def test_a_commit_without_the_hold_that_it_relied_on_fails(self, ledger: Ledger) -> None:
        base, other = committed(ledger), committed(ledger)
        holding, free = writing(ledger, base=base), writing(ledger)
        for session, claimed in ((holding, other), (holding, None), (free, base)):
            assert not ledger.commit(session, base=claimed, pins=(), uses=[SessionId(base)])
            assert ledger.state(session) == State.ACTIVE
            assert segset(ledger, session).phase == Phase.BUILDING
        assert not ledger.drop(base)  # it is still held
        assert ledger.users(SessionId(base)) == []
        assert ledger.commit(holding, base=base, pins=(), uses=())

    def test_a_commit_without_a_pin_that_it_relied_on_fails(self, ledger: Ledger) -> None:
        first, second = committed(ledger), committed(ledger)
        session = writing(ledger, pins=[first])
        assert not ledger.commit(session, base=None, pins=sessions(first, second), uses=())
        assert ledger.state(session) == State.ACTIVE
        assert segset(ledger, first).pins == 1
        assert ledger.commit(session, base=None, pins=sessions(first), uses=())

    def test_a_commit_may_name_fewer_pins_than_there_are(self, ledger: Ledger) -> None:
        foreign = committed(ledger)
        session = writing(ledger, pins=[foreign])
        assert ledger.commit(session, base=None, pins=(), uses=())
        assert segset(ledger, foreign).pins == 0

    def test_a_session_of_an_older_incarnation_cannot_commit(self, ledger: Ledger) -> None:
        session = writing(ledger)
        ledger.settle(ELSEWHERE, incarnation=2, cycle=0, found=())
        assert ledger.state(session) == State.ACTIVE
        assert not ledger.commit(session, base=None, pins=(), uses=())
        assert ledger.state(session) == State.ACTIVE
        assert ledger.commit(writing(ledger), base=None, pins=(), uses=())

    def test_aborting_opens_the_segset_and_releases_pins_and_hold(self, ledger: Ledger) -> None:
        base, foreign = committed(ledger), committed(ledger)
        session = writing(ledger, base=base, pins=[foreign])
        ledger.drop(base)
        assert ledger.abort(session)
        assert ledger.state(session) == State.ABORTED
        assert segset(ledger, session).phase == Phase.OPEN
        assert segset(ledger, foreign).pins == 0
        assert ledger.state(SessionId(base)) == State.REMOVING

    def test_what_has_ended_is_not_aborted(self, ledger: Ledger) -> None:
        done, aborted = SessionId(committed(ledger)), writing(ledger)
        ledger.abort(aborted)
        assert not ledger.abort(done)
        assert not ledger.abort(aborted)
        assert not ledger.abort(new_session())
        assert ledger.state(done) == State.COMMITTED

    def test_the_silent_expire_and_the_others_do_not(self, ledger: Ledger, pass_by: PassBy) -> None:
        silent, alive, done = writing(ledger), writing(ledger), SessionId(committed(ledger))
        pass_by(60)
        assert ledger.beat(alive)
        assert ledger.expire(silent_for=61) == []
        pass_by(30)
        assert ledger.expire(silent_for=60) == [silent]
        assert ledger.expire(silent_for=60) == []
        assert ledger.state(silent) == State.EXPIRED
        assert ledger.state(alive) == State.ACTIVE
        assert ledger.state(done) == State.COMMITTED

    def test_who_is_not_active_gives_no_sign_of_life(self, ledger: Ledger) -> None:
        expired = writing(ledger)
        ledger.expire(silent_for=0)
        for session in (expired, SessionId(committed(ledger)), new_session()):
            assert not ledger.beat(session)
        assert ledger.state(expired) == State.EXPIRED

    def test_an_expired_session_keeps_what_it_has_until_it_is_aborted(self, ledger: Ledger) -> None:
        base, foreign = committed(ledger), committed(ledger)
        session = writing(ledger, base=base, pins=[foreign])
        ledger.expire(silent_for=0)
        assert not ledger.drop(base)
        assert segset(ledger, foreign).pins == 1
        assert segset(ledger, session).phase == Phase.BUILDING
        assert ledger.abort(session)
        assert segset(ledger, foreign).pins == 0
        assert ledger.state(SessionId(base)) == State.REMOVING

    @pytest.mark.parametrize("expired", [False, True])
    def test_a_takeover_passes_pins_and_hold_on(self, ledger: Ledger, expired: bool) -> None:
        base, foreign, other = committed(ledger), committed(ledger), committed(ledger)
        old = writing(ledger, base=base, pins=[foreign])
        ledger.drop(base)
        if expired:
            ledger.expire(silent_for=0)
        new = new_session()
        begun = ledger.begin(new, domain=DOMAIN, base=other, predecessor=old)
        assert begun == Begun(base, predecessors=(old,))
        assert ledger.state(old) == State.ABORTED
        assert ledger.state(SessionId(base)) == State.COMMITTED
        assert ledger.drop(other)  # nobody holds it
        assert segset(ledger, foreign).pins == 1
        assert segset(ledger, old).phase == Phase.OPEN
        assert segset(ledger, old).pins == 1
        assert ledger.commit(new, base=base, pins=sessions(foreign, RootId(old)), uses=())
        assert ledger.state(SessionId(base)) == State.REMOVING
        assert segset(ledger, foreign).pins == segset(ledger, old).pins == 0

    def test_who_was_taken_over_can_do_nothing_more(self, ledger: Ledger) -> None:
        foreign, other = committed(ledger), committed(ledger)
        old = writing(ledger, pins=[foreign])
        ledger.begin(new_session(), domain=DOMAIN, predecessor=old)
        assert ledger.pin(old, SessionId(foreign)) is None
        assert ledger.pin(old, SessionId(other)) is None
        assert not ledger.commit(old, base=None, pins=(), uses=())
        assert not ledger.abort(old)
        assert not ledger.beat(old)
        assert segset(ledger, foreign).pins == segset(ledger, old).pins == 1

    def test_a_takeover_of_a_session_without_a_base_gives_none(self, ledger: Ledger) -> None:
        base = committed(ledger)
        new = new_session()
        assert ledger.begin(new, domain=DOMAIN, base=base, predecessor=writing(ledger)).base is None
        assert ledger.drop(base)
        assert not ledger.commit(new, base=base, pins=(), uses=())

    def test_each_takeover_passes_on_what_all_before_had(self, ledger: Ledger) -> None:
        first, second, third = writing(ledger), new_session(), new_session()
        ledger.begin(second, domain=DOMAIN, predecessor=first)
        begun = ledger.begin(third, domain=DOMAIN, predecessor=second)
        assert begun.predecessors == (second, first)
        assert segset(ledger, first).pins == segset(ledger, second).pins == 1
        assert ledger.commit(third, base=None, pins=[first, second], uses=())
        assert segset(ledger, first).pins == segset(ledger, second).pins == 0

    def test_of_a_predecessor_given_up_only_the_open_segset_is_pinned(self, ledger: Ledger) -> None:
        base = committed(ledger)
        old, new = writing(ledger, base=base), new_session()
        ledger.abort(old)
        begun = ledger.begin(new, domain=DOMAIN, base=base, predecessor=old)
        assert begun == Begun(base, predecessors=(), pinned=old)
        assert segset(ledger, old).pins == 1
        assert ledger.commit(new, base=base, pins=[old], uses=())
        assert segset(ledger, old).pins == 0

    def test_a_predecessor_given_up_breaks_the_chain(self, ledger: Ledger) -> None:
        first, second = writing(ledger), new_session()
        ledger.begin(second, domain=DOMAIN, predecessor=first)
        ledger.abort(second)
        begun = ledger.begin(new_session(), domain=DOMAIN, predecessor=second)
        assert begun == Begun(None, pinned=second)

    @pytest.mark.parametrize("gone", [False, True])
    def test_a_predecessor_that_is_drained_is_of_no_use(self, ledger: Ledger, gone: bool) -> None:
        old = writing(ledger)
        ledger.abort(old)
        cycle = drained(ledger, old)
        if gone:
            ledger.gate(old, cycle, gens=None, gone=True)
        assert ledger.begin(new_session(), domain=DOMAIN, predecessor=old) == Begun(None)
        assert segset(ledger, old).pins == 0

    def test_a_reader_or_an_unknown_predecessor_is_of_no_use(self, ledger: Ledger) -> None:
        base, reader = committed(ledger), reading(ledger, committed(ledger))
        for predecessor in (reader, new_session()):
            new = new_session()
            assert ledger.begin(new, domain=DOMAIN, base=base, predecessor=predecessor) == Begun(
                base
            )
        assert ledger.state(reader) == State.ACTIVE

    def test_only_a_committed_base_is_held(self, ledger: Ledger) -> None:
        active, aborted, removing = writing(ledger), writing(ledger), committed(ledger)
        ledger.abort(aborted)
        ledger.drop(removing)
        for base in (RootId(active), RootId(aborted), removing, RootId(new_session())):
            session = new_session()
            assert ledger.begin(session, domain=DOMAIN, base=base) == Begun(None)
            assert ledger.commit(session, base=None, pins=(), uses=())
