"""The reader: from a root to the bytes of a volume.

The map is walked in the volume's order, a window of pointers at a time; a window is read in the
order of the segments, in ranges of at most 4 MiB, several at once.  The store may answer them in
any order.

Invariants
* no byte is written to the target that was not authenticated;
* a restore ends well only if every leaf's content digest, computed from the bytes that were
  restored, is the one that the root vouches for;
* every zero range of the backup reads as zeros in the target, whatever was there.
"""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from emberkeep.engine import blockmap, segments
from emberkeep.engine.blockmap import FANOUT, Map, Node, Nodes
from emberkeep.engine.errors import DamagedObject, TargetError
from emberkeep.engine.keys import ID_SIZE, Cipher, DomainKeys
from emberkeep.engine.layout import Kind, Pointer, SegmentId
from emberkeep.engine.protocols import Target
from emberkeep.engine.roots import Root
from emberkeep.engine.stored import SegmentReader
from emberkeep.engine.work import MIB, Checkpoint, Progress, Report, Settings

RUN = 4 * MIB  # bytes of one ranged read
GAP = 256 << 10  # bytes of no use that are read through
WINDOW = 16_384  # chunks that are planned together
LEAVES = 256  # of a window, at most
MOST_READS = 16  # at once, however few processors: they wait for the store
FIXED = 16 * MIB  # bytes that are held beside the runs: of the map, and windows under way


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One chunk of a run."""

    number: int
    place: Pointer


@dataclass(slots=True)
class _Run:
    """Chunks that lie near each other in one segment, read at once."""

    begin: int
    end: int
    chunks: list[_Wanted] = field(default_factory=list)


class _Window:
    """Leaves whose runs are under way; `left`: how many of them."""

    def __init__(self, leaves: list[tuple[int, Node]], left: int) -> None:
        self.left = left
        self.digests = {number: leaf.digest for number, leaf in leaves}
        self.ids = {number: np.zeros((FANOUT, ID_SIZE), np.uint8) for number, _leaf in leaves}


def restore(
    reader: SegmentReader,
    keys: DomainKeys,
    root: Root,
    target: Target,
    *,
    settings: Settings,
    report: Report,
    checkpoint: Checkpoint,
) -> None:
    """Write the backup to the target; what lies beyond the backup's size is left alone.

    Raises `DamagedObject`, naming object and root, and what target, store or `checkpoint` raise.
    """
    if target.size < root.size:
        raise TargetError(
            f"the target has {target.size} bytes, the backup {root.size}; take a larger one"
        )
    try:
        _Restore(reader, keys, root, target, settings, report, checkpoint).run()
    except DamagedObject as error:
        raise DamagedObject(f"backup with root {root.layout.root}: {error}") from error
    target.flush()


class _Restore:
    def __init__(
        self,
        reader: SegmentReader,
        keys: DomainKeys,
        root: Root,
        target: Target,
        settings: Settings,
        report: Report,
        checkpoint: Checkpoint,
    ) -> None:
        self._reader = reader
        self._settings = settings
        self._keys = keys
        self._size = root.size
        self._chunk = root.chunk_size
        self._map = Map(Nodes(reader, kept=8), root.top)
        self._target = target
        self._report = report
        self._checkpoint = checkpoint
        self._reads = max(1, min(MOST_READS, (settings.memory_budget - FIXED) // (2 * RUN)))
        self._ciphers: dict[tuple[int, str], Cipher] = {}
        self._under_way: dict[Future[list[tuple[int, bytes]]], _Window] = {}
        self._dealt_with = 0  # bytes of the volume, from its begin

    def run(self) -> None:
        """Restore everything."""
        with self._settings.pool(self._reads, "restore") as threads:
            try:
                self._restore(threads)
            except BaseException:
                threads.shutdown(wait=True, cancel_futures=True)
                raise
        self._zero_until(self._size)
        self._report(Progress(self._size, self._size, 0))

    def _restore(self, threads: Executor) -> None:
        """Plan window by window; a window is begun while runs of those before are under way."""
        for part in self._windows():
            runs = list(self._runs(part))
            window = _Window(part, len(runs))
            written = 0
            for run in runs:
                if len(self._under_way) >= self._reads:
                    self._take()
                self._under_way[threads.submit(self._restore_run, run)] = window
                written += len(run.chunks) * self._chunk
                self._report(Progress(min(self._size, self._dealt_with + written), self._size, 0))
            for number, leaf in part:
                self._zero_gaps(number, leaf)
        while self._under_way:
            self._take()

    def _windows(self) -> Iterator[list[tuple[int, Node]]]:
        window, chunks = list[tuple[int, Node]](), 0
        for number, leaf in self._map.leaves(self._keys.identify):
            window.append((number, leaf))
            chunks += int(np.count_nonzero(leaf.entries["length"]))
            if chunks >= WINDOW or len(window) == LEAVES:
                yield window
                window, chunks = [], 0
        if window:
            yield window

    def _take(self) -> None:
        """Wait for a run, and look at the ids of its window if that is whole."""
        done, _others = wait(self._under_way, return_when=FIRST_COMPLETED)
        for future in done:
            window = self._under_way.pop(future)
            for number, chunk_id in future.result():
                leaf, slot = divmod(number, FANOUT)
                window.ids[leaf][slot] = np.frombuffer(chunk_id, np.uint8)
            window.left -= 1
            if not window.left:
                self._check(window)
        self._checkpoint()

    def _check(self, window: "_Window") -> None:
        for number, digest in window.digests.items():
            if self._keys.identify(window.ids[number].tobytes()) != digest:
                raise DamagedObject(
                    f"bytes from {number * FANOUT * self._chunk} on: the chunks are not those "
                    "that were backed up (content digest)"
                )

    def _runs(self, window: list[tuple[int, Node]]) -> Iterator[_Run]:
        """What to read for a window, in the order in which it lies in the segments."""
        chosen = [(number, np.flatnonzero(leaf.entries["length"])) for number, leaf in window]
        numbers = np.concatenate([number * FANOUT + slots for number, slots in chosen])
        rows: npt.NDArray[Any] = np.concatenate(
            [leaf.entries[slots] for (_n, leaf), (_m, slots) in zip(window, chosen, strict=True)]
        )
        order = np.lexsort((rows["offset"], blockmap.segment_numbers(rows)))
        places = blockmap.pointers(rows[order])
        run: _Run | None = None
        useful = 0
        before: SegmentId | None = None
        for number, place in zip(numbers[order].tolist(), places, strict=True):
            end = place.offset + place.length
            if (
                run is None
                or place.segment is not before
                or end - run.begin > RUN
                or (gap := place.offset - run.end) > GAP
                or (gap > 0 and 2 * (useful + place.length) < end - run.begin)
            ):
                if run is not None:
                    yield run
                run, useful = _Run(place.offset, end), 0
            run.end = end
            run.chunks.append(_Wanted(number, place))
            useful += place.length
            before = place.segment
        if run is not None:
            yield run

    def _restore_run(self, run: _Run) -> list[tuple[int, bytes]]:
        """Read a run and write its chunks to the target; returns their ids."""
        records = self._reader.records([wanted.place for wanted in run.chunks])
        name = self._reader.name(run.chunks[0].place.segment)
        ids = []
        for wanted, stored in zip(run.chunks, records, strict=True):
            place = wanted.place
            plain = segments.open_record(
                self._cipher(place), Kind.CHUNK, place, stored, limit=self._chunk, name=name
            )
            if len(plain) != self._chunk:
                raise DamagedObject(f"{name}: record {place.index} is no chunk of this size")
            offset = wanted.number * self._chunk
            ids.append((wanted.number, self._keys.identify(plain)))
            if offset + self._chunk > self._size:
                plain = plain[: self._size - offset]
            self._target.write(offset, plain)
        return ids

    def _cipher(self, place: Pointer) -> Cipher:
        known = (place.key, place.segment.session)
        if known not in self._ciphers:
            self._ciphers[known] = self._keys.record_cipher(*known)
        return self._ciphers[known]

    def _zero_gaps(self, number: int, leaf: Node) -> None:
        """Zero what lies between the chunks of a leaf, and before it."""
        present = np.concatenate(([False], leaf.entries["length"] > 0, [False]))
        edges = np.flatnonzero(present[1:] != present[:-1]).reshape(-1, 2)
        for first, end in edges:
            self._zero_until((number * FANOUT + int(first)) * self._chunk)
            self._dealt_with = min(self._size, (number * FANOUT + int(end)) * self._chunk)

    def _zero_until(self, end: int) -> None:
        if end > self._dealt_with and not self._target.reads_as_zeros:
            self._target.zero(self._dealt_with, end - self._dealt_with)
        self._dealt_with = max(end, self._dealt_with)
