"""Configuration: `emberkeep.conf`, read once and handed down as values.

A state directory holds everything of an embedded service; what its file does not say is as below.
A wrong value is reported with the option's name (`ConfigurationError`), never guessed around.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from oslo_config import cfg

from emberkeep.stores.options import StoreOptions

FILE_NAME = "emberkeep.conf"
# First line of a file that `serve` wrote itself and so may write anew.
GENERATED = "# Written by emberkeep serve; remove this line to keep your own changes."

DEFAULT_ZONES = ("az1", "az2")
DEFAULT_PORT = 8776
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
    no_snapshot_gb_quota: bool


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
class Maintenance:
    """How often domains are collected and verified; see `backups.maintenance.Schedule`."""

    collect_every: float
    verify_every: float
    verify_depth: int
    verify_share: float


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that an operator can set."""

    state_dir: Path
    host: str
    bind: str
    port: int
    public_endpoint: str | None
    osapi_max_limit: int
    database: str  # URL
    key_file: Path
    zones: tuple[Zone, ...]
    quotas: Quotas
    default_availability_zone: str | None  # of new volumes
    allow_availability_zone_fallback: bool
    cloned_volume_same_az: bool
    jobs: Jobs
    backups: BackupOptions
    maintenance: Maintenance
    message_ttl: int  # seconds

    @property
    def endpoint(self) -> str:
        return f"http://{self.bind}:{self.port}"


_STORE = StoreOptions()
_STORE_SECRETS = ("secret_key", "session_token", "password", "application_credential_secret")

_DEFAULT_OPTIONS = [
    cfg.StrOpt("host", default="emberkeep", help="Name of this host in service rows."),
    cfg.HostAddressOpt("bind_host", default="127.0.0.1", help="Address that the API listens on."),
    cfg.PortOpt("port", default=DEFAULT_PORT, help="Port that the API listens on."),
    cfg.URIOpt("public_endpoint", help="Base of the links in answers, if not the request's own."),
    cfg.IntOpt("osapi_max_limit", default=1000, min=1, help="Most items in one page of a list."),
    cfg.StrOpt(
        "default_availability_zone",
        help="Where volumes are made if nobody says where; default: the first zone that has any.",
    ),
    cfg.BoolOpt(
        "allow_availability_zone_fallback",
        default=False,
        help="Make a volume in the default zone where the one that was asked for is none.",
    ),
    cfg.BoolOpt(
        "cloned_volume_same_az",
        default=True,
        help="Refuse a volume in another zone than the snapshot or volume that it is made of.",
    ),
    cfg.IntOpt("quota_volumes", default=10, min=-1),
    cfg.IntOpt("quota_snapshots", default=10, min=-1),
    cfg.IntOpt("quota_gigabytes", default=1000, min=-1),
    cfg.IntOpt("quota_backups", default=10, min=-1),
    cfg.IntOpt("quota_backup_gigabytes", default=1000, min=-1),
    cfg.IntOpt("quota_groups", default=10, min=-1),
    cfg.IntOpt("per_volume_size_limit", default=-1, min=-1, help="GiB that one volume may have."),
    cfg.BoolOpt("no_snapshot_gb_quota", default=False, help="Don't count sizes of snapshots."),
    cfg.IntOpt("message_ttl", default=2_592_000, min=1, help="Seconds that a message is kept."),
]
_ZONES_OPTIONS = [cfg.ListOpt("enabled", default=list(DEFAULT_ZONES), help="Zones, in order.")]
_DATABASE_OPTIONS = [cfg.StrOpt("connection", help="SQLAlchemy URL; default: a SQLite file.")]
_KEYS_OPTIONS = [cfg.StrOpt("file", help="The local key file; default: in the state directory.")]
_JOBS_OPTIONS = [
    cfg.FloatOpt("lease", default=120, min=1, help="Seconds after which a silent worker is dead."),
    cfg.FloatOpt("heartbeat", default=30, min=0.05, help="Seconds between a worker's signs."),
    cfg.FloatOpt("progress", default=1, min=0.05, help="Seconds between writes of progress."),
    cfg.FloatOpt("zone_wait", default=600, min=0, help="Seconds a job waits for its zone."),
    cfg.IntOpt("max_attempts", default=3, min=1, help="Attempts before a job fails."),
]
_BACKUPS_OPTIONS = [
    cfg.StrOpt("default_availability_zone", default="same-as-volume"),
    cfg.StrOpt("default_container", default="volumebackups"),
    cfg.BoolOpt("refuse_delete_of_parents", default=False),
    cfg.IntOpt("compression_level", default=1, min=1, max=19, help="zstd's level."),
    cfg.IntOpt("memory_budget", default=224, min=208, help="MiB that one running job may hold."),
]
_MAINTENANCE_OPTIONS = [
    cfg.FloatOpt("collect_every", default=86_400, min=0, help="Seconds; 0: only when asked for."),
    cfg.FloatOpt("verify_every", default=86_400, min=0, help="Seconds; 0: only when asked for."),
    cfg.IntOpt("verify_depth", default=2, min=1, max=3, help="1 sizes, 2 checksums, 3 contents."),
    cfg.FloatOpt("verify_percent", default=4, min=0, max=100, help="Of the data, each time."),
]
_ZONE_OPTIONS = [
    cfg.StrOpt("repository", help="URL of the store; default: a directory of its own."),
    cfg.StrOpt("volumes", default="", help="files:DIRECTORY, or none for a zone without volumes."),
    cfg.StrOpt("store_ca_file", help="Certificates that vouch for the store's servers."),
    cfg.FloatOpt("store_timeout", default=_STORE.timeout, help="Seconds without a byte."),
    cfg.IntOpt("store_retries", default=_STORE.retries, help="Repeats of a request that failed."),
    cfg.IntOpt("store_connections", default=_STORE.connections, help="At most so many at once."),
    cfg.FloatOpt("store_settles_within", help="Seconds until an object that was put is found."),
    cfg.StrOpt("store_access_key", help="S3."),
    cfg.StrOpt("store_secret_key", secret=True, help="S3."),
    cfg.StrOpt("store_session_token", secret=True, help="S3, of temporary keys."),
    cfg.StrOpt("store_region", help="S3."),
    cfg.StrOpt("store_sse", help="S3: encryption by the service, AES256 or aws:kms."),
    cfg.StrOpt("store_sse_kms_key", help="S3: the key's id, for aws:kms."),
    cfg.StrOpt("store_auth_url", help="Swift: Keystone's (…/v3) or tempauth's (…/v1.0)."),
    cfg.StrOpt("store_username", help="Swift."),
    cfg.StrOpt("store_password", secret=True, help="Swift."),
    cfg.StrOpt("store_project_name", help="Swift."),
    cfg.StrOpt("store_user_domain_name", default=_STORE.user_domain_name, help="Swift."),
    cfg.StrOpt("store_project_domain_name", default=_STORE.project_domain_name, help="Swift."),
    cfg.StrOpt("store_application_credential_id", help="Swift."),
    cfg.StrOpt("store_application_credential_secret", secret=True, help="Swift."),
    cfg.StrOpt("store_region_name", help="Swift."),
    cfg.StrOpt("store_interface", default=_STORE.interface, help="Swift: of the endpoint."),
    *(
        cfg.StrOpt(f"store_{secret}_file", help="A file that holds it and nothing else.")
        for secret in _STORE_SECRETS
    ),
]


def load(
    state_dir: Path, *, port: int | None = None, zones: Sequence[str] | None = None
) -> Configuration:
    """Read the state directory's file, if there is one; `port` and `zones` override it."""
    file = state_dir / FILE_NAME
    options = cfg.ConfigOpts()
    groups = {
        None: _DEFAULT_OPTIONS,
        "availability_zones": _ZONES_OPTIONS,
        "database": _DATABASE_OPTIONS,
        "keys": _KEYS_OPTIONS,
        "jobs": _JOBS_OPTIONS,
        "backups": _BACKUPS_OPTIONS,
        "maintenance": _MAINTENANCE_OPTIONS,
    }
    for group, its_options in groups.items():
        options.register_opts(its_options, group=group)
    try:
        options(args=[], default_config_files=[str(file)] if file.exists() else [])
        names = tuple(zones or options.availability_zones.enabled)
        for name in names:
            options.register_opts(_ZONE_OPTIONS, group=f"zone:{name}")
        return _configuration(options, state_dir.absolute(), names, port)
    except (cfg.Error, ValueError) as error:
        raise ConfigurationError(f"{file}: {' '.join(str(error).split())}") from error


def _configuration(
    options: cfg.ConfigOpts, state_dir: Path, names: tuple[str, ...], port: int | None
) -> Configuration:
    if not names or len(set(names)) < len(names):
        raise ValueError("[availability_zones] enabled: name each zone once, and one at least")
    if options.bind_host not in LOOPBACK:
        raise ValueError(
            f"bind_host {options.bind_host}: without authentication the service binds loopback "
            f"only ({', '.join(LOOPBACK)})"
        )
    default_zone = options.backups.default_availability_zone
    if default_zone not in ("same-as-volume", "other-than-volume", *names):
        raise ValueError(
            f"[backups] default_availability_zone: no zone {default_zone!r} is enabled"
        )
    enabled = tuple(_zone(options, state_dir, name) for name in names)
    _agree(enabled)
    configured_port = options.port  # looked at, so that a wrong one is reported, in any case
    return Configuration(
        state_dir=state_dir,
        host=options.host,
        bind=options.bind_host,
        port=configured_port if port is None else port,
        public_endpoint=options.public_endpoint,
        osapi_max_limit=options.osapi_max_limit,
        database=options.database.connection or f"sqlite:///{state_dir / 'emberkeep.sqlite'}",
        key_file=Path(options["keys"].file or state_dir / "emberkeep.key"),
        zones=enabled,
        quotas=Quotas(
            volumes=options.quota_volumes,
            snapshots=options.quota_snapshots,
            gigabytes=options.quota_gigabytes,
            backups=options.quota_backups,
            backup_gigabytes=options.quota_backup_gigabytes,
            groups=options.quota_groups,
            per_volume_gigabytes=options.per_volume_size_limit,
            no_snapshot_gb_quota=options.no_snapshot_gb_quota,
        ),
        default_availability_zone=_default_zone(options.default_availability_zone, enabled),
        allow_availability_zone_fallback=options.allow_availability_zone_fallback,
        cloned_volume_same_az=options.cloned_volume_same_az,
        jobs=Jobs(
            lease=options.jobs.lease,
            heartbeat=options.jobs.heartbeat,
            progress=options.jobs.progress,
            zone_wait=options.jobs.zone_wait,
            max_attempts=options.jobs.max_attempts,
        ),
        backups=BackupOptions(
            default_availability_zone=default_zone,
            default_container=options.backups.default_container,
            refuse_delete_of_parents=options.backups.refuse_delete_of_parents,
            compression_level=options.backups.compression_level,
            memory_budget=options.backups.memory_budget << 20,
        ),
        maintenance=Maintenance(
            collect_every=options.maintenance.collect_every,
            verify_every=options.maintenance.verify_every,
            verify_depth=options.maintenance.verify_depth,
            verify_share=options.maintenance.verify_percent / 100,
        ),
        message_ttl=options.message_ttl,
    )


def _default_zone(asked: str | None, zones: Sequence[Zone]) -> str | None:
    """Where volumes are made if nobody says where; None if there are no volumes."""
    names = [zone.name for zone in zones if zone.volumes is not None]
    if asked is not None and asked not in names:
        raise ValueError(f"default_availability_zone: no zone {asked!r} has volumes")
    return asked or next(iter(names), None)


def _zone(options: cfg.ConfigOpts, state_dir: Path, name: str) -> Zone:
    if not name.strip() or "/" in name or name.startswith(".") or len(name) > 255:
        raise ValueError(f"[availability_zones] enabled: {name!r} is no name of a zone")
    section = options[f"zone:{name}"]
    volumes: Path | None = state_dir / "volumes" / name
    if section.volumes:
        scheme, colon, directory = section.volumes.partition(":")
        if section.volumes == "none":
            volumes = None
        elif scheme == "files" and colon and directory.startswith("/"):
            volumes = Path(directory)
        else:
            raise ValueError(
                f"[zone:{name}] volumes: {section.volumes!r} is neither none nor "
                "files:DIRECTORY with an absolute path"
            )
    repository = section.repository or (state_dir / "stores" / name).as_uri()
    return Zone(name=name, repository=repository, store=_store(section, name), volumes=volumes)


def _store(section: cfg.ConfigOpts.GroupAttr, zone: str) -> StoreOptions:
    values = {field.name: section[f"store_{field.name}"] for field in fields(StoreOptions)}
    for secret in _STORE_SECRETS:
        if not (file := section[f"store_{secret}_file"]):
            continue
        option = f"[zone:{zone}] store_{secret}_file"
        if values[secret] is not None:
            raise ValueError(f"{option}: store_{secret} is set, too; keep one of them")
        values[secret] = _contents(file, option).strip()
    if values["ca_file"]:
        _contents(values["ca_file"], f"[zone:{zone}] store_ca_file")
    try:
        return StoreOptions(**values)
    except ValueError as error:
        raise ValueError(f"[zone:{zone}] store_{error}") from error


def _contents(file: str, option: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise ValueError(f"{option}: {file}: {reason}") from error


def _agree(zones: Sequence[Zone]) -> None:
    """Raises `ValueError` if zones name one store and say different things of it."""
    first: dict[str, Zone] = {}
    for zone in zones:
        other = first.setdefault(zone.repository, zone)
        for field in fields(StoreOptions):
            if getattr(zone.store, field.name) != getattr(other.store, field.name):
                raise ValueError(
                    f"[zone:{zone.name}] store_{field.name}: is not as in [zone:{other.name}], "
                    "which names the same repository"
                )


def remember_zones(state_dir: Path, zones: Sequence[str]) -> None:
    """Keep `zones` for the commands that follow, unless the file is the operator's own."""
    file = state_dir / FILE_NAME
    if file.exists() and not file.read_text().startswith(GENERATED):
        return
    file.write_text(f"{GENERATED}\n[availability_zones]\nenabled = {', '.join(zones)}\n")
