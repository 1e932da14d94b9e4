"""What the rules of backups work with, and what an operator decides about them."""

from dataclasses import dataclass

from emberkeep.backups import placement
from emberkeep.backups.notifications import Notifications
from emberkeep.backups.seam import Seam
from emberkeep.db.database import Database
from emberkeep.jobs.queue import Queue
from emberkeep.volumes.service import VolumeService


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides about backups; quotas of -1 are without limit."""

    quota_backups: int = 10
    quota_backup_gigabytes: int = 1000
    default_container: str = "volumebackups"
    default_availability_zone: str = placement.SAME_AS_VOLUME
    refuse_delete_of_parents: bool = False
    enabled_zones: tuple[str, ...] = ()
    message_ttl: float = 2_592_000  # seconds


@dataclass(frozen=True, slots=True)
class Means:
    """The parts, each of which may be used from many threads."""

    database: Database
    queue: Queue
    volumes: VolumeService
    seam: Seam
    settings: Settings
    notifications: Notifications
