"""`emberkeep repo`: a repository in any store, with the service or without it."""

import click

from emberkeep.cli.errors import Commands
from emberkeep.cli.repo import backup, catalog, making, restore, upkeep


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
    making.init,
    backup.backup,
    catalog.list_backups,
    catalog.show,
    restore.restore,
    catalog.delete,
    upkeep.verify,
    upkeep.collect,
    upkeep.stats,
    making.rebuild,
):
    repo.add_command(command)
