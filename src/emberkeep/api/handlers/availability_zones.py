"""Availability zones as Cinder shows them: those that have volumes, to anybody with a token."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core
from emberkeep.db import services


def index(core: Core, call: Call) -> Reply:
    """A zone is available if an enabled service of it is up."""
    with core.database.reading() as tx:
        zones = services.volume_zones(tx)
    items = [
        {"zoneName": name, "zoneState": {"available": available}}
        for name, available in sorted(zones.items())
    ]
    return Reply(200, {"availabilityZoneInfo": items})
