"""Identity by Keystone: a token is validated by keystonemiddleware, as in front of Cinder.

The middleware is asked as WSGI has it, with an application behind it that only notes that it was
reached.  So its place in the order of steps is ours to choose, and what it answers instead, a 401
with `WWW-Authenticate` or a 503 when Keystone is away, goes to the client as it is.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import falcon
from keystonemiddleware import auth_token, exceptions
from oslo_config import cfg

from emberkeep.api.authentication import Answer
from emberkeep.api.context import Identity
from emberkeep.api.faults import BadRequest
from emberkeep.config import ConfigurationError

_LET_IN = "emberkeep.let_in"
_CACHE = "emberkeep.tokens"
# Headers that the middleware sets (and removes, where a client sends them), as policies name them.
_ATTRIBUTES = {
    "HTTP_X_DOMAIN_ID": "domain_id",
    "HTTP_X_USER_DOMAIN_ID": "user_domain_id",
    "HTTP_X_PROJECT_DOMAIN_ID": "project_domain_id",
}


class Keystone:
    """Asks the Keystone that `options` has in `[keystone_authtoken]`.

    Raises `ConfigurationError` if the options don't go together.
    """

    open_paths = ("/",)

    def __init__(self, options: cfg.ConfigOpts) -> None:
        memcached = options["keystone_authtoken"].memcached_servers
        own = {} if memcached else {"cache": _CACHE}
        self._tokens = TokenCache()
        try:
            self._middleware = auth_token.AuthProtocol(
                _let_in, {"oslo_config_config": options, **own}
            )
        except exceptions.ConfigurationError as error:
            raise ConfigurationError(f"[keystone_authtoken]: {error}") from error

    def identify(self, req: falcon.Request) -> Identity | Answer:
        environ: dict[str, Any] = {**req.env, _CACHE: self._tokens}
        answered: list[tuple[str, dict[str, str]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            answered.append((status, dict(headers)))

        try:
            body = _read(self._middleware(environ, start_response))
        except UnicodeError as error:  # a path or a token that no Keystone could have made
            raise BadRequest from error
        if not environ.get(_LET_IN):
            status, headers = answered[-1]
            return Answer(status, headers, body)
        if environ.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":  # with delay_auth_decision
            return Answer(falcon.HTTP_401)
        roles = (environ.get("HTTP_X_ROLES") or "").split(",")  # what a token has not is None
        return Identity(
            user_id=environ.get("HTTP_X_USER_ID") or "",
            project_id=environ.get("HTTP_X_PROJECT_ID") or "",
            roles=frozenset(role.strip() for role in roles if role.strip()),
            is_admin_project=str(environ.get("HTTP_X_IS_ADMIN_PROJECT", True)).lower() == "true",
            attributes=_attributes(environ),
        )


def _attributes(environ: dict[str, Any]) -> dict[str, str]:
    """The rest of what policies may ask.

    The header with the system's scope is no use: a service's token beside the user's overwrites it.
    """
    found = {name: environ[key] for key, name in _ATTRIBUTES.items() if environ.get(key)}
    system = environ["keystone.token_info"]["token"].get("system") or {}
    return {**found, "system_scope": "all"} if system.get("all") else found


class TokenCache:
    """What Keystone said of the tokens seen last; used where there is no memcached.

    The middleware's own, one for each thread, would keep every token for ever.
    """

    def __init__(self, *, size: int = 1000, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            until, value = self._kept.get(key, (0.0, b""))
            return value if self._clock() < until else None

    def set(self, key: str, value: bytes, time: float) -> None:
        """Keep it for `time` seconds, or until as many others as there is room for came later."""
        with self._lock:
            self._kept.pop(key, None)
            if time > 0:
                self._kept[key] = self._clock() + time, value
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


def _let_in(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    environ[_LET_IN] = True
    start_response("204 No Content", [])
    return []


def _read(parts: Iterable[bytes]) -> bytes:
    try:
        return b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
