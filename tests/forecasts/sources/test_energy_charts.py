"""Energy-Charts: recorded days, and replies that changed their shape. How it is asked: tests/app/sources."""

from datetime import date, timedelta
from typing import Any

import pytest

from forecasts.errors import SourceError
from forecasts.local_days import day_slots
from forecasts.sources.energy_charts import parse
from tests.forecasts.builders import BERLIN, at, energy_charts_reply


def a_reply(prices: list[float | None], start: str = "2026-04-25 22:00", minutes: int = 15) -> dict[str, Any]:
    first = int(at(start).timestamp())
    return {
        "license_info": "CC BY 4.0",
        "unix_seconds": [first + n * minutes * 60 for n in range(len(prices))],
        "price": prices,
        "unit": "EUR / MWh",
        "deprecated": False,
    }


@pytest.mark.parametrize(
    ("day", "slots", "minutes"),
    [
        ("2024-07-14", 24, 60),
        ("2025-03-30", 23, 60),
        ("2025-10-01", 96, 15),
        ("2025-10-26", 100, 15),
        ("2026-03-29", 92, 15),
    ],
)
def test_a_recorded_day_is_read_whole(day: str, slots: int, minutes: int) -> None:
    result = parse(energy_charts_reply(day))

    assert result.slot == timedelta(minutes=minutes)
    assert len(result.price_per_kwh) == slots
    assert result.price_per_kwh.index.equals(day_slots(date.fromisoformat(day), BERLIN, minutes))
    assert result.currency == "EUR"


def test_prices_per_mwh_become_prices_per_kwh_and_may_be_negative() -> None:
    reply = energy_charts_reply("2026-04-26")

    result = parse(reply)

    assert result.price_per_kwh.min() == pytest.approx(min(reply["price"]) / 1000)
    assert result.price_per_kwh.min() < -0.4


def test_nulls_at_the_end_are_left_off() -> None:
    result = parse(a_reply([50.0, 60.0, None, None]))

    assert result.price_per_kwh.tolist() == [0.05, 0.06]
    assert result.until == at("2026-04-25 22:30")


def test_a_null_between_prices_is_never_filled() -> None:
    with pytest.raises(SourceError, match=r"no price for 2026-04-25T22:15"):
        parse(a_reply([50.0, None, 60.0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "EUR / kWh"}, "not per MWh"),
        ({"unit": None}, "cannot be read"),
        ({"price": [1.0]}, "cannot be read"),
        ({"price": ["cheap", "dear"]}, "not a number"),
        ({"unix_seconds": [1777154400, 1777154400]}, "twice"),
        ({"unix_seconds": [1777154400]}, "cannot be read"),
    ],
)
def test_a_reply_that_changed_its_shape_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse(a_reply([50.0, 60.0]) | change)


def test_intervals_of_two_lengths_are_refused() -> None:
    reply = a_reply([50.0, 60.0, 70.0])
    reply["unix_seconds"][2] += 900

    with pytest.raises(SourceError, match=r"not of one length, but of \[900, 1800\] s"):
        parse(reply)
