"""What a station holds after profiles came and went, and what that amounts to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.composite import composite, composite_at
from app.csms.connector import ChargingProfile, Kind, Period, Purpose, RateUnit, Recurrency
from app.csms.profiles_held import Held, at_evse, cleared, station_composite, with_profile, without_transaction

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def a_profile(
    limit: float = 16, purpose: Purpose = Purpose.TX_DEFAULT, level: int = 0, **more: object
) -> ChargingProfile:
    arguments: dict[str, object] = {
        "profile_id": 1,
        "stack_level": level,
        "purpose": purpose,
        "unit": RateUnit.A,
        "start": START,
        "periods": (Period(0, limit),),
        "transaction_id": 7 if purpose is Purpose.TX else None,
    }
    return ChargingProfile(**(arguments | more))  # type: ignore[arg-type]  # each test passes what it means


@pytest.mark.parametrize(
    ("profiles", "limit"),
    [
        ([], None),
        ([a_profile(16)], 16),
        ([a_profile(16), a_profile(10, level=1)], 10),
        ([a_profile(16), a_profile(32, level=1)], 32),
        ([a_profile(6), a_profile(20, Purpose.TX)], 20),  # it takes its place, even though it is higher
        ([a_profile(6, Purpose.STATION_MAX), a_profile(20, Purpose.TX)], 6),
        ([a_profile(30, Purpose.STATION_MAX), a_profile(12, Purpose.EXTERNAL), a_profile(20, Purpose.TX)], 12),
        ([a_profile(10, Purpose.STATION_MAX), a_profile(4, Purpose.LOCAL_GENERATION), a_profile(20, Purpose.TX)], 14),
        ([a_profile(4, Purpose.LOCAL_GENERATION), a_profile(20, Purpose.TX)], 20),  # nothing to come on top of
        ([a_profile(20, Purpose.TX), a_profile(32, Purpose.PRIORITY)], 20),
    ],
)
def test_what_an_evse_allows(profiles: list[ChargingProfile], limit: float | None) -> None:
    assert composite_at(profiles, START) == limit


def test_priority_charging_takes_the_place_of_the_plan_while_the_driver_wants_it() -> None:
    profiles = [a_profile(10, Purpose.TX), a_profile(32, Purpose.PRIORITY), a_profile(25, Purpose.STATION_MAX)]

    assert composite_at(profiles, START, charges_with_priority=True) == 25


def test_a_higher_level_hides_what_is_below_for_as_long_as_it_holds() -> None:
    above = a_profile(10, level=1, start=START + HOUR, duration_s=3600)

    curve = composite([a_profile(16), above], START, START + 4 * HOUR)

    assert [(moment - START, value) for moment, value in zip(curve.moments, curve.values, strict=True)] == [
        (0 * HOUR, 16),
        (1 * HOUR, 10),
        (2 * HOUR, 16),
    ]


def test_periods_behind_the_duration_are_not_executed() -> None:
    profile = a_profile(periods=(Period(0, 16.0), Period(7200, 6.0)), duration_s=3600)

    assert [composite_at([profile], START + hours * HOUR) for hours in (0, 1, 2)] == [16, None, None]


def test_validity_bounds_a_profile_whatever_its_schedule_says() -> None:
    profile = a_profile(valid_from=START + HOUR, valid_to=START + 2 * HOUR)

    assert [composite_at([profile], START + hours * HOUR) for hours in (0, 1, 2)] == [None, 16, None]


DAILY = a_profile(
    level=1, kind=Kind.RECURRING, recurrency=Recurrency.DAILY, periods=(Period(0, 32.0), Period(6 * 3600, 10.0))
)


def test_a_daily_profile_that_is_shorter_than_a_day_leaves_the_rest_to_the_level_below() -> None:
    profiles = [a_profile(6), replace(DAILY, duration_s=8 * 3600)]

    curve = composite(profiles, START + 2 * DAY, START + 4 * DAY)

    assert [((moment - START) / HOUR, value) for moment, value in zip(curve.moments, curve.values, strict=True)] == [
        (48, 32),
        (54, 10),
        (56, 6),
        (72, 32),
        (78, 10),
        (80, 6),
    ]


def test_what_is_longer_than_the_recurrence_is_not_executed() -> None:
    profile = replace(DAILY, periods=(*DAILY.periods, Period(30 * 3600, 1.0)), duration_s=40 * 3600)

    assert composite([profile], START, START + 5 * DAY) == composite([DAILY], START, START + 5 * DAY)


def test_a_recurring_profile_does_not_hold_before_its_first_day() -> None:
    assert composite_at([DAILY], START - HOUR) is None


@given(st.integers(0, 10 * 86_400), st.integers(1, 86_400) | st.none())
def test_a_daily_profile_is_the_same_at_the_same_time_of_every_day(second: int, duration_s: int | None) -> None:
    profile, moment = replace(DAILY, duration_s=duration_s), START + timedelta(seconds=second)
    curve = composite([profile], START, START + 11 * DAY, otherwise_a=-1)
    of_day = second % 86_400
    expected = -1 if duration_s is not None and of_day >= duration_s else 32 if of_day < 6 * 3600 else 10

    assert curve.at(moment) == expected
    assert (composite_at([profile], moment) or -1) == expected


def test_the_same_id_replaces_wherever_it_was() -> None:
    held = with_profile((Held(0, a_profile(16)),), 2, a_profile(10, level=2))

    assert held == (Held(2, a_profile(10, level=2)),)


def test_the_same_purpose_and_level_at_the_same_evse_replaces() -> None:
    first = (Held(1, a_profile(16)), Held(2, a_profile(16, profile_id=2)))

    held = with_profile(first, 1, a_profile(10, profile_id=3))

    assert [(one.evse_id, one.profile.profile_id) for one in held] == [(2, 2), (1, 3)]


def test_profiles_of_two_transactions_do_not_replace_each_other_and_end_with_their_own() -> None:
    held = with_profile(
        (Held(1, a_profile(16, Purpose.TX)),), 1, a_profile(9, Purpose.TX, profile_id=2, transaction_id=8)
    )

    assert len(held) == 2
    assert [one.profile.transaction_id for one in without_transaction(held, 7)] == [8]


HELD = (
    Held(0, a_profile(profile_id=1)),
    Held(1, a_profile(profile_id=2, level=1)),
    Held(1, a_profile(profile_id=3, purpose=Purpose.TX, level=1)),
    Held(0, a_profile(profile_id=4, purpose=Purpose.STATION_MAX)),
)


@pytest.mark.parametrize(
    ("criteria", "left"),
    [
        ({}, []),
        ({"profile_id": 2}, [1, 3, 4]),
        ({"profile_id": 9}, [1, 2, 3, 4]),
        ({"profile_id": 2, "purpose": Purpose.TX}, [1, 3, 4]),  # an id alone decides
        ({"evse_id": 0}, [2, 3]),
        ({"evse_id": 1}, [1, 4]),
        ({"purpose": Purpose.TX_DEFAULT}, [3, 4]),
        ({"stack_level": 1}, [1, 4]),
        ({"evse_id": 1, "purpose": Purpose.TX, "stack_level": 1}, [1, 2, 4]),
        ({"evse_id": 0, "stack_level": 1}, [1, 2, 3, 4]),
    ],
)
def test_clearing_takes_what_meets_every_criterion(criteria: dict[str, object], left: list[int]) -> None:
    kept = cleared(HELD, **criteria)  # type: ignore[arg-type]  # one case a line

    assert [one.profile.profile_id for one in kept] == left


def test_an_evses_own_default_takes_the_place_of_the_stations_at_the_same_level() -> None:
    held = (Held(1, a_profile(20, profile_id=2)), Held(0, a_profile(10)))

    assert [composite_at(at_evse(held, evse_id), START) for evse_id in (1, 2)] == [20, 10]


def test_a_station_draws_what_its_evses_draw_together_within_its_own_maximum() -> None:
    held = (Held(0, a_profile(10)), Held(1, a_profile(16, Purpose.TX)), Held(0, a_profile(24, Purpose.STATION_MAX)))

    one, two, three = (station_composite(held, evse_ids, START, START + HOUR).values for evse_ids in ([1], [1, 2], []))

    assert (one, two, three) == ((16,), (24,), (0,))


def test_an_evse_that_nothing_limits_counts_with_what_it_can() -> None:
    held = (Held(1, a_profile(16, Purpose.TX)),)

    assert station_composite(held, [1, 2], START, START + HOUR, otherwise_a=32).values == (48,)
