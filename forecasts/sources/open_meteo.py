"""Irradiance and temperature from Open-Meteo: series `ghi` [W/m²] and `temp_air` [°C] in quarter hours.

Radiation is the mean of the quarter hour before its stamp, so it is moved one step back; temperature belongs to the
moment, so a quarter hour gets the mean of its two ends. Values at the end may be null, and irradiance slightly
negative. The free service is for non-commercial use; with a key the customers' host is asked. CC BY 4.0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pandas as pd

from forecasts.errors import NotPublishedError, SourceError
from forecasts.series import validated
from forecasts.sources.published import OnePage, Published, Request, Window, json_of, numbers

SOURCE = "open_meteo"
BASE_URL = "https://api.open-meteo.com"
CUSTOMER_URL = "https://customer-api.open-meteo.com"
LICENCE = "CC BY 4.0, Open-Meteo.com"
_STEP = timedelta(minutes=15)
_GHI, _TEMPERATURE = "shortwave_radiation", "temperature_2m"
_UNITS = {_GHI: "W/m²", _TEMPERATURE: "°C"}


@dataclass(frozen=True, slots=True)
class OpenMeteo(OnePage):
    """`model` such as ``icon_seamless``; empty: the service chooses. `token` None: the free, non-commercial service."""

    latitude: float
    longitude: float
    model: str = ""
    token: str | None = field(default=None, repr=False)
    base_url: str | None = None

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, window: Window) -> tuple[Request, ...]:
        last = window.end - timedelta(seconds=1)
        params = {
            "latitude": f"{self.latitude:g}",
            "longitude": f"{self.longitude:g}",
            "minutely_15": f"{_GHI},{_TEMPERATURE}",
            "timezone": "UTC",
            "timeformat": "unixtime",
            "start_date": f"{window.start:%Y-%m-%d}",
            "end_date": f"{last + timedelta(days=1):%Y-%m-%d}",  # the label of the last mean is on the day after
            **({"models": self.model} if self.model else {}),
            **({"apikey": self.token} if self.token else {}),
        }
        base_url = self.base_url or (CUSTOMER_URL if self.token else BASE_URL)
        return (Request(f"{base_url}/v1/forecast", params, secrets=(self.token or "",)),)

    def parse(self, pages: Sequence[bytes], _: Window) -> tuple[Published, ...]:
        reply = json_of(SOURCE, pages[0])
        if isinstance(reply, dict) and reply.get("error"):
            raise SourceError(SOURCE, f"declined: {str(reply.get('reason'))[:200]}")
        try:
            units, table = reply["minutely_15_units"], reply["minutely_15"]
            said = {name: units[name] for name in _UNITS}
            index = pd.DatetimeIndex(np.array(table["time"], dtype="int64").view("datetime64[s]")).tz_localize("UTC")
            ghi, temperature = (
                validated(pd.Series(numbers(SOURCE, table[name], name), index=index), name) for name in _UNITS
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SourceError(SOURCE, f"the reply cannot be read: {error}") from error
        if said != _UNITS:
            raise SourceError(SOURCE, f"the units are {said}, not {_UNITS}")
        if len(index) < 2 or (np.diff(index.as_unit("s").asi8) != _STEP.total_seconds()).any():
            raise SourceError(SOURCE, "the times are not quarter hours")
        ghi = ghi.set_axis(index - _STEP).clip(lower=0.0).dropna()
        temperature = ((temperature + temperature.shift(-1)) / 2).dropna()
        if ghi.empty:
            raise NotPublishedError(SOURCE, "the reply holds no irradiance")
        published = [Published("ghi", ghi, _STEP, "W/m2", LICENCE)]
        if not temperature.empty:
            published.append(Published("temp_air", temperature, _STEP, "degC", LICENCE))
        return tuple(published)
