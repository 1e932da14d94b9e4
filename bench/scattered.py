"""Backups of a volume of 64 TiB that is almost all holes: does anything depend on its size?

The first backup finds 4 GiB in pieces all over the volume, the second 1 GiB of writes, half of them
into holes.  The bytes are computed.  All is done in one process, whose memory is told step by step.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from emberkeep.engine import layout
from emberkeep.engine.ids import RootId, SessionId
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.layout import Kind
from emberkeep.engine.memory_ledger import MemoryLedger
from emberkeep.engine.repository import Repository, Settings
from emberkeep.stores.posix import PosixStore
from emberkeep.testing.computed import Compared, Computed

KIB = 1 << 10
MIB = 1 << 20
TIB = 1 << 40

SIZE = 64 * TIB
CHUNK = 256 * KIB  # of a volume of this size
WRITE = 64 * KIB  # of a change, at the begin of a chunk
PIECES = 16_384  # chunks of the first backup, and as many writes

_NOISE = Random(1).randbytes(128 * KIB)
_PERIOD = 16 * KIB  # of a chunk's bytes, so that they compress as far

Measured = dict[str, Any]


def chunk_bytes(number: int, *, first: bool, changed: bool) -> bytes:
    """The bytes of a chunk: those of the first backup, and what was written over them."""
    old = _period(2 * number) * (CHUNK // _PERIOD) if first else bytes(CHUNK)
    return _period(2 * number + 1) * (WRITE // _PERIOD) + old[WRITE:] if changed else old


def _period(seed: int) -> bytes:
    begin = seed * 7919 % (len(_NOISE) - _PERIOD)
    return seed.to_bytes(8, "little") + _NOISE[begin : begin + _PERIOD - 8]


def places(pieces: int) -> tuple[frozenset[int], frozenset[int]]:
    """The chunks that the first backup finds, and those that are written to before the second."""
    dice = Random(pieces)
    first = dice.sample(range(SIZE // CHUNK), pieces)
    again = dice.sample(first, pieces // 2)
    return frozenset(first), frozenset(again + dice.sample(range(SIZE // CHUNK), pieces // 2))


def volume(first: Collection[int], changed: Collection[int] = ()) -> Computed:
    """The volume after the first backup's chunks, and those `changed`, were written."""

    def piece(number: int) -> bytes:
        return chunk_bytes(number, first=number in first, changed=number in changed)

    return Computed(SIZE, {*first, *changed}, piece, piece_size=CHUNK)


class Counted(PosixStore):
    """A directory that counts what is read from it."""

    reads = 0

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self.reads += 1  # near enough, should two threads meet
        return super().get(name, offset=offset, length=length)


class Steps:
    """What is done, in order, and what is measured of it."""

    def __init__(self, directory: Path) -> None:
        self.rows: list[Measured] = []
        self._idle = memory("VmRSS")
        self._store = Counted(directory / "store")
        keys, ledger = KeyFile.create(directory / "key"), MemoryLedger()
        self._repository = Repository.create(self._store, keys, ledger=lambda _repository: ledger)
        self._domain = self._repository.create_domain()

    def run(self, pieces: int) -> None:
        first, changed = places(pieces)
        before, after = volume(first), volume(first, changed)
        base = self._measure("first backup", lambda: self._back_up(before))
        self._tell_records(base)
        written = self._measure("second backup", lambda: self._back_up(after, base))
        self._tell_records(written)
        third = self._measure("third backup, unchanged", lambda: self._back_up(after, written))
        self._tell_records(third)
        for fresh, step in ((True, "restore to a new volume"), (False, "restore over another")):
            self._measure(step, lambda fresh=fresh: self._restore(written, after, fresh))
        for depth in (1, 2, 3):
            self._measure(f"verify, depth {depth}", lambda depth=depth: self._verify(depth))
        self._repository.delete(self._domain, base)
        self._measure("delete the first, collect", self._collect)
        self._measure("restore again", lambda: self._restore(written, after, True))

    def _measure(self, step: str, do: Callable[[], Any]) -> Any:
        wall, cpu, reads = time.monotonic(), time.process_time(), self._store.reads
        done = do()
        listed = list(self._store.list(""))
        self.rows.append(
            {
                "step": step,
                "wall": time.monotonic() - wall,
                "cpu": time.process_time() - cpu,
                "rss": memory("VmHWM") - self._idle,
                "reads": self._store.reads - reads,
                "objects": len(listed),
                "stored": sum(item.size for item in listed),
            }
        )
        return done

    def _tell_records(self, root: RootId) -> None:
        """Add what a backup wrote: segments, records and bytes, from the segments' footers."""
        reader, session = self._repository._reader(self._domain), SessionId(root)
        listed = list(self._store.list(layout.session_prefix(self._domain, session)))
        row = {"segments": len(listed), "written": sum(item.size for item in listed)}
        for kind in Kind:
            row |= {f"{kind.name.lower()}_records": 0, f"{kind.name.lower()}_bytes": 0}
        for item in listed:
            segment, generation = layout.parse_segment_name(item.name)
            records = reader.tail_of(segment, generation).footer.records
            for kind in Kind:
                chosen = records[records["kind"] == kind]
                row[f"{kind.name.lower()}_records"] += len(chosen)
                row[f"{kind.name.lower()}_bytes"] += int(chosen["length"].sum())
        row["root"] = self._store.stat(layout.root_name(self._domain, root)).size
        self.rows[-1] |= row

    def _back_up(self, source: Computed, base: RootId | None = None) -> RootId:
        # Without checkpoints, which come by time, the objects can be foretold.
        settings = Settings(checkpoint_seconds=math.inf)
        written = self._repository.back_up(
            source, domain=self._domain, description={}, base=base, settings=settings
        )
        return written.root

    def _restore(self, root: RootId, source: Computed, fresh: bool) -> None:
        self._repository.restore(self._domain, root, Compared(source, reads_as_zeros=fresh))

    def _verify(self, depth: int) -> None:
        found = self._repository.verify(self._domain, depth=depth)
        if found.damaged:
            raise AssertionError(found.damaged)

    def _collect(self) -> None:
        self._repository.collect(self._domain)


def memory(which: str) -> int:
    """What the system says of this process, in bytes: VmRSS now, VmHWM at most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{which}:"))
    return int(found) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pieces", type=int, default=PIECES, help="of the first backup")
    parser.add_argument("--directory", type=Path, help="where to work; default: beside this file")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    asked = parser.parse_args()
    parent = asked.directory or Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=parent) as directory:
        steps = Steps(Path(directory))
        steps.run(asked.pieces)
    if asked.json:
        print(json.dumps(steps.rows))
    else:
        show(steps.rows)


def show(rows: list[Measured]) -> None:
    table = Table(title="64 TiB, almost all of it holes")
    columns = ("step", "wall s", "CPU s", "reads", "objects", "stored MiB", "peak above idle, MiB")
    for column in columns:
        table.add_column(column, justify="left" if column == "step" else "right")
    for row in rows:
        table.add_row(
            row["step"],
            f"{row['wall']:.1f}",
            f"{row['cpu']:.1f}",
            f"{row['reads']:,}",
            str(row["objects"]),
            f"{row['stored'] / MIB:,.1f}",
            f"{row['rss'] / MIB:,.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
