"""First schema. Written once and never edited: a later change is a later revision.

The types are spelled out here, not taken from `app.db.types`, so that this revision stays what it was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)
RUNNING = sa.text("stopped_at IS NULL")
TOTAL_POWER = sa.text("measurand = 'Power.Active.Import' AND phase = ''")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("last_used_at", UTC),
        sa.Column("revoked_at", UTC),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
    )

    op.create_table(
        "charging_stations",
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("in_document", sa.Boolean(), nullable=False),
        sa.Column("vendor", sa.String()),
        sa.Column("model", sa.String()),
        sa.Column("serial", sa.String()),
        sa.Column("firmware", sa.String()),
        sa.Column("ocpp_version", sa.String()),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("last_seen_at", UTC),
        sa.Column("booted_at", UTC),
        sa.Column("password_hash", sa.String()),
        sa.Column("passport", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("station_id", name="pk_charging_stations"),
    )
    op.create_index("ix_charging_stations_site_id", "charging_stations", ["site_id"])

    op.create_table(
        "meter_values",
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("measurand", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("context", sa.String(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("received_at", UTC),
        sa.PrimaryKeyConstraint(
            "station_id", "evse_id", "at", "measurand", "phase", "context", "transaction_id", name="pk_meter_values"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_meter_values_total_power",
        "meter_values",
        ["station_id", "evse_id", "at", "value"],
        sqlite_where=TOTAL_POWER,
        postgresql_where=TOTAL_POWER,
    )
    op.create_index(
        "ix_meter_values_transaction_id_measurand_at", "meter_values", ["transaction_id", "measurand", "at"]
    )

    op.create_table(
        "plans",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("start", UTC, nullable=False),
        sa.Column("end", UTC, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("problem", sa.LargeBinary(), nullable=False),
        sa.Column("schedule", sa.LargeBinary(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_plans"),
        sa.UniqueConstraint("plan_id", name="uq_plans_plan_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_plans_site_id_created_at_number", "plans", ["site_id", "created_at", "number"])

    op.create_table(
        "readings",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("meter_id", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("kw", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "meter_id", "at", name="pk_readings"),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "remembered_answers",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_remembered_answers"),
    )
    op.create_index("ix_remembered_answers_at", "remembered_answers", ["at"])

    op.create_table(
        "series",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("issued_at", UTC, nullable=False),
        sa.Column("start", UTC, nullable=False),
        sa.Column("end", UTC, nullable=False),
        sa.Column("resolution_minutes", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", name="pk_series"),
        sa.UniqueConstraint("site_id", "kind", "source", "issued_at", "start", name="uq_series_natural_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_series_site_id_kind_end", "series", ["site_id", "kind", "end"])

    op.create_table(
        "sites",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", name="pk_sites"),
    )

    op.create_table(
        "wishes",
        sa.Column("wish_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("departure", UTC, nullable=False),
        sa.Column("required_energy_kwh", sa.Double(), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("station_id", sa.String()),
        sa.Column("evse_id", sa.Integer()),
        sa.Column("id_tag", sa.String()),
        sa.Column("arrival", UTC),
        sa.Column("max_power_kw", sa.Double()),
        sa.Column("vehicle_phases", sa.Integer()),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("transaction_id", sa.Integer()),
        sa.PrimaryKeyConstraint("wish_id", name="pk_wishes"),
    )
    op.create_index("ix_wishes_site_id_departure", "wishes", ["site_id", "departure"])

    op.create_table(
        "deliveries",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("profile", sa.JSON()),
        sa.Column("detail", sa.Text()),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.plan_id"], name="fk_deliveries_plan_id"),
        sa.PrimaryKeyConstraint("number", name="pk_deliveries"),
        sa.UniqueConstraint("plan_id", "station_id", "evse_id", name="uq_deliveries_plan_id_station_id_evse_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_deliveries_station_id_evse_id_at_number", "deliveries", ["station_id", "evse_id", "at", "number"]
    )

    op.create_table(
        "evse_statuses",
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["charging_stations.station_id"], name="fk_evse_statuses_station_id"),
        sa.PrimaryKeyConstraint("station_id", "evse_id", name="pk_evse_statuses"),
    )

    op.create_table(
        "evses",
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("in_document", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["charging_stations.station_id"], name="fk_evses_station_id"),
        sa.PrimaryKeyConstraint("station_id", "evse_id", name="pk_evses"),
    )

    op.create_table(
        "transactions",
        sa.Column("transaction_id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), nullable=False),
        sa.Column("id_tag", sa.String(), nullable=False),
        sa.Column("started_at", UTC, nullable=False),
        sa.Column("meter_start_wh", sa.Double(), nullable=False),
        sa.Column("ocpp_transaction_id", sa.String()),
        sa.Column("stopped_at", UTC),
        sa.Column("meter_stop_wh", sa.Double()),
        sa.Column("stop_reason", sa.String()),
        sa.ForeignKeyConstraint(["station_id"], ["charging_stations.station_id"], name="fk_transactions_station_id"),
        sa.PrimaryKeyConstraint("transaction_id", name="pk_transactions"),
        sa.UniqueConstraint(
            "station_id", "evse_id", "id_tag", "started_at", "meter_start_wh", name="uq_transactions_natural_key"
        ),
        sa.UniqueConstraint("station_id", "ocpp_transaction_id", name="uq_transactions_station_id_ocpp_transaction_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_transactions_running", "transactions", ["site_id"], sqlite_where=RUNNING, postgresql_where=RUNNING
    )
    op.create_index("ix_transactions_site_id_started_at", "transactions", ["site_id", "started_at"])
    op.create_index("ix_transactions_station_id_started_at", "transactions", ["station_id", "started_at"])

    op.create_table(
        "cdrs",
        sa.Column("transaction_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("station_id", sa.String(), nullable=False),
        sa.Column("evse_id", sa.Integer(), nullable=False),
        sa.Column("id_tag", sa.String(), nullable=False),
        sa.Column("start", UTC, nullable=False),
        sa.Column("stop", UTC, nullable=False),
        sa.Column("energy_kwh", sa.Double(), nullable=False),
        sa.Column("total_time_h", sa.Double(), nullable=False),
        sa.Column("parking_time_h", sa.Double(), nullable=False),
        sa.Column("integrated_energy_kwh", sa.Double()),
        sa.Column("peak_power_kw", sa.Double()),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["transaction_id"], ["transactions.transaction_id"], name="fk_cdrs_transaction_id"),
        sa.PrimaryKeyConstraint("transaction_id", name="pk_cdrs"),
    )
    op.create_index("ix_cdrs_id_tag_stop", "cdrs", ["id_tag", "stop"])
    op.create_index("ix_cdrs_site_id_stop", "cdrs", ["site_id", "stop"])
    op.create_index("ix_cdrs_station_id_stop", "cdrs", ["station_id", "stop"])
