"""What the handlers work with, handed down by the program that builds the application."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from emberkeep.backups.messages import Messages
from emberkeep.backups.quota_sets import QuotaSets
from emberkeep.backups.service import Backups
from emberkeep.db.database import Database
from emberkeep.volumes.local import LocalVolumes

# By what members may filter a resource's list from 3.31 on, as Cinder's own file has it.
FILTERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "volume": (
            "name",
            "status",
            "metadata",
            "bootable",
            "migration_status",
            "availability_zone",
            "group_id",
            "size",
            "created_at",
            "updated_at",
            "consumes_quota",
        ),
        "backup": ("name", "status", "volume_id"),
        "snapshot": (
            "name",
            "status",
            "volume_id",
            "metadata",
            "availability_zone",
            "consumes_quota",
        ),
        "group": ("name",),
        "group_snapshot": ("name", "status", "group_id"),
        "attachment": ("volume_id", "status", "instance_id", "attach_status"),
        "message": (
            "resource_uuid",
            "resource_type",
            "event_id",
            "request_id",
            "message_level",
        ),
        "pool": ("name", "volume_type"),
        "volume_type": ("is_public", "extra_specs"),
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the API behaves.  The names are Cinder's options, where it has one.

    `loopback_only` refuses a foreign `Host` header: without authentication, a web page must not
    reach the service by a name that it controls (DNS rebinding).  `filters` names, for each
    resource, what members may filter its list by from 3.31 on.
    """

    public_endpoint: str | None = None
    osapi_max_limit: int = 1000
    project_id_regex: str = r"[0-9a-f\-]+"
    max_request_body_size: int = 114688  # bytes
    enable_proxy_headers_parsing: bool = False
    loopback_only: bool = False
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: FILTERS)

    def filters_of(self, resource: str) -> tuple[str, ...]:
        """What an operator's filters don't name may be filtered by nothing."""
        return self.filters.get(resource, ())


@dataclass(frozen=True, slots=True)
class Core:
    """The services behind the API."""

    backups: Backups
    volumes: LocalVolumes
    database: Database  # for what workers tell of themselves, and whether they may work
    settings: Settings

    @property
    def quota_sets(self) -> QuotaSets:
        return QuotaSets(self.database, self.volumes.quotas, self.backups.settings)

    @property
    def messages(self) -> Messages:
        return Messages(self.database)
