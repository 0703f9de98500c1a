"""Limits that a grid operator sets on a site, and the log that proves what became of each."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "grid_limits",
        sa.Column("limit_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("applies_to", sa.String(), nullable=False),
        sa.Column("max_kw", sa.Double(), nullable=False),
        sa.Column("start", UTC, nullable=False),
        sa.Column("end", UTC),
        sa.Column("received_at", UTC, nullable=False),
        sa.Column("cancelled_at", UTC),
        sa.PrimaryKeyConstraint("limit_id", name="pk_grid_limits"),
        sa.UniqueConstraint("site_id", "source", "reference", name="uq_grid_limits_natural_key"),
    )
    op.create_table(
        "grid_limit_log",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("limit_id", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_grid_limit_log"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_grid_limit_log_limit_id", "grid_limit_log", ["limit_id"])
