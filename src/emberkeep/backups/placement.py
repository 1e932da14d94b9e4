"""Where a backup goes, and who can work on it: availability zones and their services."""

from collections.abc import Sequence
from dataclasses import dataclass

from emberkeep.backups.errors import ServiceNotFound
from emberkeep.backups.records import Place
from emberkeep.db import services
from emberkeep.db.backups import Backup
from emberkeep.db.database import Transaction
from emberkeep.db.services import Service

SAME_AS_VOLUME = "same-as-volume"
OTHER_THAN_VOLUME = "other-than-volume"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone as members see it."""

    name: str
    backups: bool  # takes new ones
    volumes: bool
    up: bool


def zone_of_new_backup(
    *,
    asked: str | None,
    parent: Backup | None,
    volume_zone: str,
    default: str,
    enabled: Sequence[str],
) -> str:
    """The zone asked for, else the parent's, else what `default` says."""
    if asked:
        return asked
    if parent is not None and parent.availability_zone:
        return parent.availability_zone
    match default:
        case "same-as-volume":
            return volume_zone
        case "other-than-volume":
            return next((zone for zone in enabled if zone != volume_zone), volume_zone)
        case _:
            return default


def enabled_service(tx: Transaction, zone: str | None) -> Service | None:
    """A service that takes work in the zone (None: in any), one that is up if there is one."""
    found = [service for service in usable(tx) if zone in (None, service.availability_zone)]
    return max(found, key=lambda service: service.up, default=None)


def usable(tx: Transaction) -> list[Service]:
    """The backup services of all zones that are not disabled."""
    return [
        service
        for service in services.list_services(tx, binary=services.BACKUP)
        if not service.disabled
    ]


def known_repository(tx: Transaction, place: Place | None) -> str | None:
    """The repository of an imported record, if a service has it; None: any worker may answer."""
    if place is None:
        return None
    known = {service.repository for service in services.list_services(tx, binary=services.BACKUP)}
    return place.repository if place.repository in known else None


def require_service(tx: Transaction, zone: str | None) -> Service:
    """Such a service.  Raises `ServiceNotFound`."""
    service = enabled_service(tx, zone)
    if service is None:
        raise ServiceNotFound
    return service


def zones(tx: Transaction, enabled: Sequence[str]) -> list[Zone]:
    """The enabled zones, in configured order, as the services tell of them."""
    found = services.list_services(tx)
    return [
        Zone(
            name=name,
            backups=any(
                service.binary == services.BACKUP and not service.disabled
                for service in found
                if service.availability_zone == name
            ),
            volumes=any(
                service.binary == services.VOLUME
                for service in found
                if service.availability_zone == name
            ),
            up=any(service.up for service in found if service.availability_zone == name),
        )
        for name in enabled
    ]
