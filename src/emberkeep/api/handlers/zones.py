"""Availability zones, as every member may see them: where volumes are and where backups go."""

from emberkeep.api.context import Call, Reply
from emberkeep.api.core import Core


def index(core: Core, call: Call) -> Reply:
    """Every zone; `up` says whether a worker that serves it was heard of lately."""
    zones = [
        {"name": zone.name, "backups": zone.backups, "volumes": zone.volumes, "up": zone.up}
        for zone in core.backups.zones()
    ]
    return Reply(200, {"zones": zones})
