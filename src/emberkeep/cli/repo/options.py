"""Which repository a command is about: options, environment and defaults."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from emberkeep.cli import options

_Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Where:
    """A bare repository: the store's URL, its key file, and where its ledger is."""

    url: str
    key_file: Path
    ledger_dir: Path


def bare(command: _Command) -> _Command:
    """Have the command take the options of a bare repository, as `where`."""

    @_named
    @functools.wraps(command)
    def named(*, url: str | None, key_file: Path, ledger_dir: Path, **rest: Any) -> Any:
        if url is None:
            raise click.UsageError("name the repository: --repo URL, or EMBERKEEP_REPOSITORY")
        return command(where=Where(_url(url), key_file, ledger_dir), **rest)

    return named


def bare_or_service(command: _Command) -> _Command:
    """Also --state-dir; then `where` is the path of the service's state directory."""

    @_named
    @click.option(
        "--state-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="The service whose zones' repositories this is about.",
    )
    @functools.wraps(command)
    def named(
        *,
        url: str | None,
        key_file: Path,
        ledger_dir: Path,
        state_dir: Path | None,
        **rest: Any,
    ) -> Any:
        context = click.get_current_context()
        given = context.get_parameter_source("url") == ParameterSource.COMMANDLINE
        if state_dir is not None and given:
            raise click.UsageError(
                "--repo names a bare repository, --state-dir a service: give one"
            )
        if state_dir is not None:
            return command(where=state_dir, **rest)
        if url is not None:
            return command(where=Where(_url(url), key_file, ledger_dir), **rest)
        if options.STATE_DIR.is_dir():
            return command(where=options.STATE_DIR, **rest)
        raise click.UsageError(
            "name the repository: --repo URL, or EMBERKEEP_REPOSITORY; or --state-dir for those of "
            "a service"
        )

    return named


def only_bare(where: Where | Path, **given: object) -> None:
    """Raise a `UsageError` if one of these options was given for a service's repositories."""
    if isinstance(where, Path):
        _refuse("a bare repository, not with --state-dir", given)


def only_service(where: Where | Path, **given: object) -> None:
    """Raise a `UsageError` if one of these options was given for a bare repository."""
    if isinstance(where, Where):
        _refuse("a service, so with --state-dir", given)


def _refuse(what: str, given: dict[str, object]) -> None:
    for name, value in given.items():
        if value:
            raise click.UsageError(f"--{name.replace('_', '-')} is for {what}")


def _named(command: _Command) -> _Command:
    for option in (
        click.option(
            "--ledger-dir",
            type=click.Path(file_okay=False, path_type=Path),
            default=_ledger_dir,
            envvar="EMBERKEEP_LEDGER_DIR",
            help="What this machine knows of repositories; default ~/.local/state/emberkeep.",
        ),
        click.option(
            "--key-file",
            type=click.Path(dir_okay=False, path_type=Path),
            default=key_file,
            envvar="EMBERKEEP_KEY_FILE",
            help="The key; default ~/.config/emberkeep/key.",
        ),
        click.option(
            "--repo",
            "url",
            metavar="URL",
            envvar="EMBERKEEP_REPOSITORY",
            help="The store of a bare repository: a URL, or a directory.",
        ),
    ):
        command = option(command)
    return command


def key_file() -> Path:
    """Where the key of bare repositories is, unless told otherwise."""
    return _home("XDG_CONFIG_HOME", ".config") / "emberkeep" / "key"


def _ledger_dir() -> Path:
    return _home("XDG_STATE_HOME", ".local/state") / "emberkeep"


def _home(variable: str, default: str) -> Path:
    """A directory of the XDG base directory specification; relative ones do not count."""
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path.home() / default


def _url(text: str) -> str:
    return text if "://" in text else Path(text).absolute().as_uri()


container = click.option(
    "--container",
    metavar="LABEL",
    help="Only the backups under this label.",
)
