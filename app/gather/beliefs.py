"""What a site's past sessions say about the cars that are there: transactions become the history of a forecast."""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from app.db.records import Transaction, Wish
from app.db.store import Store
from app.gather.sessions import Seen, wish_of
from app.site import Site, evse_key
from forecasts.sessions import Arrived, SessionModel
from optimizer.domain import Scenario

HISTORY = timedelta(days=90)
MOST_SESSIONS = 5_000
SCENARIOS = 8
SOONEST = timedelta(minutes=15)  # a car that is there is not believed to be gone before


@dataclass(frozen=True, slots=True)
class _Made:
    """A model, and the site and local day that it was made for: of the day that is running it looks at nothing."""

    site: Site
    day: date
    model: SessionModel


class Beliefs:
    """A model of each site, made anew each local day."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: dict[str, _Made] = {}

    async def model(self, site: Site, now: datetime) -> SessionModel:
        today, made = now.astimezone(site.zone).date(), self._made.get(site.id)
        if made is not None and made.site == site and made.day == today:
            return made.model
        rows = await self._store.transactions(site_id=site.id, start=now - HISTORY, end=now, limit=MOST_SESSIONS)
        wishes = await self._store.wishes(site.id, active_at=now - HISTORY)
        model = await asyncio.to_thread(_fitted, site, rows, wishes, now)
        self._made[site.id] = _Made(site, today, model)
        return model


def scenarios(
    model: SessionModel, transaction: Transaction, wish: Wish | None, seen: Seen, now: datetime
) -> tuple[Scenario, ...]:
    """How the stay of a car that is there may go on: departures after `now`, and what it would still take by then."""
    belief = model.belief(arrived(transaction, wish)).given(now, seen.delivered_kwh)
    return tuple(
        Scenario(way.probability, max(way.departure, now + SOONEST), max(0.0, way.energy_kwh - seen.delivered_kwh))
        for way in belief.outcomes(SCENARIOS, taken_kwh=seen.delivered_kwh)
    )


def arrived(transaction: Transaction, wish: Wish | None) -> Arrived:
    """What was known of a car at its arrival, and what its driver stated since."""
    return Arrived(
        arrival=transaction.started_at,
        user_id=transaction.id_tag or None,
        evse_id=evse_key(transaction.station_id, transaction.evse_id),
        stated_departure=wish.departure if wish and wish.departure > transaction.started_at else None,
        requested_kwh=wish.required_energy_kwh if wish and wish.required_energy_kwh > 0 else None,
    )


def history(transactions: list[Transaction], wishes: list[Wish]) -> pd.DataFrame:
    """A row a session that is over and whose registers are known, as `forecasts.sessions` wants them."""
    rows = []
    for row in transactions:
        if row.stopped_at is None or row.meter_stop_wh is None or row.stopped_at <= row.started_at:
            continue
        said = arrived(row, wish_of(row, wishes, []))
        rows.append(
            {
                "arrival": row.started_at,
                "departure": row.stopped_at,
                "energy_kwh": max(0.0, row.meter_stop_wh - row.meter_start_wh) / 1000,
                "user_id": said.user_id,
                "evse_id": said.evse_id,
                "stated_departure": said.stated_departure,
                "requested_kwh": said.requested_kwh,
            }
        )
    names = ["arrival", "departure", "energy_kwh", "user_id", "evse_id", "stated_departure", "requested_kwh"]
    frame = pd.DataFrame(rows, columns=names)
    for name in ("arrival", "departure", "stated_departure"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.astype({"energy_kwh": float, "requested_kwh": float})


def _fitted(site: Site, rows: list[Transaction], wishes: list[Wish], now: datetime) -> SessionModel:
    return SessionModel(
        history(rows, wishes),
        time_zone=site.time_zone,
        issued_at=now,
        country=site.country,
        subdivision=site.subdivision,
        default_stay_h=site.session_defaults.stay_h,
        default_energy_kwh=site.session_defaults.required_energy_kwh,
    )
