"""Who planned which site when, and everything that led to a plan and came of it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("window", UTC, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", UTC, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("lease_until", UTC),
        sa.Column("began_at", UTC),
        sa.Column("ended_at", UTC),
        sa.Column("plan_id", sa.String()),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.UniqueConstraint("plan_id", name="uq_runs_plan_id"),
        sa.UniqueConstraint("site_id", "window", "kind", name="uq_runs_site_id_window_kind"),
    )
    op.create_index("ix_runs_window", "runs", ["window"])
    op.create_index(
        "ix_runs_unended",
        "runs",
        ["site_id"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )

    op.create_table(
        "fences",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("issued", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", name="pk_fences"),
    )

    op.create_table(
        "poisoned_sites",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("last_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("site_id", name="pk_poisoned_sites"),
    )

    op.create_table(
        "decisions",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("plan_id", name="pk_decisions"),
    )

    op.create_table(
        "exchanges",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_exchanges"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_exchanges_plan_id", "exchanges", ["plan_id"])
