"""How far the work on a backup is."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core


def show(core: Core, call: Call) -> Reply:
    progress = core.backups.progress(call.caller, call.parameters["id"])
    return Reply(200, {"progress": progress})
