"""Every query of the service, on SQLite and PostgreSQL alike.

Times in and out are aware UTC. Methods raise `NotFoundError`, `ConflictError` and `StoreUnavailableError`, and
`InvalidInputError` for a naive time or a number that is none. Each runs in one transaction and holds the clock
meanwhile, so that simulated time stands still.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy import text

from app.clock import Clock
from app.crash_points import crash_point
from app.db.actuator_rows import ActuatorRows
from app.db.alarm_rows import AlarmRows
from app.db.archive_rows import ArchiveRows
from app.db.certificate_rows import CertificateRows
from app.db.database import Database
from app.db.decision_rows import DecisionRows
from app.db.figure_rows import FigureRows
from app.db.grid_limit_rows import GridLimitRows
from app.db.key_rows import KeyRows
from app.db.meter_value_rows import MeterValueRows
from app.db.migrations import migrate as migrate_to_head
from app.db.migrations import require_head
from app.db.override_rows import OverrideRows
from app.db.plan_rows import PlanRows
from app.db.quarantine_rows import QuarantineRows
from app.db.retention_rows import RetentionRows
from app.db.run_rows import RunRows
from app.db.series_rows import SeriesRows
from app.db.site_rows import SiteRows
from app.db.station_report_rows import StationReportRows
from app.db.tariff_rows import TariffRows
from app.db.together import Together
from app.db.transaction_event_rows import TransactionEventRows
from app.db.transaction_name_rows import TransactionNameRows
from app.db.transaction_rows import TransactionRows
from app.db.writer import MeterValueWriter


class Store(
    SiteRows,
    StationReportRows,
    TransactionRows,
    TransactionEventRows,
    TransactionNameRows,
    MeterValueRows,
    SeriesRows,
    PlanRows,
    KeyRows,
    QuarantineRows,
    TariffRows,
    ArchiveRows,
    RetentionRows,
    CertificateRows,
    FigureRows,
    GridLimitRows,
    OverrideRows,
    AlarmRows,
    RunRows,
    DecisionRows,
    ActuatorRows,
):
    """One database. `async with Store.open(url, clock)` migrates it to the newest schema and closes it at the end.

    Its methods by subject: sites, stations and EVSE statuses in `site_rows`; device models, limits set elsewhere and
    notices in `station_report_rows`; transactions and CDRs in `transaction_rows`, the events of 2.x that they are
    made of in `transaction_event_rows`; meter values in `meter_value_rows`; site meters and series in `series_rows`;
    wishes, plans and deliveries in `plan_rows`; API keys and idempotency in `key_rows`; what is not believed in
    `quarantine_rows`; the tariffs that a site has had in `tariff_rows`; whole sites out and in
    in `archive_rows`; forgetting in `retention_rows`; fail-safe certificates in `certificate_rows`;
    figures for monitoring in `figure_rows`; grid operators' limits in `grid_limit_rows`; overrides and the audit in
    `override_rows`; alarms in `alarm_rows`; who plans which site when in `run_rows`; what plans were made from and what
    came of them in `decision_rows`; commands to batteries and inverters in `actuator_rows`.
    """

    def __init__(self, database: Database, writer: MeterValueWriter, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._parsed_sites = {}
        self._station_updates = Together(clock, self._update_stations)
        self._station_reads = Together(clock, self._read_stations)
        self._password_lookups = Together(clock, self._password_hashes)
        self._event_inserts = Together(clock, self._add_events)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, clock: Clock, *, migrate: bool = True) -> AsyncIterator[Self]:
        """`url` is SQLAlchemy's, e.g. ``sqlite:///path/to.db`` or ``postgresql://user@host/name``.

        Raises `StoreUnavailableError` for a database that does not answer, is corrupt, or was written by a newer
        version; with `migrate` False also for one that is not at this version's schema.
        """
        async with Database.open(url, clock) as database:
            if migrate:
                async with database.write() as connection:
                    await connection.run_sync(migrate_to_head)
                crash_point("migration.after_commit")
            else:
                async with database.read() as connection:
                    await connection.run_sync(require_head)
            async with MeterValueWriter.running(database, clock) as writer:
                yield cls(database, writer, clock)

    @property
    def cannot_write(self) -> str | None:
        """Why the last attempt to write failed; None: it did not."""
        return self._database.cannot_write

    async def check(self) -> None:
        """Raise `StoreUnavailableError` when the database cannot be read or, after a write has failed, written."""
        await self.ping()
        if self.cannot_write is not None:
            async with self._database.write() as connection:  # a page, so that a full disk is noticed, too
                await connection.execute(text("UPDATE alembic_version SET version_num = version_num"))

    async def ping(self) -> None:
        """Raise `StoreUnavailableError` when the database does not answer."""
        async with self._database.read() as connection:
            await connection.execute(text("SELECT version_num FROM alembic_version"))
