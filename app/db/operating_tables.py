"""The tables of what operators do and are told; see `app.db.tables`."""

from sqlalchemy import Column, Index, Integer, String, Table, Text
from sqlalchemy.types import JSON

from app.db.tables import metadata
from app.db.types import Finite, UtcDateTime

overrides = Table(
    "overrides",
    metadata,
    Column("override_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("created_by", String, nullable=False),
    Column("station_id", String),
    Column("evse_id", Integer),
    Column("max_current_a", Finite),
    Column("max_power_kw", Finite),
    Column("reason", Text),
    Column("ended_at", UtcDateTime),
    Column("ended_by", String),
    Index(None, "site_id", "expires_at"),
)

# What was done by hand and which mode a site has gone into; never changed afterwards.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("action", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("detail", JSON, nullable=False),
    Index(None, "site_id", "number"),
    sqlite_autoincrement=True,
)

alarms = Table(
    "alarms",
    metadata,
    Column("alarm_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Index(None, "site_id", "raised_at"),
)

# The messages about alarms, each until it was taken or given up: what a restart finds here is still sent.
alarm_notices = Table(
    "alarm_notices",
    metadata,
    Column("alarm_id", String, primary_key=True),
    Column("channel", String, primary_key=True),
    Column("occasion", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("error", Text),
    Index(None, "state", "next_at"),
)

# What batteries and inverters were told, each before it was sent: what a restart finds may still be in force.
actuator_commands = Table(
    "actuator_commands",
    metadata,
    Column("command_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("device_id", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("plan_id", String),
    Column("at", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),
    Column("power_kw", Finite),
    Column("reason", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("read_back_kw", Finite),
    Column("detail", Text),
    Index(None, "site_id", "at"),
)
