"""Services as JSON: what workers have told of themselves."""

from typing import Any

from emberkeep.api.microversions import Microversion, v3
from emberkeep.api.views.moments import moment
from emberkeep.db.services import Service


def item(service: Service, version: Microversion) -> dict[str, Any]:
    holds_volumes = service.binary == "cinder-volume"
    document: dict[str, Any] = {
        "binary": service.binary,
        "host": service.host,
        "zone": service.availability_zone,
        "status": "disabled" if service.disabled else "enabled",
        "state": "up" if service.up else "down",
        "updated_at": moment(service.heartbeat_at),
    }
    if version >= v3(49) and holds_volumes:
        document["backend_state"] = document["state"]
    if version >= v3(7):
        document["cluster"] = None
    document["disabled_reason"] = service.disabled_reason
    if holds_volumes:
        document |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
    return document
