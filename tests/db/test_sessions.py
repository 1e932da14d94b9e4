"""The sessions of jobs, in transactions of their caller's."""

from tests.databases import Clock
from tests.db.conftest import REPOSITORY

from emberkeep.db import sessions
from emberkeep.db.database import Database
from emberkeep.db.ledger import SqlLedger
from emberkeep.engine.ids import SessionId
from emberkeep.engine.ledger import Begun, Found, Phase, State
from emberkeep.testing.ledger.means import DOMAIN, committed, new_session, segset


def begin(
    database: Database, attempt: int, *, base: str | None = None, predecessor: str | None = None
) -> SessionId:
    session = new_session()
    with database.writing() as tx:
        sessions.begin(
            tx,
            session,
            repository=REPOSITORY,
            domain=DOMAIN,
            base=base,
            predecessor=predecessor,
            job_id="job",
            attempt=attempt,
        )
    return session


def of_job(database: Database, job_id: str = "job") -> list[tuple[SessionId, State]]:
    with database.reading() as tx:
        return sessions.of_job(tx, job_id)


def test_the_session_of_a_job_lives_by_its_lease(
    database: Database, ledger: SqlLedger, clock: Clock
) -> None:
    mine, free = begin(database, 1), new_session()
    ledger.begin(free, domain=DOMAIN)
    clock.pass_by(10**6)
    assert ledger.expire(silent_for=0) == [free]
    assert ledger.state(mine) == State.ACTIVE


def test_only_sessions_of_the_repository_expire(database: Database, ledger: SqlLedger) -> None:
    session = new_session()
    ledger.begin(session, domain=DOMAIN)
    assert SqlLedger(database, "6" * 32).expire(silent_for=0) == []
    assert ledger.state(session) == State.ACTIVE


def test_each_repository_counts_for_itself(database: Database, ledger: SqlLedger) -> None:
    other = SqlLedger(database, "6" * 32)
    assert [ledger.begin_cycle(seen=0) for _ in range(3)] == [1, 2, 3]
    assert other.begin_cycle(seen=0) == 1
    other.settle(DOMAIN, incarnation=7, cycle=0, found=())
    assert (ledger.incarnation(), other.incarnation()) == (1, 7)


def test_a_job_finds_what_its_attempts_began_the_newest_first(database: Database) -> None:
    first = begin(database, 1)
    second = begin(database, 2, predecessor=first)
    third = begin(database, 10)
    assert of_job(database) == [
        (third, State.ACTIVE),
        (second, State.ACTIVE),
        (first, State.ABORTED),
    ]
    assert of_job(database, "another") == []


def test_aborting_a_job_ends_its_writers_and_readers_and_releases_all(
    database: Database, ledger: SqlLedger
) -> None:
    base, foreign = committed(ledger), committed(ledger)
    first, second = begin(database, 1, base=base), begin(database, 2, base=base)
    reader, stranger, done = new_session(), new_session(), begin(database, 3)
    ledger.commit(done, base=None, pins=(), uses=())
    ledger.begin(stranger, domain=DOMAIN)
    with database.writing() as tx:
        assert sessions.begin_reading(
            tx,
            reader,
            repository=REPOSITORY,
            domain=DOMAIN,
            root=base,
            job_id="job",
            attempt=4,
        )
    for session in (first, second, stranger):
        assert ledger.pin(session, SessionId(foreign)) is not None
    ledger.drop(base)
    with database.writing() as tx:
        sessions.abort_all(tx, "job")
    assert of_job(database) == [
        (reader, State.ABORTED),
        (done, State.COMMITTED),
        (second, State.ABORTED),
        (first, State.ABORTED),
    ]
    assert segset(ledger, foreign).pins == 1
    assert segset(ledger, first).phase == segset(ledger, second).phase == Phase.OPEN
    assert ledger.state(SessionId(base)) == State.REMOVING
    assert ledger.state(stranger) == State.ACTIVE


def test_what_a_caller_rolls_back_never_was(database: Database, ledger: SqlLedger) -> None:
    base, session = committed(ledger), new_session()
    with database.reading() as tx:  # what is written there is lost
        sessions.begin(tx, session, repository=REPOSITORY, domain=DOMAIN, base=base)
    assert ledger.state(session) is None
    assert ledger.drop(base)


def test_a_registered_root_is_as_the_store_says(database: Database, ledger: SqlLedger) -> None:
    known, told = committed(ledger), new_session()
    found = Found(told, committed=True, gens="g", uses=(known, told))
    with database.writing() as tx:
        sessions.register(tx, found, repository=REPOSITORY, domain=DOMAIN)
    assert ledger.users(SessionId(known)) == [told]
    assert ledger.users(told) == [told]
    assert segset(ledger, told).gens == "g"
    assert ledger.begin(new_session(), domain=DOMAIN, base=told) == Begun(told)
    assert not ledger.drop(told)
    assert ledger.state(told) == State.COMMITTED
