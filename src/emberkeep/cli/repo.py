"""`emberkeep repo`: what an operator does to the repositories of a service."""

import json
import time
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from emberkeep import assembly, config, state
from emberkeep.assembly import Parts
from emberkeep.backups.rebuild import Rebuilt
from emberkeep.backups.rebuild import rebuild as rebuild_zone
from emberkeep.cli import options
from emberkeep.cli.errors import Commands, Failure
from emberkeep.cli.state import open_state
from emberkeep.db.jobs import Job

PATIENCE = 600  # seconds for a running service to collect a domain
_zone = click.option("--availability-zone", "only", help="Only this zone; else all of them.")


@click.group(cls=Commands)
def repo() -> None:
    """Register and collect what the zones' stores hold."""


@repo.command()
@options.state_dir
@_zone
@options.as_json
def rebuild(state_dir: Path, only: str | None, as_json: bool) -> None:
    """Register the backups that the zones' stores hold and the database does not know.

    For a new state directory after a disaster: import the exported key, say in its emberkeep.conf
    where the stores are, then this.  Or when the database was put back to an older state.  Every
    service that uses the stores must have been stopped.
    """
    configuration = config.load(state_dir)
    zones = [zone.name for zone in configuration.zones]
    if only is not None and only not in zones:
        raise Failure(f"no availability zone {only!r}; there are {', '.join(zones)}")
    state.prepare(state_dir)
    results: dict[str, Rebuilt] = {}
    with state.locked(state_dir):
        assembly.prepare(configuration)
        parts = assembly.assemble(configuration)
        repositories = assembly.open_repositories(configuration, parts.database)
        with Progress(console=Console(stderr=True), disable=as_json) as bar:
            for zone in zones if only is None else [only]:
                task = bar.add_task(f"{zone}: backups", total=None)
                progress = partial(_advance, bar, task)
                results[zone] = rebuild_zone(
                    parts.database, repositories[zone], zone, progress=progress
                )
        parts.close()
    if as_json:
        shown = {
            zone: {
                "registered": r.registered,
                "known": r.known,
                "lost": r.lost,
                "unreadable": r.unreadable,
            }
            for zone, r in results.items()
        }
        click.echo(json.dumps(shown))
    else:
        for zone, result in results.items():
            click.echo(f"{zone}: {len(result.registered)} registered, {result.known} known before")
    unreadable = [text for result in results.values() for text in result.unreadable]
    if unreadable:
        raise Failure("not all could be read: " + "; ".join(unreadable))


@repo.command()
@options.state_dir
@options.as_json
def collect(state_dir: Path, as_json: bool) -> None:
    """Let the running service remove what no backup needs any more, and wait for that."""
    with open_state(state_dir) as parts:
        with parts.database.writing() as tx:
            jobs = parts.backups.collect(tx)
        ended = [_ended(parts, job) for job in jobs]
    failed = [job.error for job in ended if job.state != "done"]
    totals = {
        name: sum(int(job.checkpoint.get(name, 0)) for job in ended)
        for name in ("roots", "removed_segments", "removed_bytes", "kept_segments", "kept_bytes")
    }
    if as_json:
        click.echo(json.dumps({"domains": len(ended), **totals}))
    else:
        click.echo(
            f"{totals['removed_segments']} segments removed "
            f"({totals['removed_bytes'] / 2**20:,.1f} MiB), {totals['kept_segments']} kept "
            f"({totals['kept_bytes'] / 2**20:,.1f} MiB) for {totals['roots']} backups"
        )
    if failed:
        raise Failure("; ".join(str(error) for error in failed))


def _advance(bar: Progress, task: TaskID, roots: int) -> None:
    bar.update(task, completed=roots)


def _ended(parts: Parts, job_id: str) -> Job:
    """Wait until the job has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with parts.database.reading() as tx:
            job = parts.queue.get(tx, job_id)
        if job is None or job.state in ("done", "failed"):
            assert job is not None
            return job
        time.sleep(0.1)
    raise Failure("the service has not collected in time; is it running? (emberkeep serve)")
