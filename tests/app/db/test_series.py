"""Site meters and series in the store."""

from datetime import datetime, timedelta
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from app.db.records import Reading
from app.db.store import Store
from app.db.types import PackedFloats
from app.errors import InvalidInputError
from tests.app.db.builders import NOON, a_series, at


def readings(*numbers: float, meter: str = "main", site: str = "depot") -> list[Reading]:
    """One a quarter of an hour, from noon."""
    return [Reading(site, meter, at(15 * index), kw) for index, kw in enumerate(numbers)]


async def test_readings_come_back_in_order_within_half_open_bounds(store: Store) -> None:
    await store.add_readings(readings(1, 2, 3, 4)[::-1])
    await store.add_readings(readings(9, meter="roof"))

    assert await store.readings("depot", "main", at(15), at(45)) == [(at(15), 2.0), (at(30), 3.0)]
    assert await store.readings("depot", "cellar", NOON, at(45)) == []


async def test_the_last_reading_of_an_instant_wins_and_only_changes_count(store: Store) -> None:
    assert await store.add_readings(readings(1, 2)) == 2
    assert await store.add_readings(readings(1, 5, 6)) == 2
    assert await store.add_readings(readings(1, 5, 6)) == 0
    assert await store.add_readings([]) == 0

    assert [kw for _, kw in await store.readings("depot", "main", NOON, at(60))] == [1, 5, 6]


async def test_within_one_call_too_the_last_reading_wins(store: Store) -> None:
    assert await store.add_readings([Reading("depot", "main", NOON, 1.0), Reading("depot", "main", NOON, 2.0)]) == 1

    assert await store.readings("depot", "main", NOON, at(1)) == [(NOON, 2.0)]


async def test_takes_a_year_of_quarter_hours(store: Store) -> None:
    year = [Reading("depot", "main", NOON + timedelta(minutes=15) * index, index / 7) for index in range(35_040)]

    assert await store.add_readings(year) == 35_040

    stored = await store.readings("depot", "main", NOON, NOON + timedelta(days=365))
    assert stored == [(reading.at, reading.kw) for reading in year]


async def test_refuses_a_reading_that_is_no_number(store: Store) -> None:
    with pytest.raises(InvalidInputError):
        await store.add_readings(readings(1, nan))

    assert await store.readings("depot", "main", NOON, at(60)) == []


async def test_tells_the_newest_reading_of_each_meter(store: Store) -> None:
    await store.add_readings(
        readings(1, 2, meter="main")
        + readings(3, meter="roof")
        + readings(4, 5, 6, meter="battery")
        + readings(7, site="yard")
    )

    assert await store.latest_readings("depot") == {
        "battery": (at(30), 6.0),
        "main": (at(15), 2.0),
        "roof": (NOON, 3.0),
    }
    assert await store.latest_readings("nowhere") == {}


async def test_the_highest_reading_of_each_meter_outlives_what_corrects_it(store: Store) -> None:
    await store.add_readings(
        readings(1, 5, 2, meter="main") + readings(-4, -3, meter="roof") + readings(9, site="yard")
    )
    await store.add_readings(readings(1, 4, 2, meter="main"))

    assert await store.highest_readings("depot") == {"main": 5.0, "roof": -3.0}
    assert await store.highest_readings("nowhere") == {}


async def test_a_series_comes_back_as_it_was_with_its_id(store: Store) -> None:
    issued = a_series(values=(0.1, -0.25, 1e-9, 0.1 + 0.2), estimated=True)

    number = await store.add_series(issued)

    [stored] = await store.series("depot", "import_price", NOON, at(60))
    assert stored.series_id == number
    assert stored.values == issued.values
    assert (stored.source, stored.issued_at, stored.unit, stored.estimated) == ("upload", NOON, "EUR/kWh", True)


async def test_finds_the_series_that_overlap_oldest_issue_first(store: Store) -> None:
    later = await store.add_series(a_series(issued_minutes=10))
    earlier = await store.add_series(a_series(issued_minutes=-10))
    await store.add_series(a_series(start_minutes=60))  # begins where the window ends
    await store.add_series(a_series(start_minutes=-60))  # ends where the window begins
    await store.add_series(a_series(kind="carbon"))
    await store.add_series(a_series(site_id="yard"))

    found = await store.series("depot", "import_price", NOON, at(60))

    assert [series.series_id for series in found] == [earlier, later]


async def test_the_same_issue_again_replaces_the_first(store: Store) -> None:
    first = await store.add_series(a_series())

    again = await store.add_series(a_series(values=(0.5,)))

    assert again == first
    assert [series.values for series in await store.series("depot", "import_price", NOON, at(15))] == [(0.5,)]
    assert await store.series("depot", "import_price", at(15), at(60)) == []


async def test_refuses_a_gap_and_a_naive_time(store: Store) -> None:
    with pytest.raises(InvalidInputError, match=r"values\[1\]"):
        await store.add_series(a_series(values=(0.1, nan)))
    with pytest.raises(InvalidInputError, match="no time zone"):
        await store.add_series(a_series(start=datetime(2026, 3, 2)))  # noqa: DTZ001 - the naive time is what is tested


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple))
def test_packed_values_are_exact(values: tuple[float, ...]) -> None:
    column, dialect = PackedFloats(), sqlite.dialect()

    packed = column.process_bind_param(values, dialect)

    assert packed is not None
    assert len(packed) == 8 * len(values)
    assert column.process_result_value(packed, dialect) == values
