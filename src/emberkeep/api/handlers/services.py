"""Services: which workers there are, and whether they may work, for the operator."""

from typing import Any

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest, NotFound
from emberkeep.api.views import services as views
from emberkeep.db import services


def index(core: Core, call: Call) -> Reply:
    call.caller.authorize("volume_extension:services:index", None)
    wanted = dict(call.query)
    with core.database.reading() as tx:
        found = services.list_services(tx, binary=wanted.get("binary"), host=wanted.get("host"))
    return Reply(200, {"services": [views.item(service, call.version) for service in found]})


def enable(core: Core, call: Call) -> Reply:
    return Reply(200, _set(core, call, disabled=False))


def disable(core: Core, call: Call) -> Reply:
    return Reply(200, _set(core, call, disabled=True))


def disable_log_reason(core: Core, call: Call) -> Reply:
    reason = call.body.get("disabled_reason")
    answer = _set(core, call, disabled=True, reason=reason)
    return Reply(200, {**answer, "disabled_reason": reason})


def _set(core: Core, call: Call, *, disabled: bool, reason: str | None = None) -> dict[str, Any]:
    """Enable or disable; a service may be named by `service`, too, as older clients do."""
    call.caller.authorize("volume_extension:services:update", None)
    host = call.body.get("host")
    if host is None:
        raise BadRequest("Invalid input received: Host field is missing.")
    older, binary = call.body.get("service", ""), call.body.get("binary", "")
    with core.database.writing() as tx:
        known = services.set_disabled(
            tx, host=host, binary=binary or older, disabled=disabled, reason=reason
        )
    if not known:
        raise NotFound(f"Service {binary or older} could not be found on host {host}.")
    return {
        "host": host,
        "service": older,
        "binary": binary,
        "status": "disabled" if disabled else "enabled",
        "disabled": disabled,
    }
