"""Hourly day-ahead prices from aWATTar (Germany and Austria): no key, net of VAT.

Times are milliseconds, start and end of each hour. Without an end it answers for the next 24 hours only, so both are
asked for. Germany stayed hourly when the auction went to quarter hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.published import Interval, OnePage, Published, Request, Window, json_of, number, on_steps

SOURCE = "awattar"
BASE_URLS = {"de": "https://api.awattar.de", "at": "https://api.awattar.at"}
_UNIT = "eur/mwh"
_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Awattar(OnePage):
    country: Literal["de", "at"] = "de"
    base_url: str | None = None

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, window: Window) -> tuple[Request, ...]:
        edges = {"start": window.start, "end": window.end}
        params = {name: str(round(edge.timestamp() * _MS_PER_S)) for name, edge in edges.items()}
        return (Request(f"{self.base_url or BASE_URLS[self.country]}/v1/marketdata", params),)

    def parse(self, pages: Sequence[bytes], window: Window) -> tuple[Published, ...]:
        reply = json_of(SOURCE, pages[0])
        rows = reply.get("data") if isinstance(reply, dict) else None
        if not isinstance(rows, list):
            raise SourceError(SOURCE, "the reply has no list of data")
        intervals = [_interval(row, f"data[{position}]") for position, row in enumerate(rows)]
        if not intervals:
            raise NotPublishedError(SOURCE, f"nothing from {window.start.isoformat()} on")
        values, step = on_steps(SOURCE, intervals)
        return (Published("import_price", values, step, "EUR/kWh"),)


def _interval(row: object, where: str) -> Interval:
    if not isinstance(row, dict):
        raise SourceError(SOURCE, f"{where} is {row!r}, not an object")
    if str(row.get("unit", "")).lower() != _UNIT:
        raise SourceError(SOURCE, f"{where}.unit is {row.get('unit')!r}, not Eur/MWh")
    start, end = (_at(row.get(name), f"{where}.{name}") for name in ("start_timestamp", "end_timestamp"))
    return Interval(start, end, number(SOURCE, row.get("marketprice"), f"{where}.marketprice") / 1000)


def _at(value: object, where: str) -> datetime:
    milliseconds = number(SOURCE, value, where)
    try:
        return datetime.fromtimestamp(milliseconds / _MS_PER_S, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise SourceError(SOURCE, f"{where} {value!r} is no time") from error
