"""One request as the handlers see it: who asks, in which version, for what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import falcon

from emberkeep.api import policies
from emberkeep.api.faults import UNDECODABLE, BadRequest
from emberkeep.api.microversions import Microversion
from emberkeep.caller import Caller


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the authentication found behind a request."""

    user_id: str
    project_id: str
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles


@dataclass(frozen=True, slots=True)
class Place:
    """Where the client found us, for the links that it gets.

    `base` has no slash at its end; `project` is the one in the request's URL, if there was one.
    """

    base: str
    project: str | None

    def href(self, *path: str, version: str = "/v3") -> str:
        project = () if self.project is None else (self.project,)
        return "/".join((self.base + version, *project, *path))

    def links(self, *path: str) -> list[dict[str, str]]:
        """The two links that a resource's document has."""
        return [
            {"rel": "self", "href": self.href(*path)},
            {"rel": "bookmark", "href": self.href(*path, version="")},
        ]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed routing, negotiation and validation.

    `parameters` come from the path, `query` from the query string in its order; `body` is the
    parsed JSON, None for a route without a body.
    """

    caller: Caller
    roles: frozenset[str]
    version: Microversion
    place: Place
    parameters: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: Any

    def allows(self, rule: str, project_id: str | None = None) -> bool:
        """Whether the caller passes `rule` for a thing of that project; never raises."""
        own_project = project_id in (None, self.caller.project_id)
        return policies.allows(rule, self.roles, own_project=own_project)


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's answer; a `body` of None is an empty one.

    A `bare` one has less of a controller's headers, as some of Cinder's deletions.
    """

    status: int
    body: Mapping[str, Any] | None = None
    location: str | None = None
    bare: bool = False


def caller(identity: Identity, request_id: str) -> Caller:
    """The identity as the services below need it, with the policies to ask."""

    def authorize(rule: str, project_id: str | None) -> None:
        own_project = project_id in (None, identity.project_id)
        policies.enforce(rule, identity.roles, own_project=own_project)

    return Caller(
        user_id=identity.user_id,
        project_id=identity.project_id,
        is_admin=identity.is_admin,
        request_id=request_id,
        authorize=authorize,
    )


def query_items(req: falcon.Request) -> tuple[tuple[str, str], ...]:
    """The query string's names and values; a NUL in a value, which no database takes, is replaced.

    Raises `BadRequest` if it is no UTF-8.
    """
    query = req.query_string.replace(";", "&")
    try:
        items = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest(UNDECODABLE) from None
    return tuple((key, without_nul(value)) for key, value in items)


def without_nul(text: str) -> str:
    return text.replace("\0", "\ufffd")


def base_url(req: falcon.Request, public_endpoint: str | None, *, trust_proxy: bool) -> str:
    """The address under which the client reached us.

    A forwarded host is believed always, the scheme and the prefix only with `trust_proxy`.
    """
    if public_endpoint:
        return public_endpoint.rstrip("/")
    scheme, prefix = req.scheme, req.root_path
    host = req.env.get("HTTP_HOST") or f"{req.env['SERVER_NAME']}:{req.env['SERVER_PORT']}"
    if forwarded := req.env.get("HTTP_X_FORWARDED_HOST"):
        host = forwarded.split(",")[-1].strip()
    if trust_proxy:
        scheme = _forwarded_scheme(req) or scheme
        prefix = req.env.get("HTTP_X_FORWARDED_PREFIX", "").strip().rstrip("/") or prefix
    return f"{scheme}://{host}{prefix}"


def _forwarded_scheme(req: falcon.Request) -> str | None:
    scheme = req.env.get("HTTP_X_FORWARDED_PROTO", "").split(",")[0].strip()
    return scheme if re.fullmatch("https?", scheme) else None
