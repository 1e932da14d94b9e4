"""`emberkeep store`: the places where backups are kept."""

import json
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from emberkeep import config
from emberkeep.cli import options
from emberkeep.cli.errors import Commands, Failure
from emberkeep.config import Zone
from emberkeep.engine import layout
from emberkeep.engine.errors import EngineError
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.repository import Repository
from emberkeep.stores import check as checks
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectNotFound, StoreError
from emberkeep.stores.findings import Finding, Result
from emberkeep.stores.open import open_store
from emberkeep.stores.options import StoreOptions

_SIGNS = {
    Result.FINE: click.style("✓", fg="green"),
    Result.NOTE: click.style("!", fg="yellow"),
    Result.WRONG: click.style("✗", fg="red"),
    Result.UNREACHABLE: click.style("✗", fg="red"),
}
_EXIT_CODES = {Result.FINE: 0, Result.NOTE: 0, Result.WRONG: 1, Result.UNREACHABLE: 2}


@dataclass(frozen=True, slots=True)
class _Place:
    """A store to be looked at; `zones` and `key_file` if it is one of the configuration."""

    url: str
    options: StoreOptions
    zones: tuple[str, ...] = ()
    key_file: Path | None = None


@click.group(cls=Commands)
def store() -> None:
    """Look after the stores that hold the backups."""


@store.command()
@options.state_dir
@options.as_json
@click.argument("url", required=False)
@click.pass_context
def check(context: click.Context, state_dir: Path, as_json: bool, url: str | None) -> None:
    """Try the store at URL out; without a URL, the stores of all availability zones.

    The credentials for a URL are taken from the environment, where the clients of S3 and Swift look
    for them (AWS_ACCESS_KEY_ID and so on, OS_AUTH_URL and so on); those for the zones from the
    configuration.  Takes some seconds a store.  What is put for it is removed again.

    The exit code is 0 if all is well, 1 if something is wrong, 2 if a store can't be reached.
    """
    places = _of_zones(state_dir) if url is None else [_Place(url, _from_environment())]
    results = {place: _checked(place, quiet=as_json) for place in places}
    if as_json:
        shown = [
            {
                "url": _shown(place.url),
                "zones": place.zones,
                "findings": [asdict(one) for one in found],
            }
            for place, found in results.items()
        ]
        click.echo(json.dumps({"stores": shown}))
    context.exit(max(_EXIT_CODES[one.result] for found in results.values() for one in found))


def _from_environment() -> StoreOptions:
    try:
        return StoreOptions.from_environment(os.environ)
    except ValueError as error:
        raise Failure(f"the environment's {error}") from error


def _of_zones(state_dir: Path) -> list[_Place]:
    """The stores of the configuration, each once."""
    configuration = config.load(state_dir)
    zones: dict[str, list[Zone]] = {}
    for zone in configuration.zones:
        zones.setdefault(zone.repository, []).append(zone)
    return [
        _Place(url, those[0].store, tuple(zone.name for zone in those), configuration.key_file)
        for url, those in zones.items()
    ]


def _checked(place: _Place, *, quiet: bool) -> list[Finding]:
    """Look at the store and, unless `quiet`, tell of each finding at once."""
    if not quiet:
        click.echo(": ".join(filter(None, (", ".join(place.zones), _shown(place.url)))))
    found = []
    with closing(_findings(place)) as findings:
        for one in findings:
            found.append(one)
            if not quiet:
                click.echo(f"  {_SIGNS[one.result]} {one.step:<13} {one.text}")
    return found


def _shown(url: str) -> str:
    """The URL without what somebody may have put before an @: it may be a secret."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rpartition("@")[2] + slash + path


def _findings(place: _Place) -> Generator[Finding, None, None]:
    try:
        opened = open_store(place.url, place.options)
    except StoreError as error:
        yield Finding("settings", Result.UNREACHABLE, str(error))
        return
    with closing(checks.check(opened)) as findings:
        for one in findings:
            yield one
            if one.result == Result.UNREACHABLE:
                return
    yield _repository(opened, place.key_file)


def _repository(opened: Store, key_file: Path | None) -> Finding:
    """Whether there is a repository, and one that this release and the service's key can open."""
    step = "repository"
    try:
        content = json.loads(opened.get(layout.FORMAT))
        text = f"repository {content['repository']} of version {content['version']}"
        if key_file is not None and key_file.exists():
            Repository.open(opened, KeyFile.load(key_file))
            text += ", which the service's key opens"
        elif content["version"] != layout.VERSION:
            text += f"; this release reads version {layout.VERSION}, take another one"
            return Finding(step, Result.WRONG, text)
    except ObjectNotFound:
        return Finding(step, Result.FINE, "there is none yet; the service makes one")
    except (EngineError, StoreError) as error:
        return Finding(step, Result.WRONG, str(error))
    except (ValueError, KeyError, TypeError):
        text = f"{layout.FORMAT} is damaged, or something else's; bring it back from a copy"
        return Finding(step, Result.WRONG, text)
    return Finding(step, Result.FINE, text)
