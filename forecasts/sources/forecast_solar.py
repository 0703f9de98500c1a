"""PV power from Forecast.Solar: one request for each array, their sum in kW on quarter hours.

``watt_hours_period`` is the energy of the interval that ends at its stamp; the first and last stamps of a day are at
sunrise and sunset. Times are asked for in UTC. Without a key the service allows twelve requests an hour and address,
and its data change every quarter of an hour at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd

from forecasts.errors import NotPublishedError, SourceError
from forecasts.series import on_grid
from forecasts.sources.published import OnePage, Published, Request, Window, json_of, number

SOURCE = "forecast_solar"
BASE_URL = "https://api.forecast.solar"
_STEP = timedelta(minutes=15)
_NIGHT = timedelta(days=1)  # no interval between two stamps is longer, on this side of the polar circle


@dataclass(frozen=True, slots=True)
class Plane:
    """An array of modules. `azimuth_deg` clockwise from north: 180 is south. `inverter_kw` None: no limit."""

    peak_kw: float
    tilt_deg: float
    azimuth_deg: float
    inverter_kw: float | None = None


@dataclass(frozen=True, slots=True)
class ForecastSolar(OnePage):
    latitude: float
    longitude: float
    planes: tuple[Plane, ...]
    token: str | None = field(default=None, repr=False)
    base_url: str = BASE_URL

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, _: Window) -> tuple[Request, ...]:
        key = f"/{self.token}" if self.token else ""
        return tuple(
            Request(
                f"{self.base_url}{key}/estimate/{self.latitude:g}/{self.longitude:g}"
                f"/{plane.tilt_deg:g}/{plane.azimuth_deg - 180:g}/{plane.peak_kw:g}",
                {"time": "utc", **({"inverter": f"{plane.inverter_kw:g}"} if plane.inverter_kw else {})},
                secrets=(self.token or "",),
            )
            for plane in self.planes
        )

    def parse(self, pages: Sequence[bytes], _: Window) -> tuple[Published, ...]:
        total = None
        for page in pages:
            power_kw = _power_kw(page)
            total = power_kw if total is None else (total + power_kw).dropna()
        if total is None or total.empty:
            raise NotPublishedError(SOURCE, "the replies hold no quarter hour in common")
        return (Published("pv", total, _STEP, "kW"),)


def _power_kw(page: bytes) -> pd.Series:
    reply = json_of(SOURCE, page)
    message = reply.get("message") if isinstance(reply, dict) else None
    if isinstance(message, dict) and message.get("code", 0) != 0:
        raise SourceError(SOURCE, f"declined with code {message['code']}: {str(message.get('text', ''))[:200]}")
    result = reply.get("result") if isinstance(reply, dict) else None
    energy_wh = result.get("watt_hours_period") if isinstance(result, dict) else None
    if not isinstance(energy_wh, dict) or len(energy_wh) < 2:
        raise SourceError(SOURCE, "the reply has no watt_hours_period")
    ends = [_at(text) for text in energy_wh]
    values_wh = [number(SOURCE, value, f"watt_hours_period[{text}]") for text, value in energy_wh.items()]
    if any(after <= before for before, after in pairwise(ends)):
        raise SourceError(SOURCE, "the times do not rise")
    if min(values_wh) < 0:
        raise SourceError(SOURCE, f"the energy {min(values_wh):g} Wh is negative")
    starts = pd.DatetimeIndex(ends[:-1])
    hours = np.diff([end.timestamp() for end in ends]) / 3600
    power_kw = pd.Series(np.array(values_wh[1:]) / hours / 1000, index=starts)
    closing = pd.Series([np.nan], index=pd.DatetimeIndex(ends[-1:]))  # nobody says what follows the last stamp
    grid = pd.date_range(starts[0].ceil(_STEP), ends[-1], freq=_STEP, inclusive="left")
    if grid.empty:
        raise SourceError(SOURCE, "the reply holds no whole quarter hour")
    return on_grid(pd.concat([power_kw, closing]), grid, hold=_NIGHT).dropna()


def _at(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceError(SOURCE, f"{text!r} is no time") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)  # asked for in UTC
