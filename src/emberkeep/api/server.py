"""The embedded API process: the application under waitress, on a socket that is bound already."""

import logging
import signal
import socket
from collections.abc import Callable

import waitress

from emberkeep import assembly
from emberkeep.api.app import create_app
from emberkeep.api.core import Core, Settings
from emberkeep.config import Configuration

THREADS = 8  # no request waits for a job


def run(configuration: Configuration, listener: socket.socket, *, wake: Callable[[], None]) -> None:
    """Serve until SIGTERM.  `wake` is called when there is a new job for the worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, _exit)
    # It opens no volume, but tells where the bytes of one are that is connected.
    drivers = assembly.drivers(configuration)
    parts = assembly.assemble(configuration, wake=wake, drivers=drivers)
    settings = Settings(
        public_endpoint=configuration.public_endpoint,
        osapi_max_limit=configuration.osapi_max_limit,
        loopback_only=True,
    )
    try:
        server = waitress.create_server(
            create_app(Core(parts.backups, parts.volumes, parts.database, settings)),
            sockets=[listener],
            threads=THREADS,
            ident=None,
            clear_untrusted_proxy_headers=False,  # X-Forwarded-Host counts, as in Cinder
        )
        server.run()
    finally:
        parts.close()


def _exit(_signal: int, _frame: object) -> None:
    raise SystemExit(0)
