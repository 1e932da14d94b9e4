"""Settling: after the ledger was lost or put back to an older state, the store's word is taken.

No other process may run meanwhile: a removal that is under way is what nothing fences.

Invariants
* a backup is taken for whole only if each record that its map reaches is in the generation that
  will count;
* a root or segment that a listing does not show is asked for by its name before it is given up.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emberkeep.engine import keys, layout, marks, roots
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import Random
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.ledger import Found, Ledger, State
from emberkeep.engine.marks import Marks
from emberkeep.engine.roots import Layout
from emberkeep.engine.stored import Gens, Missing, SegmentReader
from emberkeep.engine.work import Checkpoint
from emberkeep.stores.errors import ObjectNotFound


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a domain: the backups that are whole, and those that are not, with why."""

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
    kept: dict[RootId, Layout] = {}
    broken: dict[RootId, str] = {}
    for session in sorted(survey.sessions | states.keys()):
        checkpoint()
        if states.get(session) in (State.ABORTED, State.REMOVING, State.REMOVED):
            continue
        root = RootId(session)
        try:
            part = survey.root(root)
            if part is not None:
                survey.walk(part, checkpoint)
                kept[root] = part
            elif states.get(session) == State.COMMITTED:
                broken[root] = f"{layout.root_name(reader.domain, root)} is missing"
        except DamagedObject as error:
            broken[root] = str(error)
    cycle = survey.cycle + 1
    found = []
    for session in sorted(survey.sessions | {SessionId(root) for root in kept}):
        checkpoint()
        root = RootId(session)
        gens = survey.gens(session)
        name = None
        if any(generation != "0" for generation in gens.values()):
            name = layout.gens_name(reader.domain, layout.new_generation(cycle, random), session)
            plain = json.dumps({f"{seq:08x}": chosen for seq, chosen in gens.items()}).encode()
            sealed = keys.seal(reader.metadata_key.object_key(name), plain, random)
            reader.store.put(name, sealed)
        uses = kept[root].sessions if root in kept else ()
        found.append(Found(session, committed=root in kept, gens=name, uses=uses))
    ledger.settle(reader.domain, incarnation=incarnation, cycle=cycle, found=found)
    return Settled(tuple(kept), broken)


class _Survey:
    """What the store holds of a domain.

    `sessions`: all that left something there; `cycle`: the last that did.
    """

    def __init__(self, reader: SegmentReader) -> None:
        self.sessions: set[SessionId] = set()
        self.cycle = 0
        self._reader = reader
        self._generations: dict[SegmentId, set[str]] = {}  # as listed
        self._chosen: dict[SessionId, Gens] = {}
        self._look("s/", self._see_segment)
        self._look("g/", self._see_gens)
        self._look("r/", layout.parse_root_name)
        self._look("c/", lambda name: layout.parse_checkpoint_name(name)[0])
        self._look("bad/", lambda name: layout.parse_bad_name(name).session)

    def _look(self, below: str, session_of: Callable[[str], SessionId]) -> None:
        for item in self._reader.store.list(f"d/{self._reader.domain}/{below}"):
            with contextlib.suppress(ValueError):  # no name of ours
                self.sessions.add(session_of(item.name))

    def _see_segment(self, name: str) -> SessionId:
        segment, generation = layout.parse_segment_name(name)
        self._generations.setdefault(segment, set()).add(generation)
        self.cycle = max(self.cycle, layout.cycle_of(generation))
        return segment.session

    def _see_gens(self, name: str) -> SessionId:
        cycle, session = layout.parse_gens_name(name)
        self.cycle = max(self.cycle, cycle)
        return session

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

    def gens(self, session: SessionId) -> Gens:
        """The generations that are to count of the segments that some map reaches."""
        return self._chosen.get(session, {})

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
        listed = self._generations.get(segment, set())
        first = layout.segment_name(self._reader.domain, segment)
        if "0" in listed and not store.settles_within:
            return "0"
        with contextlib.suppress(ObjectNotFound):
            store.stat(first)
            return "0"
        sizes = {}
        for generation in listed - {"0"}:
            with contextlib.suppress(DamagedObject, ObjectNotFound):
                sizes[generation] = len(self._reader.tail_of(segment, generation).footer.records)
        if not sizes:
            raise Missing(f"{first} is missing, and every other generation of it")
        return max(sizes, key=lambda generation: (sizes[generation], layout.cycle_of(generation)))


def _raise(_place: object, error: DamagedObject) -> None:
    raise error
