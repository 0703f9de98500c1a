"""Whatever a provider sends, an adapter reads it or says that it cannot: no other exception gets out."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sources.plausible import require_plausible
from forecasts.errors import SourceError
from forecasts.sources.openadr import OpenAdr
from forecasts.sources.published import STEPS_MINUTES, Adapter, Interval, Window, on_steps
from tests.app.sources.recorded import QUARTER, RECORDINGS
from tests.app.sources.vtn import an_event

START = datetime(2026, 4, 26, 8, 0, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=2))
ROWS: list[tuple[datetime, float | None]] = [(START + n * QUARTER * 4, 0.1 + n / 100) for n in range(3)]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ["2026-04-26T08:00:00Z", "2026-04-26T08:00", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59Z", "EUR"]
    )
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def read(adapter: Adapter, body: bytes) -> None:
    """Parsed, and judged, or refused."""
    try:
        published = adapter.parse([body], WINDOW)
        require_plausible("fuzz", published, currency="EUR", peak_kw=None, may_be_flat=False)
    except SourceError:
        return
    for one in published:
        assert not one.values.isna().any()
        assert one.values.index.is_monotonic_increasing


def mutated(data: st.DataObject, document: Any) -> Any:
    """The document with something else in the place of one of its parts, or without it."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(document)
    node, key = data.draw(st.sampled_from(places))
    if data.draw(st.booleans()) and isinstance(node, dict):
        del node[key]
    else:
        node[key] = data.draw(ANYTHING)
    return document


@pytest.mark.parametrize("name", [name for name, one in RECORDINGS.items() if one.is_json])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_reply_with_anything_in_it_is_read_or_refused(name: str, data: st.DataObject) -> None:
    recording = RECORDINGS[name]
    document = json.loads(recording.reply(ROWS, QUARTER if name == "open_meteo" else timedelta(hours=1)))

    read(recording.make("https://provider.example"), json.dumps(mutated(data, document)).encode())


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_an_event_with_anything_in_it_is_read_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PRICE", "GHG", "IMPORT_CAPACITY_LIMIT"]))
    document = [an_event("e", kind, 0.1, 0.2, priority=1), an_event("f", kind, 0.3)]

    read(OpenAdr("https://vtn.example", "c", "s"), json.dumps(mutated(data, document)).encode())


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_document_with_anything_in_it_is_read_or_refused(data: st.DataObject) -> None:
    body = RECORDINGS["entsoe"].reply(ROWS, timedelta(hours=1)).decode()
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 30)))
    text = data.draw(
        st.text(max_size=12) | st.sampled_from(["<Point>", "</Period>", "PT15M", "9" * 400, "-1", "1e400"])
    )

    read(RECORDINGS["entsoe"].make("https://provider.example"), (body[:start] + text + body[end:]).encode())


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    step_minutes=st.sampled_from([5, 10, 15, 30, 60]),
    data=st.data(),
)
def test_steps_hold_what_the_intervals_held(lengths: list[int], step_minutes: int, data: st.DataObject) -> None:
    """In whatever order they came: at each step the value of its interval, and as much time as before."""
    at, intervals = START, []
    for n, length in enumerate(lengths):
        end = at + length * timedelta(minutes=step_minutes)
        intervals.append(Interval(at, end, float(n)))
        at = end + data.draw(st.sampled_from([0, 0, 1, 3])) * timedelta(minutes=step_minutes)

    values, step = on_steps("test", data.draw(st.permutations(intervals)))

    assert round(step / timedelta(minutes=1)) in STEPS_MINUTES
    assert len(values) * step == sum((one.end - one.start for one in intervals), timedelta(0))
    for one in intervals:
        inside = values[(values.index >= one.start) & (values.index < one.end)]
        assert set(inside) == {one.value}
