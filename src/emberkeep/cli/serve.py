"""`emberkeep serve`: the embedded service."""

import logging
from pathlib import Path

import click
from rich.console import Console

from emberkeep import config, state, supervisor
from emberkeep.cli import options


def _zones(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    return [zone.strip() for zone in value.split(",")] if value is not None else []


@click.command()
@options.state_dir
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API; default 8776.")
@click.option(
    "--availability-zones", callback=_zones, metavar="ZONE[,ZONE…]", help="Default az1,az2."
)
def serve(state_dir: Path, port: int | None, availability_zones: list[str]) -> None:
    """Run the service on this machine: an API on loopback, a worker, a directory for each zone.

    It is ready when GET / answers 300.  SIGTERM or Ctrl-C ends it within ten seconds; running jobs
    go on when it is started again.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    configuration = config.load(state_dir, port=port, zones=availability_zones or None)
    state.prepare(state_dir)
    first = not configuration.key_file.exists()
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def started() -> None:
        if availability_zones:
            config.remember_zones(state_dir, availability_zones)
        zones = ", ".join(zone.name for zone in configuration.zones)
        console.print(f"Emberkeep at {configuration.endpoint}/v3, availability zones {zones}")
        console.print(
            "Loopback only, without authentication: whoever uses this machine can use it."
        )
        console.print(
            f"export OS_CLIENT_CONFIG_FILE={configuration.state_dir / 'clouds.yaml'} "
            "OS_CLOUD=emberkeep"
        )
        if first:
            console.print(
                "[bold]Backups are lost without their key.[/] Keep a copy elsewhere now: "
                f"emberkeep key export --state-dir {state_dir}"
            )

    supervisor.serve(configuration, started=started)
