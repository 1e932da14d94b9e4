"""What the suite's tests are made of."""

import functools
import secrets
import threading
from collections.abc import Callable, Collection
from typing import ParamSpec, TypeVar

from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.ledger import Ledger, Segset

_T = TypeVar("_T")
_P = ParamSpec("_P")
PassBy = Callable[[float], None]
DOMAIN = DomainId(secrets.token_hex(16))
ELSEWHERE = DomainId(secrets.token_hex(16))
ROUNDS = 4  # of what may come out in either way


def new_session() -> SessionId:
    return SessionId(secrets.token_hex(16))


def writing(ledger: Ledger, *, base: RootId | None = None, pins: Collection[str] = ()) -> SessionId:
    """An active session that holds and pins these."""
    session = new_session()
    assert ledger.begin(session, domain=DOMAIN, base=base).base == base
    for foreign in pins:
        assert ledger.pin(session, SessionId(foreign)) is not None
    return session


def reading(ledger: Ledger, root: RootId) -> SessionId:
    """An active session that holds the root to read it."""
    session = new_session()
    assert ledger.begin_reading(session, domain=DOMAIN, root=root)
    return session


def committed(ledger: Ledger, *, uses: Collection[SessionId] = ()) -> RootId:
    """A root with one reference."""
    session = writing(ledger)
    assert ledger.commit(session, base=None, pins=(), uses=uses)
    return RootId(session)


def sessions(*roots: RootId) -> list[SessionId]:
    """Those that wrote the roots."""
    return [SessionId(root) for root in roots]


def segset(ledger: Ledger, session: str) -> Segset:
    found = ledger.segset(SessionId(session))
    assert found is not None
    return found


def drained(ledger: Ledger, session: str) -> int:
    """The number of a new cycle that drained the session's segset."""
    cycle = ledger.begin_cycle(seen=0)
    assert ledger.drain(SessionId(session), cycle)
    return cycle


def at_once(*calls: Callable[[], _T]) -> list[_T]:
    """Make all calls at the same moment, each in a thread of its own, and give their answers."""
    barrier = threading.Barrier(len(calls))
    answers: dict[int, _T] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            answers[number] = calls[number]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [answers[number] for number in range(len(calls))]


def repeated(test: Callable[_P, None]) -> Callable[_P, None]:
    """A test that is worth to be tried more than once."""

    @functools.wraps(test)
    def several(*args: _P.args, **kwargs: _P.kwargs) -> None:
        for _ in range(ROUNDS):
            test(*args, **kwargs)

    return several
