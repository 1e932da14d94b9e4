"""What the processes of a simulation do: each works on one thing after another, until it ends.

An actor knows which errors it may meet.  Every other one is a defect, and so is damage that nobody
did.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.engine.simulation.ledger import LedgerUnreachable
from tests.engine.simulation.store import Unreachable
from tests.engine.simulation.volumes import Snapshot, Volume
from tests.engine.simulation.world import LONG, SETTINGS, Saved, World

from emberkeep.engine.collector import SPARSE
from emberkeep.engine.errors import BackupGone, DamagedObject, LedgerBehind, SessionLost
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.ledger import State
from emberkeep.engine.repository import Repository

Task = Callable[[World, Repository], None]
_LIVING = (State.ACTIVE, State.EXPIRED)


def back_up(world: World, repository: Repository) -> None:
    """One attempt of a backup, perhaps an increment, perhaps after one that did not end."""
    random = world.random
    volume = random.choice(world.volumes)
    predecessor = _an_earlier_attempt(world, volume) if random.random() < 0.7 else None
    if predecessor and random.random() < 0.7:
        snapshot = world.snapshots[predecessor]
    else:
        volume.change()
        snapshot = volume.snapshot()
    base = _a_base(world, volume)
    gives_up = random.random() < 0.3
    attempt(
        world, repository, volume, snapshot, base=base, predecessor=predecessor, gives_up=gives_up
    )


def _an_earlier_attempt(world: World, volume: Volume) -> SessionId | None:
    """Most often one that did not end, or one of which a collection left a part."""
    ledger, random = world.ledger.now, world.random
    attempts = world.attempts[volume.name]
    unfinished = [s for s in attempts[-4:] if ledger.state(s) in _LIVING]
    rows = [ledger.segset(s) for s in attempts]
    parts = [row.session for row in rows if row and row.gens]
    kinds = [unfinished, unfinished, unfinished, parts, attempts[-4:]]
    return random.choice(random.choice([kind for kind in kinds if kind] or [[None]]))


def _a_base(world: World, volume: Volume) -> RootId | None:
    """Most often the volume's latest backup."""
    bases = world.available(world.domain_of[volume.name])
    own = [base for base in bases if SessionId(base) in world.attempts[volume.name]]
    choices = [own[-1:], own[-1:], bases, [None]]
    return world.random.choice(world.random.choice(choices) or [None])


def attempt(
    world: World,
    repository: Repository,
    volume: Volume,
    snapshot: Snapshot,
    *,
    base: RootId | None = None,
    predecessor: SessionId | None = None,
    gives_up: bool = False,
) -> SessionId:
    """Back a snapshot up; after an error the session is left as it is, or given up."""
    session = repository.new_session()
    world.begins(session, volume, snapshot)
    world.network.note(f"{session}: {volume.name} on {base} after {predecessor}")
    try:
        repository.back_up(
            snapshot,
            domain=world.domain_of[session],
            description={"volume_id": volume.name},
            base=base,
            predecessor=predecessor,
            session=session,
            settings=SETTINGS,
        )
    except SessionLost:
        if world.ledger.now.state(session) == State.ACTIVE:
            world.fail(f"{session} was told that it was ended, but it was not")
    except DamagedObject:
        if not world.damaged and world.ledger.now.state(session) in _LIVING:
            raise
    except (Unreachable, LedgerUnreachable):
        if gives_up:
            with unreachable():
                repository.ledger.abort(session)
    return session


def restore(world: World, repository: Repository) -> None:
    """A restore: right, or refused because the backup was deleted."""
    roots = world.available()
    if not roots:
        return
    root = world.random.choice(roots)
    readers = len(world.readers)
    try:
        with unreachable():
            world.restore(repository, root)
    except BackupGone:
        if world.rows[root]:
            world.fail(f"{root} is available, but a restore is told that it is gone")
    except DamagedObject:
        ended = any(world.ledger.now.state(s) not in _LIVING for s in world.readers[readers:])
        if not world.is_affected(root) and (world.rows[root] or not ended):
            raise


def import_again(world: World, _repository: Repository) -> None:
    """Another backup of a root."""
    roots = world.available()
    if roots:
        with unreachable():
            world.ledger.refer(world.random.choice(roots))


def delete(world: World, repository: Repository) -> None:
    """A backup is deleted."""
    roots = world.available()
    if len(roots) > 1 or (roots and world.random.random() < 0.3):
        erase(world, repository, world.random.choice((roots[0], world.random.choice(roots))))


def erase(world: World, repository: Repository, root: RootId) -> None:
    """Delete a backup; its root goes, too, if it was the last."""
    world.deleting[root] += 1
    try:
        with unreachable():
            repository.delete(world.domain_of[root], root)
    finally:
        world.deleting[root] -= 1


def collect(world: World, repository: Repository) -> None:
    """One cycle, which spares more or less of a segment."""
    random = world.random
    cycle(world, repository, random.choice(world.domains), sparse=random.choice((0.3, 0.5, 0.9)))


def cycle(
    world: World, repository: Repository, domain: DomainId, *, sparse: float = SPARSE
) -> None:
    """Collect a domain."""
    try:
        with unreachable():
            repository.collect(domain, sparse=sparse)
    except DamagedObject:
        if not world.damaged:
            raise


def verify(world: World, repository: Repository) -> None:
    """Find damage, and none where there is none."""
    random = world.random
    with unreachable():
        verified = repository.verify(
            random.choice(world.domains),
            depth=random.choice((1, 2, 3)),
            share=random.choice((0.2, 1)),
        )
        if not world.damaged and (verified.damaged or verified.quarantined):
            world.fail(f"nothing is damaged, but a verification says so: {verified.damaged}")


def reap(world: World, repository: Repository) -> None:
    """Sessions that were silent expire, whether they live or not; some are given up."""
    random = world.random
    with unreachable():
        repository.ledger.expire(silent_for=random.choice((0, 0, 1, 5)))
        for session, state in repository.ledger.sessions(random.choice(world.domains)).items():
            if state == State.EXPIRED and random.random() < 0.5:
                repository.ledger.abort(session)


def damage(world: World, _repository: Repository) -> None:
    """A bit of some object turns, or the object is lost."""
    random = world.random
    kind = random.choice(("s", "s", "r", "g"))
    names = [name for name in sorted(world.store.objects) if name.split("/")[2:3] == [kind]]
    if not names:
        return
    name = random.choice(names)
    data = bytearray(world.store.objects[name])
    # No verification looks at what a root describes.
    end = int.from_bytes(data[12:16], "little") if kind == "r" else len(data)
    data[random.randrange(end)] ^= 1 << random.randrange(8)
    session = SessionId(name.split("/")[-2 if kind == "s" else -1])
    world.damage(name, session, None if random.random() < 0.3 else bytes(data))


_TASKS: tuple[tuple[Task, int], ...] = (
    (back_up, 8),
    (collect, 6),
    (delete, 5),
    (restore, 2),
    (reap, 2),
    (import_again, 1),
    (verify, 1),
)


def process(world: World) -> Callable[[], None]:
    """A process that does one to three things."""
    tasks, weights = zip(*_TASKS, strict=True)
    return several(world, world.random.choices(tasks, weights, k=world.random.choice((1, 1, 2, 3))))


def several(world: World, tasks: Sequence[Task]) -> Callable[[], None]:
    """A process that does one thing after another."""

    def work() -> None:
        repository = world.process()
        for task in tasks:
            world.network.note(task.__name__)
            task(world, repository)

    return work


def operator(world: World) -> Callable[[], None]:
    """The database is saved, and some time later put back."""
    random = world.random

    def work() -> None:
        world.scheduler.stall(random.randrange(150))
        saved = world.save_database()
        world.network.note("saved the database")
        for number in range(random.randrange(4)):
            world.scheduler.start(f"later{number}", process(world))
        if random.random() < 0.5:
            world.scheduler.start("later", several(world, (delete, delete, collect)))
        world.scheduler.stall(random.randrange(300))
        world.scheduler.kill_others()
        world.network.land()
        world.network.note("puts the database back")
        blank = Saved(world.ledger.empty(), Counter())
        world.put_database_back(blank if random.random() < 0.1 else saved)
        if random.random() < 0.5:
            _forget_to_settle(world)

    return work


def _forget_to_settle(world: World) -> None:
    """Collections before the ledger was settled: refused, or without harm."""
    world.scheduler.now += LONG  # or listings would hide what betrays it
    for _ in range(world.random.randint(1, 4)):
        domain = world.random.choice(world.domains)
        with unreachable():
            try:
                world.process().collect(domain)
            except (LedgerBehind, DamagedObject) as error:
                world.network.note(f"refused: {error}")


def settle(world: World) -> Callable[[], None]:
    """An operator settles what was put back, and takes it for done even if it was not."""

    def work() -> None:
        world.network.land()
        with unreachable():
            world.settle(world.process())
        if world.before and world.random.random() < 0.5:
            _forget_to_settle(world)

    return work


@contextmanager
def unreachable() -> Iterator[None]:
    """A service does not answer: somebody will try again another time."""
    with suppress(Unreachable, LedgerUnreachable):
        yield
