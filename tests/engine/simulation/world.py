"""The world of a simulation: services, volumes, and a model of what was promised.

The model is small: which snapshot each session writes, and how many backups (rows) refer to each
root.  It changes when a transaction takes effect, whatever its caller is told.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest import mock

from tests.engine.place import copy_of
from tests.engine.simulation.cipher import OnceCipher
from tests.engine.simulation.ledger import SimulatedLedger
from tests.engine.simulation.names import Names
from tests.engine.simulation.network import Faults, Network, faultless
from tests.engine.simulation.scheduler import Scheduler
from tests.engine.simulation.store import SimulatedStore
from tests.engine.simulation.volumes import CHUNK, Restored, Snapshot, Volume

from emberkeep.engine import keys, segments
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.ledger import State
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository, Settings
from emberkeep.testing.engine import a_key_manager, a_ledger, repeatable

# Tiny, so that a backup has several segments and puts a checkpoint after each leaf.
SETTINGS = Settings(chunk_size=CHUNK, segment_size=400, workers=0, checkpoint_bytes=300)
_SUFFIX = 100  # bytes of a segment that are read first: footers and ids need a second read
_ROOM = 16 << 10
LONG = 1e6  # seconds in which everything settles


class Violation(AssertionError):
    """A promise was broken."""


@contextmanager
def small_and_strict() -> Iterator[None]:
    """Sizes that make a run quick, and a cipher that refuses to use a nonce twice."""
    with (
        mock.patch.object(segments, "SUFFIX", _SUFFIX),
        mock.patch.object(segments, "ROOM", _ROOM),
        mock.patch.object(keys, "AESGCM", OnceCipher),
        mock.patch.object(OnceCipher, "used", set()),
    ):
        yield


@dataclass(frozen=True, slots=True)
class Saved:
    """The database at one moment."""

    ledger: MemoryLedger
    rows: Counter[RootId]


class World:
    """One repository, and the volumes that are backed up into its domains."""

    def __init__(
        self,
        random: Random,
        *,
        faults: Faults = faultless,
        burst: int = 1,
        settles_within: float = 0,
        domains: int = 1,
        volumes: int = 1,
    ) -> None:
        self.random = random
        self.scheduler = Scheduler(random, burst=burst)
        self.network = Network(self.scheduler, random, faults)
        self.store = SimulatedStore(
            self.network, self.scheduler, random, settles_within=settles_within
        )
        self.ledger = SimulatedLedger(self.network, lambda: self.scheduler.now)
        self.ledger.happened = self._happened

        self.snapshots: dict[SessionId, Snapshot] = {}
        self.attempts: dict[str, list[SessionId]] = {}  # of each volume
        self.domain_of: dict[str, DomainId] = {}  # of volumes, sessions and roots
        self.rows: Counter[RootId] = Counter()
        self.readers: list[SessionId] = []
        self.deleting: Counter[RootId] = Counter()  # rows that somebody is deleting
        # What was damaged: of which sessions, by name, and how it had been.
        self.damaged: dict[SessionId, dict[str, bytes]] = {}
        self.before: Saved | None = None  # what was, if the database was put back since
        self.settled_beside_damage = False
        self.broken: Violation | None = None

        self._processes = 0
        self._keys = a_key_manager()
        first = Repository.create(
            self.store,
            self._keys,
            ledger=a_ledger(self.ledger),
            random=repeatable("world"),
            sleep=self.scheduler.sleep,
        )
        self.metadata_key = first._metadata_key
        self.names = Names(self.metadata_key, self._ledger_that_counts, self.fail)
        self.store.names = self.names
        self.domains = [first.create_domain() for _ in range(domains)]
        self.volumes = [Volume(f"v{number}", random) for number in range(volumes)]
        for number, volume in enumerate(self.volumes):
            self.attempts[volume.name] = []
            self.domain_of[volume.name] = self.domains[number % domains]

    def process(self, *, with_ledger: bool = True) -> Repository:
        """The repository as a new process opens it."""
        self._processes += 1
        return Repository.open(
            self.store,
            self._keys,
            ledger=a_ledger(self.ledger) if with_ledger else lambda _repository: None,
            random=repeatable(f"process {self._processes}"),
            clock=lambda: self.scheduler.now,
            sleep=self.scheduler.sleep,
        )

    def begins(self, session: SessionId, volume: Volume, snapshot: Snapshot) -> None:
        """A session is going to write a snapshot of a volume."""
        self.snapshots[session] = snapshot
        self.attempts[volume.name].append(session)
        self.domain_of[session] = self.domain_of[volume.name]

    def available(self, domain: DomainId | None = None) -> list[RootId]:
        """The roots with a backup that nobody is deleting."""
        return [
            root
            for root, count in self.rows.items()
            if count > self.deleting[root] and domain in (None, self.domain_of[root])
        ]

    def restore(self, repository: Repository, root: RootId) -> None:
        """Restore a backup.  Raises `Violation` if it is not what was backed up."""
        snapshot = self.snapshots[SessionId(root)]
        target = Restored(snapshot.size)
        repository.restore(self.domain_of[root], root, target, settings=SETTINGS)
        if not target.equals(snapshot):
            self.fail(f"{root} was restored, but not to what it was")

    def is_affected(self, root: RootId) -> bool:
        """Whether a backup may need something that was damaged."""
        ledger = self.before.ledger if self.before else self.ledger.now
        row = ledger._sessions[SessionId(root)]
        return not self.damaged.keys().isdisjoint({SessionId(root), *row.uses})

    def damage(self, name: str, session: SessionId, data: bytes | None) -> None:
        """Change an object of a session behind everybody's back, or lose it."""
        self.network.note(f"damages {name}")
        self.damaged.setdefault(session, {}).setdefault(name, self.store.objects[name])
        if data is None:
            del self.store.objects[name]
        else:
            self.store.objects[name] = data

    def repair(self) -> None:
        """Bring back all that was damaged, but for what nobody knows any more."""
        for session, objects in self.damaged.items():
            if self.ledger.now.state(session) is not None:
                self.store.objects |= objects
        self.damaged.clear()
        if self.settled_beside_damage:  # the operator does it again, now that all is there
            self.network.land()
            self.scheduler.now += LONG
            self.settle(self.process())

    def fail(self, what: str) -> None:
        """A promise is broken, whatever becomes of this exception.  Raises `Violation`."""
        self.broken = self.broken or Violation(what)
        raise self.broken

    # A database that is put back to an older state.

    def save_database(self) -> Saved:
        return Saved(copy_of(self.ledger.now), self.rows.copy())

    def put_database_back(self, saved: Saved) -> None:
        self.before = Saved(self.ledger.now, self.rows.copy())
        self.ledger.now = saved.ledger
        self.rows = saved.rows.copy()
        self.deleting.clear()

    def settle(self, repository: Repository) -> None:
        """What an operator does then; everything else has ended.  All that was acknowledged is
        there again, but for what was being deleted."""
        acknowledged = self.rows if self.before is None else self.before.rows
        self.settled_beside_damage = bool(self.damaged)
        states = {
            s: state for d in self.domains for s, state in self.ledger.now.sessions(d).items()
        }
        settled = repository.settle()
        whole = {root for domain in settled.values() for root in domain.backups}
        for root in sorted(whole):
            if states.get(SessionId(root)) in (State.ABORTED, State.REMOVING, State.REMOVED):
                self.fail(f"{root} had ended for ever, but is a backup again")
        for root, count in acknowledged.items():
            if count and root not in whole and not self.is_affected(root):
                why = settled[self.domain_of[root]].broken.get(root)
                self.fail(f"{root} was available before the database was put back: {why}")
        kept = {
            root
            for domain in settled.values()
            for root in domain.broken
            if self.ledger.now.state(SessionId(root)) == State.COMMITTED
        }
        missed = {root for root in kept if acknowledged[root]}
        for root in sorted(kept - missed):  # late roots of attempts that failed: nobody wants them
            while self.ledger.now.state(SessionId(root)) == State.COMMITTED:
                self.ledger.now.drop(root)
        self.rows = Counter({root: max(1, self.rows[root]) for root in sorted(whole | missed)})
        self.before = None

    def _ledger_that_counts(self) -> MemoryLedger | None:
        return None if self.before else self.ledger.now

    def _happened(self, verb: str, about: str, result: Any) -> None:
        match verb:
            case "commit" if result:
                self.rows[RootId(about)] = 1
            case "begin_reading" if result:
                self.readers.append(SessionId(about))
            case "refer" if result:
                self.rows[RootId(about)] += 1
            case "drop" if self.rows[RootId(about)]:
                self.rows[RootId(about)] -= 1
            case "gate" if result:
                self.names.check_gens(SessionId(about))
