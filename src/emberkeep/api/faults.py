"""Faults: how a request that is not fulfilled is answered.

A controller's fault is `{"<key>": {"code": <status>, "message": "<text>"}}`.  What no controller
answers, unknown routes and bodies that are too large, has no such envelope: its form follows the
request's `Accept` header (HTML, JSON or plain text).
"""

import html
import json
from typing import ClassVar

GENERIC = (
    "The server could not comply with the request since it is either malformed or otherwise"
    " incorrect."
)
UNEXPECTED = "The server has either erred or is incapable of performing the requested operation."

KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}
ANY_OTHER_KEY = "computeFault"


class Fault(Exception):
    """A request that ends with `status` and a message for the client."""

    status: ClassVar[int]


class BadRequest(Fault):
    status = 400

    def __init__(self, message: str = GENERIC) -> None:
        super().__init__(message)


class Malformed(BadRequest):
    """The body is not what its content type says."""

    def __init__(self) -> None:
        super().__init__("Malformed request body")


class Forbidden(Fault):
    status = 403


class PolicyNotAuthorized(Forbidden):
    """The policy `rule` does not allow it to this caller."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"Policy doesn't allow {rule} to be performed.")


class NotFound(Fault):
    status = 404

    def __init__(self, message: str = "The resource could not be found.") -> None:
        super().__init__(message)


class UnsupportedMediaType(Fault):
    status = 415

    def __init__(self) -> None:
        super().__init__("Unsupported Content-Type")


class OutsideControllers(Exception):
    """A request that ends before any controller: answered without the envelope."""

    code: ClassVar[str]
    message: str

    @property
    def title(self) -> str:
        return self.code.partition(" ")[2]


class UnknownRoute(OutsideControllers):
    code = "404 Not Found"
    message = "The resource could not be found."


class BodyTooLarge(OutsideControllers):
    code = "413 Request Entity Too Large"

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.message = f"Request is too large. Larger than max_request_body_size ({limit})."


def envelope(status: int, message: str) -> dict[str, object]:
    """A fault's body."""
    fault: dict[str, object] = {"code": status, "message": message}
    if status == 413:
        fault["retryAfter"] = "0"
    return {KEYS.get(status, ANY_OTHER_KEY): fault}


def page(fault: OutsideControllers, accept: str) -> tuple[str, str]:
    """The content type and the body for a client with this `Accept` header ("": without one)."""
    as_html, as_json = quality("text/html", accept), quality("application/json", accept)
    message = html.escape(fault.message)
    if as_html > 0 and as_html >= as_json:
        body = (
            f"<html>\n <head>\n  <title>{fault.code}</title>\n </head>\n <body>\n"
            f"  <h1>{fault.code}</h1>\n  {message}<br /><br />\n\n\n\n </body>\n</html>"
        )
        return "text/html; charset=UTF-8", body
    if as_json > 0:
        words = {
            "message": f"{message}<br /><br />\n\n\n",
            "code": fault.code,
            "title": fault.title,
        }
        return "application/json", json.dumps(words)
    return "text/plain; charset=UTF-8", f"{fault.code}\n\n{fault.message}\n\n\n"


def quality(media_type: str, accept: str) -> float:
    """How much a client with this `Accept` header likes `media_type`: 0 (not at all) to 1."""
    main = media_type.partition("/")[0]
    exactness = {media_type: 3, f"{main}/*": 2, "*/*": 1}
    best = (0, 0.0)
    for item in accept.split(","):
        offered, *parameters = (part.strip().lower() for part in item.split(";"))
        if offered in exactness:
            best = max(best, (exactness[offered], _q(parameters)))
    return best[1]


def _q(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
