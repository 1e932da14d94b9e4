"""`emberkeep repo verify`, `collect` and `stats`: what keeps a repository well."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from emberkeep.cli import options, shown
from emberkeep.cli.errors import Failure, Trouble
from emberkeep.cli.repo import bare, service
from emberkeep.cli.repo.bare import Bare
from emberkeep.cli.repo.options import Where, bare_or_service, container, only_bare
from emberkeep.engine.errors import EngineError
from emberkeep.engine.repository import Collected, DomainId, Statistics, Verified
from emberkeep.engine.statistics import Usage

_T = TypeVar("_T")


@click.command()
@bare_or_service
@container
@click.option(
    "--depth", type=click.IntRange(1, 3), default=2, show_default=True,
    help="1: all objects are there; 2: with the right bytes; 3: and their chunks open.",
)  # fmt: skip
@click.option(
    "--share", type=click.FloatRange(0, 1), default=1.0, show_default=True, metavar="SHARE",
    help="How much of the data to read, what was read longest ago first.",
)  # fmt: skip
@options.as_json
def verify(
    where: Where | Path, container: str | None, depth: int, share: float, as_json: bool
) -> None:
    """Look whether all that backups need is in the store, as it was written.

    Backups that need something damaged are put into quarantine; the next backup of such a volume
    stores the damaged chunks anew.
    """
    failures: list[str] = []
    if isinstance(where, Path):
        only_bare(where, container=container)
        found = service.verify(where, depth=depth, share=share)
    else:
        with bare.writing(where) as opened, shown.bytes_bar("verify", quiet=as_json) as report:
            found, failures = _each(
                opened,
                container,
                lambda domain: opened.repository.verify(
                    domain, depth=depth, share=share, progress=report
                ),
            )
    results = list(found.values())
    damaged = [line for result in results for line in result.damaged]
    quarantined = [root for result in results for root in result.quarantined]
    if as_json:
        click.echo(json.dumps({domain: asdict(result) for domain, result in found.items()}))
    else:
        _tell_verified(results)
        for line in damaged:
            click.echo(f"emberkeep: {line}", err=True)
        for root in quarantined:
            click.echo(f"emberkeep: backup {root} needs what is damaged", err=True)
    _complain(failures)
    if damaged or quarantined:
        raise click.exceptions.Exit(1)


def _tell_verified(results: list[Verified]) -> None:
    backups, segments = sum(r.backups for r in results), sum(r.segments for r in results)
    read, left = sum(r.read_bytes for r in results), sum(r.left for r in results)
    later = f"; {left:,} segments are left for the next time" if left else ""
    click.echo(
        f"{backups:,} backups, {segments:,} segments looked at, {shown.size(read)} read{later}"
    )


@click.command()
@bare_or_service
@container
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be removed, and why.")
@options.as_json
def collect(where: Where | Path, container: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove what no backup needs any more, beside backups and restores that run.

    Of a service: let it do that, and wait.
    """
    if isinstance(where, Path):
        only_bare(where, container=container)
        service.collect(where, dry_run=dry_run, as_json=as_json)
        return
    with bare.writing(where) as opened, shown.count_bar("backups", quiet=as_json) as report:
        if not dry_run:
            opened.abort_silent()
        found, failures = _each(
            opened,
            container,
            lambda domain: opened.repository.collect(domain, dry_run=dry_run, progress=report),
        )
    if as_json:
        click.echo(json.dumps({domain: asdict(result) for domain, result in found.items()}))
    else:
        for line in (line for result in found.values() for line in result.reasons if dry_run):
            click.echo(line)
        click.echo(_collected(list(found.values()), dry_run=dry_run))
    _complain(failures)


def _collected(results: list[Collected], *, dry_run: bool) -> str:
    total = {name: sum(getattr(r, name) for r in results) for name in service.COUNTED}
    would = " would be" if dry_run else ""
    removed, kept = shown.size(total["removed_bytes"]), shown.size(total["kept_bytes"])
    text = (
        f"{total['removed_segments']:,} segments{would} removed ({removed}), "
        f"{total['compacted_segments']:,}{would} compacted, "
        f"{total['kept_segments']:,} kept ({kept}) for {total['roots']:,} backups"
    )
    for name, why in (
        ("waiting", "sessions are in use, and left for the next time"),
        ("spared", "sessions are kept whole for damaged backups"),
        ("unknown", "segments are of sessions that the ledger does not know, and left alone"),
    ):
        if total[name]:
            text += f"; {total[name]:,} {why}"
    return text


@click.command()
@bare_or_service
@container
@options.as_json
def stats(where: Where | Path, container: str | None, as_json: bool) -> None:
    """Tell what backups take, each, by volume, and all of a label.

    Logical is the volume's size; stored what a backup reaches in the store; unique what of that
    nothing else reaches, so what deleting it gives back; shared the rest.
    """
    failures: list[str] = []
    if isinstance(where, Path):
        only_bare(where, container=container)
        found, labels = service.stats(where)
    else:
        with bare.reading(where) as opened, shown.count_bar("maps", quiet=as_json) as report:
            labels = {domain: label or "" for domain, label in opened.all_labels().items()}
            found, failures = _each(
                opened,
                container,
                lambda domain: opened.repository.stats(domain, progress=report),
            )
    if as_json:
        click.echo(json.dumps([_plain(d, labels.get(d, ""), s) for d, s in found.items()]))
    else:
        for domain, statistics in found.items():
            _show(labels.get(domain, ""), statistics)
    damaged = [line for statistics in found.values() for line in statistics.damaged]
    for line in damaged:
        click.echo(f"emberkeep: not counted: {line}", err=True)
    _complain(failures)
    if damaged:
        raise click.exceptions.Exit(1)


def _plain(domain: DomainId, label: str, found: Statistics) -> dict[str, Any]:
    return {
        "domain": domain,
        "container": label,
        **_usage(found.domain),
        "in_store": found.in_store,
        "volumes": {volume: _usage(usage) for volume, usage in found.volumes.items()},
        "backups": {
            root: {"volume": found.volume_of[root], **_usage(usage)}
            for root, usage in found.backups.items()
        },
        "damaged": list(found.damaged),
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {**asdict(usage), "shared": usage.shared}


def _show(label: str, found: Statistics) -> None:
    table = Table("what", title=label or None, title_justify="left")
    for header in ("logical", "stored", "unique", "shared"):
        table.add_column(header, justify="right")
    for root, usage in found.backups.items():
        _row(table, f"backup {root[:12]} of {found.volume_of[root]}", usage)
    table.add_section()
    for volume, usage in sorted(found.volumes.items()):
        _row(table, f"volume {volume}", usage)
    table.add_section()
    _row(table, f"all, {shown.size(found.in_store)} in the store", found.domain)
    Console().print(table)


def _row(table: Table, what: str, usage: Usage) -> None:
    counts = (usage.logical, usage.stored, usage.unique, usage.shared)
    table.add_row(what, *map(shown.size, counts))


def _each(
    opened: Bare, label: str | None, work: Callable[[DomainId], _T]
) -> tuple[dict[DomainId, _T], list[str]]:
    """Do the work for each domain, or the label's.  One that fails does not stop the others."""
    found: dict[DomainId, _T] = {}
    failures: list[str] = []
    labels = opened.all_labels()
    if label is not None and label not in labels.values():
        raise Failure(f"there are no backups under the label {label!r}")
    for domain in labels:
        if label in (None, labels[domain]):
            try:
                found[domain] = work(domain)
            except EngineError as error:
                failures.append(str(error))
    return found, failures


def _complain(failures: list[str]) -> None:
    """Raises `Trouble` if there are any."""
    if failures:
        raise Trouble("; ".join(failures))
