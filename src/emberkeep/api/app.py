"""The WSGI application: what happens to a request between the socket and its handler, and back.

The order is Cinder's; each step may end the request: foreign host, OPTIONS, size, token,
HEAD; then routing, microversion, content type, action, JSON, the URL's project, the route's first
microversion, schema, handler.
"""

import ipaddress
import json
import logging
import uuid
from typing import Any, cast
from urllib.parse import urlsplit

import falcon

from emberkeep.api import body, context, microversions
from emberkeep.api.authentication import Answer, Authentication
from emberkeep.api.context import Call, Identity, Place, Reply
from emberkeep.api.core import Core, Settings
from emberkeep.api.faults import (
    UNEXPECTED,
    BadRequest,
    Fault,
    Forbidden,
    NotFound,
    OutsideControllers,
    PolicyNotAuthorized,
    UnknownRoute,
    envelope,
    page,
    quality,
)
from emberkeep.api.noauth import NoAuthentication
from emberkeep.api.policies.enforcer import Enforcer
from emberkeep.api.refusals import status_of
from emberkeep.api.router import Match, Router
from emberkeep.api.routes import Route, all_routes

_LOG = logging.getLogger(__name__)
_OWN_MEDIA_TYPE = "application/vnd.openstack.volume+json"
_NOBODY = Identity(user_id="", project_id="", roles=frozenset())

_PROJECTLESS = "This needs a token that is scoped to a project."


def create_app(
    core: Core,
    *,
    authentication: Authentication | None = None,
    enforcer: Enforcer | None = None,
) -> "falcon.App[falcon.Request, falcon.Response]":
    """The application, by default without authentication and with the default policies."""
    router = Router(all_routes(), core.settings.project_id_regex)
    endpoint = _Endpoint(core, router, enforcer or Enforcer())
    gate = _Gate(core.settings, authentication or NoAuthentication())
    middleware: list[Any] = [_Headers(), gate]
    app = falcon.App(middleware=middleware, independent_middleware=True)
    app.add_sink(endpoint, prefix="/")
    app.add_error_handler(Exception, _failed)
    app.add_error_handler(falcon.HTTPError, _not_http)
    app.add_error_handler(Fault, _refused)
    app.add_error_handler(OutsideControllers, _outside)
    return app


class _Headers:
    """Gives each request its id, and each response the headers that it always has."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.request_id = f"req-{uuid.uuid4()}"

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool
    ) -> None:
        request_id = req.context.get("request_id") or f"req-{uuid.uuid4()}"
        resp.set_header("x-openstack-request-id", request_id)
        if req.context.get("controlled"):
            resp.set_header("x-compute-request-id", request_id)
        if shown := req.context.get("shown_version"):
            resp.set_header(microversions.HEADER, f"volume {shown}")
            resp.append_header("Vary", microversions.HEADER)


class _Gate:
    """Lets a request in, or answers it before it comes to any route."""

    def __init__(self, settings: Settings, authentication: Authentication) -> None:
        self._settings = settings
        self._authentication = authentication
        self._hosts = {"localhost"}
        if settings.public_endpoint:
            self._hosts.add(urlsplit(settings.public_endpoint).hostname or "")

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if self._settings.loopback_only:
            self._refuse_foreign_host(req.env.get("HTTP_HOST"))
        if req.method == "OPTIONS":
            resp.complete = True
            return
        body.refuse_large(req, self._settings.max_request_body_size)
        req.context.identity = _NOBODY
        if not self._is_open(req.path):
            found = self._authentication.identify(req)
            if isinstance(found, Answer):
                _answer(resp, found)
                return
            req.context.identity = found
        if req.method == "HEAD":
            raise UnknownRoute

    def _is_open(self, path: str) -> bool:
        """Whether the path is answered whoever asks, be it only by "no such route"."""
        behind = path == "/v3" or path.startswith(("/v3/", "/emberkeep/"))
        return not behind or path in self._authentication.open_paths

    def _refuse_foreign_host(self, host: str | None) -> None:
        if host is None:
            return
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if name not in self._hosts and not _is_loopback(name):
            raise Forbidden(
                f"The Host header names '{host}'. Without authentication only localhost, loopback "
                "addresses and the host of public_endpoint are served."
            )


def _is_loopback(name: str | None) -> bool:
    """Whether it is an address, which no foreign name can be made to mean."""
    try:
        return ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False


class _Endpoint:
    """Every request that passed the gate, from its route to its reply."""

    def __init__(self, core: Core, router: Router, enforcer: Enforcer) -> None:
        self._core = core
        self._router = router
        self._enforcer = enforcer

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        match = self._router.find(req.method, req.path)
        if match is None:
            raise UnknownRoute
        req.context.controlled = match.routes[0].negotiates
        version = _negotiate(req) if match.routes[0].negotiates else microversions.MIN
        route, content = self._route_and_body(req, match)
        identity = cast(Identity, req.context.identity)
        if match.project not in (None, identity.project_id):
            raise BadRequest("Malformed request url")
        if version < route.since:
            raise NotFound
        if route.schema is not None:
            route.schema.check(content, version)
            body.refuse_unstorable(content)
        is_admin, may = context.who_may(identity, self._enforcer)
        if not identity.project_id:
            _refuse_projectless(route, is_admin, may)
        place = Place(self._base(req), match.project)
        call = Call(
            caller=context.caller(identity, req.context.request_id, is_admin=is_admin, may=may),
            may=may,
            version=version,
            place=place,
            parameters={k: context.without_nul(v) for k, v in match.parameters.items()},
            query=context.query_items(req),
            body=content,
        )
        _send(req, resp, route.handler(self._core, call))

    def _route_and_body(self, req: falcon.Request, match: Match) -> tuple[Route, Any]:
        route = match.routes[0]
        if not route.takes_body:
            return route, None
        raw = body.read(req, self._core.settings.max_request_body_size)
        if raw:
            body.check_content_type(req)
        if match.by_action:
            route = _of_action(match, body.action(raw))
        return route, body.parse(raw) if raw else None

    def _base(self, req: falcon.Request) -> str:
        settings = self._core.settings
        return context.base_url(
            req, settings.public_endpoint, trust_proxy=settings.enable_proxy_headers_parsing
        )


def _refuse_projectless(route: Route, is_admin: bool, may: context.May) -> None:
    """What a caller without a project can't do, whatever the policies say.

    It owns nothing, so it may make nothing, and, if it is no admin, look nothing up.
    """
    if not is_admin and "{" in route.path:
        raise Forbidden("Not authorized.")
    if route.makes_something:
        if route.rule and not may(route.rule, None):
            raise PolicyNotAuthorized(route.rule)
        raise Forbidden(_PROJECTLESS)


def _of_action(match: Match, name: str | None) -> Route:
    for route in match.routes:
        if route.action == name:
            return route
    raise BadRequest(
        f"There is no such action: {name}. Verify the request body and Content-Type header "
        "and try again."
    )


def _negotiate(req: falcon.Request) -> microversions.Microversion:
    if req.path.startswith("/emberkeep/"):
        return microversions.MAX
    try:
        version = microversions.negotiated(req.env.get("HTTP_OPENSTACK_API_VERSION"))
    except microversions.UnsupportedVersion as refused:
        req.context.shown_version = refused.shown
        raise
    req.context.shown_version = str(version)
    return version


def _answer(resp: falcon.Response, answer: Answer) -> None:
    resp.status = answer.status
    for name, value in answer.headers.items():
        if name.lower() != "content-length":
            resp.set_header(name, value)
    resp.data = answer.body
    resp.complete = True


def _send(req: falcon.Request, resp: falcon.Response, reply: Reply) -> None:
    resp.status = falcon.code_to_http_status(reply.status)
    if reply.bare:
        req.context.controlled = False
    if reply.location is not None:
        resp.set_header("Location", reply.location)
        resp.content_type = "text/plain; charset=utf8"
    elif reply.status == 204:
        return  # no content, so no type of it
    elif reply.bare:
        resp.content_type = "text/html; charset=UTF-8"
    else:
        _send_json(req, resp, reply.body)


def _send_json(req: falcon.Request, resp: falcon.Response, document: object | None) -> None:
    accept = req.env.get("HTTP_ACCEPT", "")
    own = quality(_OWN_MEDIA_TYPE, accept) > quality("application/json", accept)
    resp.content_type = _OWN_MEDIA_TYPE if own else "application/json"
    if document is not None:
        resp.data = json.dumps(document).encode()


def _fault(req: falcon.Request, resp: falcon.Response, status: int, message: str) -> None:
    resp.status = falcon.code_to_http_status(status)
    if status == 413:
        resp.set_header("Retry-After", "0")
    _send_json(req, resp, envelope(status, message))


def _refused(req: falcon.Request, resp: falcon.Response, error: Fault, params: Any) -> None:
    req.context.controlled = True
    _fault(req, resp, error.status, str(error))


def _outside(
    req: falcon.Request, resp: falcon.Response, error: OutsideControllers, params: Any
) -> None:
    req.context.controlled = False
    req.context.shown_version = None
    resp.status = error.code
    if req.method == "HEAD":
        resp.content_type, resp.data = "text/html; charset=UTF-8", b""
        return
    resp.content_type, text = page(error, req.env.get("HTTP_ACCEPT", ""))
    resp.data = text.encode()


def _not_http(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: Any
) -> None:
    """Headers that cannot be understood, such as a Content-Length that is no number."""
    _fault(req, resp, 400, str(BadRequest()))


def _failed(req: falcon.Request, resp: falcon.Response, error: Exception, params: Any) -> None:
    """What a service raised: a refusal that has its place in the table, or a bug."""
    status = status_of(error)
    if status is not None:
        _fault(req, resp, status, str(error))
        return
    _LOG.error("%s %s failed", req.method, req.path, exc_info=error)
    _fault(req, resp, 500, UNEXPECTED)
