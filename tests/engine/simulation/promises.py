"""The promises, looked at when everything has come to rest."""

from tests.engine.simulation import actors
from tests.engine.simulation.world import LONG, World

from emberkeep.engine import layout, marks, roots
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.collector import SPARSE
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.layout import Kind, Pointer, SegmentId
from emberkeep.engine.ledger import State
from emberkeep.engine.marks import Marks
from emberkeep.engine.repository import Repository
from emberkeep.engine.stored import SegmentReader


def check(world: World) -> None:
    """Let everything come to rest, and see that all promises were kept.

    All backups can be restored; after two collections too, and nothing else is left; and nothing
    at all two collections after all backups were deleted.
    """
    world.network.land()
    world.scheduler.now += LONG
    world.deleting.clear()
    repository = world.process()
    _restore_all(world, repository)
    _end_sessions(world)
    _verify(world, repository)  # whoever needs something damaged must not stop the collections
    _collect_twice(world, repository)
    _restore_all(world, repository, verified=True)
    _restore_all(world, world.process(with_ledger=False))
    _verify(world, repository)
    _heal(world, repository)
    if not world.damaged:
        for domain in world.domains:
            _check_what_is_left(world, domain)
    for root, count in sorted(world.rows.items()):
        for _ in range(count):
            repository.delete(world.domain_of[root], root)
    _collect_twice(world, repository)
    for domain in world.domains:
        if left := _objects(world, domain):
            world.fail(f"all backups were deleted, but there still are {sorted(left)}")
    if world.broken:
        raise world.broken


def _restore_all(world: World, repository: Repository, *, verified: bool = False) -> None:
    quarantined = {
        root for domain in world.domains for root in world.ledger.fence(domain, 0).quarantined
    }
    for root in [root for root, count in world.rows.items() if count]:
        try:
            world.restore(repository, root)
        except DamagedObject as error:
            if not world.is_affected(root):
                world.fail(f"{root} is available, but can't be restored: {error}")
            if verified and root not in quarantined:
                world.fail(f"{root} can't be restored, but a verification let it pass: {error}")


def _verify(world: World, repository: Repository) -> None:
    for domain in world.domains:
        verified = repository.verify(domain, depth=2)
        if verified.damaged and not world.damaged:
            world.fail(f"nothing is damaged, but a verification says so: {verified.damaged}")


def _heal(world: World, repository: Repository) -> None:
    """What is backed up now is whole, whatever was damaged of its base."""
    for volume in world.volumes if world.damaged else ():
        bases = [
            root
            for root in world.available(world.domain_of[volume.name])
            if layout.root_name(world.domain_of[root], root)
            not in world.damaged.get(SessionId(root), ())
        ]
        session = actors.attempt(
            world, repository, volume, volume.snapshot(), base=bases[-1] if bases else None
        )
        world.restore(repository, RootId(session))


def _end_sessions(world: World) -> None:
    for domain in world.domains:
        for session, state in world.ledger.sessions(domain).items():
            if state in (State.ACTIVE, State.EXPIRED):
                world.ledger.abort(session)


def _collect_twice(world: World, repository: Repository) -> None:
    for domain in world.domains:
        for _ in range(2):
            repository.collect(domain)
            world.scheduler.now += LONG


def _objects(world: World, domain: DomainId) -> set[str]:
    return {name for name in world.store.objects if name.startswith(f"d/{domain}/")} - {
        name for name in world.store.objects if "/key/" in name
    }


def _check_what_is_left(world: World, domain: DomainId) -> None:
    """Just what is reachable is there."""
    reader = SegmentReader(world.store, world.metadata_key, domain, world.ledger)
    live = [root for root in world.rows if world.rows[root] and world.domain_of[root] == domain]
    reached = Marks()
    wanted = set()
    for root in live:
        name = layout.root_name(domain, root)
        wanted.add(name)
        part = roots.layout_of(world.store.get(name), world.metadata_key, domain, root)
        marks.walk(Nodes(reader), part, reached, damaged=_raise, checkpoint=lambda: None)
    for session in reached.sessions():
        row = world.ledger.segset(session)
        if row.gens:
            wanted.add(row.gens)
        for seq in reached.seqs(session):
            segment = SegmentId(session, seq)
            generation = world.names.named(segment) or "gone"
            wanted.add(layout.segment_name(domain, segment, generation))
            if _is_sparse(reader, segment, generation, reached):
                world.fail(f"{segment}.{generation} is sparse, but was not compacted")
    there = _objects(world, domain)
    hints = {name for name in there if "/h/" in name}
    if len(hints) > (1 if live else 0):
        world.fail(f"hints that nobody merged: {sorted(hints)}")
    there -= hints
    if there != wanted:
        world.fail(f"not needed: {sorted(there - wanted)}; missing: {sorted(wanted - there)}")
    if quarantined := world.ledger.fence(domain, 0).quarantined:
        world.fail(f"in quarantine, though nothing was damaged: {sorted(quarantined)}")


def _is_sparse(reader: SegmentReader, segment: SegmentId, generation: str, reached: Marks) -> bool:
    tail = reader.tail_of(segment, generation)
    rows = tail.footer.records
    live = set(reached.indexes(segment).tolist())
    kept = sum(int(r["length"]) for r in rows if r["index"] in live or r["kind"] == Kind.IDS)
    return reached.stored(segment) <= SPARSE * tail.size and kept <= SPARSE * int(
        rows["length"].sum()
    )


def _raise(_place: Pointer, error: DamagedObject) -> None:
    raise error
