"""Identity without Keystone: the client says who it is.  For a loopback address only.

As in Cinder's own `noauth`, a token is `<user>:<project>` and everybody is an admin, unless the
header `X-Roles` (a comma list) names exactly the roles to have: so tests play every part.
"""

from urllib.parse import quote

import falcon

from emberkeep.api.authentication import Answer
from emberkeep.api.context import Identity
from emberkeep.api.faults import BadRequest

EVERY_ROLE = "admin,member,reader"
LONGEST_ID = 255


class NoAuthentication:
    """Believes every token.  A request without one is answered as Cinder does: with one to use."""

    open_paths = ("/", "/v3", "/v3/")

    def identify(self, req: falcon.Request) -> Identity | Answer:
        token = _text(req, "HTTP_X_AUTH_TOKEN")
        if not token:
            url = req.prefix + quote(req.path)
            invitation = {"X-Auth-Token": "admin:admin", "X-Server-Management-Url": url}
            return Answer(falcon.HTTP_204, invitation)
        user, _, project = token.partition(":")
        project = project or user
        if max(len(user), len(project)) > LONGEST_ID or not token.isprintable():
            raise BadRequest
        named = (role.strip() for role in req.env.get("HTTP_X_ROLES", EVERY_ROLE).split(","))
        roles = frozenset(role for role in named if role)
        return Identity(user, project, roles, is_admin="admin" in roles)


def _text(req: falcon.Request, name: str) -> str:
    raw: str = req.env.get(name, "")
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")
