"""Reading a request's body.

A string with a NUL or a lone surrogate is refused as malformed: no database can be trusted to give
it back.
"""

import json
import re
from typing import Any

import falcon

from emberkeep.api.faults import BadRequest, BodyTooLarge, Malformed, UnsupportedMediaType

CONTENT_TYPES = ("application/json", "application/vnd.openstack.volume+json")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def read(req: falcon.Request, limit: int) -> bytes:
    """The body's bytes.  Raises `BodyTooLarge` if there are more than `limit`."""
    if req.content_length is None and req.env.get("wsgi.input_terminated"):
        stream = req.stream
    else:
        refuse_large(req, limit)
        stream = req.bounded_stream
    raw: bytes = stream.read(limit + 1)
    if len(raw) > limit:
        raise BodyTooLarge
    return raw


def refuse_large(req: falcon.Request, limit: int) -> None:
    """Raise `BodyTooLarge` for a body that says it is larger than `limit` bytes."""
    if (req.content_length or 0) > limit:
        raise BodyTooLarge


def check_content_type(req: falcon.Request) -> None:
    """Raise `UnsupportedMediaType`, or `BadRequest` where the body comes without a type."""
    content_type = (req.content_type or "").partition(";")[0]
    if not content_type.strip():
        raise BadRequest
    if content_type not in CONTENT_TYPES:
        raise UnsupportedMediaType


def parse(raw: bytes) -> Any:
    """The JSON value; of duplicate keys the last counts.  Raises `Malformed`."""
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Malformed from None


def refuse_unstorable(value: Any) -> None:
    """Raise `Malformed` if there is a NUL or half of a surrogate pair anywhere in it."""
    if _has_unstorable(value):
        raise Malformed


def action(raw: bytes) -> str | None:
    """The name of the action that a body asks for; None for an empty body.

    Raises `Malformed` unless the body is an object with one key.
    """
    if not raw:
        return None
    match parse(raw):
        case dict() as body if len(body) == 1:
            return str(next(iter(body)))
    raise Malformed


def _has_unstorable(value: Any) -> bool:
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text:
                if _UNSTORABLE.search(text):
                    return True
            case list() as items:
                rest.extend(items)
            case dict() as items:
                rest.extend(items)
                rest.extend(items.values())
    return False
