"""Resource filters: by what members may filter each list."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core


def index(core: Core, call: Call) -> Reply:
    wanted = dict(call.query).get("resource")
    items = [
        {"resource": resource, "filters": list(names)}
        for resource, names in core.settings.filters.items()
        if not wanted or resource == wanted
    ]
    return Reply(200, {"resource_filters": items})
