"""The metadata of a volume as a resource of its own: all of it, or one key."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest
from emberkeep.api.handlers.volumes import look_up

MISMATCH = "Request body and URI mismatch"


def index(core: Core, call: Call) -> Reply:
    volume_id = look_up(core, call, call.parameters["volume_id"]).id
    return Reply(200, {"metadata": core.volumes.metadata(call.caller, volume_id)})


def create(core: Core, call: Call) -> Reply:
    """Add to what there is."""
    volume_id = look_up(core, call, call.parameters["volume_id"]).id
    given = call.body["metadata"]
    return Reply(200, {"metadata": core.volumes.add_metadata(call.caller, volume_id, given)})


def update_all(core: Core, call: Call) -> Reply:
    """Replace what there is."""
    volume_id = look_up(core, call, call.parameters["volume_id"]).id
    given = call.body["metadata"]
    return Reply(200, {"metadata": core.volumes.replace_metadata(call.caller, volume_id, given)})


def show(core: Core, call: Call) -> Reply:
    volume_id = look_up(core, call, call.parameters["volume_id"]).id
    key = call.parameters["id"]
    return Reply(200, {"meta": {key: core.volumes.metadata_item(call.caller, volume_id, key)}})


def update(core: Core, call: Call) -> Reply:
    key, value = item(call)
    volume_id = look_up(core, call, call.parameters["volume_id"]).id
    core.volumes.set_metadata_item(call.caller, volume_id, key, value)
    return Reply(200, {"meta": {key: value}})


def delete(core: Core, call: Call) -> Reply:
    volume_id = look_up(core, call, call.parameters["volume_id"]).id
    core.volumes.remove_metadata_item(call.caller, volume_id, call.parameters["id"])
    return Reply(200, bare=True)


def item(call: Call) -> tuple[str, str]:
    """The one key in the body, which must be the path's, and its value."""
    ((key, value),) = call.body["meta"].items()
    if key != call.parameters["id"]:
        raise BadRequest(MISMATCH)
    return key, value
