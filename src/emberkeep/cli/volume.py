"""`emberkeep volume`: the volumes of an embedded service, as files on this machine."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from emberkeep import config
from emberkeep.caller import Caller
from emberkeep.cli import options
from emberkeep.cli.errors import Commands
from emberkeep.cli.state import open_state
from emberkeep.db.paging import Query
from emberkeep.db.volumes import VolumeRow
from emberkeep.volumes.drivers.blocks import Copied
from emberkeep.volumes.local import VolumeRequest

_PAGE = 1000


@click.group(cls=Commands)
def volume() -> None:
    """Bring image files in as volumes, find their files, take them out again."""


def _properties(
    _context: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    pairs = (value.partition("=") for value in values)
    found = {}
    for key, equals, text in pairs:
        if not key or not equals:
            raise click.BadParameter("write KEY=VALUE")
        found[key] = text
    return found


@volume.command("import")
@options.state_dir
@click.option("--name", help="The volume's name.")
@click.option("--availability-zone", "zone", required=True, help="Where the volume will be.")
@click.option("--reference", is_flag=True, help="Use the file where it lies; it is never deleted.")
@click.option("--project", default=config.EMBEDDED_PROJECT, help="Whose it will be.")
@click.option("--user", default=config.EMBEDDED_USER, help="Whose it will be.")
@click.option(
    "--property", "metadata", multiple=True, callback=_properties, metavar="KEY=VALUE",
    help="Metadata; may be given again.",
)  # fmt: skip
@click.option(
    "--image-property", "image_metadata", multiple=True, callback=_properties, metavar="KEY=VALUE",
    help="Image metadata; may be given again.",
)  # fmt: skip
@click.option("--bootable", is_flag=True, help="Servers can boot from it.")
@options.as_json
@click.argument("path", type=click.Path(path_type=Path))
def import_volume(
    state_dir: Path,
    name: str | None,
    zone: str,
    reference: bool,
    project: str,
    user: str,
    metadata: dict[str, str],
    image_metadata: dict[str, str],
    bootable: bool,
    as_json: bool,
    path: Path,
) -> None:
    """Take the image file or block device PATH as a volume of as many GiB as hold it."""
    with open_state(state_dir) as parts, _progress("copying", quiet=as_json) as copied:
        row = parts.volumes.import_file(
            path,
            name=name,
            zone=zone,
            project_id=project,
            user_id=user,
            reference=reference,
            metadata=metadata,
            image_metadata=image_metadata,
            bootable=bootable,
            copied=copied,
        )
    click.echo(json.dumps(_shown(row)) if as_json else row.id)


@volume.command("list")
@options.state_dir
@options.as_json
def list_volumes(state_dir: Path, as_json: bool) -> None:
    """List the volumes of all projects."""
    rows: list[VolumeRow] = []
    with open_state(state_dir) as parts:
        while True:
            marker = rows[-1].id if rows else None
            page, _count = parts.volumes.find(Query(project_id=None, limit=_PAGE, marker=marker))
            rows += page
            if len(page) < _PAGE:
                break
    if as_json:
        click.echo(json.dumps([_shown(row) for row in rows]))
        return
    table = Table("id", "name", "GiB", "status", "availability zone")
    for row in rows:
        table.add_row(row.id, row.name or "", str(row.size), row.status, row.availability_zone)
    Console().print(table)


@volume.command()
@options.state_dir
@options.as_json
@click.argument("volume_id")
def show(state_dir: Path, as_json: bool, volume_id: str) -> None:
    """Show what is known of a volume."""
    with open_state(state_dir) as parts:
        shown = _shown(parts.volumes.show(volume_id))
    if as_json:
        click.echo(json.dumps(shown))
        return
    table = Table("field", "value")
    for name, value in shown.items():
        table.add_row(name, "" if value is None else str(value))
    Console().print(table)


@volume.command()
@options.state_dir
@click.option("--name", help="The volume's name.")
@click.option("--availability-zone", "zone", required=True, help="Where the volume will be.")
@click.option("--size", "size_gib", required=True, type=click.IntRange(min=1), help="GiB.")
@click.option("--project", default=config.EMBEDDED_PROJECT, help="Whose it will be.")
@click.option("--user", default=config.EMBEDDED_USER, help="Whose it will be.")
def create(
    state_dir: Path, name: str | None, zone: str, size_gib: int, project: str, user: str
) -> None:
    """Make an empty volume, as soon as the service runs."""
    asked = VolumeRequest(size_gib=size_gib, name=name, availability_zone=zone)
    with open_state(state_dir) as parts:
        click.echo(parts.volumes.create(_operator(project, user), asked).id)


@volume.command()
@options.state_dir
@click.option("--cascade", is_flag=True, help="Delete its snapshots, too.")
@click.argument("volume_id")
def delete(state_dir: Path, cascade: bool, volume_id: str) -> None:
    """Delete a volume, as soon as the service runs.  Its backups stay."""
    with open_state(state_dir) as parts:
        caller = _operator(config.EMBEDDED_PROJECT, config.EMBEDDED_USER)
        parts.volumes.delete(caller, volume_id, cascade=cascade)


@volume.command()
@options.state_dir
@click.argument("volume_id")
def path(state_dir: Path, volume_id: str) -> None:
    """Print the file that holds the volume's bytes."""
    with open_state(state_dir) as parts:
        click.echo(parts.volumes.path_of(parts.volumes.show(volume_id)))


@volume.command()
@options.state_dir
@click.argument("volume_id")
@click.argument("destination", type=click.Path(path_type=Path))
def export(state_dir: Path, volume_id: str, destination: Path) -> None:
    """Copy the volume's bytes to the file DESTINATION, which must not exist."""
    with open_state(state_dir) as parts, _progress("copying", quiet=False) as copied:
        parts.volumes.export_file(volume_id, destination, copied=copied)


@contextmanager
def _progress(text: str, *, quiet: bool) -> Iterator[Copied]:
    """A bar on standard error for a copy."""
    columns = (TextColumn(text), BarColumn(), DownloadColumn(True), TransferSpeedColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet)
    task = bar.add_task(text, total=None)

    def copied(done: int, total: int) -> None:
        bar.start()  # only now: what is refused shows no bar
        bar.update(task, completed=done, total=total)

    try:
        yield copied
    finally:
        if bar.live.is_started:
            bar.stop()


def _operator(project: str, user: str) -> Caller:
    """Who has the state directory may do everything."""
    return Caller(user, project, is_admin=True, request_id="", authorize=lambda *_rule: None)


def _shown(row: VolumeRow) -> dict[str, Any]:
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in asdict(row).items()
        if name not in ("deleted", "deleted_at")
    }
