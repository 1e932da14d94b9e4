"""Statements about services and workers: who serves which zone, and who is alive."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from emberkeep.db.database import Transaction
from emberkeep.db.tables import services, workers

BACKUP = "cinder-backup"
VOLUME = "cinder-volume"
DOWN_AFTER = timedelta(seconds=60)  # without a heartbeat; Cinder's service_down_time


@dataclass(frozen=True, slots=True)
class Service:
    """A zone as a host serves it.  `up`: its heartbeat is fresh, by the database's clock."""

    host: str
    binary: str
    availability_zone: str
    repository: str | None
    disabled: bool
    disabled_reason: str | None
    heartbeat_at: datetime
    up: bool


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker and what it reaches."""

    name: str
    availability_zones: frozenset[str]
    repositories: frozenset[str]
    backends: frozenset[str]


def list_services(
    tx: Transaction, binary: str | None = None, host: str | None = None
) -> list[Service]:
    """The services, ordered by binary, host and zone; of `host` all its back ends, too."""
    query = sa.select(services).order_by(
        services.c.binary, services.c.host, services.c.availability_zone
    )
    if binary is not None:
        query = query.where(services.c.binary == binary)
    if host:
        query = query.where(_of_host(host))
    fresh = tx.now() - DOWN_AFTER
    return [
        Service(
            host=row["host"],
            binary=row["binary"],
            availability_zone=row["availability_zone"],
            repository=row["repository"],
            disabled=row["disabled"],
            disabled_reason=row["disabled_reason"],
            heartbeat_at=row["heartbeat_at"],
            up=row["heartbeat_at"] >= fresh,
        )
        for row in tx.rows(query)
    ]


def volume_zones(tx: Transaction) -> dict[str, bool]:
    """Each zone that has volumes: whether an enabled service of it is up."""
    zones: dict[str, bool] = {}
    for service in list_services(tx, VOLUME):
        serving = service.up and not service.disabled
        zone = service.availability_zone
        zones[zone] = serving or zones.get(zone, False)
    return zones


def register(
    tx: Transaction, *, host: str, binary: str, availability_zone: str, repository: str | None
) -> None:
    """Say that `host` serves the zone; a row that is there stays disabled if it was."""
    now = tx.now()
    mine = (
        services.c.host == host,
        services.c.binary == binary,
        services.c.availability_zone == availability_zone,
    )
    values = {"repository": repository, "heartbeat_at": now}
    if tx.changed(sa.update(services).where(*mine).values(values)):
        return
    row = {
        "host": host,
        "binary": binary,
        "availability_zone": availability_zone,
        "disabled": False,
        "created_at": now,
    }
    tx.changed(sa.insert(services).values({**row, **values}))


def forget_others(tx: Transaction, hosts: Collection[str], prefix: str) -> None:
    """Remove the services of hosts that begin with `prefix` and are none of `hosts`."""
    others = (
        sa.func.substr(services.c.host, 1, len(prefix)) == prefix,  # LIKE would ignore the case
        services.c.host.not_in(hosts),
    )
    tx.changed(sa.delete(services).where(*others))


def beat(tx: Transaction, worker: Worker, hosts: Collection[str]) -> None:
    """A worker's sign of life, for itself and for the services that it is."""
    now = tx.now()
    values = {
        "availability_zones": sorted(worker.availability_zones),
        "repositories": sorted(worker.repositories),
        "backends": sorted(worker.backends),
        "heartbeat_at": now,
    }
    mine = workers.c.name == worker.name
    if not tx.changed(sa.update(workers).where(mine).values(values)):
        tx.changed(sa.insert(workers).values(name=worker.name, **values))
    tx.changed(sa.update(services).where(services.c.host.in_(hosts)).values(heartbeat_at=now))


def leave(tx: Transaction, name: str) -> None:
    """The worker ends; its services stay, and are down once their heartbeat is stale."""
    tx.changed(sa.delete(workers).where(workers.c.name == name))


def set_disabled(
    tx: Transaction, *, host: str, binary: str, disabled: bool, reason: str | None
) -> bool:
    """Enable or disable; return whether there is such a service.

    `host` as in `list_services`.  The reason goes when the service is enabled, and stays when it is
    disabled without one.
    """
    values: dict[str, object] = {"disabled": disabled}
    if reason is not None or not disabled:
        values["disabled_reason"] = reason
    mine = (_of_host(host), services.c.binary == binary)
    return bool(tx.changed(sa.update(services).where(*mine).values(values)))


def _of_host(host: str) -> sa.ColumnElement[bool]:
    """Those of host, of host@backend and of host#pool; what is named more exactly, is meant so."""
    marks = "" if "#" in host else "#" if "@" in host else "@#"
    begins = (host + mark for mark in marks)  # LIKE would ignore the case
    within = (sa.func.substr(services.c.host, 1, len(begin)) == begin for begin in begins)
    return sa.or_(services.c.host == host, *within)


def resting(tx: Transaction) -> dict[str, set[str]]:
    """By worker, the repositories with which it is not to work: all of its services that do are
    disabled."""
    rest: dict[str, set[str]] = {}
    work: dict[str, set[str]] = {}
    for service in list_services(tx, BACKUP):
        worker = service.host.rpartition("@")[0]
        kept = rest if service.disabled else work
        kept.setdefault(worker, set()).add(service.repository or "")
    return {worker: found - work.get(worker, set()) for worker, found in rest.items()}


def alive(tx: Transaction) -> list[Worker]:
    """The workers whose heartbeat is fresh."""
    fresh = workers.c.heartbeat_at >= tx.now() - DOWN_AFTER
    return [
        Worker(
            name=row["name"],
            availability_zones=frozenset(row["availability_zones"]),
            repositories=frozenset(row["repositories"]),
            backends=frozenset(row["backends"]),
        )
        for row in tx.rows(sa.select(workers).where(fresh))
    ]
