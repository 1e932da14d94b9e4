"""Whether the data of a backup is whole."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.views.moments import moment


def show(core: Core, call: Call) -> Reply:
    backup = core.backups.condition(call.caller, call.parameters["id"])
    if backup["verification"] is not None:
        backup["verification"]["checked_at"] = moment(backup["verification"]["checked_at"])
    return Reply(200, {"backup": backup})
