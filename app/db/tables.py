"""The tables. Column names are the field names of `app.db.records`, so a row is a record.

What is history (transactions, meter values, readings, series, plans, CDRs) names its site without a foreign key: it
outlives the site's document. Migrations repeat these tables; a test holds the two equal on both databases.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import JSON

from app.db.types import Finite, JsonTuple, PackedFloats, PackedJson, UtcDateTime, ZeroForNone

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

TOTAL_POWER = "measurand = 'Power.Active.Import' AND phase = ''"

sites = Table(
    "sites",
    metadata,
    Column("site_id", String, primary_key=True),
    Column("document", JSON, nullable=False),
)

# A station that left its site's document keeps its row, its password and its history, with `in_document` false.
charging_stations = Table(
    "charging_stations",
    metadata,
    Column("station_id", String, primary_key=True),
    Column("site_id", String, nullable=False, index=True),
    Column("in_document", Boolean, nullable=False),
    Column("vendor", String),
    Column("model", String),
    Column("serial", String),
    Column("firmware", String),
    Column("ocpp_version", String),
    Column("connected", Boolean, nullable=False),
    Column("last_seen_at", UtcDateTime),
    Column("booted_at", UtcDateTime),
    Column("password_hash", String),
    Column("passport", JSON, nullable=False),
)

# The EVSEs of the site documents: what "of each EVSE" queries start from, for a seek by EVSE in place of a scan.
evses = Table(
    "evses",
    metadata,
    Column("station_id", ForeignKey("charging_stations.station_id"), primary_key=True),
    Column("evse_id", Integer, primary_key=True, autoincrement=False),
    Column("in_document", Boolean, nullable=False),
)

evse_statuses = Table(
    "evse_statuses",
    metadata,
    Column("station_id", ForeignKey("charging_stations.station_id"), primary_key=True),
    Column("evse_id", Integer, primary_key=True, autoincrement=False),
    Column("status", String, nullable=False),
    Column("error_code", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

# Two natural keys: what a 1.6 station repeats when it got no answer, and the station's own name of it, where there is
# one. In the second one NULLs are many by intent.
transactions = Table(
    "transactions",
    metadata,
    Column("transaction_id", Integer, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("station_id", ForeignKey("charging_stations.station_id"), nullable=False),
    Column("evse_id", Integer, nullable=False),
    Column("id_tag", String, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("meter_start_wh", Finite, nullable=False),
    Column("ocpp_transaction_id", String),
    Column("stopped_at", UtcDateTime),
    Column("meter_stop_wh", Finite),
    Column("stop_reason", String),
    UniqueConstraint(
        "station_id", "evse_id", "id_tag", "started_at", "meter_start_wh", name="uq_transactions_natural_key"
    ),
    UniqueConstraint("station_id", "ocpp_transaction_id"),
    Index(None, "site_id", "started_at"),
    Index(None, "station_id", "started_at"),
    Index(
        "ix_transactions_running",
        "site_id",
        sqlite_where=text("stopped_at IS NULL"),
        postgresql_where=text("stopped_at IS NULL"),
    ),
    sqlite_autoincrement=True,  # a number that a station was once told is never given again
)

# Every TransactionEvent of a 2.x station, by its own names: the transaction is what they amount to, in whatever order
# they came and however often.
transaction_events = Table(
    "transaction_events",
    metadata,
    Column("station_id", String, primary_key=True),
    Column("ocpp_transaction_id", String, primary_key=True),
    Column("seq_no", Integer, primary_key=True, autoincrement=False),
    Column("event_type", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("offline", Boolean, nullable=False),
    Column("trigger_reason", String),
    Column("evse_id", Integer),
    Column("id_tag", String),
    Column("charging_state", String),
    Column("stop_reason", String),
    Column("first_register_wh", Finite),
    Column("last_register_wh", Finite),
    sqlite_with_rowid=False,
)

# The largest table: clustered by its natural key on SQLite, no foreign keys, one index by transaction and one, partial
# and covering, for the charging power of a site.
meter_values = Table(
    "meter_values",
    metadata,
    Column("station_id", String, primary_key=True),
    Column("evse_id", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, primary_key=True),
    Column("measurand", String, primary_key=True),
    Column("phase", String, primary_key=True),
    Column("context", String, primary_key=True),
    Column("transaction_id", ZeroForNone, primary_key=True, autoincrement=False),
    Column("value", Finite, nullable=False),
    Column("unit", String, nullable=False),
    Column("received_at", UtcDateTime),
    Index(None, "transaction_id", "measurand", "at"),
    Index(
        "ix_meter_values_total_power",
        "station_id",
        "evse_id",
        "at",
        "value",
        sqlite_where=text(TOTAL_POWER),
        postgresql_where=text(TOTAL_POWER),
    ),
    sqlite_with_rowid=False,
)

readings = Table(
    "readings",
    metadata,
    Column("site_id", String, primary_key=True),
    Column("meter_id", String, primary_key=True),
    Column("at", UtcDateTime, primary_key=True),
    Column("kw", Finite, nullable=False),
    sqlite_with_rowid=False,
)

# The highest reading that each meter has ever had: what a building may draw is asked every half minute, and must not
# be read from years of readings, nor be forgotten with them.
meter_peaks = Table(
    "meter_peaks",
    metadata,
    Column("site_id", String, primary_key=True),
    Column("meter_id", String, primary_key=True),
    Column("kw", Finite, nullable=False),
    sqlite_with_rowid=False,
)

series = Table(
    "series",
    metadata,
    Column("series_id", Integer, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("source", String, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("start", UtcDateTime, nullable=False),
    Column("end", UtcDateTime, nullable=False),  # start + len(values) × resolution, for the overlap
    Column("resolution_minutes", Integer, nullable=False),
    Column("unit", String, nullable=False),
    Column("values", PackedFloats, nullable=False),
    Column("estimated", Boolean, nullable=False),
    UniqueConstraint("site_id", "kind", "source", "issued_at", "start", name="uq_series_natural_key"),
    Index(None, "site_id", "kind", "end"),
    sqlite_autoincrement=True,
)

wishes = Table(
    "wishes",
    metadata,
    Column("wish_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("departure", UtcDateTime, nullable=False),
    Column("required_energy_kwh", Finite, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("station_id", String),
    Column("evse_id", Integer),
    Column("id_tag", String),
    Column("arrival", UtcDateTime),
    Column("max_power_kw", Finite),
    Column("vehicle_phases", Integer),
    Column("priority", Integer, nullable=False),
    Column("transaction_id", Integer),
    Index(None, "site_id", "departure"),
)

# `number` counts in the order of saving: two plans of one instant, as a stepped clock makes them, still have an order.
plans = Table(
    "plans",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("plan_id", String, nullable=False, unique=True),
    Column("site_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("start", UtcDateTime, nullable=False),
    Column("end", UtcDateTime, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Text),
    Column("problem", PackedJson, nullable=False),
    Column("schedule", PackedJson, nullable=False),
    Column("provenance", JSON, nullable=False),
    Index(None, "site_id", "created_at", "number"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("plan_id", ForeignKey("plans.plan_id"), nullable=False),
    Column("site_id", String, nullable=False),
    Column("station_id", String, nullable=False),
    Column("evse_id", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("profile", JSON(none_as_null=True)),
    Column("detail", Text),
    UniqueConstraint("plan_id", "station_id", "evse_id"),
    Index(None, "station_id", "evse_id", "at", "number"),
    sqlite_autoincrement=True,
)

cdrs = Table(
    "cdrs",
    metadata,
    Column("transaction_id", ForeignKey("transactions.transaction_id"), primary_key=True, autoincrement=False),
    Column("site_id", String, nullable=False),
    Column("station_id", String, nullable=False),
    Column("evse_id", Integer, nullable=False),
    Column("id_tag", String, nullable=False),
    Column("start", UtcDateTime, nullable=False),
    Column("stop", UtcDateTime, nullable=False),
    Column("energy_kwh", Finite, nullable=False),
    Column("total_time_h", Finite, nullable=False),
    Column("parking_time_h", Finite, nullable=False),
    Column("integrated_energy_kwh", Finite),
    Column("peak_power_kw", Finite),
    Column("flags", JsonTuple, nullable=False),
    Column("charging_time_h", Finite),
    Column("cost", Finite),
    Column("currency", String),
    Column("uncontrolled_cost", Finite),
    Column("co2_kg", Finite),
    Column("pv_share", Finite),
    Index(None, "site_id", "stop"),
    Index(None, "station_id", "stop"),
    Index(None, "id_tag", "stop"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("secret_hash", String, nullable=False),
    Column("scopes", JsonTuple, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

# What was answered to an idempotency key.
remembered_answers = Table(
    "remembered_answers",
    metadata,
    Column("key", String, primary_key=True),
    Column("answer", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
)

# Limits that somebody else has set at a station: an energy manager, the grid. EVSE 0 is the whole station.
charging_limits = Table(
    "charging_limits",
    metadata,
    Column("station_id", ForeignKey("charging_stations.station_id"), primary_key=True),
    Column("evse_id", Integer, primary_key=True, autoincrement=False),
    Column("source", String, primary_key=True),
    Column("is_grid_critical", Boolean, nullable=False),
    Column("is_local_generation", Boolean, nullable=False),
    Column("schedules", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

# The device model of 2.x. Blank instances and zero numbers stand for none: to a key one NULL differs from the next.
station_variables = Table(
    "station_variables",
    metadata,
    Column("station_id", ForeignKey("charging_stations.station_id"), primary_key=True),
    Column("component", String, primary_key=True),
    Column("component_instance", String, primary_key=True),
    Column("evse_id", Integer, primary_key=True, autoincrement=False),
    Column("connector_id", Integer, primary_key=True, autoincrement=False),
    Column("variable", String, primary_key=True),
    Column("variable_instance", String, primary_key=True),
    Column("attribute", String, primary_key=True),
    Column("value", Text),
    Column("mutability", String),
    Column("data_type", String),
    Column("unit", String),
    Column("min_limit", Finite),
    Column("max_limit", Finite),
    Column("values_list", Text),
    Column("at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)

# What a station told that changes no other table: events, alarms, the state of updates. The newest of each station.
station_notices = Table(
    "station_notices",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("station_id", ForeignKey("charging_stations.station_id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("action", String, nullable=False),
    Column("payload", JSON, nullable=False),
    Index(None, "station_id", "number"),
    sqlite_autoincrement=True,
)

# What was measured or sent and is not believed, or only with a word about it.
quarantine = Table(
    "quarantine",
    metadata,
    Column("suspect_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", UtcDateTime),
    Column("noted_at", UtcDateTime),
    Column("station_id", String),
    Column("evse_id", Integer),
    Column("transaction_id", Integer),
    Column("meter_id", String),
    Column("source", String, nullable=False),
    Index(None, "site_id", "noted_at"),
    Index(None, "transaction_id"),
)

# The tariffs that a site's document has had, each from when it was saved.
tariffs = Table(
    "tariffs",
    metadata,
    Column("site_id", String, primary_key=True),
    Column("since", UtcDateTime, primary_key=True),
    Column("tariff", JSON, nullable=False),
)

# What was proven of a site's fuses, whenever that changed.
certificates = Table(
    "certificates",
    metadata,
    Column("site_id", String, primary_key=True),
    Column("made_at", UtcDateTime, primary_key=True),
    Column("document", JSON, nullable=False),
)

# Limits that a grid operator sets on a whole site.
grid_limits = Table(
    "grid_limits",
    metadata,
    Column("limit_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("source", String, nullable=False),
    Column("reference", String, nullable=False),
    Column("applies_to", String, nullable=False),
    Column("max_kw", Finite, nullable=False),
    Column("start", UtcDateTime, nullable=False),
    Column("end", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("cancelled_at", UtcDateTime),
    UniqueConstraint("site_id", "source", "reference", name="uq_grid_limits_natural_key"),
)

# What became of each, in order; rows are only added.
grid_limit_log = Table(
    "grid_limit_log",
    metadata,
    Column("entry_id", Integer, primary_key=True),
    Column("limit_id", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("what", String, nullable=False),
    Column("detail", JSON, nullable=False),
    Index(None, "limit_id"),
    sqlite_autoincrement=True,
)
