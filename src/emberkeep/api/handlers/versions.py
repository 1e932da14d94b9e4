"""Discovery: which versions there are, and where."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest, NotFound
from emberkeep.api.views import versions as views


def choices(core: Core, call: Call) -> Reply:
    return Reply(300, views.document(call.place.base))


def show(core: Core, call: Call) -> Reply:
    return Reply(200, views.document(call.place.base))


def redirect(core: Core, call: Call) -> Reply:
    return Reply(302, location=f"{call.place.base}/v3/")


def refuse(core: Core, call: Call) -> Reply:
    raise BadRequest


def not_implemented(core: Core, call: Call) -> Reply:
    """A route that each resource has, and this one does not implement."""
    raise NotFound
