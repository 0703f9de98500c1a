"""What is not believed, what a charge detail record cost, the tariffs that a site has had, its certificates."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name in ("charging_time_h", "cost", "uncontrolled_cost", "co2_kg", "pv_share"):
        op.add_column("cdrs", sa.Column(name, sa.Double()))
    op.add_column("cdrs", sa.Column("currency", sa.String()))

    op.create_table(
        "quarantine",
        sa.Column("suspect_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", UTC),
        sa.Column("noted_at", UTC),
        sa.Column("station_id", sa.String()),
        sa.Column("evse_id", sa.Integer()),
        sa.Column("transaction_id", sa.Integer()),
        sa.Column("meter_id", sa.String()),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("suspect_id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_site_id_noted_at", "quarantine", ["site_id", "noted_at"])
    op.create_index("ix_quarantine_transaction_id", "quarantine", ["transaction_id"])

    op.create_table(
        "tariffs",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("since", UTC, nullable=False),
        sa.Column("tariff", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "since", name="pk_tariffs"),
    )

    op.create_table(
        "certificates",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "made_at", name="pk_certificates"),
    )
