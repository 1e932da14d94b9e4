"""Faults: how a request that is not fulfilled is answered.

A controller's fault is `{"<key>": {"code": <status>, "message": "<text>"}}`.  What no controller
answers, unknown routes and bodies that are too large, has no such envelope: its form follows the
request's `Accept` header (HTML, JSON or plain text).
"""

import html
import json
import re
from typing import ClassVar

GENERIC = (
    "The server could not comply with the request since it is either malformed or otherwise"
    " incorrect."
)
UNDECODABLE = (
    "Error decoding your request. Either the URL or the request body contained characters that "
    "could not be decoded by Cinder."
)
UNEXPECTED = "The server has either erred or is incapable of performing the requested operation."

_TOKEN = r"[\w!#$%&'*+.^`|~-]+"
# No two parts of it can match the same blanks, so that no header takes longer than its length.
_RANGE = re.compile(
    rf"(?P<type>{_TOKEN}/{_TOKEN})\s*(?P<parameters>(;\s*(?!q=){_TOKEN}=[^;]*)*)"
    r"(;\s*q=(?P<q>0(\.\d{0,3})?|1(\.0{0,3})?)\s*(;.*)?)?"
)

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

    message = "Request is too large. Larger than max_request_body_size (%s)."  # as Cinder has it


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
    return "text/plain; charset=UTF-8", f"{fault.code}\n\n{fault.message}\n\n   "


def quality(media_type: str, accept: str) -> float:
    """How much a client with this `Accept` header likes `media_type`: 0 (not at all) to 1.

    What the header wants with parameters besides `q`, nothing that we have is.  One that cannot be
    read takes anything.
    """
    items = [item.strip().lower() for item in accept.split(",") if item.strip()]
    ranges = [_RANGE.fullmatch(item) for item in items]
    main = media_type.partition("/")[0]
    exactness = {media_type: 3, f"{main}/*": 2, "*/*": 1}
    best = (0, 0.0)
    for found in ranges:
        if found is None:
            return 1.0
        if found["type"] in exactness and not found["parameters"]:
            best = max(best, (exactness[found["type"]], float(found["q"] or 1)))
    return best[1]
