"""The main job, end to end: back up a real volume into another availability zone, lose the first
zone, restore.  Everything goes through the unmodified `openstack` client and `emberkeep`; every
image is compared with what it must be, byte for byte.  Ends with code 1 if anything differs.

    demo.py [FILE]    FILE: options of az2, where its store is; without it, a directory
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from check import SEARCH
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

CHECKOUT = Path(__file__).resolve().parent.parent
EMBERKEEP = CHECKOUT / ".venv/bin/emberkeep"
OPENSTACK = CHECKOUT / ".venv-openstackclient/bin/openstack"
PLAYGROUND = CHECKOUT / ".demo"
IMAGE_MIB = 2048
PATIENCE = 600  # seconds for any one step

console = Console(highlight=False, soft_wrap=True)


class Failed(Exception):
    """The demo did not do what it shows."""


@dataclass
class Report:
    """The rows of the closing table."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(self, step: str, seconds: float, size: int, stored: int | None, verdict: str) -> None:
        """Add a step that dealt with `size` bytes and stored `stored` of them."""
        self.rows.append(
            (
                step,
                f"{seconds:.1f} s",
                f"{size / 2**20 / seconds:,.0f} MiB/s",
                "" if stored is None else mib(stored),
                verdict,
            )
        )

    def show(self) -> None:
        table = Table(title="What was shown")
        for heading in ("step", "time", "rate", "stored", "result"):
            table.add_column(heading, justify="left" if heading in ("step", "result") else "right")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def headline(text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


def run(*command: str | Path, **environment: str) -> str:
    """Print the command, run it, and return what it printed."""
    words = [str(word) for word in command]
    shown = [Path(words[0]).name, *(word.replace(f"{CHECKOUT}/", "") for word in words[1:])]
    console.print(f"[cyan]$ {shlex.join(shown)}[/]")
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        env={**clean_environment(), **environment},
        timeout=PATIENCE,
    )
    if done.returncode:
        raise Failed(f"exit code {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Ours without another cloud's settings, and with the places where mke2fs and others lie."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
    return {**inherited, "PATH": f"{inherited.get('PATH', '')}:{SEARCH}"}


@dataclass
class Service:
    """A running `emberkeep serve`."""

    state: Path
    port: int

    def openstack(self, *arguments: str) -> object:
        """Run the unmodified client and return what it answered."""
        output = run(
            OPENSTACK,
            "--os-cloud",
            "emberkeep",
            *arguments,
            "-f",
            "json",
            OS_CLIENT_CONFIG_FILE=str(self.state / "clouds.yaml"),
        )
        return json.loads(output)

    def client(self, *arguments: str) -> None:
        """Run the unmodified client for a command that answers nothing."""
        run(
            OPENSTACK,
            "--os-cloud",
            "emberkeep",
            *arguments,
            OS_CLIENT_CONFIG_FILE=str(self.state / "clouds.yaml"),
        )

    def get(self, path: str) -> dict[str, object]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"X-Auth-Token": "admin:demo"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def wait(self, backup: str, doing: str) -> int:
        """Show the progress of the backup's job until it ended; return the bytes it stored."""
        with Progress(
            TextColumn(doing),
            BarColumn(),
            DownloadColumn(True),
            TransferSpeedColumn(),
            console=console,
        ) as bar:
            task = bar.add_task(doing, total=None)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                progress = self.get(f"/emberkeep/v1/backups/{backup}/progress")["progress"]
                assert isinstance(progress, dict)
                bar.update(
                    task, completed=progress["bytes_done"], total=progress["bytes_total"] or None
                )
                if progress["state"] in ("done", "failed"):
                    return int(progress["bytes_stored"])
                time.sleep(0.2)
        raise Failed(f"{doing}: not ended after {PATIENCE} s")

    def status(self, kind: str, name: str, wanted: str) -> dict[str, object]:
        """Show a thing through the client and insist on its status."""
        answer = self.openstack(*kind.split(), "show", name)
        assert isinstance(answer, dict)
        if answer["status"] != wanted:
            raise Failed(f"{kind} {name} is {answer['status']}, not {wanted}: {answer}")
        return answer

    def path(self, volume: str) -> Path:
        return Path(run(EMBERKEEP, "volume", "path", "--state-dir", self.state, volume).strip())


@contextlib.contextmanager
def serving(state: Path) -> Iterator[Service]:
    """Run the service on a free loopback port; end it, and wait for that, at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(EMBERKEEP), "serve", "--state-dir", str(state), "--port", str(port),
        "--availability-zones", "az1,az2",
    ]  # fmt: skip
    console.print(f"[cyan]$ {shlex.join(command).replace(f'{CHECKOUT}/', '')} &[/]")
    log = (PLAYGROUND / f"{state.name}.log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log, env=clean_environment())
    try:
        deadline = time.monotonic() + 60
        while not ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the service did not start:\n{Path(log.name).read_text()}")
            time.sleep(0.1)
        yield Service(state, port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
    except urllib.error.HTTPError as answer:
        return answer.code == 300
    except OSError:
        return False
    return False


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(what: str, path: Path, wanted: str) -> str:
    """Insist that the image at `path` has the digest `wanted` and a sound file system."""
    found = sha256(path)
    console.print(f"  SHA-256 of {what}: {found[:16]}…, wanted {wanted[:16]}…")
    if found != wanted:
        raise Failed(f"{what} differs")
    run("e2fsck", "-fn", path)
    return "identical, e2fsck clean"


def build_image(image: Path) -> None:
    """An ext4 image of the files of the two environments that `make` installed."""
    files = PLAYGROUND / "files"
    files.mkdir()
    for environment in (".venv", ".venv-openstackclient"):
        run("cp", "-a", CHECKOUT / environment, files / environment.lstrip("."))
    run("mke2fs", "-q", "-t", "ext4", "-d", files, image, f"{IMAGE_MIB}M")
    shutil.rmtree(files)


def change(image: Path) -> None:
    """Change the file system as a running system would: add, remove and rewrite files."""
    added = PLAYGROUND / "added"
    added.write_bytes(os.urandom(24 << 20))
    rewritten = PLAYGROUND / "rewritten"
    rewritten.write_text("rewritten\n" * 100_000)
    commands = PLAYGROUND / "debugfs"
    commands.write_text(
        f"write {added} added\n"
        "rm venv/pyvenv.cfg\n"
        f"write {rewritten} venv/pyvenv.cfg\n"
        "rm venv/bin/python-config\n"
        "rm venv/bin/activate.csh\n"
    )
    run("debugfs", "-w", "-f", commands, image)
    if "added" not in run("debugfs", "-R", "ls -p /", image):
        raise Failed("debugfs did not change the image")


def demo(report: Report, az2: str | None) -> None:
    """`az2`: that zone's options in emberkeep.conf."""
    state, image = PLAYGROUND / "state", PLAYGROUND / "image"
    if az2 is None:
        az2 = f"repository = {(state / 'stores' / 'az2').as_uri()}\n"
    else:
        state.mkdir(mode=0o700)
        (state / "emberkeep.conf").write_text(zones(az2))
    size = IMAGE_MIB << 20
    key = PLAYGROUND / "exported-key.txt"

    headline("A real file system, in availability zone az1")
    build_image(image)
    wanted = {"full": sha256(image)}
    with serving(state) as service:
        key.write_text(run(EMBERKEEP, "key", "export", "--state-dir", state))
        imported = json.loads(
            run(
                *(EMBERKEEP, "volume", "import", "--json", "--state-dir", state),
                *("--name", "data", "--availability-zone", "az1", image),
            )
        )
        source = service.path(imported["id"])
        service.status("volume", "data", "available")

        headline("A full backup, into az2")
        backup("full", "--availability-zone", "az2", service=service, size=size, report=report)

        headline("Files are added, removed and rewritten; then an incremental backup")
        change(source)
        wanted["incremental"] = sha256(source)
        backup("incremental", "--incremental", service=service, size=size, report=report)

        headline("The incremental, restored to a new volume")
        restore("incremental", "fresh", service=service, size=size, report=report, wanted=wanted)

        headline("The full, restored over an existing volume")
        service.openstack("volume", "create", "--size", "2", "--availability-zone", "az1", "old")
        restore(
            "full", "old", service=service, size=size, report=report, wanted=wanted, existing=True
        )

        headline("The full is deleted and collected; the incremental is whole without it")
        service.client("volume", "backup", "delete", "full")
        gone(service, "full")
        started = time.monotonic()
        console.print(run(EMBERKEEP, "repo", "collect", "--state-dir", state).rstrip())
        report.add("collect", time.monotonic() - started, size, None, "")
        restore("incremental", "again", service=service, size=size, report=report, wanted=wanted)

    headline("Disaster: az1 is lost, its volumes and its store; so are the database and the key")
    for lost in ("volumes/az1", "stores/az1", "emberkeep.sqlite", "emberkeep.key"):
        console.print(f"[cyan]$ mv {lost} {lost}.lost[/]")
        (state / lost).rename(state / f"{lost}.lost")

    headline("A new state directory, the exported key, and what is in az2's store")
    new = PLAYGROUND / "new-state"
    run(EMBERKEEP, "key", "import", "--state-dir", new, key)
    (new / "emberkeep.conf").write_text(zones(az2))
    console.print(run(EMBERKEEP, "repo", "rebuild", "--state-dir", new).rstrip())
    with serving(new) as service:
        console.print(service.openstack("volume", "backup", "list"))
        restore("incremental", "survivor", service=service, size=size, report=report, wanted=wanted)


def zones(az2: str) -> str:
    return f"[availability_zones]\nenabled = az1, az2\n[zone:az2]\n{az2}"


def backup(name: str, *options: str, service: Service, size: int, report: Report) -> None:
    """Back the volume up through the client, and wait until that is available."""
    started = time.monotonic()
    created = service.openstack("volume", "backup", "create", "--name", name, *options, "data")
    assert isinstance(created, dict)
    stored = service.wait(created["id"], f"{name} backup")
    seconds = time.monotonic() - started
    shown = service.status("volume backup", name, "available")
    if shown["availability_zone"] != "az2":
        raise Failed(f"{name} is in {shown['availability_zone']}")
    console.print(f"  {mib(size)} volume, {mib(stored)} stored in {shown['availability_zone']}")
    report.add(f"{name} backup into az2", seconds, size, stored, "available")


def restore(
    name: str,
    volume: str,
    *,
    service: Service,
    size: int,
    report: Report,
    wanted: dict[str, str],
    existing: bool = False,
) -> None:
    """Restore through the client, and compare the volume with the image that was backed up."""
    started = time.monotonic()
    force = ("--force",) if existing else ()
    answer = service.openstack("volume", "backup", "restore", *force, name, volume)
    assert isinstance(answer, dict)
    service.wait(str(answer["id"]), f"restore of {name}")
    seconds = time.monotonic() - started
    service.status("volume", str(answer["volume_id"]), "available")
    verdict = compare(f"volume {volume}", service.path(str(answer["volume_id"])), wanted[name])
    report.add(f"{name} restored to {volume}", seconds, size, None, verdict)


def gone(service: Service, name: str) -> None:
    """Wait until the client lists the backup no more."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        listed = service.openstack("volume", "backup", "list")
        assert isinstance(listed, list)
        if name not in [backup["Name"] for backup in listed]:
            return
    raise Failed(f"{name} is still there")


def main(arguments: list[str]) -> int:
    az2 = Path(arguments[0]).read_text() if arguments else None
    shutil.rmtree(PLAYGROUND, ignore_errors=True)
    PLAYGROUND.mkdir()
    report = Report()
    try:
        demo(report, az2)
    except (Failed, OSError, subprocess.SubprocessError) as error:
        console.print(f"[bold red]The demo failed: {error}[/]")
        return 1
    finally:
        if report.rows:
            report.show()
        shutil.rmtree(PLAYGROUND, ignore_errors=True)
    console.print("[bold green]Everything restored byte for byte.[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
