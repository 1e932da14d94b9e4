"""Services: which workers there are, for the operator."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.views import services as views
from emberkeep.db import services


def index(core: Core, call: Call) -> Reply:
    call.caller.authorize("volume_extension:services:index", None)
    wanted = dict(call.query)
    with core.database.reading() as tx:
        found = services.list_services(tx, binary=wanted.get("binary"), host=wanted.get("host"))
    return Reply(200, {"services": [views.item(service, call.version) for service in found]})
