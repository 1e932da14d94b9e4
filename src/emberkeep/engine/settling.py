"""Settling: after the ledger was lost or put back to an older state, the store's word is taken.

No other process may run meanwhile: a removal that is under way is what nothing fences.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from emberkeep.engine import keys, layout, marks, roots
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import Random
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.ledger import Found, Ledger, State
from emberkeep.engine.marks import Marks
from emberkeep.engine.roots import Layout
from emberkeep.engine.stored import Gens, SegmentReader
from emberkeep.engine.work import Checkpoint
from emberkeep.stores.base import StoredObject
from emberkeep.stores.errors import ObjectNotFound

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a domain: the backups that are whole, and those that are not, with why."""

    backups: tuple[RootId, ...]
    broken: dict[RootId, str]


@dataclass(slots=True)
class _Session:
    """What the store lists of one: the generations of each segment, the cycles that wrote them."""

    generations: dict[int, list[str]] = field(default_factory=dict)


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
    listed, cycle = _list(reader)
    states = ledger.sessions(reader.domain)
    kept: dict[RootId, Layout] = {}
    broken: dict[RootId, str] = {}
    reached = Marks()
    for item, root in list(_named(reader, "r/", layout.parse_root_name)):
        checkpoint()
        if states.get(SessionId(root)) in (State.ABORTED, State.REMOVING, State.REMOVED):
            continue
        try:
            part = roots.layout_of(
                reader.object(item.name), reader.metadata_key, reader.domain, root
            )
            _walk(reader, part, listed, checkpoint)
        except DamagedObject as error:
            broken[root] = str(error)
            continue
        kept[root] = part
    for part in kept.values():
        marks.walk(Nodes(reader), part, reached, damaged=_raise, checkpoint=checkpoint)
    cycle += 1
    found = []
    for session in sorted(listed.keys() | {SessionId(root) for root in kept}):
        checkpoint()
        root = RootId(session)
        gens = _choose(reader, session, listed.get(session, _Session()), reached)
        name = None
        if any(generation != "0" for generation in gens.values()):
            generation = layout.new_generation(cycle, random)
            name = layout.gens_name(reader.domain, generation, session)
            plain = json.dumps({f"{seq:08x}": chosen for seq, chosen in gens.items()}).encode()
            sealed = keys.seal(reader.metadata_key.object_key(name), plain, random)
            reader.store.put(name, sealed)
        uses = kept[root].sessions if root in kept else ()
        found.append(Found(session, committed=root in kept, gens=name, uses=uses))
    ledger.settle(reader.domain, incarnation=incarnation, cycle=cycle, found=found)
    return Settled(tuple(kept), broken)


def _list(reader: SegmentReader) -> tuple[dict[SessionId, _Session], int]:
    """The sessions with segments, and the highest cycle that the store tells of."""
    found: dict[SessionId, _Session] = {}
    cycle = 0
    for _item, (segment, generation) in _named(reader, "s/", layout.parse_segment_name):
        session = found.setdefault(segment.session, _Session())
        session.generations.setdefault(segment.seq, []).append(generation)
        cycle = max(cycle, layout.cycle_of(generation))
    for _item, (written_by, _session) in _named(reader, "g/", layout.parse_gens_name):
        cycle = max(cycle, written_by)
    return found, cycle


def _named(
    reader: SegmentReader, below: str, parse: Callable[[str], _T]
) -> Iterator[tuple[StoredObject, _T]]:
    return layout.named(reader.store, f"d/{reader.domain}/{below}", parse)


def _walk(
    reader: SegmentReader,
    part: Layout,
    listed: dict[SessionId, _Session],
    checkpoint: Checkpoint,
) -> None:
    """Raises `DamagedObject` if a node or a segment that the map needs is not there."""
    own = Marks()
    marks.walk(Nodes(reader), part, own, damaged=_raise, checkpoint=checkpoint)
    for session in own.sessions():
        for seq in own.seqs(session):
            if seq not in listed.get(session, _Session()).generations:
                reader.tail(SegmentId(session, seq))  # a listing may be stale


def _raise(_place: object, error: DamagedObject) -> None:
    raise error


def _choose(reader: SegmentReader, session: SessionId, listed: _Session, reached: Marks) -> Gens:
    """For each segment the newest generation that has all records which are needed of it.

    Not simply the newest: a collection that failed at its gate may have left one with less.
    """
    gens: Gens = {}
    for seq in sorted({*listed.generations, *reached.seqs(session)}):
        segment = SegmentId(session, seq)
        generations = listed.generations.get(seq) or reader.generations(segment)
        wanted = set(reached.indexes(segment).tolist())
        newest_first = sorted(generations, key=layout.cycle_of, reverse=True)
        gens[seq] = newest_first[0]
        if len(newest_first) == 1:
            continue
        for generation in newest_first:
            try:
                rows = reader.tail_of(segment, generation).footer.records
            except (DamagedObject, ObjectNotFound):
                continue
            if wanted <= set(rows["index"].tolist()):
                gens[seq] = generation
                break
    return gens
