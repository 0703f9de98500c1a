"""What a plan may count on where somebody else has set a limit at a station."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.db.records import ChargingLimit
from app.gather.external_limits import ExternalLimits, external_limits
from app.site import Site
from optimizer.domain import Evse, SharedPower

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "UTC",
        "connection": {},
        "charging_stations": [{"id": "cs01", "evses": [{"id": 1}, {"id": 2}]}, {"id": "cs02", "evses": [{"id": 1}]}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
)


def a_limit(evse_id: int, limit_a: float, *, source: str = "SO", **more: Any) -> ChargingLimit:
    schedule = {
        "id": 1,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}],
    } | more
    return ChargingLimit("cs01", evse_id, source, NOW - timedelta(minutes=5), [schedule])


def left_by(*limits: ChargingLimit) -> ExternalLimits:
    return external_limits(SITE, limits, NOW, NOW + timedelta(minutes=15))


def test_an_evse_is_planned_with_what_is_left_to_it() -> None:
    limits = left_by(a_limit(1, 10.0), a_limit(1, 13.0, source="EMS"))

    assert limits.within(Evse("cs01/1", "connection", max_current_a=32), 230).max_current_a == 10
    assert limits.within(Evse("cs01/2", "connection", max_current_a=32), 230).max_current_a == 32
    assert limits.within(Evse("cs02/1", "connection", max_current_a=32), 230).max_current_a == 32


def test_a_limit_never_raises_what_the_hardware_can() -> None:
    limits = left_by(a_limit(1, 63.0))

    assert limits.within(Evse("cs01/1", "connection", max_current_a=32), 230).max_current_a == 32


def test_a_limit_of_the_whole_station_is_shared_by_its_evses() -> None:
    limits = left_by(a_limit(0, 20.0))

    evses = [limits.within(Evse(f"cs01/{number}", "connection", max_current_a=32), 230) for number in (1, 2)]

    assert [evse.shared_power for evse in evses] == [SharedPower("cs01", 20.0)] * 2
    assert limits.within(Evse("cs02/1", "connection", max_current_a=32), 230).shared_power is None


def test_dc_is_limited_in_power() -> None:
    limits = left_by(a_limit(1, 100.0))

    assert limits.within(Evse("cs01/1", "connection", max_power_kw=150), 230).max_power_kw == 69


def test_a_limit_that_is_over_limits_nothing() -> None:
    limits = left_by(a_limit(1, 10.0, startSchedule="2026-03-02T07:00:00Z", duration=1800))

    assert limits.by_evse_a == {}


def test_the_least_of_the_slot_that_is_running_counts() -> None:
    periods = [{"startPeriod": 0, "limit": 16.0}, {"startPeriod": 600, "limit": 8.0}]

    limits = left_by(a_limit(1, 0.0, chargingSchedulePeriod=periods))

    assert limits.by_evse_a == {"cs01/1": 8.0}
