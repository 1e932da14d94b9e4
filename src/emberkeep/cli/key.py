"""`emberkeep key`: a life for the key outside of this machine."""

from pathlib import Path
from typing import TextIO

import click

from emberkeep import config, state
from emberkeep.cli import options
from emberkeep.cli.errors import Commands
from emberkeep.engine.keyfile import KeyFile


@click.group(cls=Commands)
def key() -> None:
    """Export the key that all backups depend on, and import it."""


_passphrase_file = click.option(
    "--passphrase-file",
    type=click.File(),
    help="File whose first line is a passphrase for the exported text.",
)


@key.command("export")
@options.state_dir
@_passphrase_file
def export_key(state_dir: Path, passphrase_file: TextIO | None) -> None:
    """Print the key as text that can be kept on paper; it carries a checksum."""
    key_file = KeyFile.load(config.load(state_dir).key_file)
    click.echo(key_file.export_text(_passphrase(passphrase_file)), nl=False)


@key.command("import")
@options.state_dir
@_passphrase_file
@click.argument("text", type=click.File())
def import_key(state_dir: Path, passphrase_file: TextIO | None, text: TextIO) -> None:
    """Make a state directory's key file from the exported TEXT (a file, or - for standard input).

    A key file that is there already is never replaced.
    """
    configuration = config.load(state_dir)
    state.prepare(state_dir)
    KeyFile.import_text(text.read(), configuration.key_file, _passphrase(passphrase_file))
    click.echo(f"imported into {configuration.key_file}")


def _passphrase(file: TextIO | None) -> str | None:
    return None if file is None else file.readline().rstrip("\n")
