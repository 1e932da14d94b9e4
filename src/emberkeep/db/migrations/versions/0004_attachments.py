"""Attachments, and more of volumes and snapshots."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

_Moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    _volumes()
    _snapshots()
    _attachments()


def _volumes() -> None:
    with op.batch_alter_table("volumes", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "attach_status", sa.String(length=32), nullable=False, server_default="detached"
            )
        )
        batch_op.add_column(sa.Column("migration_status", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("admin_metadata", sa.JSON(), nullable=True))
    op.execute("UPDATE volumes SET admin_metadata = '{}'")
    with op.batch_alter_table("volumes", schema=None) as batch_op:
        batch_op.alter_column("attach_status", existing_type=sa.String(32), server_default=None)
        batch_op.alter_column("admin_metadata", existing_type=sa.JSON(), nullable=False)


def _snapshots() -> None:
    with op.batch_alter_table("snapshots", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("progress", sa.String(length=16), nullable=False, server_default="100%")
        )
    op.execute("UPDATE snapshots SET progress = '0%' WHERE status = 'creating'")
    with op.batch_alter_table("snapshots", schema=None) as batch_op:
        batch_op.alter_column(
            "progress", existing_type=sa.String(16), existing_nullable=False, server_default=None
        )


def _attachments() -> None:
    op.create_table(
        "attachments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("attach_status", sa.String(length=32), nullable=False),
        sa.Column("attach_mode", sa.String(length=32), nullable=True),
        sa.Column("instance_uuid", sa.String(length=36), nullable=True),
        sa.Column("attached_host", sa.String(length=255), nullable=True),
        sa.Column("mountpoint", sa.String(length=255), nullable=True),
        sa.Column("connector", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("connection_info", sa.JSON(), nullable=False),
        sa.Column("attach_time", _Moment, nullable=True),
        sa.Column("detach_time", _Moment, nullable=True),
        sa.Column("created_at", _Moment, nullable=False),
        sa.Column("updated_at", _Moment, nullable=True),
        sa.Column("deleted_at", _Moment, nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    with op.batch_alter_table("attachments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attachments_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_attachments_volume_id"), ["volume_id"], unique=False)
