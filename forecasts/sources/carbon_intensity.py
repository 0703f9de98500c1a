"""Carbon intensity of Great Britain's grid (National Grid ESO): no key, half hours, average and not marginal.

Stamps lack seconds, and the first half hour starts before the moment that was asked for. A region has forecasts only.
CC BY 4.0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.published import Interval, OnePage, Published, Request, Window, json_of, moment, number, on_steps

SOURCE = "carbon_intensity_uk"
BASE_URL = "https://api.carbonintensity.org.uk"
_G_PER_KG = 1000


@dataclass(frozen=True, slots=True)
class CarbonIntensityUk(OnePage):
    """`postcode` is the outward part, such as ``SW1``; None: the whole country."""

    postcode: str | None = None
    base_url: str = BASE_URL

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, window: Window) -> tuple[Request, ...]:
        start = f"{window.start.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        path = (
            f"/intensity/{start}/fw48h" if not self.postcode else f"/regional/intensity/{start}/fw48h/postcode/"
        ) + (self.postcode or "")
        return (Request(f"{self.base_url}{path}", headers={"Accept": "application/json"}),)

    def parse(self, pages: Sequence[bytes], _: Window) -> tuple[Published, ...]:
        reply = json_of(SOURCE, pages[0])
        rows = reply.get("data") if isinstance(reply, dict) else None
        if isinstance(rows, dict):  # a region's are one level deeper
            rows = rows.get("data")
        if not isinstance(rows, list):
            raise SourceError(SOURCE, "the reply has no list of data")
        intervals = [
            interval
            for position, row in enumerate(rows)
            if (interval := _interval(row, f"data[{position}]")) is not None
        ]
        if not intervals:
            raise NotPublishedError(SOURCE, "no intensity is known")
        values, step = on_steps(SOURCE, intervals)
        return (Published("carbon", values, step, "kg/kWh", "CC BY 4.0"),)


def _interval(row: object, where: str) -> Interval | None:
    intensity = row.get("intensity") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(intensity, dict):
        raise SourceError(SOURCE, f"{where} has no intensity")
    grams = intensity.get("actual")
    if grams is None:
        grams = intensity.get("forecast")
    if grams is None:
        return None
    value = number(SOURCE, grams, f"{where}.intensity")
    if value < 0:
        raise SourceError(SOURCE, f"{where}.intensity is {value:g} g/kWh")
    start, end = (moment(SOURCE, row.get(name), f"{where}.{name}") for name in ("from", "to"))
    return Interval(start, end, value / _G_PER_KG)
