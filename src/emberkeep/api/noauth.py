"""Identity without Keystone: the client says who it is.  For a loopback address only.

As in Cinder's own `noauth`, a token is `<user>:<project>` and everybody is an admin, unless the
header `X-Roles` (a comma list) names exactly the roles to have: so tests play every part.
"""

from urllib.parse import quote

import falcon

from emberkeep.api.context import Identity
from emberkeep.api.faults import BadRequest

EVERY_ROLE = "admin,member,reader"
LONGEST_ID = 255


def identify(req: falcon.Request) -> Identity | None:
    """Whom the token names; None without a token.  Raises `BadRequest` for an impossible id."""
    token = _text(req, "HTTP_X_AUTH_TOKEN")
    if not token:
        return None
    user, _, project = token.partition(":")
    project = project or user
    if max(len(user), len(project)) > LONGEST_ID or not token.isprintable():
        raise BadRequest
    roles = (role.strip() for role in req.env.get("HTTP_X_ROLES", EVERY_ROLE).split(","))
    return Identity(user, project, frozenset(role for role in roles if role))


def invite(req: falcon.Request, resp: falcon.Response) -> None:
    """Answer a request without a token as Cinder does: empty, with one to use."""
    resp.status = falcon.HTTP_204
    resp.set_header("X-Auth-Token", "admin:admin")
    resp.set_header("X-Server-Management-Url", req.prefix + quote(req.path))


def _text(req: falcon.Request, name: str) -> str:
    raw: str = req.env.get(name, "")
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")
