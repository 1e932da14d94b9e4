"""Full, unchanged and 1 %-changed backup, and restores, of an image, with a directory as the store.

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
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.repository import DomainId, Repository, RootId, Written
from emberkeep.stores.posix import PosixStore
from emberkeep.volumes.drivers.files import FilesDriver

MIB = 1 << 20
GIB = 1 << 30
EMPTY = GIB // 10  # bytes at the image's end that are a hole

Measured = dict[str, Any]


class Bench:
    """The image, the repository and what is known of its backups, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.image = directory / "image"
        self.store = directory / "store"
        self._directory = directory
        self._notes = directory / "notes.json"

    def prepare(self, size: int) -> None:
        image.write(self.image, size=size, data=size - EMPTY)
        keys = KeyFile.create(self._directory / "key")
        domain = Repository.create(PosixStore(self.store), keys).create_domain()
        self._notes.write_text(json.dumps({"domain": domain}))

    def run(self, step: str) -> Measured:
        """Do a step in this process."""
        match step:
            case "idle":
                return {}
            case "full backup":
                return self._back_up(based=False)
            case "unchanged backup" | "1 %-changed backup":
                return self._back_up(based=True)
            case "restore to a new file":
                return self._restore(fresh=True)
            case "restore over it":
                return self._restore(fresh=False)
        raise ValueError(step)

    def _repository(self) -> tuple[Repository, dict[str, str]]:
        notes = json.loads(self._notes.read_text())
        keys = KeyFile.load(self._directory / "key")
        return Repository.open(PosixStore(self.store), keys), notes

    def _back_up(self, *, based: bool) -> Measured:
        repository, notes = self._repository()
        driver = FilesDriver(self._directory)
        with driver.point_in_time(self.image, "bench", in_use=False) as source:
            written: Written = repository.back_up(
                source,
                domain=DomainId(notes["domain"]),
                session=repository.new_session(),
                description={},
                base=RootId(notes["root"]) if based else None,
            )
        self._notes.write_text(json.dumps({**notes, "root": written.root}))
        return {"stored": written.stored_bytes, "objects": written.segments + 1}

    def _restore(self, *, fresh: bool) -> Measured:
        repository, notes = self._repository()
        driver = FilesDriver(self._directory)
        if fresh:
            driver.create("restored", self.image.stat().st_size)
        path = driver.path("restored")
        with driver.target(path, size=self.image.stat().st_size, reads_as_zeros=fresh) as target:
            repository.restore(DomainId(notes["domain"]), RootId(notes["root"]), target)
        return {}


def peak_memory() -> int:
    """The most bytes that this process has held in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


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
    """All steps, in order; the restored file is compared with the image."""
    bench = Bench(directory)
    bench.prepare(size)
    idle = measured(directory, "idle")
    rows = [measured(directory, "full backup"), measured(directory, "unchanged backup")]
    image.change(bench.image, share=0.01, chunk=64 << 10)
    for step in ("1 %-changed backup", "restore to a new file", "restore over it"):
        rows.append(measured(directory, step))
    subprocess.run(["cmp", bench.image, directory / "restored"], check=True)
    for row in rows:
        row["rss"] -= idle["rss"]
        row["rate"] = size / row["wall"]
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
        print(json.dumps({"rss": peak_memory(), **told}))
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
