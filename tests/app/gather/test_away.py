"""Meters that show something else than was forecast."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db.records import Plan
from app.gather.away import anchored, as_metered, away_from, is_away, measured_kw
from app.gather.prices import unpriced
from app.gather.signals import Signals
from app.site import Site

NOW = datetime(2026, 3, 2, 8, 5, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "UTC",
        "connection": {},
        "meters": [
            {"id": "building", "measures": "base_load"},
            {"id": "east", "measures": "pv"},
            {"id": "west", "measures": "pv"},
        ],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
)


def readings(minutes_ago: float = 5, **kw: float) -> dict[str, tuple[datetime, float]]:
    return {meter: (NOW - timedelta(minutes=minutes_ago), value) for meter, value in kw.items()}


def signals(base_kw: float = 20.0, pv_kw: float = 10.0) -> Signals:
    def flat(value: float) -> tuple[float, ...]:
        return (value,) * 6

    return Signals(
        flat(base_kw),
        flat(base_kw * 1.2),
        flat(base_kw * 0.8),
        flat(pv_kw),
        flat(pv_kw * 0.5),
        flat(pv_kw * 1.5),
        unpriced(6),
        {},
    )


def test_meters_of_a_kind_add_up_and_one_that_is_silent_leaves_nothing_to_say() -> None:
    assert measured_kw(SITE, readings(east=2.0, west=3.0), NOW, "pv") == 5.0
    assert measured_kw(SITE, readings(east=2.0), NOW, "pv") is None
    assert measured_kw(SITE, readings(20, east=2.0, west=3.0), NOW, "pv") is None
    assert measured_kw(SITE, {}, NOW, "battery") is None


@pytest.mark.parametrize(
    ("measured", "expected", "away"),
    [
        (24.0, 20.0, False),
        (27.0, 20.0, True),
        (13.0, 20.0, True),
        (3.0, 0.0, False),
        (5.0, 0.0, True),
        (None, 9, False),
    ],
)
def test_small_differences_are_not_worth_a_plan(measured: float | None, expected: float, away: bool) -> None:
    assert is_away("pv", measured, expected) is away
    assert is_away("base_load", 24.1, 20.0)
    assert not is_away("base_load", 53.0, 58.0)


def test_the_difference_fades_within_an_hour_and_power_is_never_below_zero() -> None:
    assert anchored((10.0,) * 6, 18.0, 10.0) == (18.0, 16.0, 14.0, 12.0, 10.0, 10.0)
    assert anchored((4.0,) * 3, 0.0, 10.0) == (0.0, 0.0, 0.0)


def test_a_cloud_that_nobody_forecast_moves_the_roofs_next_slots_and_leaves_the_building_alone() -> None:
    before = signals()

    after = as_metered(before, SITE, readings(building=21.0, east=1.0, west=1.0), NOW)

    assert after.pv_kw == (2.0, 4.0, 6.0, 8.0, 10.0, 10.0)
    assert after.pv_low_kw[:2] == (0.0, 0.0)
    assert after.pv_high_kw[0] == 7.0
    assert after.base_load_kw == before.base_load_kw
    assert after.provenance == {"metered": {"pv": {"measured_kw": 2.0, "expected_kw": 10.0}}}


def test_what_is_as_expected_changes_nothing() -> None:
    before = signals()

    assert as_metered(before, SITE, readings(building=21.0, east=5.0, west=5.0), NOW) is before


def a_plan(**series: Any) -> Plan:
    problem = {"slot_minutes": 15, "base_load_kw": [20.0, 44.0], "pv_kw": 10.0} | series
    start = NOW.replace(minute=0)
    return Plan("p", "depot", "replan", NOW, start, start + timedelta(hours=1), "optimal", None, problem, {})


def test_a_plan_says_what_its_meters_are_away_from() -> None:
    shown = readings(building=40.0, east=5.0, west=5.0)

    assert away_from(a_plan(), SITE, shown, NOW) == {"base_load": {"measured_kw": 40.0, "expected_kw": 20.0}}
    assert away_from(a_plan(), SITE, shown, NOW + timedelta(minutes=10)) == {}
    assert away_from(a_plan(), SITE, readings(building=40.0), NOW + timedelta(hours=3)) == {}


def test_a_roof_that_is_curtailed_says_nothing_of_the_sun() -> None:
    shown = readings(east=1.0, west=1.0)

    free = as_metered(signals(pv_kw=20.0), SITE, shown, NOW)
    curtailed = as_metered(signals(pv_kw=20.0), SITE, shown, NOW, is_curtailed=True)

    assert free.pv_kw[0] == 2.0
    assert curtailed.pv_kw[0] == 20.0


def test_a_plan_that_curtails_expects_no_more_of_the_roofs_meter() -> None:
    shown, plan = readings(building=20.0, east=1.0, west=1.0), a_plan()
    curtailing = replace(plan, schedule={"curtail_kw": [8.0] * 6})

    assert "pv" in away_from(plan, SITE, shown, NOW)
    assert away_from(curtailing, SITE, shown, NOW) == {}
