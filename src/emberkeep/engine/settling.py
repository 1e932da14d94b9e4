"""Settling: after the ledger was lost or put back to an older state, the store's word is taken.

No other process may run meanwhile: a removal that is under way is what nothing fences.

Invariants
* a backup is taken for whole only if each record that its map reaches is in the generation that
  will count;
* a root or segment that a listing does not show is asked for by its name before it is given up;
* nothing is given up for being damaged: such a backup is kept, in quarantine, with all it may need.
"""

import contextlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emberkeep.engine import keys, layout, marks, roots
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.errors import DamagedObject, LedgerBehind
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import Random
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.ledger import Found, Ledger, State
from emberkeep.engine.marks import Marks
from emberkeep.engine.roots import Layout
from emberkeep.engine.stored import Gens, Missing, SegmentReader
from emberkeep.engine.work import Checkpoint, uninterrupted
from emberkeep.stores.errors import ObjectNotFound


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a domain: the backups that are whole, and those that are not, with why.

    Of the latter those whose roots are there are kept, in quarantine.
    """

    backups: tuple[RootId, ...]
    broken: dict[RootId, str]


def settle(
    reader: SegmentReader,
    ledger: Ledger,
    *,
    incarnation: int,
    random: Random,
    checkpoint: Checkpoint,
) -> Settled:
    """Make the ledger of the reader's domain say what the store holds.

    `reader` must read without a ledger.
    """
    survey = _Survey(reader)
    states = ledger.sessions(reader.domain)
    kept: dict[RootId, tuple[SessionId, ...]] = {}  # and what each uses
    broken: dict[RootId, str] = {}
    for session in sorted(survey.sessions | states.keys()):
        checkpoint()
        state, root = states.get(session), RootId(session)
        if state in (State.ABORTED, State.REMOVING, State.REMOVED):
            continue
        try:
            part = survey.root(root)
        except DamagedObject as error:
            broken[root] = str(error)
            kept[root] = tuple(
                other
                for other in sorted(survey.sessions)  # all of them, unless the ledger knows better
                if state != State.COMMITTED or root in ledger.users(other)
            )
            survey.spare(kept[root])
            continue
        if part is None:
            if state == State.COMMITTED:
                broken[root] = f"{layout.root_name(reader.domain, root)} is missing"
            continue
        kept[root] = part.sessions
        try:
            survey.walk(part, checkpoint)
        except DamagedObject as error:
            broken[root] = str(error)
            survey.spare(part.sessions)
    cycle = survey.cycle + 1
    found = []
    for session in sorted(survey.sessions | {SessionId(root) for root in kept}):
        checkpoint()
        root = RootId(session)
        name = _put(reader, session, survey.gens(session), cycle, random)
        found.append(Found(session, root in kept, gens=name, uses=kept.get(root, ())))
    ledger.settle(reader.domain, incarnation=incarnation, cycle=cycle, found=found)
    for root in broken.keys() & kept.keys():
        ledger.quarantine(root, [broken[root]])
    return Settled(tuple(root for root in kept if root not in broken), broken)


def adopt(reader: SegmentReader, root: RootId, *, random: Random) -> Found:
    """See `Repository.adopt`."""
    name = layout.root_name(reader.domain, root)
    part = roots.layout_of(reader.object(name), reader.metadata_key, reader.domain, root)
    survey = _Survey(reader)
    survey.walk(part, uninterrupted)
    session = SessionId(root)
    gens: Gens = {}
    for seq, generations in survey.generations(session).items():
        if len(generations) > 1:
            raise LedgerBehind(
                f"segment {session}/{seq:08x} is there {len(generations)} times, and the database "
                "does not know which one counts; run emberkeep repo rebuild first"
            )
        (gens[seq],) = generations
    gens_name = _put(reader, session, gens, survey.cycle + 1, random)
    return Found(session, committed=True, gens=gens_name, uses=part.sessions)


def _put(
    reader: SegmentReader, session: SessionId, gens: Gens, cycle: int, random: Random
) -> str | None:
    """Put a gens object, unless all is as first written; returns its name."""
    if all(generation == "0" for generation in gens.values()):
        return None
    name = layout.gens_name(reader.domain, layout.new_generation(cycle, random), session)
    plain = json.dumps({f"{seq:08x}": chosen for seq, chosen in gens.items()}).encode()
    reader.store.put(name, keys.seal(reader.metadata_key.object_key(name), plain, random))
    return name


class _Survey:
    """What the store holds of a domain.

    `sessions`: all that left something there; `cycle`: the last that did.
    """

    def __init__(self, reader: SegmentReader) -> None:
        self.sessions: set[SessionId] = set()
        self.cycle = 0
        self._reader = reader
        self._generations: dict[SessionId, dict[int, set[str]]] = {}  # as listed
        self._chosen: dict[SessionId, Gens] = {}
        self._spared: set[SessionId] = set()
        self._look("s/", self._see_segment)
        self._look("g/", self._see_gens)
        self._look("r/", lambda name: SessionId(layout.parse_root_name(name)))
        self._look("c/", lambda name: layout.parse_checkpoint_name(name)[0])
        self._look("bad/", lambda name: layout.parse_bad_name(name).session)

    def _look(self, below: str, session_of: Callable[[str], SessionId]) -> None:
        prefix = f"d/{self._reader.domain}/{below}"
        for _item, session in layout.named(self._reader.store, prefix, session_of):
            self.sessions.add(session)

    def _see_segment(self, name: str) -> SessionId:
        segment, generation = layout.parse_segment_name(name)
        self.generations(segment.session).setdefault(segment.seq, set()).add(generation)
        self.cycle = max(self.cycle, layout.cycle_of(generation))
        return segment.session

    def _see_gens(self, name: str) -> SessionId:
        cycle, session = layout.parse_gens_name(name)
        self.cycle = max(self.cycle, cycle)
        return session

    def generations(self, session: SessionId) -> dict[int, set[str]]:
        """The generations that are listed of each of a session's segments."""
        return self._generations.setdefault(session, {})

    def root(self, root: RootId) -> Layout | None:
        """The layout of a root; None if there is none.  Raises `DamagedObject`."""
        reader = self._reader
        try:
            data = reader.store.get(layout.root_name(reader.domain, root))
        except ObjectNotFound:
            return None
        return roots.layout_of(data, reader.metadata_key, reader.domain, root)

    def walk(self, part: Layout, checkpoint: Checkpoint) -> None:
        """Raises `DamagedObject` if a node or record that the map reaches is not there."""
        own = Marks()
        marks.walk(Nodes(self._reader), part, own, damaged=_raise, checkpoint=checkpoint)
        for session in own.sessions():
            for seq in own.seqs(session):
                segment = SegmentId(session, seq)
                self._require(segment, own.indexes(segment))

    def spare(self, sessions: Collection[SessionId]) -> None:
        """Keep all of these sessions' segments: nobody knows what is needed of them."""
        self._spared |= set(sessions)

    def gens(self, session: SessionId) -> Gens:
        """The generations that are to count: of the segments that some map reaches, or of all."""
        chosen = self._chosen.get(session, {})
        if session not in self._spared:
            return chosen
        oldest = {  # has the most
            seq: min(generations, key=layout.cycle_of)
            for seq, generations in self.generations(session).items()
        }
        return {**oldest, **chosen}

    def _require(self, segment: SegmentId, wanted: npt.NDArray[np.intp]) -> None:
        gens = self._chosen.setdefault(segment.session, {})
        if segment.seq not in gens:
            gens[segment.seq] = self._choose(segment)
        generation = gens[segment.seq]
        if generation == "0":
            return  # it has all that was ever written
        tail = self._reader.tail_of(segment, generation)
        if missing := set(wanted.tolist()) - set(tail.footer.records["index"].tolist()):
            raise Missing(f"{tail.name}: record {min(missing)} is missing")

    def _choose(self, segment: SegmentId) -> str:
        """The first generation if it is there, else the one that has most records.

        Not simply the newest: a collection that failed at its gate may have left one with less.
        Raises `DamagedObject` if there is none.
        """
        store = self._reader.store
        listed = self.generations(segment.session).get(segment.seq, set())
        first = layout.segment_name(self._reader.domain, segment)
        if "0" in listed and not store.settles_within:
            return "0"
        with contextlib.suppress(ObjectNotFound):
            store.stat(first)
            return "0"
        sizes = {}
        for generation in listed - {"0"} or self._reader.generations(segment):
            with contextlib.suppress(DamagedObject, ObjectNotFound):
                sizes[generation] = len(self._reader.tail_of(segment, generation).footer.records)
        if not sizes:
            raise Missing(f"{first} is missing, and every other generation of it")
        return max(sizes, key=lambda generation: (sizes[generation], layout.cycle_of(generation)))


def _raise(_place: object, error: DamagedObject) -> None:
    raise error
