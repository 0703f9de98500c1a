"""What a day comes to, and when it is good."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.demo.physics import Excess, Measured
from app.demo.policies import Outcome, SessionOutcome
from app.demo.result import DeliveryCount, DemoResult, PlannedCost, count_deliveries
from app.demo.scenario import build_scenario

EXCESS = Excess("row-a", "L1", 12, 97.0, 80.0)


def an_outcome(*excesses: Excess, cost: float = 10.0) -> Outcome:
    sessions = (SessionOutcome("s01", 20.0, 18.0, 2.0), SessionOutcome("s02", 8.0, 8.0, 0.1))
    return Outcome(sessions, cost, Measured(np.array([5.0, 7.0]), np.zeros(2), excesses))


@pytest.fixture
def good() -> DemoResult:
    return DemoResult(12, DeliveryCount(30, 30, ()), 9.5, an_outcome(), an_outcome(EXCESS), an_outcome())


def a_delivery(state: str, detail: str | None = None) -> dict[str, Any]:
    return {"charging_station_id": "cs01", "evse_id": 1, "state": state, "detail": detail, "at": "09:00"}


def test_prints_exactly_what_was_promised(good: DemoResult) -> None:
    assert good.to_json() == {
        "stations": 12,
        "profiles_sent": 30,
        "profiles_verified": 30,
        "sessions": [
            {"id": "s01", "asked_kwh": 20.0, "delivered_kwh": 18.0, "departure_met": False},
            {"id": "s02", "asked_kwh": 8.0, "delivered_kwh": 8.0, "departure_met": True},
        ],
        "cost": {"planned": 9.5, "realised": 10.0, "uncontrolled": 10.0, "equal_share": 10.0},
        "unmet_kwh": {"realised": 2.1, "uncontrolled": 2.1, "equal_share": 2.1},
        "peak_kw": {"realised": 7.0, "uncontrolled": 7.0, "equal_share": 7.0},
        "limit_violations": 0,
        "uncontrolled_violations": 12,
    }
    assert good.is_good


def test_a_limit_that_was_exceeded_is_named(good: DemoResult) -> None:
    bad = replace(good, realised=an_outcome(EXCESS))

    assert bad.failures == ("row-a L1: up to 97.0, above 80 for 12 s",)


def test_a_scenario_without_temptation_proves_nothing(good: DemoResult) -> None:
    assert not replace(good, uncontrolled=an_outcome()).is_good


def test_a_day_without_any_profile_is_not_good(good: DemoResult) -> None:
    assert not replace(good, deliveries=DeliveryCount(0, 0, ())).is_good


def test_counts_what_was_sent_and_what_of_it_was_verified() -> None:
    plans = [
        {"deliveries": [a_delivery("verified"), a_delivery("verified", "unchanged"), a_delivery("offline")]},
        {"deliveries": [a_delivery("applied"), a_delivery("withheld", "no room yet")]},
    ]

    assert count_deliveries(plans) == DeliveryCount(sent=2, verified=2, unverified=())


@pytest.mark.parametrize("state", ["sent", "accepted", "contradicted", "ignored", "rejected", "unknown"])
def test_every_profile_in_force_has_to_be_verified(good: DemoResult, state: str) -> None:
    count = count_deliveries([{"deliveries": [a_delivery("verified"), a_delivery(state, "why")]}])

    assert (count.sent, count.verified) == (2, 1)
    assert count.unverified == (f"cs01/1 at 09:00: {state} (why)",)
    assert not replace(good, deliveries=count).is_good


def test_an_unchanged_profile_that_is_contradicted_counts_too() -> None:
    count = count_deliveries([{"deliveries": [a_delivery("contradicted", "unchanged")]}])

    assert (count.sent, len(count.unverified)) == (0, 1)


def test_planned_cost_takes_each_quarter_from_the_plan_that_held() -> None:
    scenario = build_scenario()
    planned = PlannedCost(scenario)
    start = scenario.start.isoformat()
    schedule = {"import_kw": [10.0, 20.0, 0.0], "export_kw": [0.0, 0.0, 8.0]}

    for quarter in range(4):  # the fourth lies behind the plan's end
        planned.note(quarter, {"problem": {"start": start, "slot_minutes": 15}, "schedule": schedule})

    prices = scenario.import_price_per_kwh()
    assert planned.total == pytest.approx((prices[0] * 10 + prices[1] * 20 - 0.05 * 8) / 4)
