"""The demo's day: the same every time, with needs that fit and a temptation to overload."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from app.demo.live import live_scenario
from app.demo.policies import equal_share, run_policy, uncontrolled
from app.demo.scenario import DAY, SEED, Scenario, build_scenario
from app.demo.world import make_world


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return build_scenario()


def test_is_the_same_every_time(scenario: Scenario) -> None:
    again = build_scenario()

    assert again.stations == scenario.stations
    assert again.visits == scenario.visits
    assert np.array_equal(again.world.base_load_kw, scenario.world.base_load_kw)
    assert np.array_equal(again.world.pv_kw, scenario.world.pv_kw)


def test_another_seed_is_another_weather(scenario: Scenario) -> None:
    assert not np.array_equal(build_scenario(SEED + 1).world.pv_kw, scenario.world.pv_kw)


def test_has_twelve_stations_of_different_making(scenario: Scenario) -> None:
    assert len(scenario.stations) == 12
    assert {station.capability.units for station in scenario.stations} == {("A", "W"), ("A",), ("W",)}
    assert min(station.capability.max_periods for station in scenario.stations) == 6
    assert max(abs(station.clock_offset_s) for station in scenario.stations) > 1


def test_no_two_cars_meet_at_one_socket(scenario: Scenario) -> None:
    for outlet in {visit.outlet for visit in scenario.visits}:
        stays = sorted((visit.arrival, visit.departure) for visit in scenario.visits if visit.outlet == outlet)
        assert all(earlier[1] < later[0] for earlier, later in pairwise(stays))


def test_every_stated_need_fits_its_stay(scenario: Scenario) -> None:
    for visit in scenario.visits:
        stay_h = (visit.stated_departure - visit.arrival) / timedelta(hours=1)
        assert visit.asked_kwh <= visit.vehicle.max_power_kw() * stay_h, visit.session_id


def test_some_leave_early_and_some_take_less_than_they_said(scenario: Scenario) -> None:
    assert sum(visit.departure < visit.stated_departure - timedelta(minutes=15) for visit in scenario.visits) >= 3
    assert sum(visit.room_kwh < 0.8 * visit.asked_kwh for visit in scenario.visits) >= 3


def test_has_a_price_for_every_quarter_and_a_spread_worth_waiting_for(scenario: Scenario) -> None:
    prices = scenario.import_price_per_kwh()

    assert len(prices) == 96
    assert max(prices[28:36]) > 1.5 * min(prices[40:60])


def test_a_day_of_25_hours_has_100_prices() -> None:
    autumn = build_scenario(day=datetime(2025, 10, 26, tzinfo=UTC).date())

    assert len(autumn.import_price_per_kwh()) == 100


def test_the_sun_shines_by_day_only(scenario: Scenario) -> None:
    pv_kw = [pv_kw for _, _, pv_kw in scenario.world.means(scenario.start, scenario.end, 60)]

    assert max(pv_kw[:6]) == 0
    assert 10 < max(pv_kw) < 53
    assert max(pv_kw[21:]) == 0


def test_means_are_those_of_the_seconds(scenario: Scenario) -> None:
    quarters = scenario.world.means(scenario.start, scenario.end, 15)
    seconds = scenario.world.surroundings(scenario.start, scenario.end).base_load_kw

    assert [kw for _, kw, _ in quarters] == pytest.approx(seconds.reshape(96, 900).mean(axis=1), rel=0.05)


def test_the_world_goes_on_alike_when_it_reaches_further(scenario: Scenario) -> None:
    longer = make_world(scenario.site, DAY - timedelta(days=28), 30, SEED)

    assert len(longer.base_load_kw) == len(scenario.world.base_load_kw) + 24 * 60


class TestPolicies:
    def test_uncontrolled_charging_overloads_and_an_equal_share_does_not(self, scenario: Scenario) -> None:
        surroundings = scenario.world.surroundings(scenario.start, scenario.end)

        free = run_policy(scenario, surroundings, uncontrolled)
        shared = run_policy(scenario, surroundings, equal_share)

        assert {"row-a", "row-b"} <= {excess.place for excess in free.measured.excesses}
        assert free.unmet_kwh == pytest.approx(0, abs=0.01)
        assert shared.measured.excesses == ()
        assert shared.unmet_kwh < 1
        assert shared.cost < free.cost

    def test_unmet_energy_costs_the_highest_price_of_the_day(self, scenario: Scenario) -> None:
        surroundings = scenario.world.surroundings(scenario.start, scenario.end)

        nothing = run_policy(scenario, surroundings, lambda look: {})

        needs_kwh = sum(min(visit.asked_kwh, visit.room_kwh) for visit in scenario.visits)
        without_cars = sum(
            (price * import_kw - 0.05 * export_kw) / 4
            for price, import_kw, export_kw in zip(
                scenario.import_price_per_kwh(), nothing.measured.import_kw, nothing.measured.export_kw, strict=True
            )
        )
        assert nothing.unmet_kwh == pytest.approx(needs_kwh, abs=0.5)
        assert nothing.cost == pytest.approx(without_cars + nothing.unmet_kwh * max(scenario.import_price_per_kwh()))
        assert not any(session.departure_met for session in nothing.sessions)


@pytest.mark.parametrize("hour", [3, 9, 15, 23])
def test_the_live_demo_has_cars_plugged_in_at_any_hour(hour: int) -> None:
    now = datetime(2026, 3, 10, hour, 17, 5, tzinfo=UTC)

    live = live_scenario(now)

    soon = [visit for visit in live.visits if visit.arrival <= now + timedelta(seconds=15)]
    assert len(soon) >= 10
    assert all(visit.stated_departure > now for visit in soon)
    assert live.start <= now < live.end
