"""What Prometheus may know of the database, and what only the database knows: plans in use, ages of series."""

import asyncio

from prometheus_client import CollectorRegistry, Gauge

from app.clock import Clock
from app.db.store import Store
from app.errors import AppError

PATIENCE_S = 2.0  # for what the database is asked when the figures are fetched; the others do not wait longer


class StoreMetrics:
    """Of one store, in `registry`."""

    def __init__(self, registry: CollectorRegistry, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        own = {
            "store_up": ("1: the last attempt to write succeeded.", lambda: float(store.cannot_write is None)),
            "store_write_lag_seconds": ("How long meter values have waited.", lambda: store.write_lag_s),
            "meter_values_waiting": ("Meter values in memory alone.", lambda: store.waiting_meter_values),
            "meter_values_dropped": ("Meter values lost since the start.", lambda: store.dropped_meter_values),
        }
        for name, (meaning, read) in own.items():
            Gauge(f"smartcharge_{name}", meaning, registry=registry).set_function(read)
        self._oldest_plan = Gauge(
            "smartcharge_oldest_plan_age_seconds",
            "Of sites where somebody charges: the age of the oldest plan in force; 0: nobody does.",
            registry=registry,
        )
        self._running = Gauge(
            "smartcharge_transactions_running", "Transactions that have not ended.", registry=registry
        )
        self._series = Gauge(
            "smartcharge_series_age_seconds",
            "Since the newest forecast or price series of this kind was issued, whatever the site.",
            ["kind"],
            registry=registry,
        )

    async def refresh(self) -> None:
        """Ask the database; what it does not tell in time stays as it was, and `smartcharge_store_up` says why."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                running, oldest = await self._store.plans_in_use()
                issues = await self._store.newest_issues()
        except (AppError, TimeoutError):
            return
        now = self._clock.now()
        self._running.set(running)
        self._oldest_plan.set(0 if oldest is None else (now - oldest).total_seconds())
        for kind, issued_at in issues.items():
            self._series.labels(kind).set((now - issued_at).total_seconds())
