"""What a volume knows of its image, by actions."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.handlers.volumes import look_up


def set_(core: Core, call: Call) -> Reply:
    added = call.body["os-set_image_metadata"]["metadata"]
    metadata = core.volumes.add_image_metadata(call.caller, call.parameters["id"], added)
    return Reply(200, {"metadata": metadata})


def show(core: Core, call: Call) -> Reply:
    volume_id = look_up(core, call, call.parameters["id"]).id
    return Reply(200, {"metadata": core.volumes.image_metadata(call.caller, volume_id)})


def unset(core: Core, call: Call) -> Reply:
    key = call.body["os-unset_image_metadata"]["key"]
    core.volumes.remove_image_metadata(call.caller, call.parameters["id"], key)
    return Reply(200, bare=True)
