"""One request as the handlers see it: who asks, in which version, for what."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import falcon

from emberkeep.api.faults import PolicyNotAuthorized
from emberkeep.api.microversions import Microversion
from emberkeep.api.policies.enforcer import Enforcer
from emberkeep.caller import Caller

# Whether the caller passes a policy for a thing of the project; None: a rule without a target.
May = Callable[[str, str | None], bool]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the authentication found behind a request.

    `project_id` is empty for a token without a project: such a caller owns nothing and can't make
    anything.  `is_admin` is None where the policy `context_is_admin` decides it.
    """

    user_id: str
    project_id: str
    roles: frozenset[str]
    is_admin: bool | None = None
    is_admin_project: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)  # domains, system scope

    def credentials(self) -> dict[str, Any]:
        """The same as policies see it, without `is_admin`; what the token has not is left out."""
        project = {"project_id": self.project_id} if self.project_id else {}
        return {
            **self.attributes,
            **project,
            "user_id": self.user_id,
            "roles": sorted(self.roles),
            "is_admin_project": self.is_admin_project,
        }


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
    may: May
    version: Microversion
    place: Place
    parameters: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: Any

    def allows(self, rule: str, project_id: str | None = None) -> bool:
        """Whether the caller passes `rule` for a thing of that project; never raises."""
        return self.may(rule, project_id)


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's answer; a `body` of None is an empty one.

    A `bare` one has less of a controller's headers, as some of Cinder's deletions.
    """

    status: int
    body: Mapping[str, Any] | None = None
    location: str | None = None
    bare: bool = False


def who_may(identity: Identity, enforcer: Enforcer) -> tuple[bool, May]:
    """Whether somebody is an admin, and what else the policies allow.

    A rule without a target (a project of None) is asked for the caller's own project and user.
    """
    credentials = identity.credentials()
    own: dict[str, str | None] = {
        name: credentials[name] for name in ("project_id", "user_id") if name in credentials
    }
    is_admin = identity.is_admin
    if is_admin is None:
        is_admin = enforcer.allows("context_is_admin", credentials, own)
    credentials["is_admin"] = is_admin

    @cache
    def may(rule: str, project_id: str | None) -> bool:
        return enforcer.allows(
            rule, credentials, own if project_id is None else {"project_id": project_id}
        )

    return is_admin, may


def caller(identity: Identity, request_id: str, *, is_admin: bool, may: May) -> Caller:
    """The identity as the services below need it, with the policies to ask."""

    def authorize(rule: str, project_id: str | None) -> None:
        if not may(rule, project_id):
            raise PolicyNotAuthorized(rule)

    return Caller(
        user_id=identity.user_id,
        project_id=identity.project_id,
        is_admin=is_admin,
        request_id=request_id,
        authorize=authorize,
    )


def query_items(req: falcon.Request) -> tuple[tuple[str, str], ...]:
    """The query string's names and values; a NUL, which no database takes, is replaced."""
    items = parse_qsl(req.query_string, keep_blank_values=True, errors="replace")
    return tuple((without_nul(key), without_nul(value)) for key, value in items)


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
