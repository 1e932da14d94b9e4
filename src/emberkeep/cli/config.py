"""`emberkeep config`: what can be configured."""

import click

from emberkeep.cli.errors import Commands


@click.group(cls=Commands)
def config() -> None:
    """Look at the configuration."""


@config.command()
def sample() -> None:
    """Print a documented emberkeep.conf with every option and its default."""
    from emberkeep.config.sample import sample as the_sample  # slow to load

    click.echo(the_sample())
