"""What operators set by hand, the audit of it, alarms and the notices of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "overrides",
        sa.Column("override_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("expires_at", UTC, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("station_id", sa.String()),
        sa.Column("evse_id", sa.Integer()),
        sa.Column("max_current_a", sa.Double()),
        sa.Column("max_power_kw", sa.Double()),
        sa.Column("reason", sa.Text()),
        sa.Column("ended_at", UTC),
        sa.Column("ended_by", sa.String()),
        sa.PrimaryKeyConstraint("override_id", name="pk_overrides"),
    )
    op.create_index("ix_overrides_site_id_expires_at", "overrides", ["site_id", "expires_at"])

    op.create_table(
        "audit",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_site_id_number", "audit", ["site_id", "number"])

    op.create_table(
        "alarms",
        sa.Column("alarm_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raised_at", UTC, nullable=False),
        sa.Column("resolved_at", UTC),
        sa.PrimaryKeyConstraint("alarm_id", name="pk_alarms"),
    )
    op.create_index("ix_alarms_site_id_raised_at", "alarms", ["site_id", "raised_at"])

    op.create_table(
        "alarm_notices",
        sa.Column("alarm_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("occasion", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UTC, nullable=False),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("alarm_id", "channel", "occasion", name="pk_alarm_notices"),
    )
    op.create_index("ix_alarm_notices_state_next_at", "alarm_notices", ["state", "next_at"])
