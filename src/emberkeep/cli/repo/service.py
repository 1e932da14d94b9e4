"""The repositories of a service: rebuilt here, collected and verified by the service itself."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from emberkeep import assembly, config, state
from emberkeep.assembly import Parts
from emberkeep.backups.rebuild import Rebuilt
from emberkeep.backups.rebuild import rebuild as rebuild_zone
from emberkeep.cli.errors import Failure
from emberkeep.cli.state import open_state
from emberkeep.db import domains
from emberkeep.db.database import Transaction
from emberkeep.db.jobs import Job
from emberkeep.engine.repository import DomainId, RootId, Statistics, Verified

PATIENCE = 600  # seconds for a running service to do what a domain needs
COUNTED = (
    "roots", "removed_segments", "removed_bytes", "compacted_segments", "kept_segments",
    "kept_bytes", "waiting", "spared", "unknown",
)  # fmt: skip


def rebuild(state_dir: Path, only: str | None, *, as_json: bool) -> None:
    """See `emberkeep repo rebuild`."""
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


def collect(state_dir: Path, *, dry_run: bool, as_json: bool) -> None:
    """Let the running service collect, and wait for that."""
    jobs = _done(state_dir, lambda parts, tx: parts.backups.collect(tx, dry_run=dry_run))
    totals = {name: sum(int(job.checkpoint.get(name, 0)) for job in jobs) for name in COUNTED}
    if as_json:
        click.echo(json.dumps({"domains": len(jobs), **totals}))
        return
    if dry_run:
        for job in jobs:
            for reason in job.checkpoint["reasons"]:
                click.echo(reason)
    would = " would be" if dry_run else ""
    click.echo(
        f"{totals['removed_segments']} segments{would} removed "
        f"({totals['removed_bytes'] / 2**20:,.1f} MiB), {totals['kept_segments']} kept "
        f"({totals['kept_bytes'] / 2**20:,.1f} MiB) for {totals['roots']} backups"
    )


def verify(state_dir: Path, *, depth: int, share: float) -> dict[DomainId, Verified]:
    """Let the running service verify, and wait for that."""
    jobs = _done(state_dir, lambda parts, tx: parts.backups.verify(tx, depth=depth, share=share))
    return {DomainId(job.subject): _verified(job) for job in jobs}


def _verified(job: Job) -> Verified:
    found = job.checkpoint
    return Verified(
        backups=found["backups"],
        segments=found["segments"],
        read_bytes=found["read_bytes"],
        left=found["left"],
        damaged=tuple(found["damaged"]),
        quarantined=tuple(RootId(root) for root in found["quarantined"]),
    )


def stats(state_dir: Path) -> tuple[dict[DomainId, Statistics], dict[DomainId, str]]:
    """What the backups of all zones take, by domain, and whose each is."""
    found: dict[DomainId, Statistics] = {}
    labels: dict[DomainId, str] = {}
    with open_state(state_dir) as parts:
        repositories = assembly.open_repositories(parts.configuration, parts.database)
        for zone, repository in repositories.items():
            with parts.database.reading() as tx:
                rows = domains.domains_of(tx, repository.id)
            for row in rows:
                domain = DomainId(row.id)
                if domain not in found:  # zones may share a repository
                    found[domain] = repository.stats(domain)
                    labels[domain] = f"{zone}: project {row.project_id}, {row.container or 'none'}"
    return found, labels


def _done(state_dir: Path, enqueue: Callable[[Parts, Transaction], Sequence[str]]) -> list[Job]:
    """Have the service do jobs, and wait for them.  Raises `Failure` if one fails."""
    with open_state(state_dir) as parts:
        with parts.database.writing() as tx:
            jobs = enqueue(parts, tx)
        ended = [_ended(parts, job) for job in jobs]
    failed = [job.error for job in ended if job.state != "done"]
    if failed:
        raise Failure("; ".join(str(error) for error in failed))
    return ended


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
    raise Failure("the service has not done it in time; is it running? (emberkeep serve)")
