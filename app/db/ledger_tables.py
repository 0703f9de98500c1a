"""The tables of the ledgers: who planned which site when, and everything that led to a plan and came of it."""

from sqlalchemy import Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from app.db.tables import metadata
from app.db.types import PackedJson, UtcDateTime

# Who plans which site for which moment. What is not ended is looked for often, and is little.
runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("window", UtcDateTime, nullable=False),
    Column("state", String, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("owner", String),
    Column("lease_until", UtcDateTime),
    Column("began_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("plan_id", String, unique=True),
    Column("reason", Text),
    UniqueConstraint("site_id", "window", "kind"),
    Index(None, "window"),
    Index(
        "ix_runs_unended",
        "site_id",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# Of each site the newest token given out, and the newest with which a plan was sent.
fences = Table(
    "fences",
    metadata,
    Column("site_id", String, primary_key=True),
    Column("issued", Integer, nullable=False),
    Column("seen", Integer, nullable=False),
)

poisoned_sites = Table(
    "poisoned_sites",
    metadata,
    Column("site_id", String, primary_key=True),
    Column("deaths", Integer, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
)

# What each plan was made from and by, and what came of it.
decisions = Table(
    "decisions",
    metadata,
    Column("plan_id", String, primary_key=True),
    Column("site_id", String, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("record", PackedJson, nullable=False),
    Column("outcome", PackedJson),
)

# What was asked of stations for a plan, and what they replied.
exchanges = Table(
    "exchanges",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("plan_id", String, nullable=False, index=True),
    Column("site_id", String, nullable=False),
    Column("station_id", String, nullable=False),
    Column("evse_id", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("action", String, nullable=False),
    Column("request", PackedJson, nullable=False),
    Column("reply", PackedJson, nullable=False),
    sqlite_autoincrement=True,
)
