"""Replies in the shape that each provider documents, made by hand from the values that a test wants to read back.

A value None is one that the provider left out, or wrote as null where its format has one. Times are UTC.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from forecasts.sources.awattar import Awattar
from forecasts.sources.carbon_intensity import CarbonIntensityUk
from forecasts.sources.energy_charts import EnergyCharts
from forecasts.sources.entsoe import Entsoe
from forecasts.sources.forecast_solar import ForecastSolar, Plane
from forecasts.sources.octopus import Octopus
from forecasts.sources.open_meteo import OpenMeteo
from forecasts.sources.published import Adapter
from forecasts.sources.solcast import Solcast
from forecasts.sources.tibber import Tibber

SECRET = "s3cr3t-token-of-a-test"
Rows = Sequence[tuple[datetime, float | None]]  # start of the step, value in what the series is kept in


@dataclass(frozen=True, slots=True)
class Recording:
    """How one provider is asked and what it replies."""

    make: Callable[[str], Adapter]
    reply: Callable[[Rows, timedelta], bytes]
    step: timedelta
    kind: str
    is_price: bool = True
    has_secret: bool = False
    says_duplicates: bool = True  # its format can say a moment twice
    says_null: bool = True
    is_json: bool = True

    @property
    def step_minutes(self) -> int:
        return round(self.step / timedelta(minutes=1))


def z(moment: datetime, pattern: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return moment.astimezone(UTC).strftime(pattern)


def _mwh(value: float | None) -> float | None:
    return None if value is None else round(value * 1000, 6)


def energy_charts(rows: Rows, _: timedelta) -> bytes:
    return json.dumps(
        {
            "license_info": "CC BY 4.0",
            "unix_seconds": [int(start.timestamp()) for start, _ in rows],
            "price": [_mwh(value) for _, value in rows],
            "unit": "EUR / MWh",
            "deprecated": False,
        }
    ).encode()


def entsoe_series(rows: Rows, step: timedelta, sequence: int | None = 1, curve: str = "A03") -> str:
    start, end = rows[0][0], max(row[0] for row in rows) + step
    points = "".join(
        f"<Point><position>{(at - start) // step + 1}</position><price.amount>{_mwh(value)}</price.amount></Point>"
        for at, value in rows
        if value is not None
    )
    named = "classificationSequence_AttributeInstanceComponent.position"
    position = "" if sequence is None else f"<{named}>{sequence}</{named}>"
    return f"""<TimeSeries><mRID>1</mRID><auction.type>A01</auction.type><businessType>A62</businessType>
      {position}<currency_Unit.name>EUR</currency_Unit.name><price_Measure_Unit.name>MWH</price_Measure_Unit.name>
      <curveType>{curve}</curveType><Period><timeInterval><start>{z(start, "%Y-%m-%dT%H:%MZ")}</start>
      <end>{z(end, "%Y-%m-%dT%H:%MZ")}</end></timeInterval>
      <resolution>PT{round(step.total_seconds() / 60)}M</resolution>{points}</Period></TimeSeries>"""


def entsoe_document(*series: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Publication_MarketDocument '
        'xmlns="urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3"><mRID>1</mRID>'
        f"{''.join(series)}</Publication_MarketDocument>"
    ).encode()


def entsoe_acknowledgement(code: str, text: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Acknowledgement_MarketDocument '
        'xmlns="urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:8:1">'
        f"<Reason><code>{code}</code><text>{text}</text></Reason></Acknowledgement_MarketDocument>"
    ).encode()


def entsoe(rows: Rows, step: timedelta) -> bytes:
    return entsoe_document(entsoe_series(rows, step, curve="A01"))


def awattar(rows: Rows, step: timedelta) -> bytes:
    data = [
        {
            "start_timestamp": int(start.timestamp() * 1000),
            "end_timestamp": int((start + step).timestamp() * 1000),
            "marketprice": _mwh(value),
            "unit": "Eur/MWh",
        }
        for start, value in rows
        if value is not None
    ]
    return json.dumps({"object": "list", "data": data, "url": "/de/v1/marketdata"}).encode()


def octopus(rows: Rows, step: timedelta, following: str | None = None) -> bytes:
    results = [
        {
            "value_exc_vat": round(value * 100 / 1.05, 6),
            "value_inc_vat": round(value * 100, 6),
            "valid_from": z(start),
            "valid_to": z(start + step),
            "payment_method": None,
        }
        for start, value in reversed(rows)
        if value is not None
    ]
    return json.dumps({"count": len(results), "next": following, "previous": None, "results": results}).encode()


def tibber(rows: Rows, _: timedelta) -> bytes:
    offset = timedelta(hours=1)
    listed = [
        {
            "total": value,
            "energy": round(value * 0.4, 6),
            "tax": round(value * 0.6, 6),
            "currency": "EUR",
            "startsAt": (start.astimezone(UTC) + offset).strftime("%Y-%m-%dT%H:%M:%S.000+01:00"),
        }
        for start, value in rows
        if value is not None
    ]
    info = {"today": listed[: len(listed) // 2], "tomorrow": listed[len(listed) // 2 :]}
    return json.dumps({"data": {"viewer": {"home": {"currentSubscription": {"priceInfo": info}}}}}).encode()


def carbon_intensity(rows: Rows, step: timedelta) -> bytes:
    data = [
        {
            "from": z(start, "%Y-%m-%dT%H:%MZ"),
            "to": z(start + step, "%Y-%m-%dT%H:%MZ"),
            "intensity": {"forecast": _mwh(value), "actual": None, "index": "moderate"},
        }
        for start, value in rows
    ]
    return json.dumps({"data": data}).encode()


def open_meteo(rows: Rows, step: timedelta) -> bytes:
    """Labels are the ends of the means, so the values stand one step later; the last temperature is an instant more."""
    times = [rows[0][0], *(start + step for start, _ in rows)]
    table: dict[str, Any] = {
        "time": [int(at.timestamp()) for at in times],
        "shortwave_radiation": [None, *(value for _, value in rows)],
        "temperature_2m": [10.0 + n for n in range(len(times))],
    }
    units = {"time": "unixtime", "shortwave_radiation": "W/m²", "temperature_2m": "°C"}
    return json.dumps({"utc_offset_seconds": 0, "minutely_15_units": units, "minutely_15": table}).encode()


def forecast_solar(rows: Rows, step: timedelta) -> bytes:
    hours = step / timedelta(hours=1)
    period = {z(rows[0][0], "%Y-%m-%d %H:%M:%S"): 0.0}
    period |= {z(start + step, "%Y-%m-%d %H:%M:%S"): round((value or 0) * hours * 1000, 6) for start, value in rows}
    message = {"code": 0, "type": "success", "text": "", "ratelimit": {"limit": 12, "remaining": 11}}
    return json.dumps({"result": {"watt_hours_period": period}, "message": message}).encode()


def solcast(rows: Rows, step: timedelta) -> bytes:
    forecasts = [
        {
            "pv_estimate": value,
            "pv_estimate10": None if value is None else value * 0.5,
            "pv_estimate90": None if value is None else value * 1.5,
            "period_end": z(start + step, "%Y-%m-%dT%H:%M:%S.0000000Z"),
            "period": f"PT{round(step.total_seconds() / 60)}M",
        }
        for start, value in rows
    ]
    return json.dumps({"forecasts": forecasts}).encode()


QUARTER, HALF, HOUR = timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1)
RECORDINGS = {
    "energy_charts": Recording(lambda url: EnergyCharts("DE-LU", url), energy_charts, QUARTER, "import_price"),
    "entsoe": Recording(
        lambda url: Entsoe("10Y1001A1001A82H", SECRET, url),
        entsoe,
        QUARTER,
        "import_price",
        has_secret=True,
        is_json=False,
    ),
    "awattar": Recording(lambda url: Awattar("de", url), awattar, HOUR, "import_price"),
    "octopus": Recording(lambda url: Octopus("AGILE-24-10-01", "H", base_url=url), octopus, HALF, "import_price"),
    "tibber": Recording(
        lambda url: Tibber("96a14971-525a", SECRET, base_url=url), tibber, QUARTER, "import_price", has_secret=True
    ),
    "carbon_intensity_uk": Recording(
        lambda url: CarbonIntensityUk(None, url), carbon_intensity, HALF, "carbon", is_price=False
    ),
    "open_meteo": Recording(
        lambda url: OpenMeteo(52.52, 13.4, "icon_seamless", SECRET, url),
        open_meteo,
        QUARTER,
        "ghi",
        is_price=False,
        has_secret=True,
    ),
    "forecast_solar": Recording(
        lambda url: ForecastSolar(52.52, 13.4, (Plane(10, 30, 180),), SECRET, url),
        forecast_solar,
        QUARTER,
        "pv",
        is_price=False,
        has_secret=True,
        says_duplicates=False,  # its times are keys
        says_null=False,
    ),
    "solcast": Recording(
        lambda url: Solcast("1234-abcd", SECRET, url), solcast, HALF, "pv", is_price=False, has_secret=True
    ),
}
