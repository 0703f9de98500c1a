"""What stations of OCPP 2.0.1 and 2.1 tell: transaction events, external limits, the device model, notices."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "transaction_events",
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("ocpp_transaction_id", sa.String(), nullable=False),
        sa.Column("seq_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("received_at", UTC, nullable=False),
        sa.Column("offline", sa.Boolean(), nullable=False),
        sa.Column("trigger_reason", sa.String()),
        sa.Column("evse_id", sa.Integer()),
        sa.Column("id_tag", sa.String()),
        sa.Column("charging_state", sa.String()),
        sa.Column("stop_reason", sa.String()),
        sa.Column("first_register_wh", sa.Double()),
        sa.Column("last_register_wh", sa.Double()),
        sa.PrimaryKeyConstraint("station_id", "ocpp_transaction_id", "seq_no", name="pk_transaction_events"),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "charging_limits",
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("is_grid_critical", sa.Boolean(), nullable=False),
        sa.Column("is_local_generation", sa.Boolean(), nullable=False),
        sa.Column("schedules", sa.JSON(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["charging_stations.station_id"], name="fk_charging_limits_station_id"),
        sa.PrimaryKeyConstraint("station_id", "evse_id", "source", name="pk_charging_limits"),
    )

    op.create_table(
        "station_variables",
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("component", sa.String(), nullable=False),
        sa.Column("component_instance", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connector_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variable", sa.String(), nullable=False),
        sa.Column("variable_instance", sa.String(), nullable=False),
        sa.Column("attribute", sa.String(), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("mutability", sa.String()),
        sa.Column("data_type", sa.String()),
        sa.Column("unit", sa.String()),
        sa.Column("min_limit", sa.Double()),
        sa.Column("max_limit", sa.Double()),
        sa.Column("values_list", sa.Text()),
        sa.Column("at", UTC, nullable=False),
        sa.ForeignKeyConstraint(
            ["station_id"], ["charging_stations.station_id"], name="fk_station_variables_station_id"
        ),
        sa.PrimaryKeyConstraint(
            "station_id",
            "component",
            "component_instance",
            "evse_id",
            "connector_id",
            "variable",
            "variable_instance",
            "attribute",
            name="pk_station_variables",
        ),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "station_notices",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["charging_stations.station_id"], name="fk_station_notices_station_id"),
        sa.PrimaryKeyConstraint("number", name="pk_station_notices"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_station_notices_station_id_number", "station_notices", ["station_id", "number"])
