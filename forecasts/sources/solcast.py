"""PV power from Solcast for a rooftop site: the median with its 10th and 90th percentile, in kW.

Values are means of the period that ends at ``period_end``. A hobbyist's key allows ten requests a day.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.published import (
    Interval,
    Kind,
    OnePage,
    Published,
    Request,
    Window,
    json_of,
    moment,
    number,
    on_steps,
)

SOURCE = "solcast"
BASE_URL = "https://api.solcast.com.au"
_COLUMNS: dict[Kind, str] = {"pv": "pv_estimate", "pv_low": "pv_estimate10", "pv_high": "pv_estimate90"}
_PERIOD = re.compile(r"PT(\d{1,3})M")


@dataclass(frozen=True, slots=True)
class Solcast(OnePage):
    """`rooftop_id` is the site's id at Solcast."""

    rooftop_id: str
    token: str = field(repr=False)
    base_url: str = BASE_URL

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, window: Window) -> tuple[Request, ...]:
        hours = max(1, round((window.end - window.start) / timedelta(hours=1)))
        return (
            Request(
                f"{self.base_url}/rooftop_sites/{self.rooftop_id}/forecasts",
                {"hours": str(hours), "format": "json"},
                headers={"Authorization": f"Bearer {self.token}"},
                secrets=(self.token,),
            ),
        )

    def parse(self, pages: Sequence[bytes], _: Window) -> tuple[Published, ...]:
        reply = json_of(SOURCE, pages[0])
        rows = reply.get("forecasts") if isinstance(reply, dict) else None
        if not isinstance(rows, list):
            raise SourceError(SOURCE, "the reply has no list of forecasts")
        if not rows:
            raise NotPublishedError(SOURCE, "the reply holds no forecast")
        published = []
        for kind, column in _COLUMNS.items():
            values, step = on_steps(SOURCE, [_interval(row, position, column) for position, row in enumerate(rows)])
            published.append(Published(kind, values, step, "kW"))
        return tuple(published)


def _interval(row: object, position: int, column: str) -> Interval:
    where = f"forecasts[{position}]"
    if not isinstance(row, dict):
        raise SourceError(SOURCE, f"{where} is {row!r}, not an object")
    period = _PERIOD.fullmatch(str(row.get("period")))
    if period is None:
        raise SourceError(SOURCE, f"{where}.period is {row.get('period')!r}, not of the form PT30M")
    power_kw = number(SOURCE, row.get(column), f"{where}.{column}")
    if power_kw < 0:
        raise SourceError(SOURCE, f"{where}.{column} is {power_kw:g} kW")
    end = moment(SOURCE, row.get("period_end"), f"{where}.period_end")
    return Interval(end - timedelta(minutes=int(period[1])), end, power_kw)
