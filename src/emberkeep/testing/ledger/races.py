"""Everything at once: of what excludes each other, one comes first."""

import random
from functools import partial

from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.ledger import Begun, Ledger, Phase, Segset, State
from emberkeep.testing.ledger.means import (
    DOMAIN,
    at_once,
    committed,
    drained,
    new_session,
    reading,
    repeated,
    segset,
    sessions,
    writing,
)


class RaceConformance:
    @repeated
    def test_of_many_that_drop_a_root_one_is_the_last(self, ledger: Ledger) -> None:
        root = committed(ledger)
        for _ in range(7):
            ledger.refer(root)
        last = at_once(*[partial(ledger.drop, root)] * 8)
        assert sorted(last) == [False] * 7 + [True]
        assert ledger.state(SessionId(root)) == State.REMOVING

    @repeated
    def test_a_root_is_referred_to_or_removed(self, ledger: Ledger) -> None:
        root = committed(ledger)
        last, *referred = at_once(partial(ledger.drop, root), *[partial(ledger.refer, root)] * 3)
        if last:
            assert referred == [False] * 3
        for _ in range(sum(referred)):
            assert ledger.state(SessionId(root)) == State.COMMITTED
            last = ledger.drop(root)
        assert last

    @repeated
    def test_a_base_is_held_or_removed(self, ledger: Ledger) -> None:
        base, session = committed(ledger), new_session()

        def begin() -> bool:
            return ledger.begin(session, domain=DOMAIN, base=base).base == base

        held, last = at_once(begin, partial(ledger.drop, base))
        assert held != last
        assert ledger.commit(session, base=base if held else None, pins=(), uses=())
        assert ledger.state(SessionId(base)) == State.REMOVING

    @repeated
    def test_a_segset_is_pinned_before_it_is_drained_or_not(self, ledger: Ledger) -> None:
        foreign = SessionId(committed(ledger))
        writers = [writing(ledger) for _ in range(6)]
        cycle = ledger.begin_cycle(seen=0)

        def drain() -> Segset | None:
            assert ledger.drain(foreign, cycle)
            fence = ledger.fence(DOMAIN, cycle)
            return fence.segsets[0] if fence.segsets else None

        alone, *pinned = at_once(
            drain, *(partial(ledger.pin, writer, foreign) for writer in writers)
        )
        count = sum(answer is not None for answer in pinned)
        assert segset(ledger, foreign).pins == count
        assert (alone is None) == (count > 0)

    @repeated
    def test_a_session_commits_or_expires(self, ledger: Ledger) -> None:
        base = committed(ledger)
        session = writing(ledger, base=base)
        ledger.drop(base)

        def commit() -> bool:
            return ledger.commit(session, base=base, pins=(), uses=())

        done, expired = at_once(commit, lambda: ledger.expire(silent_for=0) == [session])
        assert done != expired
        assert ledger.state(session) == (State.COMMITTED if done else State.EXPIRED)
        assert ledger.state(SessionId(base)) == (State.REMOVING if done else State.COMMITTED)

    @repeated
    def test_a_session_commits_or_is_taken_over(self, ledger: Ledger) -> None:
        base, foreign = committed(ledger), committed(ledger)
        old, new = writing(ledger, base=base, pins=[foreign]), new_session()

        def commit() -> bool | Begun:
            return ledger.commit(old, base=base, pins=sessions(foreign), uses=())

        def begin() -> bool | Begun:
            return ledger.begin(new, domain=DOMAIN, predecessor=old)

        done, begun = at_once(commit, begin)
        if done:
            assert begun == Begun(None, pinned=old)
            assert ledger.state(old) == State.COMMITTED
            assert segset(ledger, foreign).pins == 0
        else:
            assert begun == Begun(base, predecessors=(old,))
            assert ledger.state(old) == State.ABORTED
            assert segset(ledger, foreign).pins == 1
        assert segset(ledger, old).pins == 1

    @repeated
    def test_of_many_successors_one_takes_over(self, ledger: Ledger) -> None:
        base, foreign = committed(ledger), committed(ledger)
        old = writing(ledger, base=base, pins=[foreign])

        def begin() -> Begun:
            return ledger.begin(new_session(), domain=DOMAIN, predecessor=old)

        begun = at_once(*[begin] * 4)
        assert sorted(len(answer.predecessors) for answer in begun) == [0, 0, 0, 1]
        assert segset(ledger, foreign).pins == 1
        assert segset(ledger, old).pins == 4

    @repeated
    def test_a_session_is_aborted_and_releases_once(self, ledger: Ledger) -> None:
        root, foreign = committed(ledger), committed(ledger)
        ledger.refer(root)
        session = writing(ledger, base=root, pins=[foreign])
        assert sorted(at_once(*[partial(ledger.abort, session)] * 4)) == [False] * 3 + [True]
        assert segset(ledger, foreign).pins == 0
        assert not ledger.drop(root)
        assert ledger.drop(root)

    @repeated
    def test_a_session_that_is_aborted_leaves_no_pin(self, ledger: Ledger) -> None:
        foreign = sessions(*(committed(ledger) for _ in range(5)))
        session = writing(ledger)
        pins = [partial(ledger.pin, session, segset) for segset in foreign]
        at_once(partial(ledger.abort, session), *pins)
        assert not any(segset(ledger, session).pins for session in foreign)

    @repeated
    def test_a_session_that_is_taken_over_passes_each_pin_on(self, ledger: Ledger) -> None:
        foreign = sessions(*(committed(ledger) for _ in range(5)))
        old, new = writing(ledger), new_session()
        pins = [partial(ledger.pin, old, segset) for segset in foreign]
        _begun, *pinned = at_once(partial(ledger.begin, new, domain=DOMAIN, predecessor=old), *pins)
        had = [answer.session for answer in pinned if isinstance(answer, Segset)]
        assert [session for session in foreign if segset(ledger, session).pins] == had
        assert ledger.commit(new, base=None, pins=[old, *had], uses=())
        assert not any(segset(ledger, session).pins for session in foreign)

    @repeated
    def test_sessions_that_share_all_they_pin_and_hold_end_together(self, ledger: Ledger) -> None:
        base = committed(ledger)
        foreign = [committed(ledger) for _ in range(5)]
        writers = [
            writing(ledger, base=base, pins=foreign[turn:] + foreign[:turn]) for turn in range(5)
        ]
        reader = reading(ledger, base)

        def commit(session: SessionId) -> bool:
            return ledger.commit(session, base=base, pins=sessions(*foreign), uses=())

        ended = at_once(
            *(partial(commit, session) for session in writers[:3]),
            *(partial(ledger.abort, session) for session in writers[3:]),
            partial(ledger.abort, reader),
            partial(ledger.drop, base),
        )
        assert all(ended[:6])
        assert not any(segset(ledger, root).pins for root in foreign)
        assert ledger.state(SessionId(base)) == State.REMOVING

    @repeated
    def test_no_two_cycles_have_one_number(self, ledger: Ledger) -> None:
        numbers = at_once(*[partial(ledger.begin_cycle, seen=0)] * 6)
        assert len(set(numbers)) == 6

    @repeated
    def test_the_latest_of_many_cycles_has_the_segset(self, ledger: Ledger) -> None:
        session = SessionId(committed(ledger))
        drains = at_once(*(partial(ledger.drain, session, cycle) for cycle in range(1, 7)))
        assert drains[-1]
        assert segset(ledger, session).cycle == 6

    @repeated
    def test_a_gate_passes_or_was_overtaken(self, ledger: Ledger) -> None:
        session = SessionId(committed(ledger))
        slow, quick = drained(ledger, session), ledger.begin_cycle(seen=0)
        passed, taken = at_once(
            partial(ledger.gate, session, slow, gens="slow", gone=False),
            partial(ledger.drain, session, quick),
        )
        assert taken
        assert segset(ledger, session).phase == Phase.DRAINING
        assert segset(ledger, session).gens == ("slow" if passed else None)

    @repeated
    def test_of_a_gate_told_twice_one_counts(self, ledger: Ledger) -> None:
        session = SessionId(committed(ledger))
        gate = partial(ledger.gate, session, drained(ledger, session), gens="g", gone=False)
        assert sorted(at_once(*[gate] * 4)) == [False] * 3 + [True]

    def test_whatever_many_do_at_once_all_counts_come_out_even(self, ledger: Ledger) -> None:
        lives = [_Life(ledger, seed) for seed in range(6)]
        for life in lives:
            life.others = lives
        at_once(*(life.live for life in lives))
        for session, state in ledger.sessions(DOMAIN).items():
            if state in (State.ACTIVE, State.EXPIRED):
                assert ledger.abort(session)
        assert [row for row in ledger.segsets(DOMAIN) if row.pins] == []
        for life in lives:
            for root in life.references:
                assert ledger.state(SessionId(root)) == State.COMMITTED
                ledger.drop(root)
        assert State.COMMITTED not in ledger.sessions(DOMAIN).values()


class _Life:
    """What one process does to the ledger, by chance, also with what others began."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.random = random.Random(seed)
        self.others: list[_Life] = []
        self.sessions: list[tuple[SessionId, RootId | None]] = [(writing(ledger), None)]
        self.references = [committed(ledger)]  # a root for each that it has to drop

    def live(self) -> None:
        deeds = (self.begin, self.pin, self.pin, self.end, self.read, self.refer, self.collect)
        for _ in range(40):
            self.random.choice(deeds)()

    def begin(self) -> None:
        session = new_session()
        predecessor, _base = self.session()
        if self.random.random() < 0.5:
            begun = self.ledger.begin(session, domain=DOMAIN, base=self.root())
        else:
            begun = self.ledger.begin(session, domain=DOMAIN, predecessor=predecessor)
        self.sessions.append((session, begun.base))

    def pin(self) -> None:
        session, _base = self.sessions[-1]
        self.ledger.pin(session, SessionId(self.root()))

    def end(self) -> None:
        session, base = self.session()
        if self.random.random() < 0.3:
            self.ledger.abort(session)
        elif self.ledger.commit(session, base=base, pins=(), uses=()):
            self.references.append(RootId(session))

    def read(self) -> None:
        session, root = new_session(), self.root()
        if self.ledger.begin_reading(session, domain=DOMAIN, root=root):
            self.sessions.append((session, root))

    def refer(self) -> None:
        root = self.root()
        if self.random.random() < 0.5:
            if self.ledger.refer(root):
                self.references.append(root)
        elif len(self.references) > 1:
            self.ledger.drop(self.references.pop())

    def collect(self) -> None:
        session, cycle = SessionId(self.root()), self.ledger.begin_cycle(seen=0)
        self.ledger.drain(session, cycle)
        self.ledger.fence(DOMAIN, cycle)
        self.ledger.gate(session, cycle, gens=None, gone=False)
        self.ledger.expire(silent_for=60)

    def session(self) -> tuple[SessionId, RootId | None]:
        return self.random.choice(list(self.random.choice(self.others).sessions))

    def root(self) -> RootId:
        return self.random.choice(list(self.random.choice(self.others).references))
