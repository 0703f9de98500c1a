"""What a source is asked, and what it published: the words that every adapter shares.

An adapter is pure: it writes `Request`s for a `Window` and reads the bytes that came back. Who connects, how often,
and what is kept when nothing comes, is decided in `app.sources`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import gcd, isfinite
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import SourceError

Kind = Literal[
    "import_price", "export_price", "carbon", "carbon_marginal",
    "pv", "pv_low", "pv_high", "ghi", "temp_air", "base_load", "base_load_high", "base_load_low", "import_limit",
]  # fmt: skip
MINUTE = timedelta(minutes=1)
STEPS_MINUTES = (60, 30, 15, 10, 5)  # the resolutions that series are kept in
MAX_STEPS = 120_000
HIDDEN = "***"
DEFAULT_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is asked for, aware and half-open: [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """One HTTP request. `secrets` are what must never be shown: its text leaves them out, wherever they stand."""

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None  # None: GET; otherwise POSTed as JSON
    form: Mapping[str, str] | None = None  # POSTed as a form
    secrets: tuple[str, ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S

    def __repr__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.params.items())
        return self.without_secrets(f"{self.url}?{query}" if query else self.url)

    @property
    def key(self) -> str:
        """The same for the same request; holds its secrets."""
        parts = (self.url, dict(self.params), dict(self.headers), self.body, self.form)
        return json.dumps(parts, sort_keys=True, default=dict)

    def without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            if secret:
                text = text.replace(secret, HIDDEN)
        return text


@dataclass(frozen=True, slots=True)
class Order:
    """A utility's limit of a site's import, in kW. `start` None: from now on; `end` None: until it is taken back."""

    reference: str
    start: datetime | None
    end: datetime | None
    max_kw: float


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """Values of one kind: start-labelled in UTC, each `step` long, without NaN; what is absent is left out.

    Prices are currency/kWh, carbon kg/kWh, PV kW, ghi W/m², temp_air °C. An import_limit has no values but `orders`:
    all that hold.
    """

    kind: Kind
    values: pd.Series
    step: timedelta
    unit: str
    licence: str = ""
    orders: tuple[Order, ...] = ()

    @classmethod
    def of_orders(cls, orders: tuple[Order, ...]) -> "Published":
        none = pd.Series(dtype="float64", index=pd.DatetimeIndex([], tz="UTC"))
        return cls("import_limit", none, STEPS_MINUTES[-1] * MINUTE, "kW", orders=orders)

    def missing(self, window: Window) -> datetime | None:
        """The first moment of the window that no value covers."""
        starts = pd.date_range(window.start, window.end, freq=self.step, inclusive="left").tz_convert("UTC")
        absent = starts[~starts.isin(self.values.index)]
        return None if absent.empty else absent[0].to_pydatetime()


class Adapter(Protocol):
    """One provider with the options of one site. `parse` raises `SourceError`; `NotPublishedError`: not out yet."""

    @property
    def name(self) -> str: ...

    def requests(self, window: Window, /) -> tuple[Request, ...]: ...

    def login(self) -> Request | None:
        """What has to be asked first, for leave to ask; `logged_in` reads the reply."""
        ...

    def logged_in(self, reply: bytes, /) -> "Adapter": ...

    def more(self, request: Request, page: bytes, /) -> Request | None:
        """What has to be asked after `page` came for `request`, where a reply comes in several."""
        ...

    def parse(self, pages: Sequence[bytes], window: Window, /) -> tuple[Published, ...]: ...

    def declined(self, status: int, body: bytes, /) -> SourceError | None:
        """What a reply with a status from 400 to 499 means, where the provider says more than the status."""
        ...


class Plain:
    """For adapters whose requests hold all that is needed, and whose statuses mean what they say."""

    def login(self) -> Request | None:
        return None

    def logged_in(self, _: bytes, /) -> Adapter:
        raise NotImplementedError("there is no login")

    def declined(self, _: int, __: bytes, /) -> SourceError | None:
        return None


class OnePage(Plain):
    """For adapters whose replies come whole, too."""

    def more(self, _: Request, __: bytes, /) -> Request | None:
        return None


def json_of(source: str, body: bytes) -> Any:
    """The JSON in a reply; HTML, text, NaN and infinities are `SourceError`s."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if body.lstrip()[:1] == b"<":
            raise SourceError(source, "the reply is HTML or XML, not JSON") from error
        raise SourceError(source, f"the reply is no JSON: {error}") from error


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def number(source: str, value: object, where: str) -> float:
    """A finite number; text, null and booleans are refused, never read as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise SourceError(source, f"{where} is {value!r}, not a number")
    return float(value)


def numbers(source: str, values: object, where: str) -> NDArray[np.float64]:
    """A list of finite numbers; null is NaN, everything else is refused."""
    if not isinstance(values, list):
        raise SourceError(source, f"{where} is a {type(values).__name__}, not a list")
    return np.array(
        [np.nan if value is None else number(source, value, f"{where}[{n}]") for n, value in enumerate(values)],
        dtype="float64",
    )


def moment(source: str, value: object, where: str) -> datetime:
    """An aware moment from ISO 8601, with or without seconds, and with any number of decimals."""
    if not isinstance(value, str):
        raise SourceError(source, f"{where} is {value!r}, not a time")
    text = re.sub(r"(\.\d{6})\d+", r"\1", value)  # Solcast writes seven
    try:
        result = datetime.fromisoformat(text)
        if result.tzinfo is None:
            raise SourceError(source, f"{where} {value!r} has no time zone")
        return result.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SourceError(source, f"{where} is {value!r}, not a time") from error


@dataclass(frozen=True, slots=True)
class Interval:
    """A value over [start, end), both in UTC."""

    start: datetime
    end: datetime
    value: float


def on_steps(source: str, intervals: Iterable[Interval], clip: Window | None = None) -> tuple[pd.Series, timedelta]:
    """Intervals of any length as values on the longest step of `STEPS_MINUTES` that fits them all.

    The same interval twice with the same value counts once. Raises `SourceError` where two values contradict each
    other, an interval is empty, or an end is off the five minutes.
    """
    known = sorted({(one.start, one.end, one.value) for one in intervals})
    if clip is not None:
        known = [(max(s, clip.start), min(e, clip.end), v) for s, e, v in known if s < clip.end and e > clip.start]
    if not known:
        raise SourceError(source, "holds no value")
    for (start, end, _), after in zip(known, [*known[1:], None], strict=True):
        if end <= start:
            raise SourceError(source, f"an interval ends at {end.isoformat()}, where it starts")
        if after is not None and after[0] < end:
            raise SourceError(source, f"two values for {after[0].isoformat()}")
    step = _step(source, [edge for start, end, _ in known for edge in (start, end)])
    first, last = known[0][0], known[-1][1]
    if (last - first) / step > MAX_STEPS:
        raise SourceError(source, f"the reply reaches from {first.isoformat()} to {last.isoformat()}: too far")
    counts = [(end - start) // step for start, end, _ in known]
    starts_s = np.repeat([start.timestamp() for start, _, _ in known], counts)
    within = np.arange(sum(counts)) - np.repeat(np.cumsum(counts) - counts, counts)
    stamps_s = (starts_s + within * step.total_seconds()).astype("int64")
    index = pd.DatetimeIndex(stamps_s.view("datetime64[s]")).tz_localize("UTC")
    return pd.Series(np.repeat([value for _, _, value in known], counts), index=index, dtype="float64"), step


def started(source: str, values: Mapping[datetime, float]) -> list[Interval]:
    """Intervals of values that are known by their start alone: each ends where the next begins, or after a step.

    The step is the shortest distance; nothing reaches over a longer one, which is a gap. One value alone has no end.
    """
    starts = sorted(values)
    if len(starts) < 2:
        raise SourceError(source, f"has {len(starts)} values: too few to tell how long one holds")
    step = min(after - before for before, after in pairwise(starts))
    return [Interval(start, start + step, values[start]) for start in starts]


def unique(source: str, pairs: Iterable[tuple[datetime, float]]) -> dict[datetime, float]:
    """Values by their moment; twice the same is once, two different ones are a `SourceError`."""
    values: dict[datetime, float] = {}
    for at, value in pairs:
        if values.setdefault(at, value) != value:
            raise SourceError(source, f"two values for {at.isoformat()}: {values[at]:g} and {value:g}")
    return values


def _step(source: str, edges: Sequence[datetime]) -> timedelta:
    seconds = [round(edge.timestamp()) for edge in edges]
    shared_s = gcd(*seconds, 3600)
    for minutes in STEPS_MINUTES:
        if shared_s % (minutes * 60) == 0:
            return minutes * MINUTE
    odd = next(edge for edge, second in zip(edges, seconds, strict=True) if second % 300)
    raise SourceError(source, f"{odd.isoformat()} is not on five minutes")
