"""Collections, verifications, and settling."""

import pytest

from emberkeep.engine.errors import LedgerBehind
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import Found, Ledger, Phase, State
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


class CollectorConformance:
    """Draining, fence and gate."""

    def test_cycles_are_numbered_and_rise(self, ledger: Ledger) -> None:
        numbers = [ledger.begin_cycle(seen=0) for _ in range(3)]
        assert numbers == [1, 2, 3]
        assert ledger.begin_cycle(seen=3) == 4

    def test_a_ledger_that_is_behind_its_store_says_so(self, ledger: Ledger) -> None:
        ledger.begin_cycle(seen=0)
        with pytest.raises(LedgerBehind):
            ledger.begin_cycle(seen=2)
        assert ledger.begin_cycle(seen=1) == 2

    def test_sessions_and_segsets_are_told_by_domain(self, ledger: Ledger) -> None:
        root, other = committed(ledger), new_session()
        reader = reading(ledger, root)
        ledger.begin(other, domain=ELSEWHERE)
        ledger.commit(other, base=None, pins=(), uses=())
        assert ledger.sessions(DOMAIN) == {root: State.COMMITTED, reader: State.ACTIVE}
        assert ledger.sessions(ELSEWHERE) == {other: State.COMMITTED}
        assert [row.session for row in ledger.segsets(DOMAIN)] == sessions(root)
        assert [row.session for row in ledger.segsets(ELSEWHERE)] == [other]
        cycle = ledger.begin_cycle(seen=0)
        assert ledger.drain(SessionId(root), cycle)
        assert ledger.drain(other, cycle)
        for domain, session in ((DOMAIN, root), (ELSEWHERE, other)):
            fence = ledger.fence(domain, cycle)
            assert fence.roots == {session: State.COMMITTED}
            assert [row.session for row in fence.segsets] == [session]

    def test_a_later_cycle_takes_a_drained_segset_and_an_earlier_one_does_not(
        self, ledger: Ledger
    ) -> None:
        session = SessionId(committed(ledger))
        first, second, third = (ledger.begin_cycle(seen=0) for _ in range(3))
        assert ledger.drain(session, second)
        assert segset(ledger, session).phase == Phase.DRAINING
        assert segset(ledger, session).cycle == second
        assert not ledger.drain(session, second)
        assert not ledger.drain(session, first)
        assert segset(ledger, session).cycle == second
        assert ledger.drain(session, third)
        assert segset(ledger, session).cycle == third
        assert ledger.fence(DOMAIN, second).segsets == ()
        assert ledger.fence(DOMAIN, third).segsets == (segset(ledger, session),)

    def test_an_opened_segset_is_not_drained_by_an_earlier_cycle(self, ledger: Ledger) -> None:
        session = SessionId(committed(ledger))
        first, second = (ledger.begin_cycle(seen=0) for _ in range(2))
        ledger.drain(session, second)
        ledger.gate(session, second, gens=None, gone=False)
        assert not ledger.drain(session, first)
        assert segset(ledger, session).phase == Phase.OPEN

    def test_what_is_being_built_or_gone_is_not_drained(self, ledger: Ledger) -> None:
        active, expired, gone = writing(ledger), writing(ledger), SessionId(committed(ledger))
        ledger.expire(silent_for=0)
        ledger.gate(gone, drained(ledger, gone), gens=None, gone=True)
        cycle = ledger.begin_cycle(seen=0)
        for session in (active, expired, gone, new_session()):
            before = ledger.segset(session)
            assert not ledger.drain(session, cycle)
            assert ledger.segset(session) == before

    def test_the_fence_shows_drained_segsets_and_all_roots(self, ledger: Ledger) -> None:
        whole, damaged, removing = committed(ledger), committed(ledger), committed(ledger)
        removed, aborted = committed(ledger), writing(ledger)
        pinned, still_open = committed(ledger), committed(ledger)
        writing(ledger, pins=[pinned])
        ledger.abort(aborted)
        ledger.quarantine(damaged, ["lost"])
        for root in (removing, removed):
            ledger.drop(root)
        ledger.removed(removed)
        cycle = ledger.begin_cycle(seen=0)
        for session in (whole, removed, aborted, pinned):
            assert ledger.drain(SessionId(session), cycle)
        fence = ledger.fence(DOMAIN, cycle)
        assert {row.session for row in fence.segsets} == {whole, removed, aborted}
        assert all(row == ledger.segset(row.session) for row in fence.segsets)
        assert fence.roots == {
            whole: State.COMMITTED,
            damaged: State.COMMITTED,
            removing: State.REMOVING,
            pinned: State.COMMITTED,
            still_open: State.COMMITTED,
        }
        assert fence.quarantined == {damaged}

    def test_a_gate_says_what_is_left_and_opens_the_segset(self, ledger: Ledger) -> None:
        session = SessionId(committed(ledger))
        cycle = drained(ledger, session)
        assert ledger.gate(session, cycle, gens="g1", gone=False)
        row = segset(ledger, session)
        assert (row.phase, row.gens, row.cycle) == (Phase.OPEN, "g1", cycle)
        assert ledger.fence(DOMAIN, cycle).segsets == ()
        assert ledger.pin(writing(ledger), session) is not None

    def test_what_is_gone_stays_known_as_gone(self, ledger: Ledger) -> None:
        session = SessionId(committed(ledger))
        cycle = drained(ledger, session)
        assert ledger.gate(session, cycle, gens=None, gone=True)
        assert segset(ledger, session).phase == Phase.GONE
        assert not ledger.gate(session, cycle, gens="g1", gone=False)
        assert segset(ledger, session).phase == Phase.GONE

    def test_a_cycle_that_was_overtaken_fails_at_its_gate(self, ledger: Ledger) -> None:
        session = SessionId(committed(ledger))
        slow = drained(ledger, session)
        quick = drained(ledger, session)
        before = segset(ledger, session)
        for gone in (False, True):
            assert not ledger.gate(session, slow, gens="slow", gone=gone)
            assert segset(ledger, session) == before
        assert ledger.gate(session, quick, gens="quick", gone=False)
        assert not ledger.gate(session, slow, gens="slow", gone=False)
        assert not ledger.gate(session, quick, gens="again", gone=True)
        assert segset(ledger, session).gens == "quick"
        assert segset(ledger, session).phase == Phase.OPEN

    def test_what_was_not_drained_passes_no_gate(self, ledger: Ledger) -> None:
        building, still_open = writing(ledger), SessionId(committed(ledger))
        for session in (building, still_open, new_session()):
            before = ledger.segset(session)
            for cycle in (0, 1):
                assert not ledger.gate(session, cycle, gens=None, gone=True)
            assert ledger.segset(session) == before


class VerificationConformance:
    """What is known of damage."""

    def test_damaged_records_of_a_segset_are_as_told_last(self, ledger: Ledger) -> None:
        session, whole = SessionId(committed(ledger)), SessionId(committed(ledger))
        ledger.mark_bad(session, ["b1", "b2"])
        assert segset(ledger, session).bad == ("b1", "b2")
        assert segset(ledger, whole).bad == ()
        assert ledger.bad(DOMAIN) == {session: ("b1", "b2")}
        assert ledger.bad(ELSEWHERE) == {}
        ledger.mark_bad(session, ["b3"])
        assert ledger.bad(DOMAIN) == {session: ("b3",)}
        ledger.mark_bad(session, [])
        assert segset(ledger, session).bad == ()
        assert ledger.bad(DOMAIN) == {}

    def test_segsets_come_in_the_order_of_their_last_whole_check(
        self, ledger: Ledger, pass_by: PassBy
    ) -> None:
        first, second, third = sorted(SessionId(committed(ledger)) for _ in range(3))
        ledger.check(first, depth=2, position=0)
        pass_by(10)
        ledger.check(third, depth=3, position=0)
        ledger.check(second, depth=2, position=7)
        rows = ledger.segsets(DOMAIN)
        assert [row.session for row in rows] == [second, first, third]
        assert [(row.depth, row.position) for row in rows] == [(0, 7), (2, 0), (3, 0)]
        assert rows[0].checked_at == 0
        assert rows[2].checked_at - rows[1].checked_at >= 10

    def test_a_check_that_goes_on_keeps_the_time_of_the_last_whole_one(
        self, ledger: Ledger, pass_by: PassBy
    ) -> None:
        first, second = sorted((SessionId(committed(ledger)) for _ in range(2)), reverse=True)
        ledger.check(first, depth=2, position=0)
        pass_by(10)
        ledger.check(second, depth=2, position=0)
        pass_by(10)
        ledger.check(first, depth=3, position=5)
        rows = ledger.segsets(DOMAIN)
        assert [(row.session, row.depth, row.position) for row in rows] == [
            (first, 2, 5),
            (second, 2, 0),
        ]

    def test_the_users_of_a_segset_are_committed_roots(self, ledger: Ledger) -> None:
        first = committed(ledger)
        both = committed(ledger, uses=sessions(first))
        own, gone = committed(ledger), committed(ledger, uses=sessions(first))
        ledger.drop(gone)
        assert ledger.users(SessionId(first)) == [both]
        assert ledger.users(SessionId(own)) == []
        three = committed(ledger, uses=sessions(first, own))
        assert set(ledger.users(SessionId(first))) == {both, three}
        assert ledger.users(SessionId(own)) == [three]

    def test_the_damage_of_a_root_is_as_told_last(self, ledger: Ledger) -> None:
        root, other = committed(ledger), committed(ledger)
        assert ledger.damage(root) == ()
        ledger.quarantine(root, ["one", "two"])
        assert ledger.damage(root) == ("one", "two")
        assert ledger.damage(other) == ()
        assert ledger.fence(DOMAIN, 0).quarantined == {root}
        ledger.quarantine(root, [])
        assert ledger.damage(root) == ()
        assert ledger.fence(DOMAIN, 0).quarantined == frozenset()


class SettlingConformance:
    """After a disaster the store's word counts."""

    def test_found_sessions_become_what_was_found_and_all_others_end(self, ledger: Ledger) -> None:
        kept, lost, unfinished = committed(ledger), committed(ledger), writing(ledger)
        removing, removed, aborted = committed(ledger), committed(ledger), writing(ledger)
        expired, active, committing = writing(ledger), writing(ledger), writing(ledger)
        new, new_debris = new_session(), new_session()
        for root in (removing, removed):
            ledger.drop(root)
        ledger.removed(removed)
        ledger.abort(aborted)
        settle(
            ledger,
            Found(SessionId(kept), committed=True, gens=None),
            Found(committing, committed=True, gens=None),
            Found(new, committed=True, gens=None),
            Found(unfinished, committed=False, gens=None),
            Found(new_debris, committed=False, gens=None),
        )
        assert ledger.sessions(DOMAIN) == {
            kept: State.COMMITTED,
            committing: State.COMMITTED,
            new: State.COMMITTED,
            lost: State.ABORTED,
            unfinished: State.ABORTED,
            aborted: State.ABORTED,
            expired: State.ABORTED,
            active: State.ABORTED,
            new_debris: State.ABORTED,
            removing: State.REMOVED,
            removed: State.REMOVED,
        }
        assert len(ledger.segsets(DOMAIN)) == 11
        assert all(row.phase == Phase.OPEN for row in ledger.segsets(DOMAIN))
        for session in (SessionId(kept), committing, new):
            assert ledger.drop(RootId(session))  # the only reference

    def test_no_pin_and_no_hold_remains(self, ledger: Ledger) -> None:
        root, foreign, lost = committed(ledger), committed(ledger), committed(ledger)
        ledger.refer(root)
        writer = writing(ledger, base=root, pins=[foreign, lost])
        reader = reading(ledger, root)
        ledger.abort(reading(ledger, root))
        ledger.begin(new_session(), domain=DOMAIN, predecessor=writing(ledger, base=root))
        for _ in range(2):
            settle(
                ledger,
                Found(SessionId(root), committed=True, gens=None),
                Found(SessionId(foreign), committed=True, gens=None),
            )
        assert ledger.state(writer) == ledger.state(reader) == State.ABORTED
        assert segset(ledger, foreign).pins == segset(ledger, lost).pins == 0
        assert not ledger.drop(root)  # two rows referred to it
        assert ledger.drop(root)

    def test_what_is_left_of_segsets_is_as_found(self, ledger: Ledger) -> None:
        compacted, whole, lost = committed(ledger), committed(ledger), committed(ledger)
        gone, closed, back = committed(ledger), committed(ledger), committed(ledger)
        for root in (compacted, whole, lost):
            ledger.gate(SessionId(root), drained(ledger, root), gens="before", gone=False)
        for root in (gone, back):
            ledger.gate(SessionId(root), drained(ledger, root), gens=None, gone=True)
        drained(ledger, closed)
        new = new_session()
        settle(
            ledger,
            Found(SessionId(compacted), committed=True, gens="after"),
            Found(SessionId(whole), committed=True, gens=None),
            Found(SessionId(back), committed=True, gens="back"),
            Found(new, committed=False, gens="new"),
        )
        left = {row.session: (row.phase, row.gens) for row in ledger.segsets(DOMAIN)}
        assert left == {
            compacted: (Phase.OPEN, "after"),
            whole: (Phase.OPEN, None),
            lost: (Phase.OPEN, None),
            closed: (Phase.OPEN, None),
            gone: (Phase.GONE, None),
            back: (Phase.OPEN, "back"),
            new: (Phase.OPEN, "new"),
        }

    def test_the_users_of_a_segset_are_as_found(self, ledger: Ledger) -> None:
        first, second = committed(ledger), committed(ledger)
        lost = committed(ledger, uses=sessions(first))
        was, new = committed(ledger, uses=sessions(second)), new_session()
        settle(
            ledger,
            Found(SessionId(first), committed=True, gens=None, uses=()),
            Found(SessionId(second), committed=True, gens=None, uses=()),
            Found(SessionId(was), committed=True, gens=None, uses=tuple(sessions(first))),
            Found(new, committed=True, gens=None, uses=tuple(sessions(first, second))),
            Found(new_session(), committed=False, gens=None),
        )
        assert set(ledger.users(SessionId(first))) == {was, RootId(new)}
        assert ledger.users(SessionId(second)) == [RootId(new)]
        assert ledger.users(SessionId(lost)) == []

    def test_incarnation_and_cycle_only_rise(self, ledger: Ledger) -> None:
        assert ledger.incarnation() == 1
        settle(ledger, incarnation=3, cycle=10)
        assert ledger.incarnation() == 3
        assert ledger.begin_cycle(seen=10) == 11
        settle(ledger, incarnation=2, cycle=5)
        assert ledger.incarnation() == 3
        assert ledger.begin_cycle(seen=11) == 12

    def test_what_was_found_has_seen_all_cycles(self, ledger: Ledger) -> None:
        known, new = committed(ledger), new_session()
        found = [Found(SessionId(one), committed=True, gens=None) for one in (known, new)]
        settle(ledger, *found, cycle=10)
        assert segset(ledger, known).cycle == segset(ledger, new).cycle == 10

    def test_settling_a_domain_leaves_the_others_alone(self, ledger: Ledger) -> None:
        root, foreign = committed(ledger), committed(ledger)
        session = writing(ledger, base=root, pins=[foreign])
        cycle = drained(ledger, root)
        ledger.settle(ELSEWHERE, incarnation=1, cycle=0, found=())
        assert segset(ledger, root).phase == Phase.DRAINING
        assert segset(ledger, root).cycle == cycle
        assert ledger.commit(session, base=root, pins=sessions(foreign), uses=())


def settle(ledger: Ledger, *found: Found, incarnation: int = 1, cycle: int = 0) -> None:
    ledger.settle(DOMAIN, incarnation=incarnation, cycle=cycle, found=found)
