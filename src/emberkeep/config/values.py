"""What an operator can set, as values."""

import ipaddress
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emberkeep.stores.options import StoreOptions

NOAUTH, KEYSTONE = "noauth", "keystone"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

# Whom the clouds.yaml of an embedded service signs in: without authentication, any ids would do.
EMBEDDED_USER = "admin"
EMBEDDED_PROJECT = uuid.uuid5(uuid.NAMESPACE_DNS, "emberkeep").hex


class ConfigurationError(Exception):
    """The configuration can't be used; the message names the option."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One availability zone: where its backups are stored, and its volumes, if it has any."""

    name: str
    repository: str  # URL of a store
    store: StoreOptions
    volumes: Path | None  # directory


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a project may have; -1: without limit."""

    volumes: int
    snapshots: int
    gigabytes: int
    backups: int
    backup_gigabytes: int
    groups: int
    per_volume_gigabytes: int


@dataclass(frozen=True, slots=True)
class Jobs:
    """Times in seconds."""

    lease: float
    heartbeat: float
    progress: float
    zone_wait: float
    max_attempts: int


@dataclass(frozen=True, slots=True)
class BackupOptions:
    default_availability_zone: str  # same-as-volume, other-than-volume or a zone
    default_container: str
    refuse_delete_of_parents: bool
    compression_level: int
    memory_budget: int  # bytes


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """How volumes and snapshots are made; `default_availability_zone` has volumes, if any has."""

    default_availability_zone: str | None
    allow_availability_zone_fallback: bool
    cloned_volume_same_az: bool
    no_snapshot_gb_quota: bool


@dataclass(frozen=True, slots=True)
class NotificationOptions:
    """Who is told of backups, and how often of progress; see `backups.notifications`.

    `drivers`: of oslo.messaging, which reads the rest of its options itself; none: nobody.
    """

    drivers: tuple[str, ...]
    objects: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Maintenance:
    """How often domains are collected and verified; see `backups.maintenance.Schedule`."""

    collect_every: float
    verify_every: float
    verify_depth: int
    verify_share: float


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the API answers.  `filters` are those of `resource_query_filters_file`, if it is set."""

    public_endpoint: str | None
    osapi_max_limit: int
    project_id_regex: str
    max_request_body_size: int  # bytes
    enable_proxy_headers_parsing: bool
    filters: Mapping[str, tuple[str, ...]] | None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that an operator can set.

    `file` and `policy_file` may not be there; `warnings` tell of names in `file` that nobody knows.
    """

    file: Path
    state_dir: Path
    host: str
    auth_strategy: str
    bind: str
    port: int
    unix_socket: Path | None  # instead of an address and a port
    database: str  # URL
    key_file: Path
    policy_file: Path
    message_ttl: int  # seconds
    zones: tuple[Zone, ...]
    api: ApiOptions
    quotas: Quotas
    jobs: Jobs
    backups: BackupOptions
    volumes: VolumeOptions
    maintenance: Maintenance
    notifications: NotificationOptions
    warnings: tuple[str, ...]

    @property
    def endpoint(self) -> str:
        """Where clients find the API; the path of its socket if it has no address."""
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        return str(self.unix_socket or f"http://{host}:{self.port}")

    @property
    def is_private(self) -> bool:
        """Whether only this machine's users reach the API."""
        if self.unix_socket is not None or self.bind in LOOPBACK:
            return True
        try:
            return ipaddress.ip_address(self.bind).is_loopback
        except ValueError:
            return False  # a name may change what it means
