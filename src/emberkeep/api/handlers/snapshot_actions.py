"""What an operator does to a snapshot."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core


def reset_status(core: Core, call: Call) -> Reply:
    status = call.body["os-reset_status"]["status"].lower()
    core.volumes.reset_snapshot_status(call.caller, call.parameters["id"], status)
    return Reply(202)


def force_delete(core: Core, call: Call) -> Reply:
    core.volumes.delete_snapshot(call.caller, call.parameters["id"], force=True)
    return Reply(202)
