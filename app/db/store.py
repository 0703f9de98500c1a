"""Every query of the service, on SQLite and PostgreSQL alike.

Times in and out are aware UTC. Methods raise `NotFoundError`, `ConflictError` and `StoreUnavailableError`.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Self

from app.clock import Clock
from app.db.records import (
    ApiKey,
    Cdr,
    Delivery,
    EvseStatus,
    Json,
    MeterValue,
    Plan,
    Reading,
    Station,
    StoredSeries,
    Transaction,
    Wish,
)
from app.site import Site


class Store:
    """One database. `async with Store.open(url, clock)` migrates it to the newest schema and closes it at the end."""

    @classmethod
    def open(cls, url: str, clock: Clock, *, migrate: bool = True) -> AbstractAsyncContextManager[Self]:
        raise NotImplementedError

    async def ping(self) -> None:
        """Raise `StoreUnavailableError` when the database does not answer."""
        raise NotImplementedError

    # --- sites and stations

    async def save_site(self, site: Site, *, replace: bool = True) -> None:
        """Insert or replace a site and its stations, whole or not at all.

        Raises `ConflictError` when a station belongs to another site, or the site exists and `replace` is False.
        Stations that left the document keep their history but belong to no site's document any more.
        """
        raise NotImplementedError

    async def site(self, site_id: str) -> Site:
        raise NotImplementedError

    async def sites(self) -> list[Site]:
        raise NotImplementedError

    async def delete_site(self, site_id: str) -> None:
        """Remove a site that has no running transaction, else `ConflictError`; its history stays."""
        raise NotImplementedError

    async def station(self, station_id: str) -> Station:
        raise NotImplementedError

    async def stations(self, site_id: str | None = None) -> list[Station]:
        raise NotImplementedError

    async def update_station(self, station_id: str, **columns: Any) -> None:
        """Set columns of `records.Station` (vendor, model, connected, last_seen_at, passport, ...)."""
        raise NotImplementedError

    async def mark_all_disconnected(self) -> None:
        raise NotImplementedError

    async def password_hash(self, station_id: str) -> str | None:
        """None when no password was set. Raises `NotFoundError` for an unknown station."""
        raise NotImplementedError

    async def set_password_hash(self, station_id: str, password_hash: str) -> None:
        raise NotImplementedError

    async def set_evse_status(self, status: EvseStatus) -> None:
        """Keep the newest by `at`; an older one changes nothing."""
        raise NotImplementedError

    async def evse_statuses(self, site_id: str | None = None) -> list[EvseStatus]:
        raise NotImplementedError

    # --- transactions, meter values, CDRs

    async def start_transaction(
        self,
        *,
        station_id: str,
        evse_id: int,
        id_tag: str,
        started_at: datetime,
        meter_start_wh: float,
        ocpp_transaction_id: str | None = None,
    ) -> tuple[Transaction, bool]:
        """Durable on return. The same (station, EVSE, id tag, time, meter start), or the same
        `ocpp_transaction_id` of the station, gives the same transaction again and False."""
        raise NotImplementedError

    async def stop_transaction(
        self, transaction_id: int, *, stopped_at: datetime, meter_stop_wh: float, reason: str | None
    ) -> tuple[Transaction, bool]:
        """Durable on return. The first stop wins: a repeated one gives the stored row and False."""
        raise NotImplementedError

    async def transaction(self, transaction_id: int) -> Transaction:
        raise NotImplementedError

    async def transactions(
        self,
        *,
        site_id: str | None = None,
        station_id: str | None = None,
        running: bool | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
    ) -> list[Transaction]:
        """Newest first; `start <= started_at < end`."""
        raise NotImplementedError

    async def add_meter_values(self, values: Sequence[MeterValue]) -> None:
        """Through the batching writer; visible to `flush`ed reads. Repeated rows change nothing."""
        raise NotImplementedError

    async def import_meter_values(self, values: Iterable[MeterValue]) -> int:
        """In bulk, idempotent; returns how many were new."""
        raise NotImplementedError

    async def meter_values(
        self,
        *,
        transaction_id: int | None = None,
        station_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        measurands: tuple[str, ...] = (),
    ) -> list[MeterValue]:
        """In order of time."""
        raise NotImplementedError

    async def latest_energy_wh(self, transaction_ids: Sequence[int]) -> dict[int, tuple[datetime, float]]:
        """Last energy register (total phase) of each transaction that sent one."""
        raise NotImplementedError

    async def latest_meter_values(self, site_id: str) -> dict[tuple[str, int], list[MeterValue]]:
        """Of each EVSE (station, EVSE): all values that carry its newest timestamp."""
        raise NotImplementedError

    async def save_cdr(self, cdr: Cdr) -> None:
        """Insert or replace by transaction."""
        raise NotImplementedError

    async def cdrs(
        self,
        *,
        site_id: str | None = None,
        station_id: str | None = None,
        id_tag: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Cdr]:
        """In order of stop; `start <= stop < end`."""
        raise NotImplementedError

    async def transactions_without_cdr(self) -> list[Transaction]:
        """Completed, but not yet settled."""
        raise NotImplementedError

    # --- site meters and series

    async def add_readings(self, readings: Sequence[Reading]) -> int:
        """In bulk, idempotent: the last value of (site, meter, at) wins. Returns how many rows were new or changed."""
        raise NotImplementedError

    async def readings(
        self, site_id: str, meter_id: str, start: datetime, end: datetime
    ) -> list[tuple[datetime, float]]:
        """(at, kW) in order of time, half-open."""
        raise NotImplementedError

    async def latest_readings(self, site_id: str) -> dict[str, tuple[datetime, float]]:
        """Of each meter: (at, kW)."""
        raise NotImplementedError

    async def add_series(self, series: StoredSeries) -> int:
        raise NotImplementedError

    async def series(self, site_id: str, kind: str, start: datetime, end: datetime) -> list[StoredSeries]:
        """Every stored series of that kind that overlaps [start, end), oldest issue first: later ones overrule."""
        raise NotImplementedError

    async def charging_power(self, site_id: str, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
        """(at, W) of every total-power value of the site's EVSEs, for subtracting EV charging from a grid meter."""
        raise NotImplementedError

    # --- wishes

    async def save_wish(self, wish: Wish) -> None:
        raise NotImplementedError

    async def wishes(self, site_id: str, *, active_at: datetime | None = None) -> list[Wish]:
        """Newest first; with `active_at` only those whose departure is later."""
        raise NotImplementedError

    async def wish(self, wish_id: str) -> Wish:
        raise NotImplementedError

    async def delete_wish(self, wish_id: str) -> None:
        raise NotImplementedError

    # --- plans and deliveries

    async def save_plan(self, plan: Plan) -> None:
        raise NotImplementedError

    async def plan(self, plan_id: str) -> Plan:
        raise NotImplementedError

    async def latest_plan(self, site_id: str) -> Plan | None:
        raise NotImplementedError

    async def plans(self, site_id: str, *, limit: int = 100) -> list[Plan]:
        """Newest first, with empty `problem` and `schedule`: the list is an index."""
        raise NotImplementedError

    async def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Insert or replace by (plan, station, EVSE)."""
        raise NotImplementedError

    async def deliveries(self, plan_id: str) -> list[Delivery]:
        raise NotImplementedError

    async def deliveries_in_force(self, site_id: str) -> list[Delivery]:
        """Of each EVSE the newest delivery that reached its station: accepted, verified, contradicted or unknown."""
        raise NotImplementedError

    # --- keys and idempotency

    async def save_api_key(self, key: ApiKey) -> None:
        raise NotImplementedError

    async def api_key(self, key_id: str) -> ApiKey | None:
        raise NotImplementedError

    async def api_keys(self) -> list[ApiKey]:
        raise NotImplementedError

    async def remembered_answer(self, key: str) -> Json | None:
        """What was answered to this idempotency key, else None."""
        raise NotImplementedError

    async def remember_answer(self, key: str, answer: Json) -> None:
        raise NotImplementedError

    async def flush(self) -> None:
        """Return once everything handed to the batching writer is on disk."""
        raise NotImplementedError
