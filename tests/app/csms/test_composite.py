"""The own composite-schedule calculator, and what counts as a contradiction in a station's report."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.composite import composite, composite_at, disagreement, end_of, limit_at
from app.csms.connector import (
    ChargingProfile,
    CompositeSchedule,
    Kind,
    Passport,
    Period,
    Purpose,
    RateUnit,
    Recurrency,
)
from app.csms.profiles import cautious_steps, fallback_profile, floored
from app.csms.steps import Steps, pointwise
from tests.app.csms.plans import compile_profile

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_profile(*limits: float, purpose: Purpose = Purpose.TX, **more: Any) -> ChargingProfile:
    """One hour a limit, from `START`, without an end unless `duration_s` is given."""
    periods = tuple(Period(3600 * hour, limit) for hour, limit in enumerate(limits))
    arguments: dict[str, Any] = {"profile_id": 1, "stack_level": 0, "unit": RateUnit.A, "start": START}
    return ChargingProfile(purpose=purpose, periods=periods, **(arguments | more))


def at(hours: float) -> datetime:
    return START + HOUR * hours


def test_a_tx_profile_takes_the_place_of_the_default_even_when_it_is_higher() -> None:
    default = a_profile(6, purpose=Purpose.TX_DEFAULT)

    assert composite_at([default, a_profile(16)], START) == 16


def test_the_stations_maximum_caps_everything() -> None:
    cap = a_profile(10, purpose=Purpose.STATION_MAX)

    assert composite_at([cap, a_profile(16)], START) == 10
    assert composite_at([cap], START) == 10


def test_the_highest_level_that_holds_wins_and_leaves_the_lower_one_when_it_ends() -> None:
    low = a_profile(6, purpose=Purpose.TX_DEFAULT)
    high = a_profile(16, purpose=Purpose.TX_DEFAULT, stack_level=2, duration_s=3600)

    assert composite_at([high, low], at(0.5)) == 16
    assert composite_at([high, low], at(1)) == 6


def test_a_profile_holds_from_valid_from_to_valid_to() -> None:
    profile = a_profile(16, valid_from=at(1), valid_to=at(2))

    assert [limit_at(profile, at(hours)) for hours in (0.5, 1, 1.5, 2)] == [None, 16, 16, None]
    assert end_of(profile) == at(2)


def test_a_profile_for_another_transaction_does_not_count() -> None:
    profiles = [a_profile(16, transaction_id=1), a_profile(6, purpose=Purpose.TX_DEFAULT)]

    assert composite_at(profiles, START, transaction_id=2) == 6


def test_nothing_limits_where_no_profile_holds() -> None:
    assert composite_at([], START) is None
    assert composite_at([a_profile(16, duration_s=3600)], at(1)) is None
    assert composite([], START, at(1)).values == (inf,)


def test_watts_count_by_the_phases_of_their_period() -> None:
    profile = ChargingProfile(1, 0, Purpose.TX, RateUnit.W, START, (Period(0, 6900, 3), Period(3600, 2300)))

    assert composite_at([profile], START, phases=1) == pytest.approx(10)
    assert composite_at([profile], at(1), phases=1) == pytest.approx(10)


def test_steps_say_where_they_exceed_each_other() -> None:
    low, high = Steps((START, at(1)), (6.0, 16.0), at(2)), Steps((START,), (10.0,), at(2))

    assert low.exceeds(high)
    assert high.exceeds(low)
    assert pointwise(min, low, high).values == (6, 10)
    assert not pointwise(min, low, high).exceeds(high)


@pytest.mark.parametrize(
    ("moments", "values", "end"), [((), (), at(1)), ((START,), (1.0, 2.0), at(1)), ((START,), (1.0,), START)]
)
def test_steps_without_an_order_do_not_exist(
    moments: tuple[datetime, ...], values: tuple[float, ...], end: datetime
) -> None:
    with pytest.raises(ValueError, match="moments"):
        Steps(moments, values, end)


# --- the report


EXPECTED = a_profile(16, 6, 10, duration_s=3 * 3600)


def reported(*periods: tuple[float, float], **more: Any) -> CompositeSchedule:
    """(seconds from the report's start, limit); three hours in A from `START`."""
    arguments: dict[str, Any] = {"start": START, "duration_s": 3 * 3600, "unit": RateUnit.A}
    return CompositeSchedule(
        periods=tuple(Period(start_s, limit) for start_s, limit in periods),  # type: ignore[arg-type]  # some stations send fractions
        **(arguments | more),
    )


@pytest.mark.parametrize(
    "report",
    [
        reported((0, 16), (3600, 6), (7200, 10)),
        reported((0, 11_040), (3600, 4140), (7200, 6900), unit=RateUnit.W),
        reported((0, 3680), (3600, 1380), (7200, 2300), unit=RateUnit.W),
        reported((0, 16), (1800, 6), (5400, 10), start=at(0.5), duration_s=9000),
        reported((0, 16), duration_s=3600),
        reported((0, 16), (3600, 6), duration_s=7200),
        reported((0.4, 16), (3602.5, 6), (7198, 10)),
        reported((0, 16.04), (3600, 6), (7200, 9.5)),
        reported((0, 16), (3600, 6), (7200, 10), (10_800, 32), duration_s=8_600_000_000_000),
        reported((7200, 10), (0, 16), (3600, 6)),
    ],
    ids=[
        "same",
        "three-phase W",
        "one-phase W",
        "later",
        "one hour",
        "two hours",
        "off a little",
        "digits",
        "for ever",
        "any order",
    ],
)
def test_agrees_with_every_honest_report(report: CompositeSchedule) -> None:
    assert disagreement(EXPECTED, report, now=START) is None


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (reported(), "no periods"),
        (reported((0, 20), (3600, 6), (7200, 10)), "20 instead of 16 at 08:00:00"),
        (reported((0, 16), (3600, 6)), "6 instead of 10 at 10:00:00"),
        (reported((0, 16)), "16 instead of 6 at 09:00:00"),
        (reported((0, 16), (3640, 6), (7200, 10)), "16 instead of 6 at 09:00:00"),
        (reported((0, 0), (3600, 6), (7200, 10)), "0 instead of 16"),
        (reported((0, -1)), "inf instead of 16"),
        (reported((60, 16), (3600, 6), (7200, 10)), "inf instead of 16"),
        (reported((0, 16), start=START - timedelta(days=365)), "not what it was sent"),
        (reported((0, 16), duration_s=0), "not what it was sent"),
        (reported((0, 33_120), unit=RateUnit.W), "48 instead of 16"),
    ],
)
def test_names_what_a_station_does_instead(report: CompositeSchedule, says: str) -> None:
    assert says in (disagreement(EXPECTED, report, now=START) or "")


def test_what_lies_in_the_past_is_not_compared() -> None:
    assert disagreement(EXPECTED, reported((0, 32), (3600, 6), (7200, 10)), now=at(1)) is None


def test_what_comes_after_the_profile_is_not_compared() -> None:
    report = reported((0, 16), (3600, 6), (7200, 10), (10_800, 32), duration_s=86_400)

    assert disagreement(EXPECTED, report, now=START) is None


def test_watts_against_watts_need_no_phases() -> None:
    expected = replace(EXPECTED, unit=RateUnit.W, periods=(Period(0, 3680.0),))

    assert disagreement(expected, reported((0, 3680), unit=RateUnit.W), now=START, phases=3) is None
    assert disagreement(expected, reported((0, 11_040), unit=RateUnit.W), now=START, phases=3) is not None


def test_a_fallback_without_an_end_is_compared_as_far_as_the_report_goes() -> None:
    fallback = fallback_profile(6, Passport())

    assert disagreement(fallback, reported((0, 6)), now=START) is None
    assert disagreement(fallback, reported((0, 6), (3600, 32)), now=START) is not None


@given(
    st.lists(st.sampled_from([0.0, 6.0, 10.0, 16.05, 32.0]), min_size=1, max_size=12),
    st.integers(0, 59),
    st.sampled_from([0.0, 60.0, 61.0]),
)
def test_the_composite_of_a_compiled_profile_is_the_plan_it_came_from(
    limits_a: list[float], minutes: int, skew_s: float
) -> None:
    now = START + timedelta(minutes=minutes) * len(limits_a) / 60
    asked = {"start": START, "slot_minutes": 60, "now": now, "valid_until": at(99), "skew_s": skew_s}
    profile = compile_profile(
        limits_a,
        passport=Passport(max_periods=99),
        purpose=Purpose.TX,
        stack_level=0,
        profile_id=1,
        transaction_id=1,
        **asked,  # type: ignore[arg-type]  # the same arguments for both
    )

    planned = cautious_steps(limits_a, **asked)  # type: ignore[arg-type]  # the same arguments for both
    held = composite([profile, fallback_profile(6, Passport())], planned.start, planned.end)

    assert held == Steps(planned.moments, tuple(floored(value) for value in planned.values), planned.end).merged()


@pytest.mark.parametrize("night", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_a_day_that_repeats_itself_knows_no_summer_time(night: datetime) -> None:
    midnight = START.replace(hour=0)
    day = ChargingProfile(
        profile_id=5,
        stack_level=1,
        purpose=Purpose.TX_DEFAULT,
        unit=RateUnit.A,
        start=midnight,
        periods=(Period(0, 32.0), Period(6 * 3600, 6.0), Period(22 * 3600, 32.0)),
        duration_s=86_400,
        kind=Kind.RECURRING,
        recurrency=Recurrency.DAILY,
    )

    for hour, limit in ((0, 32), (1, 32), (2, 32), (5.99, 32), (6, 6), (21.99, 6), (22, 32), (23.99, 32)):
        assert composite_at([day], night + timedelta(hours=hour)) == limit


def test_a_week_repeats_itself_after_seven_days() -> None:
    monday, day = START.replace(hour=0), timedelta(days=1)
    week = ChargingProfile(
        profile_id=5,
        stack_level=1,
        purpose=Purpose.TX_DEFAULT,
        unit=RateUnit.A,
        start=monday,
        periods=(Period(0, 16.0), Period(5 * 86_400, 32.0)),
        duration_s=7 * 86_400,
        kind=Kind.RECURRING,
        recurrency=Recurrency.WEEKLY,
    )

    found = [composite_at([week], monday + number * day + timedelta(hours=12)) for number in range(14)]
    assert found == [16.0] * 5 + [32.0] * 2 + [16.0] * 5 + [32.0] * 2


@given(
    limits=st.lists(st.integers(0, 32).map(float), min_size=1, max_size=6),
    first_s=st.sampled_from([0, 600]),
    duration_s=st.none() | st.integers(1, 20_000),
    valid_from_s=st.none() | st.integers(-4_000, 12_000),
    valid_to_s=st.none() | st.integers(-4_000, 12_000),
    window_s=st.tuples(st.integers(-8_000, 16_000), st.integers(1, 16_000)),
    look_s=st.floats(0, 0.999),
)
def test_the_curve_of_a_profile_is_its_limit_at_every_moment(
    limits: list[float],
    first_s: int,
    duration_s: int | None,
    valid_from_s: int | None,
    valid_to_s: int | None,
    window_s: tuple[int, int],
    look_s: float,
) -> None:
    def moment(seconds: int | None) -> datetime | None:
        return None if seconds is None else START + timedelta(seconds=seconds)

    periods = tuple(Period(first_s + 1800 * number, limit) for number, limit in enumerate(limits))
    profile = replace(
        a_profile(1, duration_s=duration_s, valid_from=moment(valid_from_s), valid_to=moment(valid_to_s)),
        periods=periods,
    )
    start = START + timedelta(seconds=window_s[0])
    length = timedelta(seconds=window_s[1])
    at = start + length * look_s

    curve = composite([profile], start, start + length, otherwise_a=99.0)

    limit_a = composite_at([profile], at)
    assert curve.at(at) == (99.0 if limit_a is None else limit_a)
    assert (curve.start, curve.end) == (start, start + length)
