"""The embedded API process: the application under waitress, on a socket that is bound already."""

import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import waitress

from emberkeep import assembly, notifications
from emberkeep.api.app import create_app
from emberkeep.api.authentication import Authentication
from emberkeep.api.core import FILTERS, Core, Settings
from emberkeep.api.noauth import NoAuthentication
from emberkeep.api.policies.enforcer import Enforcer
from emberkeep.config import NOAUTH, Configuration

THREADS = 8  # no request waits for a job
LARGEST_RECEIVED = 1 << 24  # bytes


def run(configuration: Configuration, listener: socket.socket, *, wake: Callable[[], None]) -> None:
    """Serve until SIGTERM.  `wake` is called when there is a new job for the worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, _exit)
    # It opens no volume, but tells where the bytes of one are that is connected.
    drivers = assembly.drivers(configuration)
    with contextlib.ExitStack() as until_the_end:
        told = until_the_end.enter_context(notifications.opened(configuration))
        parts = assembly.assemble(configuration, wake=wake, drivers=drivers, notifications=told)
        until_the_end.callback(parts.close)
        app = create_app(
            Core(parts.backups, parts.volumes, parts.database, settings(configuration)),
            authentication=_authentication(configuration),
            enforcer=Enforcer(configuration.policy_file),
        )
        large = configuration.api.max_request_body_size
        create_server(app, largest_body=large, threads=THREADS, sockets=[listener]).run()


def create_server(app: Any, *, largest_body: int, **how: Any) -> Any:
    """Waitress, as this application wants it; `how` says where it listens.

    It keeps a body on disk until it has all of it, with a token or without, so what is far larger
    than the application takes it refuses itself, in its own words.
    """
    return waitress.create_server(
        app,
        ident=None,
        clear_untrusted_proxy_headers=False,  # X-Forwarded-Host counts, as in Cinder
        max_request_body_size=max(LARGEST_RECEIVED, 2 * largest_body),
        **how,
    )


def check(configuration: Configuration) -> None:
    """Raise `ConfigurationError` or `PolicyError` for what would end the processes at once."""
    notifications.check(configuration)
    _authentication(configuration)
    Enforcer(configuration.policy_file)


def settings(configuration: Configuration) -> Settings:
    api = configuration.api
    by_address = configuration.unix_socket is None and configuration.is_private
    return Settings(
        public_endpoint=api.public_endpoint,
        osapi_max_limit=api.osapi_max_limit,
        project_id_regex=api.project_id_regex,
        max_request_body_size=api.max_request_body_size,
        enable_proxy_headers_parsing=api.enable_proxy_headers_parsing,
        loopback_only=configuration.auth_strategy == NOAUTH and by_address,
        filters=FILTERS if api.filters is None else api.filters,
    )


def _authentication(configuration: Configuration) -> Authentication:
    if configuration.auth_strategy == NOAUTH:
        return NoAuthentication()
    from emberkeep.api.keystone import Keystone  # slow to load
    from emberkeep.config import identity

    return Keystone(identity.options_of(configuration.file))


def _exit(_signal: int, _frame: object) -> None:
    raise SystemExit(0)
