"""Day-ahead prices from Energy-Charts (Fraunhofer ISE): no key, licence by zone, named in the reply.

``unix_seconds`` are the starts of the intervals, the days that are asked for are local ones, and prices are per MWh.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import pandas as pd

from forecasts.errors import NotPublishedError, SourceError
from forecasts.local_days import day_slots
from forecasts.series import validated

SOURCE = "energy-charts"
BASE_URL = "https://api.energy-charts.info"
TIMEOUT_S = 30.0  # replies of more than ten seconds have been seen
TIME_ZONE = "Europe/Berlin"  # the day-ahead auction's days are Central European in every bidding zone it couples
_KWH_PER_MWH = 1000.0


@dataclass(frozen=True, slots=True)
class DayAheadPrices:
    """Published prices: start-labelled, currency/kWh, no NaN, known until `until` (the end of the last interval)."""

    price_per_kwh: pd.Series
    currency: str
    slot: timedelta
    until: datetime
    licence: str

    def covers(self, day: date, time_zone: str = TIME_ZONE) -> bool:
        """Whether every interval of the local day is there: 23 to 25 hours, 92 to 100 quarter hours."""
        wanted = day_slots(day, time_zone, round(self.slot / timedelta(minutes=1)))
        return bool(wanted.isin(self.price_per_kwh.index).all())


def parse(reply: Mapping[str, Any]) -> DayAheadPrices:
    """Read a reply of ``/price``. Nulls at the end are prices not yet out, and left off.

    Raises `NotPublishedError` when no price is out, `SourceError` when a price is missing between others or the reply
    is not what it was.
    """
    try:
        seconds, values, unit = reply["unix_seconds"], reply["price"], reply["unit"]
        currency, per = (part.strip() for part in unit.split("/"))
        index = pd.DatetimeIndex(np.array(seconds, dtype="int64").view("datetime64[s]")).tz_localize("UTC")
        price = validated(pd.Series(np.array(values, dtype="float64"), index=index), "price")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(SOURCE, f"the reply cannot be read: {error}") from error
    if per != "MWh":
        raise SourceError(SOURCE, f"prices come in {unit!r}, not per MWh")

    out = np.flatnonzero(price.notna())
    if len(out) == 0:
        raise NotPublishedError(SOURCE, "no price is out yet")
    steps_s = np.unique(np.diff(index.as_unit("s").asi8))
    if len(steps_s) != 1:
        raise SourceError(SOURCE, f"the intervals are not of one length, but of {steps_s.tolist()} s")
    published = price.iloc[: out[-1] + 1]
    if published.isna().any():
        missing = index[int(published.isna().to_numpy().argmax())]
        raise SourceError(SOURCE, f"no price for {missing.isoformat()}, but later ones")
    slot = timedelta(seconds=int(steps_s[0]))
    return DayAheadPrices(
        price_per_kwh=(published / _KWH_PER_MWH).rename("price_per_kwh"),
        currency=currency,
        slot=slot,
        until=index[out[-1]].to_pydatetime() + slot,
        licence=str(reply.get("license_info", "")),
    )


async def fetch(client: httpx.AsyncClient, bidding_zone: str, day: date, *, base_url: str = BASE_URL) -> DayAheadPrices:
    """The prices of a whole local day in a bidding zone such as ``DE-LU``.

    Raises `NotPublishedError` for a day that is not, or not wholly, out yet, `SourceError` for everything else that
    goes wrong: it names the status, and with 429 for how long to leave the provider alone.
    """
    wanted = {"bzn": bidding_zone, "start": day.isoformat(), "end": day.isoformat()}
    try:
        response = await client.get(f"{base_url}/price", params=wanted, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise SourceError(SOURCE, f"no answer: {type(error).__name__} {error}".rstrip()) from error
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotPublishedError(SOURCE, f"nothing for {bidding_zone} on {day}")
    if response.status_code != HTTPStatus.OK:
        pause = response.headers.get("retry-after")
        raise SourceError(SOURCE, f"status {response.status_code}" + (f", retry after {pause} s" if pause else ""))
    try:
        reply = response.json()
    except ValueError as error:
        raise SourceError(SOURCE, "the reply is no JSON") from error
    result = parse(reply)
    if not result.covers(day):
        raise NotPublishedError(SOURCE, f"prices for {day} end at {result.until.isoformat()}: the day is not whole")
    return result
