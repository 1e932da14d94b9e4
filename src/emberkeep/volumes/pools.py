"""Pools: the back ends that take volumes now, as Cinder's scheduler would list them.

What room there is on them, nobody but their host knows.
"""

from dataclasses import dataclass
from datetime import datetime

from emberkeep.caller import Caller
from emberkeep.db import messages, services
from emberkeep.db import volumes as table
from emberkeep.db.database import Transaction


@dataclass(frozen=True, slots=True)
class Pool:
    """A back end, by its name host@backend#pool.  `allocated_gib`: of the volumes that it has."""

    name: str
    allocated_gib: int
    heard_at: datetime

    @property
    def backend(self) -> str:
        return backend_of(self.name)


def backend_of(host: str) -> str:
    """The back end's name in host@backend#pool, or the host's if it has one only."""
    return host.partition("#")[0].rpartition("@")[2]


def takes_volumes(tx: Transaction, zone: str) -> bool:
    """Whether new volumes can be made in the zone: not if all of its services are disabled."""
    found = [
        service.disabled
        for service in services.list_services(tx, services.VOLUME)
        if service.availability_zone == zone
    ]
    return not found or not all(found)


def tell_unplaced(tx: Transaction, caller: Caller, volume_id: str, *, ttl: float) -> None:
    """Tell the caller's project, for `ttl` seconds, that nobody took its volume."""
    messages.add(
        tx,
        project_id=caller.project_id,
        request_id=caller.request_id,
        resource_type="VOLUME",
        resource_uuid=volume_id,
        action_id="001",  # schedule allocate volume
        detail_id="003",  # no back end available
        ttl=ttl,
    )


def pools(tx: Transaction) -> list[Pool]:
    """Those within reach of a live worker, and of a service that is enabled, by name."""
    serving = {
        service.host: service.heartbeat_at
        for service in services.list_services(tx, services.VOLUME)
        if service.up and not service.disabled
    }
    reached = {name for worker in services.alive(tx) for name in worker.backends}
    allocated = table.allocated(tx)
    return [
        Pool(name, allocated.get(name, 0), serving[host])
        for name in sorted(reached)
        if (host := name.partition("#")[0]) in serving
    ]
