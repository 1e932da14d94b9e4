"""Settling: after the ledger was lost or put back to an older state, the store's word is taken.

No other process may run meanwhile: a removal that is under way is what nothing fences.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from emberkeep.engine import keys, layout, marks, roots
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.errors import DamagedObject, LedgerBehind
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keys import Random
from emberkeep.engine.layout import SegmentId
from emberkeep.engine.ledger import Found, Ledger, State
from emberkeep.engine.marks import Marks
from emberkeep.engine.roots import Layout
from emberkeep.engine.stored import Gens, SegmentReader
from emberkeep.engine.work import Checkpoint, uninterrupted
from emberkeep.stores.base import StoredObject
from emberkeep.stores.errors import ObjectNotFound

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a domain: the backups that are whole, and those that are not, with why.

    The latter are kept, in quarantine, with all that they may need.
    """

    backups: tuple[RootId, ...]
    broken: dict[RootId, str]


@dataclass(slots=True)
class _Session:
    """What the store lists of one: the generations of each segment."""

    by_seq: dict[int, list[str]] = field(default_factory=dict)


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
    kept: dict[RootId, tuple[SessionId, ...]] = {}  # and what each uses
    broken: dict[RootId, str] = {}
    reached, unsure = Marks(), set[SessionId]()
    for _item, root in list(_named(reader, "r/", layout.parse_root_name)):
        checkpoint()
        state = states.get(SessionId(root))
        if state in (State.ABORTED, State.REMOVING, State.REMOVED):
            continue
        try:
            part = _layout(reader, root)
        except DamagedObject as error:
            broken[root] = str(error)
            kept[root] = tuple(
                session
                for session in sorted(listed)  # all of them, unless the ledger knows better
                if state != State.COMMITTED or root in ledger.users(session)
            )
            unsure.update(kept[root])
            continue
        kept[root] = part.sessions
        try:
            _walk(reader, part, listed, reached, checkpoint)
        except DamagedObject as error:
            broken[root] = str(error)
            unsure.update(part.sessions)
    cycle += 1
    found = []
    for session in sorted(listed.keys() | {SessionId(root) for root in kept}):
        checkpoint()
        root = RootId(session)
        generations = listed.get(session, _Session())
        gens = _choose(reader, session, generations, reached, unsure=session in unsure)
        name = _put(reader, session, gens, cycle, random)
        found.append(Found(session, root in kept, gens=name, uses=kept.get(root, ())))
    ledger.settle(reader.domain, incarnation=incarnation, cycle=cycle, found=found)
    for root in broken.keys() & kept.keys():
        ledger.quarantine(root, [broken[root]])
    return Settled(tuple(root for root in kept if root not in broken), broken)


def adopt(reader: SegmentReader, root: RootId, *, random: Random) -> Found:
    """See `Repository.adopt`."""
    part = _layout(reader, root)
    listed, cycle = _list(reader)
    _walk(reader, part, listed, Marks(), uninterrupted)
    session = SessionId(root)
    gens: Gens = {}
    for seq, generations in listed.get(session, _Session()).by_seq.items():
        if len(generations) > 1:
            raise LedgerBehind(
                f"segment {session}/{seq:08x} is there {len(generations)} times, and the database "
                "does not know which one counts; run emberkeep repo rebuild first"
            )
        gens[seq] = generations[0]
    name = _put(reader, session, gens, cycle + 1, random)
    return Found(session, committed=True, gens=name, uses=part.sessions)


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


def _list(reader: SegmentReader) -> tuple[dict[SessionId, _Session], int]:
    """The sessions with segments, and the highest cycle that the store tells of."""
    found: dict[SessionId, _Session] = {}
    cycle = 0
    for _item, (segment, generation) in _named(reader, "s/", layout.parse_segment_name):
        session = found.setdefault(segment.session, _Session())
        session.by_seq.setdefault(segment.seq, []).append(generation)
        cycle = max(cycle, layout.cycle_of(generation))
    for _item, (written_by, _session) in _named(reader, "g/", layout.parse_gens_name):
        cycle = max(cycle, written_by)
    return found, cycle


def _named(
    reader: SegmentReader, below: str, parse: Callable[[str], _T]
) -> Iterator[tuple[StoredObject, _T]]:
    return layout.named(reader.store, f"d/{reader.domain}/{below}", parse)


def _layout(reader: SegmentReader, root: RootId) -> Layout:
    """Raises `DamagedObject`."""
    data = reader.object(layout.root_name(reader.domain, root))
    return roots.layout_of(data, reader.metadata_key, reader.domain, root)


def _walk(
    reader: SegmentReader,
    part: Layout,
    listed: dict[SessionId, _Session],
    reached: Marks,
    checkpoint: Checkpoint,
) -> None:
    """Mark what the map reaches.

    Raises `DamagedObject` if a node or a segment that it needs is not there.
    """
    own = Marks()
    marks.walk(Nodes(reader), part, own, damaged=_raise, checkpoint=checkpoint)
    for session in own.sessions():
        for seq in own.seqs(session):
            if seq not in listed.get(session, _Session()).by_seq:
                reader.tail(SegmentId(session, seq))  # a listing may be stale
    marks.walk(Nodes(reader), part, reached, damaged=_raise, checkpoint=checkpoint)


def _raise(_place: object, error: DamagedObject) -> None:
    raise error


def _choose(
    reader: SegmentReader, session: SessionId, listed: _Session, reached: Marks, *, unsure: bool
) -> Gens:
    """For each segment the newest generation that has all records which are needed of it.

    Not simply the newest: a collection that failed at its gate may have left one with less.
    `unsure`: nobody knows all that is needed; then the oldest, which has the most.
    """
    gens: Gens = {}
    for seq in sorted({*listed.by_seq, *reached.seqs(session)}):
        segment = SegmentId(session, seq)
        generations = listed.by_seq.get(seq) or reader.generations(segment)
        wanted = set(reached.indexes(segment).tolist())
        newest_first = sorted(generations, key=layout.cycle_of, reverse=True)
        gens[seq] = newest_first[-1 if unsure else 0]
        if unsure or len(newest_first) == 1:
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
