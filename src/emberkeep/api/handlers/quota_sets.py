"""Quota sets: what a project may have, and what it has."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.listing import flag
from emberkeep.api.schemas.quota_sets import NO_QUOTAS
from emberkeep.api.views import quota_sets as views
from emberkeep.backups import quota_sets
from emberkeep.volumes.quota import PER_VOLUME


def show(core: Core, call: Call) -> Reply:
    project_id = call.parameters["id"]
    call.caller.authorize(quota_sets.SHOW, project_id)
    view = views.usage if flag(call, "usage") else views.limits
    standing = core.quota_sets.show(call.caller, project_id)
    return Reply(200, {"quota_set": {**view(standing), "id": project_id}})


def defaults(core: Core, call: Call) -> Reply:
    project_id = call.parameters["id"]
    limits = core.quota_sets.defaults(call.caller, project_id)
    return Reply(200, {"quota_set": {**limits, "id": project_id}})


def update(core: Core, call: Call) -> Reply:
    project_id = call.parameters["id"]
    call.caller.authorize(quota_sets.UPDATE, project_id)
    wanted = {
        name: _limit(name, value)
        for name, value in call.body["quota_set"].items()
        if name not in NO_QUOTAS
    }
    return Reply(200, {"quota_set": core.quota_sets.update(call.caller, project_id, wanted)})


def delete(core: Core, call: Call) -> Reply:
    core.quota_sets.delete(call.caller, call.parameters["id"])
    return Reply(200)


def _limit(name: str, value: int | str) -> int:
    """The limit; a string of digits, though it passes the schema, is one for a single resource."""
    if isinstance(value, str) and name != PER_VOLUME:
        raise BadRequest
    return int(value)
