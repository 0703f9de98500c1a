"""The highest reading of each meter, kept beside the readings."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "meter_peaks",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("meter_id", sa.String(), nullable=False),
        sa.Column("kw", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "meter_id", name="pk_meter_peaks"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO meter_peaks (site_id, meter_id, kw) "
        "SELECT site_id, meter_id, max(kw) FROM readings GROUP BY site_id, meter_id"
    )
