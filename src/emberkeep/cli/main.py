"""`emberkeep`: one command, a group for each thing it is about."""

import click

import emberkeep


@click.group()
@click.version_option(emberkeep.__version__, prog_name="emberkeep")
def main() -> None:
    """Block-storage backups behind Cinder's v3 Backups API."""
