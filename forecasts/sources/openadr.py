"""OpenADR 3 as a virtual end node (VEN): prices, carbon and capacity limits from a utility's server (VTN).

An interval without a period of its own follows the one before it, as long as the event says. Several values in one
payload divide their interval equally. A start in the year 1 means now, a duration of 9999 years for ever. Of events
that say something of the same moment the one with the lowest number of priority counts, of equals the latest changed;
of capacity limits every one counts, and the lowest binds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from forecasts.errors import SourceError
from forecasts.sources.published import (
    Adapter,
    Interval,
    Kind,
    Order,
    Plain,
    Published,
    Request,
    Window,
    json_of,
    moment,
    number,
    on_steps,
)

SOURCE = "openadr"
PAGE = 50
CELL = timedelta(minutes=5)
LIMIT = "IMPORT_CAPACITY_LIMIT"
_PRICES: dict[str, Kind] = {"PRICE": "import_price", "EXPORT_PRICE": "export_price"}
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_FOR_EVER_Y = 100
_LAST_PRIORITY = 10**9


@dataclass(frozen=True, slots=True)
class OpenAdr(Plain):
    """`base_url` is that of the VTN, with its path; `secret` the client's. `bearer` is there after the login."""

    base_url: str
    client_id: str
    secret: str = field(repr=False)
    program_id: str | None = None
    bearer: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        return SOURCE

    def login(self) -> Request | None:
        form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.secret}
        return Request(f"{self.base_url}/auth/token", form=form, secrets=(self.secret,))

    def logged_in(self, reply: bytes) -> Adapter:
        said = json_of(SOURCE, reply)
        bearer = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(bearer, str) or not bearer:
            raise SourceError(SOURCE, "the login gave no access_token")
        return replace(self, bearer=bearer)

    def requests(self, _: Window) -> tuple[Request, ...]:
        return (self._page(0),)

    def more(self, request: Request, page: bytes) -> Request | None:
        return None if len(_events(page)) < PAGE else self._page(int(request.params["skip"]) + PAGE)

    def _page(self, skip: int) -> Request:
        params = {"skip": str(skip), "limit": str(PAGE)} | ({"programID": self.program_id} if self.program_id else {})
        headers = {"Authorization": f"Bearer {self.bearer}"}
        return Request(f"{self.base_url}/events", params, headers=headers, secrets=(self.secret, self.bearer))

    def parse(self, pages: Sequence[bytes], window: Window) -> tuple[Published, ...]:
        said = [payload for page in pages for event in _events(page) for payload in _payloads(event)]
        orders = tuple(
            Order(payload.reference, payload.start, payload.end, _in_kw(payload))
            for payload in said
            if payload.type == LIMIT
        )
        published = [Published.of_orders(orders)]
        for name, kind in (*_PRICES.items(), ("GHG", "carbon")):
            of_type = [payload for payload in said if payload.type == name]
            units = sorted({_unit(payload) for payload in of_type})
            if len(units) > 1:
                raise SourceError(SOURCE, f"{name} comes in {' and '.join(units)}")
            runs = _runs(_winning(of_type, window), 1e-3 if name == "GHG" else 1.0)
            if runs:
                values, step = on_steps(SOURCE, runs)
                published.append(Published(kind, values, step, units[0]))
        return tuple(published)


@dataclass(frozen=True, slots=True)
class _Payload:
    """A value over [start, end); None: from now on, for ever."""

    reference: str
    type: str
    start: datetime | None
    end: datetime | None
    value: float
    descriptor: Mapping[str, Any]
    rank: tuple[int, float]  # the least counts: priority, then how long ago it was changed


def _events(page: bytes) -> list[dict[str, Any]]:
    events = json_of(SOURCE, page)
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise SourceError(SOURCE, "the reply is no list of events")
    return events


def _payloads(event: dict[str, Any]) -> Iterator[_Payload]:
    name = str(event.get("id", "?"))
    listed = event.get("payloadDescriptors") or []
    if not isinstance(listed, list):
        raise SourceError(SOURCE, f"event {name} has payloadDescriptors that are no list")
    descriptors = {str(one.get("payloadType")): one for one in listed if isinstance(one, dict)}
    changed = event.get("modificationDateTime") or event.get("createdDateTime")
    changed_s = moment(SOURCE, changed, f"event {name}").timestamp() if changed else 0.0
    priority = event.get("priority")
    rank = (_LAST_PRIORITY if priority is None else int(number(SOURCE, priority, "priority")), -changed_s)
    start, length = _period(event.get("intervalPeriod"), name)
    intervals = event.get("intervals")
    if not isinstance(intervals, list):
        raise SourceError(SOURCE, f"event {name} has no intervals")
    following = start
    for interval in intervals:
        if not isinstance(interval, dict) or not isinstance(interval.get("payloads"), list):
            raise SourceError(SOURCE, f"event {name} has an interval without payloads")
        begins, lasts = following, length
        if interval.get("intervalPeriod") is not None:
            begins, lasts = _period(interval["intervalPeriod"], name)
        end = _after(begins, lasts, name)
        following = end
        for payload in interval["payloads"]:
            kind = str(payload.get("type")) if isinstance(payload, dict) else ""
            if kind not in (*_PRICES, "GHG", LIMIT):
                continue
            values = payload.get("values")
            if not isinstance(values, list) or not values:
                raise SourceError(SOURCE, f"event {name} has a {kind} without values")
            for n, value in enumerate(values):
                part = None if begins is None or end is None else (end - begins) / len(values)
                if part is None and len(values) > 1:
                    raise SourceError(SOURCE, f"event {name} divides an interval without end")
                yield _Payload(
                    reference=f"{name}/{interval.get('id', 0)}" + (f"/{n}" if len(values) > 1 else ""),
                    type=kind,
                    start=begins if part is None or begins is None else begins + n * part,
                    end=end if part is None or begins is None else begins + (n + 1) * part,
                    value=number(SOURCE, value, f"event {name} {kind}"),
                    descriptor=descriptors.get(kind, {}),
                    rank=rank,
                )


def _after(start: datetime | None, length: timedelta | None, name: str) -> datetime | None:
    try:
        return None if start is None or length is None else start + length
    except OverflowError as error:
        raise SourceError(SOURCE, f"event {name} ends beyond all time") from error


def _period(period: object, name: str) -> tuple[datetime | None, timedelta | None]:
    """Start and length; None: now, and for ever."""
    if not isinstance(period, dict):
        return None, None
    text = str(period.get("start", ""))
    start = None if not text or text.startswith("0001-01-01") else moment(SOURCE, text, f"event {name} start")
    said = period.get("duration")
    match = _DURATION.fullmatch(str(said)) if said is not None else None
    if said is not None and (match is None or not any(match.groups())):
        raise SourceError(SOURCE, f"event {name} has the duration {said!r}")
    if match is None or (match[1] and int(match[1]) >= _FOR_EVER_Y):
        return start, None
    years, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    length = timedelta(days=365 * years + 7 * weeks + days, hours=hours, minutes=minutes, seconds=seconds)
    return start, length or None


def _unit(payload: _Payload) -> str:
    units = str(payload.descriptor.get("units", "KWH" if payload.type in _PRICES else "GHG"))
    if payload.type == "GHG":
        return "kg/kWh"
    currency = payload.descriptor.get("currency")
    if units != "KWH" or not isinstance(currency, str):
        raise SourceError(SOURCE, f"{payload.type} is in {currency}/{units}, not in a currency per KWH")
    return f"{currency}/kWh"


def _in_kw(payload: _Payload) -> float:
    units = payload.descriptor.get("units", "KW")
    if units != "KW" or payload.value < 0:
        raise SourceError(SOURCE, f"{LIMIT} {payload.value:g} {units} is no limit in KW")
    return payload.value


def _winning(payloads: Sequence[_Payload], window: Window) -> dict[datetime, float]:
    """The value of each five minutes of the window, by the event that counts there."""
    cells: dict[datetime, tuple[tuple[int, float], float]] = {}
    for payload in payloads:
        start = max(window.start, payload.start or window.start)
        end = min(window.end, payload.end or window.end)
        at = datetime.fromtimestamp(-(-start.timestamp() // CELL.total_seconds()) * CELL.total_seconds(), UTC)
        while at < end:
            if at not in cells or payload.rank < cells[at][0]:
                cells[at] = (payload.rank, payload.value)
            at += CELL
    return {at: value for at, (_, value) in sorted(cells.items())}


def _runs(cells: Mapping[datetime, float], scale: float) -> list[Interval]:
    """Cells that follow each other with one value as one interval, so that hours stay hours."""
    runs: list[Interval] = []
    for at, value in cells.items():
        if runs and runs[-1].end == at and runs[-1].value == value * scale:
            runs[-1] = replace(runs[-1], end=at + CELL)
        else:
            runs.append(Interval(at, at + CELL, value * scale))
    return runs
