"""The way to a Swift account: login, connections, and what went wrong in words.

Invariants
* at most as many connections as were granted, each used by one thread at a time;
* a connection that failed in whatever way is not used again;
* no password, secret or token is part of a message.
"""

import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from keystoneauth1 import exceptions as login_errors
from keystoneauth1.identity import v3
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.session import Session
from requests.exceptions import RequestException
from swiftclient import authv1
from swiftclient.client import HTTPConnection
from swiftclient.exceptions import ClientException
from urllib3.exceptions import HTTPError

from emberkeep.stores.errors import StoreError, StoreFull
from emberkeep.stores.options import StoreOptions
from emberkeep.stores.retries import Passing, retry_after

_CONNECTING = 10.0  # seconds, at most
_KINDS = ("v3", "v1.0", "v1")
_PASSING = {408, 422, 429, 498, 499}  # 422: the bytes were damaged on their way
_FULL = {413, 507}
_BROKEN = (RequestException, HTTPError, http.client.HTTPException, OSError)

_T = TypeVar("_T")

# It would tell of every request that ends with a 404 or a 412, which are part of the work.
logging.getLogger("swiftclient").setLevel(logging.WARNING)


class Refused(StoreError):
    """Swift answered, and it will answer the same again.  `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Account:
    """Sends requests to the login's account.  May be used from any number of threads at once."""

    def __init__(self, options: StoreOptions) -> None:
        """Raises `StoreError` if options for the login are missing."""
        self.login = login(options)
        self.auth_url = options.auth_url or ""
        self._options = options
        self._session = Session(
            auth=self.login,
            verify=options.ca_file or True,
            timeout=options.timeout,
            app_name="emberkeep",
        )
        self._slots = threading.BoundedSemaphore(options.connections)
        self._idle: list[HTTPConnection] = []

    def ask(self, what: str, request: Callable[..., _T], *arguments: object, **named: object) -> _T:
        """What `request`, one of swiftclient's functions, returns; `what` is it about.

        A token that has expired is renewed.
        Raises `Passing` for what may pass, `StoreFull`, `Refused` for other answers, `StoreError`.
        """
        url, token = self._token()
        try:
            return self._send(what, request, url, token, *arguments, **named)
        except Refused as error:
            if error.status != 401:
                raise
        if self._session.get_token() == token:  # nobody else has renewed it meanwhile
            self._session.invalidate()
        url, token = self._token()
        return self._send(what, request, url, token, *arguments, **named)

    def endpoint(self) -> str:
        """The account's URL.  Logs in if need be; raises like `ask`."""
        return self._token()[0]

    def _send(
        self,
        what: str,
        request: Callable[..., _T],
        url: str,
        token: str,
        *arguments: object,
        **named: object,
    ) -> _T:
        try:
            with self._connection(url) as connection:
                place = (urlsplit(url), connection)
                return request(url, token, *arguments, http_conn=place, **named)
        except ClientException as error:
            _answered(what, error)
        except _BROKEN as error:
            _failed(what, url, error)

    @contextmanager
    def _connection(self, url: str) -> Iterator[HTTPConnection]:
        with self._slots:
            try:
                connection = self._idle.pop()
            except IndexError:
                seconds = (min(_CONNECTING, self._options.timeout), self._options.timeout)
                connection = HTTPConnection(url, cacert=self._options.ca_file, timeout=seconds)
            try:
                yield connection
            except ClientException:  # a whole answer came
                self._idle.append(connection)
                raise
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    def _token(self) -> tuple[str, str]:
        """The account's URL and a token."""
        options = self._options
        what = f"login at {_host(self.auth_url)}"
        try:
            url = self._session.get_endpoint(
                service_type="object-store",
                interface=options.interface,
                region_name=options.region_name,
            )
            token = self._session.get_token()
        except login_errors.HttpError as error:
            message = f"{what}: answered {error.http_status}"
            headers = getattr(error.response, "headers", {})
            if error.http_status >= 500 or error.http_status in _PASSING:
                raise Passing(message, after=retry_after(headers.get("Retry-After"))) from error
            raise StoreError(
                f"{message}; check the user, its secret and its project in the configuration"
            ) from error
        except (login_errors.ConnectionError, OSError) as error:
            _failed(what, self.auth_url, error)
        except login_errors.CatalogException:
            url = token = None
        except login_errors.ClientException as error:
            raise StoreError(
                f"{what}: no such service answers there ({type(error).__name__}); check auth_url"
            ) from error
        if url is None or token is None:
            where = f" in region {options.region_name}" if options.region_name else ""
            raise StoreError(
                f"{what}: the catalog has no {options.interface} object-store endpoint{where}; "
                "check region_name and interface"
            )
        return url.rstrip("/"), token


def login(options: StoreOptions) -> BaseIdentityPlugin:
    """Keystone's (an `auth_url` that ends in `/v3`) or tempauth's (`/v1.0`).

    Keystone takes an application credential, or `username` and `password` with `project_name`.
    Raises `StoreError`, naming what is missing.
    """

    def need(*names: str) -> list[str]:
        missing = [name for name in names if not getattr(options, name)]
        if missing:
            raise StoreError(f"to log in to Swift, also set {' and '.join(missing)}")
        return [getattr(options, name) for name in names]

    (auth_url,) = need("auth_url")
    parts = urlsplit(auth_url)
    kind = parts.path.rstrip("/").rpartition("/")[2]
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or kind not in _KINDS:
        raise StoreError(
            "auth_url: write http(s)://HOST[:PORT]/… that ends in /v3 (Keystone) or in /v1.0 "
            "(tempauth)"
        )
    if kind != "v3":
        plugin: BaseIdentityPlugin = authv1.PasswordPlugin(auth_url, *need("username", "password"))
        return plugin
    if options.application_credential_id:
        (secret,) = need("application_credential_secret")
        return v3.ApplicationCredential(
            auth_url,
            application_credential_id=options.application_credential_id,
            application_credential_secret=secret,
        )
    username, password, project_name = need("username", "password", "project_name")
    return v3.Password(
        auth_url,
        username=username,
        password=password,
        project_name=project_name,
        user_domain_name=options.user_domain_name,
        project_domain_name=options.project_domain_name,
    )


def _answered(what: str, error: ClientException) -> NoReturn:
    """Tell of an answer that is no success."""
    status = error.http_status
    if status is None:
        raise StoreError(f"{what}: {error.msg}") from error
    message = f"{what}: Swift answered {status} {error.http_reason}"
    if error.transaction_id:
        message += f" (transaction {error.transaction_id})"
    if status in _FULL:
        raise StoreFull(
            f"{message}: no room, or a quota is reached; free some space or raise the quota"
        ) from error
    if status in _PASSING or status >= 500:
        after = retry_after((error.http_response_headers or {}).get("Retry-After"))
        raise Passing(message, after=after) from error
    if status == 401:
        message += "; it does not accept the token that was just given, check auth_url"
    elif status == 403:
        message += "; give the user a role that may write to the container"
    raise Refused(message, status) from error


def _failed(what: str, url: str, error: Exception) -> NoReturn:
    """Tell of a connection that gave no answer."""
    chain = list(_causes(error))
    message = f"{what}: {_host(url)}: {_reason(chain)}"
    if any("certificate" in str(cause) for cause in chain):
        raise StoreError(
            f"{message}; set ca_file to the certificates that vouch for it, or correct the host's "
            "name"
        ) from error
    raise Passing(message) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, the innermost last."""
    while error is not None:
        yield error
        inner = next((part for part in error.args if isinstance(part, BaseException)), None)
        reason = getattr(error, "reason", None)
        error = (
            reason
            if isinstance(reason, BaseException)
            else inner or error.__cause__ or error.__context__
        )


def _reason(chain: list[BaseException]) -> str:
    for error in reversed(chain):
        if isinstance(error, TimeoutError):
            return "no answer in time"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
    for error in reversed(chain):
        if "ncomplete" in type(error).__name__:
            return "the answer broke off"
    return f"the connection failed ({type(chain[-1]).__name__})"


def _host(url: str) -> str:
    """Host and port only: a URL may carry a password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
