"""The ledger: references, pins and holds, and what is left of each session's segments.

An attempt that was under way is given up, because nothing has held its base; its job's next one
begins anew.  Into whose segments the maps of earlier backups point is not known: maybe into all of
their domain, until the repository is rebuilt.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_Moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("gc_cycle", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
    )
    op.create_table(
        "segsets",
        sa.Column("session", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("pins", sa.Integer(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("gens", sa.String(length=255), nullable=True),
        sa.Column("bad", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("checked_at", _Moment, nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_segsets")),
    )
    op.create_table(
        "pins",
        sa.Column("session", sa.String(length=32), nullable=False),
        sa.Column("segset", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("session", "segset", name=op.f("pk_pins")),
    )
    op.create_table(
        "holds",
        sa.Column("session", sa.String(length=32), nullable=False),
        sa.Column("root", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_holds")),
    )
    op.create_table(
        "uses",
        sa.Column("root", sa.String(length=32), nullable=False),
        sa.Column("segset", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("root", "segset", name=op.f("pk_uses")),
    )
    with op.batch_alter_table("uses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_uses_segset"), ["segset"], unique=False)

    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_constraint("fk_sessions_domain", type_="foreignkey")
        batch_op.add_column(sa.Column("base", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("predecessor", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("incarnation", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("refs", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("damage", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("heartbeat_at", _Moment, nullable=True))
    _carry_over()
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.alter_column("incarnation", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("refs", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("heartbeat_at", existing_type=_Moment, nullable=False)
        batch_op.create_index("ix_sessions_state", ["repository", "state"], unique=False)


def _carry_over() -> None:
    op.execute("UPDATE sessions SET incarnation = 1, refs = 0, heartbeat_at = created_at")
    op.execute("UPDATE sessions SET state = 'aborted' WHERE state = 'active'")
    # A backup that is committed is referred to, or it would be on its way out.
    op.execute(
        "UPDATE sessions SET refs = (SELECT CASE WHEN count(*) > 1 THEN count(*) ELSE 1 END"
        " FROM backups WHERE backups.root = sessions.id AND NOT backups.deleted)"
        " WHERE state = 'committed'"
    )
    op.execute(
        "INSERT INTO uses (root, segset) SELECT id, domain FROM sessions WHERE state = 'committed'"
    )
    op.execute(
        "INSERT INTO segsets (session, phase, pins, cycle, depth, position)"
        " SELECT id, 'open', 0, 0, 0, 0 FROM sessions"
    )
