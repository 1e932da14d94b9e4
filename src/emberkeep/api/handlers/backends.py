"""Volume back ends, for the operator: their capabilities, and the pools that take volumes now."""

from emberkeep.api import listing
from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.api.faults import BadRequest, NotFound
from emberkeep.api.microversions import v3
from emberkeep.api.views import backends as views
from emberkeep.db import services
from emberkeep.volumes import pools

NAME_FILTER = v3(28)
TYPE_FILTER = v3(35)


def capabilities(core: Core, call: Call) -> Reply:
    call.caller.authorize("volume_extension:capabilities", None)
    host = call.parameters["host"]
    with core.database.reading() as tx:
        found = services.list_services(tx, services.VOLUME, host)
    if not found:
        raise NotFound(f"Can't find service: {host}")
    return Reply(200, views.capabilities(found[0].host))


def get_pools(core: Core, call: Call) -> Reply:
    call.caller.authorize("scheduler_extension:scheduler_stats:get_pools", None)
    view = views.pool if listing.flag(call, "detail") else lambda pool: {"name": pool.name}
    wanted = _filters(core, call)
    if wanted is None:
        return Reply(200, {"pools": []})
    with core.database.reading() as tx:
        found = pools.pools(tx)
    shown = [view(pool) for pool in found if wanted.get("name", pool.name) == pool.name]
    return Reply(200, {"pools": shown})


def _filters(core: Core, call: Call) -> dict[str, str] | None:
    """What pools must have; None if no pool can.  Every type of volumes goes to every pool."""
    given = {name: value for name, value in call.query if name != "detail"}
    if call.version < NAME_FILTER:
        return {}
    if call.version >= listing.STRICT_FILTERS:
        allowed = {name.removesuffix("~") for name in core.settings.filters_of("pool")}
        unknown = [name for name in given if name not in allowed]
        if unknown:
            raise BadRequest(f"Invalid filters {','.join(unknown)} are found in query options.")
    volume_type = given.pop("volume_type", None)
    if call.version >= TYPE_FILTER:
        core.volumes.check_type(volume_type)
    return given if given.keys() <= {"name"} else None
