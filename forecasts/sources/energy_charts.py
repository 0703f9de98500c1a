"""Day-ahead prices from Energy-Charts (Fraunhofer ISE): no key, licence by zone, named in the reply.

``unix_seconds`` are the starts of the intervals, the days that are asked for are local ones, and prices are per MWh.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from forecasts.errors import NotPublishedError, SourceError
from forecasts.series import validated
from forecasts.sources.published import OnePage, Published, Request, Window, json_of, numbers

SOURCE = "energy_charts"
BASE_URL = "https://api.energy-charts.info"
TIMEOUT_S = 30.0  # replies of more than ten seconds have been seen
TIME_ZONE = ZoneInfo("Europe/Berlin")  # the auction's days are Central European in every bidding zone it couples
_KWH_PER_MWH = 1000.0


@dataclass(frozen=True, slots=True)
class EnergyCharts(OnePage):
    """The day-ahead auction of a bidding zone such as ``DE-LU``."""

    bidding_zone: str
    base_url: str = BASE_URL

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, window: Window) -> tuple[Request, ...]:
        first = window.start.astimezone(TIME_ZONE).date()
        last = (window.end - timedelta(seconds=1)).astimezone(TIME_ZONE).date()
        params = {"bzn": self.bidding_zone, "start": first.isoformat(), "end": last.isoformat()}
        return (Request(f"{self.base_url}/price", params, timeout_s=TIMEOUT_S),)

    def parse(self, pages: Sequence[bytes], _: Window) -> tuple[Published, ...]:
        reply = json_of(SOURCE, pages[0])
        if not isinstance(reply, dict):
            raise SourceError(SOURCE, f"the reply cannot be read: it is a {type(reply).__name__}")
        prices = parse(reply)
        unit = f"{prices.currency}/kWh"
        return (Published("import_price", prices.price_per_kwh, prices.slot, unit, prices.licence),)

    def declined(self, status: int, _: bytes) -> SourceError | None:
        """A day that is not out is not found."""
        return NotPublishedError(SOURCE, "nothing for this day") if status == HTTPStatus.NOT_FOUND else None


@dataclass(frozen=True, slots=True)
class DayAheadPrices:
    """Published prices: start-labelled, currency/kWh, no NaN, known until `until` (the end of the last interval)."""

    price_per_kwh: pd.Series
    currency: str
    slot: timedelta
    until: datetime
    licence: str


def parse(reply: Mapping[str, Any]) -> DayAheadPrices:
    """Read a reply of ``/price``. Nulls at the end are prices not yet out, and left off.

    Raises `NotPublishedError` when no price is out, `SourceError` when a price is missing between others or the reply
    is not what it was.
    """
    try:
        seconds, values, unit = reply["unix_seconds"], reply["price"], reply["unit"]
        currency, per = (part.strip() for part in unit.split("/"))
        index = pd.DatetimeIndex(np.array(seconds, dtype="int64").view("datetime64[s]")).tz_localize("UTC")
        price = validated(pd.Series(numbers(SOURCE, values, "price"), index=index), "price")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
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
