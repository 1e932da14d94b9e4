"""`emberkeep`: one command, a group for each thing it is about."""

import click

import emberkeep
from emberkeep.cli.config import config
from emberkeep.cli.errors import Commands
from emberkeep.cli.key import key
from emberkeep.cli.policy import policy
from emberkeep.cli.repo import repo
from emberkeep.cli.serve import serve
from emberkeep.cli.store import store
from emberkeep.cli.volume import volume


@click.group(cls=Commands)
@click.version_option(emberkeep.__version__, prog_name="emberkeep")
def main() -> None:
    """Block-storage backups behind Cinder's v3 Backups API."""


for command in (serve, volume, key, repo, store, policy, config):
    main.add_command(command)
