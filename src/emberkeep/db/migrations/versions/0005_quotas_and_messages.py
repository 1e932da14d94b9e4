"""Quotas, and messages to users."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

_Moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    _quotas()
    _messages()


def _quotas() -> None:
    for table, owner in (("quotas", "project_id"), ("quota_classes", "class_name")):
        op.create_table(
            table,
            sa.Column(owner, sa.String(length=255), nullable=False),
            sa.Column("resource", sa.String(length=300), nullable=False),
            sa.Column("hard_limit", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint(owner, "resource", name=op.f(f"pk_{table}")),
        )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("resource_type", sa.String(length=36), nullable=True),
        sa.Column("resource_uuid", sa.String(length=255), nullable=True),
        sa.Column("action_id", sa.String(length=10), nullable=False),
        sa.Column("detail_id", sa.String(length=10), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("message_level", sa.String(length=255), nullable=False),
        sa.Column("expires_at", _Moment, nullable=False),
        sa.Column("created_at", _Moment, nullable=False),
        sa.Column("updated_at", _Moment, nullable=True),
        sa.Column("deleted_at", _Moment, nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    with op.batch_alter_table("messages", schema=None) as batch_op:
        for column in ("project_id", "expires_at"):
            batch_op.create_index(batch_op.f(f"ix_messages_{column}"), [column], unique=False)
