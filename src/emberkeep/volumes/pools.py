"""Pools: the back ends that take volumes now, as Cinder's scheduler would list them.

What room there is on them, nobody but their host knows.
"""

from dataclasses import dataclass
from datetime import datetime

from emberkeep.db import services
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
