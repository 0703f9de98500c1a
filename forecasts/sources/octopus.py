"""Half-hourly prices of Octopus Energy's Agile tariffs (Great Britain): no key for prices.

Rates come newest first, in pence per kWh, over pages; ``valid_to`` null means until further notice. A day goes from
23:00 to 23:00 on the British clock, which is midnight to midnight in Central Europe all year. A rate may come once for
each way to pay; those of direct debit count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.published import Interval, Plain, Published, Request, Window, json_of, moment, number, on_steps

SOURCE = "octopus"
BASE_URL = "https://api.octopus.energy"
_PENCE = 100


@dataclass(frozen=True, slots=True)
class Octopus(Plain):
    """`product` such as ``AGILE-24-10-01``; `region` is the letter of the grid supply point, ``A`` to ``P``."""

    product: str
    region: str
    with_vat: bool = True
    base_url: str = BASE_URL

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, window: Window) -> tuple[Request, ...]:
        tariff = f"E-1R-{self.product}-{self.region}"
        url = f"{self.base_url}/v1/products/{self.product}/electricity-tariffs/{tariff}/standard-unit-rates/"
        edges = {"period_from": window.start, "period_to": window.end}
        params = {name: f"{edge.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for name, edge in edges.items()}
        return (Request(url, {**params, "page_size": "1500"}),)

    def more(self, _: Request, page: bytes) -> Request | None:
        following = _reply(page).get("next")
        if following is None:
            return None
        if not isinstance(following, str) or urlsplit(following)[:2] != urlsplit(self.base_url)[:2]:
            raise SourceError(SOURCE, "the next page is on another server")
        return Request(following)

    def parse(self, pages: Sequence[bytes], window: Window) -> tuple[Published, ...]:
        intervals = []
        for page in pages:
            for position, row in enumerate(_reply(page)["results"]):
                if not isinstance(row, dict):
                    raise SourceError(SOURCE, f"results[{position}] is {row!r}, not an object")
                if row.get("payment_method") in (None, "DIRECT_DEBIT"):
                    intervals.append(self._interval(row, f"results[{position}]", window.end))
        if not intervals:
            raise NotPublishedError(SOURCE, f"no rate from {window.start.isoformat()} on")
        values, step = on_steps(SOURCE, intervals, clip=window)
        return (Published("import_price", values, step, "GBP/kWh"),)

    def _interval(self, row: dict[str, object], where: str, end: datetime) -> Interval:
        column = "value_inc_vat" if self.with_vat else "value_exc_vat"
        valid_to = row.get("valid_to")
        start = moment(SOURCE, row.get("valid_from"), f"{where}.valid_from")
        until = max(end, start) if valid_to is None else moment(SOURCE, valid_to, f"{where}.valid_to")
        return Interval(start, until, number(SOURCE, row.get(column), f"{where}.{column}") / _PENCE)


def _reply(page: bytes) -> dict[str, Any]:
    reply = json_of(SOURCE, page)
    if not isinstance(reply, dict) or not isinstance(reply.get("results"), list):
        raise SourceError(SOURCE, "the reply has no list of results")
    return reply
