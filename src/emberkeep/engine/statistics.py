"""What backups take: logical, stored, unique and shared bytes, of each, of a volume, of a domain.

* *logical*: the size of the volume, as a restore writes it; of several backups, the sum.
* *stored*: the bytes of the records, chunks and nodes, that the maps reach in the store's segments,
  each counted once, however often maps point to it.
* *unique*: those of them that nothing else reaches: of a backup, no other backup; of a volume, no
  backup of another volume.  That is what a collection gives back once it is deleted.
* *shared*: the rest.  Deleting one of those that share frees nothing of it.

For a domain, which shares with no other, unique are the bytes that one backup alone reaches, and
shared those that two or more do.

The metadata key is enough, so a volume is known by what its segments' footers call it.  Memory is
bounded by bits: at most one for each record in each of nine sets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emberkeep.engine import layout, marks, roots
from emberkeep.engine.blockmap import Nodes
from emberkeep.engine.errors import DamagedObject
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.layout import Pointer, SegmentId
from emberkeep.engine.ledger import Ledger, State
from emberkeep.engine.marks import Marks
from emberkeep.engine.roots import Layout
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.work import Checkpoint, Progress, Report

_Numbers = npt.NDArray[np.integer[npt.NBitBase]]


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes; see above."""

    logical: int
    stored: int
    unique: int

    @property
    def shared(self) -> int:
        return self.stored - self.unique


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one domain.

    `volumes`: under "" what belongs to no volume that is known.  `in_store`: bytes of all segments
    that the store lists; what is not `domain.stored` of it are their headers, footers and ids, and
    what a collection would remove.  `damaged`: what could not be read and counted, a line each.
    """

    backups: dict[RootId, Usage]
    volumes: dict[str, Usage]
    volume_of: dict[RootId, str]
    domain: Usage
    in_store: int
    damaged: tuple[str, ...]


def statistics(
    reader: SegmentReader,
    ledger: Ledger | None,
    *,
    report: Report,
    checkpoint: Checkpoint,
) -> Statistics:
    """Count what the backups of the reader's domain reach; without a ledger, those listed.

    Reads each map whole, and again what it shares with no other.
    """
    return _Count(reader, ledger, report, checkpoint).run()


class _Group:
    """What each member of a group reaches, all of them, and two or more of them."""

    def __init__(self) -> None:
        self.several = Marks()
        self._before = Marks()
        self._member = Marks()

    def add(self, segment: SegmentId, indexes: _Numbers, lengths: _Numbers, end: int) -> None:
        """The member whose turn it is reaches these records."""
        self._member.add(segment, indexes, lengths, end=end)
        known = self._before.holds(segment, indexes)
        if known.any():
            self.several.add(segment, indexes[known], lengths[known], end=end)

    def end(self) -> int:
        """The next member's turn; the bytes that this one reached."""
        stored = self._member.all_stored()
        self._before.add_all(self._member)
        self._member = Marks()
        return stored


class _Own(Marks):
    """What one backup reaches, told to its groups."""

    def __init__(self, *groups: _Group) -> None:
        super().__init__()
        self._groups = groups

    def add(self, segment: SegmentId, indexes: _Numbers, lengths: _Numbers, *, end: int) -> None:
        super().add(segment, indexes, lengths, end=end)
        for group in self._groups:
            group.add(segment, indexes, lengths, end)

    def add_one(self, place: Pointer) -> bool:
        if not super().add_one(place):
            return False
        indexes, lengths = np.array([place.index]), np.array([place.length])
        for group in self._groups:
            group.add(place.segment, indexes, lengths, place.offset + place.length)
        return True


class _Count:
    def __init__(
        self, reader: SegmentReader, ledger: Ledger | None, report: Report, checkpoint: Checkpoint
    ) -> None:
        self._reader = reader
        self._ledger = ledger
        self._nodes = Nodes(reader)
        self._report = report
        self._checkpoint = checkpoint
        self._damaged: dict[str, None] = {}
        self._walked = self._walks = 0

    def run(self) -> Statistics:
        found = {part.root: part for part in self._layouts()}
        volume_of = {root: self._volume(part, found) for root, part in found.items()}
        by_volume: dict[str, list[Layout]] = {}
        for root, part in found.items():
            by_volume.setdefault(volume_of[root], []).append(part)
        self._walks = 3 * len(volume_of)
        by_backup, by_name, everything = _Group(), _Group(), _Group()
        stored: dict[RootId, int] = {}
        stored_of: dict[str, int] = {}
        for volume, parts in by_volume.items():
            for part in parts:
                self._walk(part, _Own(by_backup, by_name, everything))
                stored[part.root] = by_backup.end()
            stored_of[volume] = by_name.end()
        backups: dict[RootId, Usage] = {}
        volumes: dict[str, Usage] = {}
        in_several = by_backup.several.all_stored()
        for volume, parts in by_volume.items():
            # What is not in `several` yet is reached by this one alone.
            unique_of = 0
            for part in parts:
                unique = self._added(part, by_backup.several)
                backups[part.root] = Usage(part.size, stored[part.root], unique)
                unique_of += self._added(part, by_name.several)
            logical = sum(part.size for part in parts)
            volumes[volume] = Usage(logical, stored_of[volume], unique_of)
        total = everything.end()
        return Statistics(
            backups=backups,
            volumes=volumes,
            volume_of=volume_of,
            domain=Usage(
                sum(usage.logical for usage in volumes.values()), total, total - in_several
            ),
            in_store=sum(
                item.size for item in self._reader.store.list(f"d/{self._reader.domain}/s/")
            ),
            damaged=tuple(self._damaged),
        )

    def _layouts(self) -> Iterator[Layout]:
        """The layouts of the roots that can be read, in the order of their ids."""
        reader = self._reader
        for root in sorted(self._roots()):
            self._checkpoint()
            name = layout.root_name(reader.domain, root)
            try:
                data = reader.object(name)
                yield roots.layout_of(data, reader.metadata_key, reader.domain, root)
            except DamagedObject as error:
                self._note(root, [str(error)])

    def _roots(self) -> Iterable[RootId]:
        if self._ledger is None:
            listed = self._reader.store.list(f"d/{self._reader.domain}/r/")
            return [RootId(item.name.rpartition("/")[2]) for item in listed]
        fence = self._ledger.fence(self._reader.domain, 0)
        return [root for root, state in fence.roots.items() if state == State.COMMITTED]

    def _volume(self, part: Layout, known: dict[RootId, Layout]) -> str:
        """What the segment of the map's top says; of a backup of nothing but zeros, its base's."""
        while part.top is None:
            if part.base not in known:
                return ""
            part = known[part.base]
        try:
            return self._reader.tail(part.top.segment).footer.volume
        except DamagedObject as error:
            self._note(part.root, [str(error)])
            return ""

    def _added(self, part: Layout, reached: Marks) -> int:
        """Add what the map reaches; the bytes that were not in the set."""
        before = reached.all_stored()
        self._walk(part, reached)
        return reached.all_stored() - before

    def _walk(self, part: Layout, reached: Marks) -> None:
        errors: list[str] = []
        marks.walk(
            self._nodes,
            part,
            reached,
            damaged=lambda _place, error: errors.append(str(error)),
            checkpoint=self._checkpoint,
        )
        self._note(part.root, errors)
        self._walked += 1
        self._report(Progress(self._walked, self._walks, 0))

    def _note(self, root: RootId, errors: list[str]) -> None:
        """Remember what is wrong with a backup, unless somebody deleted it meanwhile."""
        if errors and (
            self._ledger is None or self._ledger.state(SessionId(root)) == State.COMMITTED
        ):
            self._damaged |= dict.fromkeys(errors)
