"""`emberkeep repo backup`: an image or a block device into the repository."""

import contextlib
import json
import stat
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from emberkeep.cli import options, shown
from emberkeep.cli.errors import Failure
from emberkeep.cli.repo import bare, catalog, locks
from emberkeep.cli.repo.bare import Bare
from emberkeep.cli.repo.locks import VolumeLock
from emberkeep.cli.repo.options import Where
from emberkeep.cli.repo.options import bare as bare_options
from emberkeep.engine.repository import DomainId, RootId, SessionId, Settings, State, Written
from emberkeep.volumes.drivers.streams import FileSource

_UNENDED = (State.ACTIVE, State.EXPIRED)
_LONGEST = 255  # letters of a label


def _label(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not value.strip() or len(value) > _LONGEST or "\0" in value):
        raise click.BadParameter(f"write 1 to {_LONGEST} letters")
    return value


@click.command()
@bare_options
@click.option(
    "--volume", metavar="NAME", callback=_label,
    help="What it is a backup of; default: the file's name.",
)  # fmt: skip
@click.option(
    "--container", metavar="LABEL", default="default", show_default=True, callback=_label,
    help="Backups under one label share chunks and keys.",
)  # fmt: skip
@click.option(
    "--compression-level", "level", type=click.IntRange(1, 19), default=1, show_default=True
)
@options.as_json
@click.argument("source", type=click.Path(path_type=Path))
def backup(
    where: Where, volume: str | None, container: str, level: int, as_json: bool, source: Path
) -> None:
    """Back up SOURCE, an image file or a block device.

    What the newest backup of the same volume holds is not stored again.  After an interruption,
    whatever it was, the same command goes on without storing again what was stored.

    SOURCE must not be written to meanwhile: a file's backup fails if it is; of a device in use,
    take a snapshot and back that up.
    """
    volume = volume or source.name
    _check(source)
    with (
        bare.writing(where) as found,
        locks.of_volume(found.home, container, volume) as lock,
        contextlib.closing(FileSource(source)) as image,
        shown.bytes_bar(volume, quiet=as_json) as report,
    ):
        domain, repository = found.domain(container), found.repository
        base, predecessor = _before(found, domain, lock, container, volume)
        session = repository.new_session()
        lock.note(session)
        began = time.monotonic()
        written = repository.back_up(
            image,
            domain=domain,
            session=session,
            base=base,
            predecessor=predecessor,
            description={
                "volume_id": volume,
                "container": container,
                "created_at": datetime.now(UTC).isoformat(timespec="microseconds"),
                "source": str(source.absolute()),
            },
            settings=Settings(compression_level=level),
            progress=report,
            checkpoint=image.check_unchanged,
        )
        damage = repository.ledger.damage(written.root)
        seconds = time.monotonic() - began
    if as_json:
        told = asdict(written)
        del told["pins"], told["uses"]
        told = {
            "id": told.pop("root"),
            "volume": volume,
            "container": container,
            "resumed": predecessor is not None,
            "seconds": round(seconds, 3),
            **told,
            "damage": damage,
        }
        click.echo(json.dumps(told))
    else:
        click.echo(_line(written, seconds))
    _warn(written, damage)


def _check(source: Path) -> None:
    mode = source.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise Failure(f"{source} is neither a file nor a block device")


def _before(
    found: Bare, domain: DomainId, lock: VolumeLock, container: str, volume: str
) -> tuple[RootId | None, SessionId | None]:
    """The volume's newest backup, and the session that its last backup left, if it did not end."""
    last = lock.last
    match None if last is None else found.repository.ledger.state(last):
        case State.COMMITTED:
            assert last is not None
            return RootId(last), None
        case State.ACTIVE | State.EXPIRED | State.ABORTED:
            predecessor = last
        case _:
            predecessor = None
    newest = catalog.newest(found, container=container, volume=volume)
    if newest is None or newest.domain != domain:
        return None, predecessor
    return newest.id, predecessor


def _line(written: Written, seconds: float) -> str:
    of_it = "full" if written.base is None else f"changes since {written.base[:12]}"
    return (
        f"{written.root}: {shown.size(written.size)} ({of_it}), {written.new_chunks:,} new chunks, "
        f"{shown.size(written.stored_bytes)} stored in {seconds:,.1f} s"
    )


def _warn(written: Written, damage: tuple[str, ...]) -> None:
    """Tell what is damaged.  Raises `Exit`."""
    for line in written.damaged:
        click.echo(f"emberkeep: damaged in earlier backups, and stored anew: {line}", err=True)
    for line in damage:
        click.echo(f"emberkeep: damaged in this backup: {line}", err=True)
    if written.damaged or damage:
        click.echo("emberkeep: verify the repository: emberkeep repo verify", err=True)
        raise click.exceptions.Exit(1)
