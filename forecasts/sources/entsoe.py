"""Day-ahead prices from the ENTSO-E Transparency Platform: XML, a token, and several answers to one question.

A period counts its points from 1. On a curve of type A03 a point that is missing repeats the one before it, up to the
next or to the end of the period; on other curves it is a gap. Germany and Austria have two auctions: the sequence with
the lowest number counts where both say something, and a lone second one is valid. Of one sequence the finest
resolution counts. A reply may hold more days than were asked for.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element, ParseError  # only the types: parsing is defusedxml's

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from forecasts.errors import NotPublishedError, SourceError
from forecasts.sources.published import Interval, OnePage, Published, Request, Window, moment, on_steps

SOURCE = "entsoe"
BASE_URL = "https://web-api.tp.entsoe.eu"
TIMEOUT_S = 30.0
_RESOLUTION = re.compile(r"PT(\d+)(M|H)")
_NO_DATA = "999"
_REPEATS = "A03"
_KWH_PER_MWH = 1000.0


@dataclass(frozen=True, slots=True)
class Entsoe(OnePage):
    """`domain` is the bidding zone's EIC code, such as ``10Y1001A1001A82H`` for Germany and Luxembourg."""

    domain: str
    token: str = field(repr=False)
    base_url: str = BASE_URL

    @property
    def name(self) -> str:
        return SOURCE

    def requests(self, window: Window) -> tuple[Request, ...]:
        edges = {"periodStart": window.start, "periodEnd": window.end}
        params = {
            "securityToken": self.token,
            "documentType": "A44",
            "in_Domain": self.domain,
            "out_Domain": self.domain,
            "contract_MarketAgreement.type": "A01",
            **{name: f"{edge.astimezone(UTC):%Y%m%d%H%M}" for name, edge in edges.items()},
        }
        return (Request(f"{self.base_url}/api", params, secrets=(self.token,), timeout_s=TIMEOUT_S),)

    def parse(self, pages: Sequence[bytes], _: Window) -> tuple[Published, ...]:
        root = _root(pages[0])
        if _tag(root) == "Acknowledgement_MarketDocument":
            raise _acknowledged(root)
        if _tag(root) != "Publication_MarketDocument":
            raise SourceError(SOURCE, f"the reply is a {_tag(root)}, not a publication")
        curves = [curve for series in root.iterfind("{*}TimeSeries") for curve in _curves(series)]
        if not curves:
            raise NotPublishedError(SOURCE, "the publication holds no prices")
        units = sorted({curve.unit for curve in curves})
        if len(units) != 1:
            raise SourceError(SOURCE, f"prices come in {' and '.join(units)}")
        values, step = on_steps(SOURCE, _preferred(curves))
        return (Published("import_price", values, step, units[0]),)

    def declined(self, _: int, body: bytes) -> SourceError | None:
        """That there is no data comes with status 200 or 400."""
        try:
            root = _root(body)
        except SourceError:
            return None
        return _acknowledged(root) if _tag(root) == "Acknowledgement_MarketDocument" else None


@dataclass(frozen=True, slots=True)
class _Curve:
    sequence: int
    resolution: timedelta
    unit: str
    points: tuple[Interval, ...]


def _root(body: bytes) -> Element:
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # an encoding that nobody knows
        raise SourceError(SOURCE, f"the reply is no XML that can be read: {error}") from error
    return root


def _acknowledged(root: Element) -> SourceError:
    """What an acknowledgement in place of a publication says."""
    code, text = (root.findtext(f".//{{*}}Reason/{{*}}{name}") or "?" for name in ("code", "text"))
    if code == _NO_DATA:
        return NotPublishedError(SOURCE, text[:200])
    return SourceError(SOURCE, f"declined with reason {code}: {text[:200]}")


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: Element, path: str) -> str:
    text = element.findtext("/".join(f"{{*}}{name}" for name in path.split("/")))
    if text is None:
        raise SourceError(SOURCE, f"{_tag(element)} has no {path}")
    return text.strip()


def _curves(series: Element) -> Iterator[_Curve]:
    measure = _text(series, "price_Measure_Unit.name")
    if measure != "MWH":
        raise SourceError(SOURCE, f"prices are per {measure}, not per MWH")
    unit = f"{_text(series, 'currency_Unit.name')}/kWh"
    said = series.findtext("{*}classificationSequence_AttributeInstanceComponent.position") or "1"
    if not said.strip().isdigit():
        raise SourceError(SOURCE, f"the sequence is {said!r}, not a number")
    repeats = _text(series, "curveType") == _REPEATS
    for period in series.iterfind("{*}Period"):
        resolution = _resolution(_text(period, "resolution"))
        yield _Curve(int(said), resolution, unit, tuple(_points(period, resolution, repeats=repeats)))


def _resolution(text: str) -> timedelta:
    match = _RESOLUTION.fullmatch(text)
    length = (
        timedelta(0) if match is None else int(match[1]) * timedelta(**{{"M": "minutes", "H": "hours"}[match[2]]: 1})
    )
    if not timedelta(minutes=5) <= length <= timedelta(hours=1):
        raise SourceError(SOURCE, f"the resolution {text!r} is none of a price")
    return length


def _points(period: Element, resolution: timedelta, *, repeats: bool) -> Iterator[Interval]:
    start, end = (moment(SOURCE, _text(period, f"timeInterval/{name}"), name) for name in ("start", "end"))
    length = (end - start) // resolution
    if end <= start or length > 10_000:
        raise SourceError(SOURCE, f"a period goes from {start.isoformat()} to {end.isoformat()}")
    prices: dict[int, float] = {}
    for point in period.iterfind("{*}Point"):
        position, price = _whole(_text(point, "position")), _price(_text(point, "price.amount"))
        if not 1 <= position <= length:
            raise SourceError(SOURCE, f"position {position} is outside of a period of {length} points")
        if prices.setdefault(position, price) != price:
            raise SourceError(SOURCE, f"two values for position {position} of the period from {start.isoformat()}")
    last: float | None = None
    for position in range(1, length + 1):
        here = prices.get(position, last if repeats else None)
        if here is not None:
            at = start + (position - 1) * resolution
            yield Interval(at, at + resolution, here / _KWH_PER_MWH)
        last = here


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise SourceError(SOURCE, f"the position {text!r} is not a number")
    return int(text)


def _price(text: str) -> float:
    if re.fullmatch(r"-?\d+(\.\d+)?", text) is None:
        raise SourceError(SOURCE, f"the price {text!r} is not a number")
    return float(text)


def _preferred(curves: Sequence[_Curve]) -> list[Interval]:
    """On the finest grid: for each moment the lowest sequence that says something, of it the finest resolution."""
    finest = min(curve.resolution for curve in curves)
    chosen: dict[datetime, tuple[tuple[int, timedelta], float]] = {}
    for curve in curves:
        rank = (curve.sequence, curve.resolution)
        for point in curve.points:
            for part in range(max(1, curve.resolution // finest)):
                at = point.start + part * finest
                best = chosen.get(at)
                if best is not None and best[0] == rank and best[1] != point.value:
                    raise SourceError(SOURCE, f"two values for {at.isoformat()}: {best[1]:g} and {point.value:g}")
                if best is None or rank < best[0]:
                    chosen[at] = (rank, point.value)
    return [Interval(at, at + finest, value) for at, (_, value) in sorted(chosen.items())]
