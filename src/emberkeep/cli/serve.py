"""`emberkeep serve`: the embedded service."""

import logging
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from emberkeep import config, state, supervisor
from emberkeep.api import server
from emberkeep.cli import options
from emberkeep.config import KEYSTONE, LOOPBACK, NOAUTH, Configuration, ConfigurationError

_LOG = logging.getLogger(__name__)


def _zones(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    return [zone.strip() for zone in value.split(",")] if value is not None else []


@click.command()
@options.state_dir
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API; default 8776.")
@click.option(
    "--unix-socket",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Listen on a socket of this path, instead of an address and a port.",
)
@click.option(
    "--availability-zones", callback=_zones, metavar="ZONE[,ZONE…]", help="Default az1,az2."
)
@click.option(
    "--insecure-no-authentication",
    is_flag=True,
    help="Listen on other addresses than loopback's even with auth_strategy = noauth: whoever "
    "reaches the port can do everything.",
)
def serve(
    state_dir: Path,
    port: int | None,
    unix_socket: Path | None,
    availability_zones: list[str],
    insecure_no_authentication: bool,
) -> None:
    """Run the service on this machine: an API, a worker, a directory for each zone.

    It is ready when GET / answers 300.  SIGTERM or Ctrl-C ends it within ten seconds; running jobs
    go on when it is started again.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    configuration = config.load(
        state_dir, port=port, zones=availability_zones or None, unix_socket=unix_socket
    )
    for warning in configuration.warnings:
        _LOG.warning(warning)
    exposed = configuration.auth_strategy == NOAUTH and not configuration.is_private
    if exposed and not insecure_no_authentication:
        raise ConfigurationError(
            f"bind_host {configuration.bind}: without authentication the service binds loopback "
            f"only ({', '.join(LOOPBACK)}); set auth_strategy = keystone"
        )
    server.check(configuration)
    state.prepare(state_dir)
    first = not configuration.key_file.exists()
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def started() -> None:
        if availability_zones:
            config.remember_zones(state_dir, availability_zones)
        zones = ", ".join(zone.name for zone in configuration.zones)
        where = configuration.endpoint + ("" if configuration.unix_socket else "/v3")
        console.print(f"Emberkeep at {where}, availability zones {zones}")
        for line in _who_can_use(configuration):
            console.print(line)
        if first:
            console.print(
                "[bold]Backups are lost without their key.[/] Keep a copy elsewhere now: "
                f"emberkeep key export --state-dir {state_dir}"
            )

    supervisor.serve(configuration, started=started)


def _who_can_use(configuration: Configuration) -> Iterator[str]:
    if configuration.auth_strategy == KEYSTONE:
        yield "Whoever has a token of Keystone's can use it, as the policies say."
        return
    if configuration.unix_socket:
        yield "A socket without authentication: its owner can use it."
        return
    if configuration.is_private:
        yield "Loopback only, without authentication: whoever uses this machine can use it."
    else:
        yield (
            "[bold red]WITHOUT AUTHENTICATION, ON THE NETWORK: whoever reaches "
            f"{configuration.bind} can read, overwrite and delete every backup and volume.[/]"
        )
    clouds = configuration.state_dir / "clouds.yaml"
    yield f"export OS_CLIENT_CONFIG_FILE={clouds} OS_CLOUD=emberkeep"
