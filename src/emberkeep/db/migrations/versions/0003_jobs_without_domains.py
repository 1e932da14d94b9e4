"""Jobs exclude nobody any more: a collection runs beside writers."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index("ix_jobs_domain")
        batch_op.drop_column("domain")
        batch_op.drop_column("exclusive")
