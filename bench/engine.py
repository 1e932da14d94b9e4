"""Backups, restores, verifications and collections of an image, with a directory as the store.

Each step is a process of its own.  Wall and CPU seconds and peak memory are the operating system's
account of it; the peak of a process that only imports the engine is taken off.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import image
from emberkeep.stores.base import Buffer
from emberkeep.stores.posix import PosixStore
from emberkeep.volumes.drivers.files import FilesDriver
from kept import Kept
from scattered import memory

MIB = 1 << 20
GIB = 1 << 30
EMPTY = GIB // 10  # bytes at the image's end that are a hole
LATENCY = 0.03  # seconds until a slow store begins to answer

Measured = dict[str, Any]


class SlowStore(PosixStore):
    """A directory that answers as late as an object store far away."""

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        time.sleep(LATENCY)
        return super().get(name, offset=offset, length=length)

    def put(self, name: str, data: Buffer) -> None:
        time.sleep(LATENCY)
        super().put(name, data)


class Bench:
    """The image, the repository and what is known of its backups, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.image = directory / "image"
        self._directory = directory

    def prepare(self, size: int) -> None:
        image.write(self.image, size=size, data=size - EMPTY)
        Kept.create(self._directory)

    def run(self, step: str) -> Measured:
        """Do a step in this process; `bytes` is what its rate is of, if not the image's size."""
        match step:
            case "idle":
                return {}
            case "full backup":
                return self._back_up(based=False)
            case "unchanged backup" | "1 %-changed backup" | "60 %-changed backup":
                return self._back_up(based=True)
            case "restore to a new file":
                return self._restore(fresh=True)
            case "restore over it":
                return self._restore(fresh=False)
            case "the same, 30 ms a request":
                return self._restore(fresh=False, store=SlowStore(self._directory / "store"))
            case "verify, depth 2" | "verify, depth 3":
                return self._verify(depth=int(step[-1]))
            case "collect nothing" | "delete, collect, compact":
                return self._collect(delete=step.startswith("delete"))
        raise ValueError(step)

    def _back_up(self, *, based: bool) -> Measured:
        kept = Kept(self._directory)
        driver = FilesDriver(self._directory)
        with driver.point_in_time(self.image, "bench", in_use=False) as source:
            written = kept.repository.back_up(
                source,
                domain=kept.domain,
                description={},
                base=kept.newest if based else None,
            )
        kept.add(written)
        return {"stored": written.stored_bytes, "objects": written.segments + 1}

    def _restore(self, *, fresh: bool, store: PosixStore | None = None) -> Measured:
        kept = Kept(self._directory, store)
        driver = FilesDriver(self._directory)
        if fresh:
            driver.create("restored", self.image.stat().st_size)
        path = driver.path("restored")
        assert kept.newest is not None
        with driver.target(path, size=self.image.stat().st_size, reads_as_zeros=fresh) as target:
            kept.repository.restore(kept.domain, kept.newest, target)
        return {}

    def _verify(self, *, depth: int) -> Measured:
        kept = Kept(self._directory)
        found = kept.repository.verify(kept.domain, depth=depth)
        assert not found.damaged
        return {"bytes": found.read_bytes, "objects": found.segments}

    def _collect(self, *, delete: bool) -> Measured:
        kept = Kept(self._directory)
        if delete:
            kept.keep_newest_only()
        found = kept.repository.collect(kept.domain)
        kept.collected()
        return {
            "bytes": found.kept_bytes + found.removed_bytes,
            "stored": -found.removed_bytes,
            "objects": found.compacted_segments,
        }


def measured(directory: Path, step: str) -> Measured:
    """Run a step in a new process, and what the system says of it."""
    arguments = [sys.executable, __file__, "--directory", str(directory), "--step", step]
    started = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with closing(process.stdout):
        told = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{step} failed")
    return {
        "step": step,
        "wall": time.monotonic() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        **json.loads(told),
    }


def bench(directory: Path, size: int) -> list[Measured]:
    """All steps, in order; what was restored is compared with the image."""
    bench = Bench(directory)
    bench.prepare(size)
    idle = measured(directory, "idle")
    rows = [measured(directory, "full backup"), measured(directory, "unchanged backup")]
    image.change(bench.image, share=0.01, chunk=64 << 10)
    for step in (
        "1 %-changed backup",
        "restore to a new file",
        "restore over it",
        "the same, 30 ms a request",
        "verify, depth 2",
        "verify, depth 3",
        "collect nothing",
    ):
        rows.append(measured(directory, step))
    subprocess.run(["cmp", bench.image, directory / "restored"], check=True)
    image.change(bench.image, share=0.6, chunk=64 << 10)
    for step in ("60 %-changed backup", "delete, collect, compact", "restore over it"):
        rows.append(measured(directory, step))
    subprocess.run(["cmp", bench.image, directory / "restored"], check=True)
    for row in rows:
        row["rss"] -= idle["rss"]
        row["rate"] = row.get("bytes", size) / row["wall"]
    return rows


def show(rows: list[Measured], size: int) -> None:
    columns = ("step", "wall s", "CPU s", "MiB/s", "stored MiB", "objects", "RSS above idle, MiB")
    table = Table(title=f"{size / GIB:g} GiB image, {os.cpu_count()} processors")
    for column in columns:
        table.add_column(column, justify="left" if column == "step" else "right")
    for row in rows:
        table.add_row(
            row["step"],
            f"{row['wall']:.1f}",
            f"{row['cpu']:.1f}",
            f"{row['rate'] / MIB:,.0f}",
            f"{row['stored'] / MIB:,.1f}" if "stored" in row else "",
            str(row.get("objects", "")),
            f"{row['rss'] / MIB:,.0f}",
        )
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-gib", type=float, default=4)
    parser.add_argument("--directory", type=Path, help="where to work; default: beside this file")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        told = Bench(asked.directory).run(asked.step)
        print(json.dumps({"rss": memory("VmHWM"), **told}))
        return
    size = int(asked.size_gib * GIB)
    parent = asked.directory or Path(__file__).resolve().parent
    directory = Path(tempfile.mkdtemp(prefix=".bench-", dir=parent))
    try:
        rows = bench(directory, size)
    finally:
        shutil.rmtree(directory)
    if asked.json:
        print(json.dumps(rows))
    else:
        show(rows, size)


if __name__ == "__main__":
    main()
