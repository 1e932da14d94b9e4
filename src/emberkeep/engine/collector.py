"""The collector: removes the segments that no backup needs any more.

The caller excludes writers of the domain while it runs.

Invariants
* the segments are listed before the roots are asked for, so a segment that a later backup writes is
  not among them;
* every root is walked before anything is removed, and one that can't be read stops the collection:
  damage never counts as "refers to nothing".
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from emberkeep.engine import blockmap, layout, roots
from emberkeep.engine.blockmap import Map, Nodes, Top
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import DomainId, RootId
from emberkeep.engine.keys import MetadataKey
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.work import Checkpoint, Progress, Report
from emberkeep.stores.base import Store


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection found; sizes are bytes."""

    roots: int
    removed_segments: int
    removed_bytes: int
    kept_segments: int
    kept_bytes: int


def collect(
    store: Store,
    metadata_key: MetadataKey,
    domain: DomainId,
    *,
    live: Callable[[], Collection[RootId]],
    report: Report,
    checkpoint: Checkpoint,
) -> Collected:
    """Remove each segment of the domain that none of the `live` roots reaches.

    Raises `DamagedObject` before anything is removed, and what `checkpoint` raises.
    """
    listed = dict(_segments(store, domain))
    walked = live()
    needed = _reached(store, metadata_key, domain, walked, checkpoint)
    dead = [name for name, (segment, _size) in listed.items() if segment not in needed]
    sizes = {name: size for name, (_segment, size) in listed.items()}
    total = sum(sizes[name] for name in dead)
    removed = 0
    for name in dead:
        checkpoint()
        store.delete(name)
        removed += sizes[name]
        report(Progress(removed, total, 0))
    return Collected(
        roots=len(walked),
        removed_segments=len(dead),
        removed_bytes=removed,
        kept_segments=len(listed) - len(dead),
        kept_bytes=sum(sizes.values()) - removed,
    )


def _segments(store: Store, domain: DomainId) -> list[tuple[str, tuple[SegmentId, int]]]:
    found = []
    for item in store.list(f"d/{domain}/s/"):
        try:
            segment, _generation = layout.parse_segment_name(item.name)
        except ValueError as error:
            raise DamagedObject(f"{item.name} is no segment; move it out of the store") from error
        found.append((item.name, (segment, item.size)))
    return found


def _reached(
    store: Store,
    metadata_key: MetadataKey,
    domain: DomainId,
    live: Collection[RootId],
    checkpoint: Checkpoint,
) -> set[SegmentId]:
    """The segments with a record that one of the roots reaches."""
    reached: set[SegmentId] = set()
    seen: set[Pointer] = set()
    nodes = Nodes(store, metadata_key, domain, kept=8)

    def known(place: Pointer) -> bool:
        if place in seen:
            return True
        seen.add(place)
        return False

    for root in live:
        try:
            part, _data = roots.read_layout(store, metadata_key, domain, root)
            top = Top(part.height, part.top, blockmap.ZERO_DIGEST)
            for place, node in Map(nodes, top).walk(known):
                checkpoint()
                reached.add(place.segment)
                present = node.entries[node.entries["length"] > 0]
                _numbers, firsts = np.unique(blockmap.segment_numbers(present), return_index=True)
                for row in present[firsts]:
                    below = blockmap.pointer(row)
                    assert below is not None
                    reached.add(below.segment)
        except DamagedObject as error:
            raise DamagedObject(
                f"nothing was collected: the backup with root {root} can't be read whole "
                f"({error}); verify it, or delete the backup"
            ) from error
    return reached
