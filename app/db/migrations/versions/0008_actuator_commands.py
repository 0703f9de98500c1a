"""What batteries and inverters were commanded."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "actuator_commands",
        sa.Column("command_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String()),
        sa.Column("at", UTC, nullable=False),
        sa.Column("valid_until", UTC, nullable=False),
        sa.Column("power_kw", sa.Double()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("read_back_kw", sa.Double()),
        sa.Column("detail", sa.Text()),
        sa.PrimaryKeyConstraint("command_id", name="pk_actuator_commands"),
    )
    op.create_index("ix_actuator_commands_site_id_at", "actuator_commands", ["site_id", "at"])
