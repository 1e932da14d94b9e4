"""`emberkeep repo`: a repository in any store, with the service or without it."""

import click

from emberkeep.cli.errors import Commands
from emberkeep.cli.repo.backup import backup
from emberkeep.cli.repo.catalog import delete, list_backups, show
from emberkeep.cli.repo.making import init, rebuild
from emberkeep.cli.repo.restore import restore
from emberkeep.cli.repo.upkeep import collect, stats, verify


@click.group(cls=Commands)
def repo() -> None:
    """Back up images and devices into a repository, and look after repositories.

    A repository is named by --repo and its --key-file; what is only known on this machine, such as
    which backup runs, is kept in --ledger-dir.  Some commands take the --state-dir of a service
    instead, and are about the repositories of its zones.

    Exit codes: 0 all is well; 1 damage was found, or some of it failed; 2 it could not be done;
    130 interrupted.
    """


for command in (
    init, backup, list_backups, show, restore, delete, verify, collect, stats, rebuild,
):  # fmt: skip
    repo.add_command(command)
