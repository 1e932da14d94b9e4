"""The tables.  Times are UTC without a zone; ids are text compared byte by byte.

`backups` and `volumes` share no foreign key: the volumes of a real cloud live elsewhere.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Id = String(36)
_Moment = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

# A row to lock while a project's quota is summed up; nothing else is known of a project.
projects = Table("projects", metadata, Column("id", String(255), primary_key=True))

# What a project may have, where it is not what its class may: -1 is without limit.
quotas = Table(
    "quotas",
    metadata,
    Column("project_id", String(255), primary_key=True),
    Column("resource", String(300), primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)

# What the projects of a class may have, where it is not what the configuration says.
quota_classes = Table(
    "quota_classes",
    metadata,
    Column("class_name", String(255), primary_key=True),
    Column("resource", String(300), primary_key=True),
    Column("hard_limit", Integer, nullable=False),
)

# What users are told of requests that failed after they were accepted.
messages = Table(
    "messages",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project_id", String(255), nullable=False, index=True),
    Column("request_id", String(64)),
    Column("resource_type", String(36)),
    Column("resource_uuid", String(255)),
    Column("action_id", String(10), nullable=False),
    Column("detail_id", String(10), nullable=False),
    Column("event_id", String(255), nullable=False),
    Column("message_level", String(255), nullable=False),
    Column("expires_at", _Moment, nullable=False, index=True),
    Column("created_at", _Moment, nullable=False),
    Column("updated_at", _Moment),
    Column("deleted_at", _Moment),
    Column("deleted", Boolean, nullable=False),
)

# What workers have told of themselves: one row for each zone that a host serves.
services = Table(
    "services",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("host", String(255), nullable=False),
    Column("binary", String(64), nullable=False),  # cinder-backup or cinder-volume
    Column("availability_zone", String(255), nullable=False),
    Column("repository", String(32)),  # of a cinder-backup row
    Column("disabled", Boolean, nullable=False, default=False),
    Column("disabled_reason", String(255)),
    Column("heartbeat_at", _Moment, nullable=False),
    Column("created_at", _Moment, nullable=False),
    UniqueConstraint("host", "binary", "availability_zone"),
)

# Running worker processes and what each can reach.
workers = Table(
    "workers",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("availability_zones", JSON, nullable=False),
    Column("repositories", JSON, nullable=False),  # ids
    Column("backends", JSON, nullable=False),  # of volumes
    Column("heartbeat_at", _Moment, nullable=False),
)

# A deduplication and key boundary of a repository: one project's backups of one container label.
domains = Table(
    "domains",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository", String(32), nullable=False),
    Column("project_id", String(255), nullable=False),
    Column("container", String(255)),  # null: takes no new backups, another domain has the label
    UniqueConstraint("repository", "project_id", "container"),
)

# What the engine's ledger says of a store; no row: as if it had 1 and 0.
repositories = Table(
    "repositories",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("incarnation", Integer, nullable=False),  # how often it was rebuilt, from 1 on
    Column("gc_cycle", Integer, nullable=False),  # the number of the latest collection
)

# One attempt to write a backup (its id is the root's) or to read one.  Rows stay as tombstones.
sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository", String(32), nullable=False),
    Column("domain", String(32), nullable=False, index=True),  # may be one that nobody registered
    Column("state", String(16), nullable=False),  # engine.ledger.State
    Column("job_id", _Id, index=True),  # lives by the job's lease; null: by its heartbeat
    Column("attempt", Integer),
    Column("base", String(32)),  # the root that it held at first
    Column("predecessor", String(32)),  # the session that it took over without a gap
    Column("incarnation", Integer, nullable=False),
    Column("refs", Integer, nullable=False),  # to its root: rows of backups, and holds
    Column("damage", JSON(none_as_null=True)),  # lines; null: none is known
    Column("heartbeat_at", _Moment, nullable=False),
    Column("created_at", _Moment, nullable=False),
)
Index("ix_sessions_state", sessions.c.repository, sessions.c.state)

# The segments that a session wrote; a session that only reads has none.
segsets = Table(
    "segsets",
    metadata,
    Column("session", String(32), primary_key=True),
    Column("phase", String(16), nullable=False),  # engine.ledger.Phase
    Column("pins", Integer, nullable=False),  # rows of `pins`
    Column("cycle", Integer, nullable=False),  # that drained it last
    Column("gens", String(255)),  # name of an object; null: all is as first written
    Column("bad", JSON(none_as_null=True)),  # names of objects; null: none
    Column("checked_at", _Moment),
    Column("depth", Integer, nullable=False),
    Column("position", Integer, nullable=False),
)

# A session may point into the segset of another one.
pins = Table(
    "pins",
    metadata,
    Column("session", String(32), primary_key=True),
    Column("segset", String(32), primary_key=True),
)

# A session needs a root that another one wrote, and counts in its `refs`.
holds = Table(
    "holds",
    metadata,
    Column("session", String(32), primary_key=True),
    Column("root", String(32), nullable=False),
)

# Into whose segments the map of a committed root points.
uses = Table(
    "uses",
    metadata,
    Column("root", String(32), primary_key=True),
    Column("segset", String(32), primary_key=True, index=True),  # the domain's id: maybe all of it
)

backups = Table(
    "backups",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project_id", String(255), nullable=False, index=True),
    Column("user_id", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("fail_reason", String(255)),
    Column("display_name", String(255)),
    Column("display_description", String(255)),
    Column("metadata", JSON, nullable=False),
    Column("volume_id", _Id, nullable=False, index=True),
    Column("snapshot_id", _Id),
    Column("parent_id", _Id, index=True),
    Column("restore_volume_id", _Id),
    Column("temp_volume_id", _Id),
    Column("temp_snapshot_id", _Id),
    Column("size", Integer, nullable=False),  # GiB
    Column("object_count", Integer, nullable=False),
    Column("num_dependent_backups", Integer, nullable=False),
    Column("availability_zone", String(255)),
    Column("container", String(255)),
    Column("host", String(255)),
    Column("service", String(255)),
    Column("service_metadata", String(255)),
    Column("encryption_key_id", _Id),
    Column("data_timestamp", _Moment),
    Column("created_at", _Moment, nullable=False),
    Column("updated_at", _Moment),
    Column("deleted_at", _Moment),
    Column("deleted", Boolean, nullable=False),
    # Where its bytes are, apart from whose they are: an imported row shares another's root.
    Column("repository", String(32)),
    Column("domain", String(32)),
    Column("root", String(32), index=True),
    Column("root_sha256", String(64)),
    Column("size_bytes", BigInteger),  # of the image, as backed up
)

volumes = Table(
    "volumes",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project_id", String(255), nullable=False, index=True),
    Column("user_id", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("previous_status", String(32)),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("metadata", JSON, nullable=False),
    Column("image_metadata", JSON, nullable=False),
    Column("bootable", Boolean, nullable=False),
    Column("size", Integer, nullable=False),  # GiB
    Column("volume_type", String(255), nullable=False),
    Column("availability_zone", String(255), nullable=False),
    Column("backend", String(255), nullable=False),  # what a worker must reach for its bytes
    Column("path", Text),  # of a volume that lies elsewhere and is never deleted
    Column("snapshot_id", _Id),
    Column("source_volid", _Id),
    Column("attach_status", String(32), nullable=False),  # the strongest of its attachments'
    Column("migration_status", String(32)),
    Column("admin_metadata", JSON, nullable=False),  # readonly, attached_mode; shown as metadata
    Column("created_at", _Moment, nullable=False),
    Column("updated_at", _Moment),
    Column("deleted_at", _Moment),
    Column("deleted", Boolean, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("volume_id", _Id, nullable=False, index=True),
    Column("project_id", String(255), nullable=False, index=True),
    Column("user_id", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("metadata", JSON, nullable=False),
    Column("size", Integer, nullable=False),  # GiB
    Column("progress", String(16), nullable=False),  # as Cinder writes it: 0%, 100%
    Column("created_at", _Moment, nullable=False),
    Column("updated_at", _Moment),
    Column("deleted_at", _Moment),
    Column("deleted", Boolean, nullable=False),
)

# Who uses a volume, or is about to.
attachments = Table(
    "attachments",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("volume_id", _Id, nullable=False, index=True),
    Column("project_id", String(255), nullable=False, index=True),  # the volume's
    Column("attach_status", String(32), nullable=False),
    Column("attach_mode", String(32)),  # rw or ro; null: not said yet
    Column("instance_uuid", _Id),
    Column("attached_host", String(255)),
    Column("mountpoint", String(255)),
    Column("connector", JSON(none_as_null=True)),  # what is known of the host; null: nothing yet
    Column("connection_info", JSON, nullable=False),  # how it reaches the bytes
    Column("attach_time", _Moment),
    Column("detach_time", _Moment),
    Column("created_at", _Moment, nullable=False),
    Column("updated_at", _Moment),
    Column("deleted_at", _Moment),
    Column("deleted", Boolean, nullable=False),
)

# What a job holds of a volume or snapshot; one row a job, kept after its release so that a
# repeated call finds what was done.
reservations = Table(
    "reservations",
    metadata,
    Column("job_id", _Id, primary_key=True),
    Column("volume_id", _Id, nullable=False, index=True),
    Column("snapshot_id", _Id),
    Column("purpose", String(16), nullable=False),  # backup, restore, create
    Column("released", String(16)),  # the outcome, once released
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # reserving queued running done failed
    Column("subject", String(64), nullable=False),  # id of the backup, volume, snapshot, domain
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("request_id", String(64)),
    Column("arguments", JSON, nullable=False),
    Column("needs_repository", String(32)),
    Column("needs_backend", String(255)),
    Column("prefers_zone", String(255)),
    Column("attempt", Integer, nullable=False),  # 0 until it was claimed; never twice the same
    Column("handed_back", Integer, nullable=False),  # attempts that were given up, not failed
    Column("worker", String(255)),
    Column("lease_expires_at", _Moment),
    Column("not_before", _Moment, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("checkpoint", JSON, nullable=False),
    Column("bytes_done", BigInteger, nullable=False),
    Column("bytes_total", BigInteger, nullable=False),
    Column("bytes_stored", BigInteger, nullable=False),
    Column("error", Text),
    Column("created_at", _Moment, nullable=False),
    Column("updated_at", _Moment),
)
Index("ix_jobs_claim", jobs.c.state, jobs.c.created_at)
Index("ix_jobs_subject", jobs.c.subject, jobs.c.created_at)
