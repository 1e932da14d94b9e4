"""The options of `emberkeep.conf`: every one, with its default and its help.

The names are Cinder's, where it has the option.
"""

from dataclasses import dataclass

from oslo_config import cfg, types

from emberkeep.config.values import KEYSTONE, NOAUTH
from emberkeep.stores.options import StoreOptions

DEFAULT_ZONES = ("az1", "az2")
DEFAULT_PORT = 8776
NOTIFICATIONS = "oslo_messaging_notifications"
# Sections that only oslo.messaging reads.
BROKERS = ("oslo_messaging_kafka", "oslo_messaging_rabbit")

_STORE = StoreOptions()
STORE_SECRETS = ("secret_key", "session_token", "password", "application_credential_secret")


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the file."""

    name: str
    help: str
    options: tuple[cfg.Opt, ...]

    @property
    def group(self) -> str | None:
        """Its name as oslo.config has it."""
        return None if self.name == "DEFAULT" else self.name


def quota(name: str, default: int, what: str) -> cfg.Opt:
    return cfg.IntOpt(
        name, default=default, min=-1, help=f"How many {what} a project may have; -1: any number."
    )


SECTIONS = (
    Section(
        "DEFAULT",
        "The API, and what projects may have.",
        (
            cfg.StrOpt("host", default="emberkeep", help="Name of this host in service rows."),
            cfg.StrOpt(
                "auth_strategy",
                default=NOAUTH,
                choices=[
                    (NOAUTH, "every client is who it says it is; for one machine, on loopback"),
                    (KEYSTONE, "tokens are Keystone's; see [keystone_authtoken]"),
                ],
                help="How the API knows its callers.",
            ),
            cfg.HostAddressOpt(
                "bind_host", default="127.0.0.1", help="Address that the API listens on."
            ),
            cfg.PortOpt("port", default=DEFAULT_PORT, help="Port that the API listens on."),
            cfg.StrOpt(
                "unix_socket",
                help="Path of a socket that the API listens on instead of an address and a port. "
                "With noauth only its owner may connect; with keystone the directory's rights "
                "decide who may.",
            ),
            cfg.URIOpt(
                "public_endpoint",
                schemes=["http", "https"],
                help="Base of the links in answers, if not the request's own.",
            ),
            cfg.IntOpt(
                "osapi_max_limit", default=1000, min=1, help="Most items in one page of a list."
            ),
            cfg.StrOpt(
                "project_id_regex",
                default=r"[0-9a-f\-]+",
                help="What a path's second part must match, whole, to be taken for a project.",
            ),
            cfg.StrOpt(
                "resource_query_filters_file",
                help="JSON file with what members may filter lists by from microversion 3.31 on: "
                "an object of lists, for backup, volume, snapshot, attachment, message, pool and "
                "volume_type. It takes the place of the built-in filters as a whole.",
            ),
            cfg.IntOpt(
                "message_ttl",
                default=2592000,
                min=1,
                help="Seconds after which a user message is forgotten.",
            ),
            cfg.StrOpt(
                "transport_url",
                secret=True,
                help="Message broker, if [oslo_messaging_notifications] names none.",
            ),
            cfg.IntOpt(
                "backup_object_number_per_notification",
                default=10,
                min=1,
                help="Objects of a backup between two notifications of its progress.",
            ),
            cfg.IntOpt(
                "backup_timer_interval",
                default=120,
                min=1,
                help="Seconds between two notifications of a backup's progress.",
            ),
            cfg.BoolOpt(
                "backup_enable_progress_timer",
                default=True,
                help="Whether time counts at all for the notifications of progress, or objects "
                "only.",
            ),
            quota("quota_volumes", 10, "volumes"),
            quota("quota_snapshots", 10, "snapshots"),
            quota("quota_gigabytes", 1000, "GiB of volumes and snapshots"),
            quota("quota_backups", 10, "backups"),
            quota("quota_backup_gigabytes", 1000, "GiB of backups (as their volumes are large)"),
            quota("quota_groups", 10, "groups"),
            cfg.IntOpt(
                "per_volume_size_limit",
                default=-1,
                min=-1,
                help="Largest volume in GiB; -1: any size.",
            ),
            cfg.BoolOpt(
                "no_snapshot_gb_quota",
                default=False,
                help="Whether a snapshot's GiB are left out of what a project may have.",
            ),
            cfg.StrOpt(
                "default_availability_zone",
                help="Zone of a volume for which none was asked; default: "
                "storage_availability_zone.",
            ),
            cfg.StrOpt(
                "storage_availability_zone",
                help="The same, where default_availability_zone is not set; default: the first "
                "zone that has volumes.",
            ),
            cfg.BoolOpt(
                "allow_availability_zone_fallback",
                default=False,
                help="Whether a volume for which an unknown zone was asked is made in the default "
                "zone; otherwise it is refused.",
            ),
            cfg.BoolOpt(
                "cloned_volume_same_az",
                default=True,
                help="Whether a volume made from a volume or snapshot must be in its zone.",
            ),
        ),
    ),
    Section(
        "availability_zones",
        "Which zones there are; each may have a section [zone:NAME].",
        (cfg.ListOpt("enabled", default=list(DEFAULT_ZONES), help="Zones, in order."),),
    ),
    Section(
        "database",
        "Where rows are kept.",
        (
            cfg.StrOpt(
                "connection",
                secret=True,
                help="SQLAlchemy URL; default: a SQLite file in the state directory.",
            ),
        ),
    ),
    Section(
        "keys",
        "The key that wraps all others; without it every backup is lost.",
        (cfg.StrOpt("file", help="The local key file; default: in the state directory."),),
    ),
    Section(
        "oslo_policy",
        "Who may do what, if not as by default; `emberkeep policy sample` prints all rules.",
        (
            cfg.StrOpt(
                "policy_file",
                help="File of policies, relative to the state directory. Without a word it is "
                "policy.yaml, which need not be there; a file named here must.",
            ),
        ),
    ),
    Section(
        "oslo_middleware",
        "What is between a client and the API.",
        (
            cfg.IntOpt(
                "max_request_body_size", default=114688, min=0, help="Most bytes of a body."
            ),
            cfg.BoolOpt(
                "enable_proxy_headers_parsing",
                default=False,
                help="Whether a proxy in front may be believed about the scheme and the prefix "
                "(X-Forwarded-Proto, X-Forwarded-Prefix).",
            ),
        ),
    ),
    Section(
        NOTIFICATIONS,
        "Telling other services of backups, through oslo.messaging. More of its options may stand "
        "in [oslo_messaging_rabbit] and [oslo_messaging_kafka].",
        (
            cfg.MultiOpt(
                "driver",
                item_type=types.String(
                    choices=["messaging", "messagingv2", "routing", "log", "test", "noop"]
                ),
                help="How, for instance messagingv2; may be given more than once, but not by the "
                "environment. Without it nobody is told.",
            ),
            cfg.StrOpt(
                "transport_url",
                secret=True,
                help="Message broker, for instance rabbit://USER:PASSWORD@HOST:5672/; default: "
                "[DEFAULT] transport_url.",
            ),
            cfg.ListOpt("topics", default=["notifications"], help="Topics."),
            cfg.IntOpt(
                "retry",
                default=-1,
                min=-1,
                help="How often it is tried again to send one; -1: for ever.",
            ),
        ),
    ),
    Section(
        "jobs",
        "Durable work. Times in seconds.",
        (
            cfg.FloatOpt(
                "lease", default=120, min=1, help="Seconds after which a silent worker is dead."
            ),
            cfg.FloatOpt(
                "heartbeat", default=30, min=0.05, help="Seconds between a worker's signs of life."
            ),
            cfg.FloatOpt(
                "progress", default=1, min=0.05, help="Seconds between writes of progress."
            ),
            cfg.FloatOpt(
                "zone_wait", default=600, min=0, help="Seconds that a job waits for its zone."
            ),
            cfg.IntOpt("max_attempts", default=3, min=1, help="Attempts before a job fails."),
        ),
    ),
    Section(
        "backups",
        "How backups are made.",
        (
            cfg.StrOpt(
                "default_availability_zone",
                default="same-as-volume",
                help="Zone of a backup for which none was asked: same-as-volume, "
                "other-than-volume (the first that is not the volume's) or a zone's name.",
            ),
            cfg.StrOpt(
                "default_container",
                default="volumebackups",
                help="Label of a backup for which no container was asked.",
            ),
            cfg.BoolOpt(
                "refuse_delete_of_parents",
                default=False,
                help="Whether a backup that others were based on can't be deleted, as in Cinder.",
            ),
            cfg.IntOpt("compression_level", default=1, min=1, max=19, help="zstd's level."),
            cfg.IntOpt(
                "memory_budget", default=224, min=208, help="MiB that one running job may hold."
            ),
        ),
    ),
    Section(
        "maintenance",
        "What happens by itself.",
        (
            cfg.FloatOpt(
                "collect_every",
                default=86_400,
                min=0,
                help="Seconds between collections; 0: only when asked for.",
            ),
            cfg.FloatOpt(
                "verify_every",
                default=86_400,
                min=0,
                help="Seconds between verifications; 0: only when asked for.",
            ),
            cfg.IntOpt(
                "verify_depth", default=2, min=1, max=3, help="1 sizes, 2 checksums, 3 contents."
            ),
            cfg.FloatOpt(
                "verify_percent",
                default=4,
                min=0,
                max=100,
                help="Share of the data that one verification reads.",
            ),
        ),
    ),
)

ZONE = Section(
    "zone",
    "One availability zone. The options store_… say how its store is reached.",
    (
        cfg.StrOpt("repository", help="URL of the store; default: a directory of its own."),
        cfg.StrOpt(
            "volumes",
            default="",
            help="files:DIRECTORY, or none for a zone without volumes; default: a directory of "
            "its own.",
        ),
        cfg.StrOpt("store_ca_file", help="Certificates that vouch for the store's servers."),
        cfg.FloatOpt("store_timeout", default=_STORE.timeout, help="Seconds without a byte."),
        cfg.IntOpt(
            "store_retries", default=_STORE.retries, help="Repeats of a request that failed."
        ),
        cfg.IntOpt(
            "store_connections", default=_STORE.connections, help="At most so many at once."
        ),
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
            cfg.StrOpt(f"store_{secret}_file", help=f"A file that holds store_{secret} alone.")
            for secret in STORE_SECRETS
        ),
    ),
)
