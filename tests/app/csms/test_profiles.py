"""Compiled profiles obey the plan, the station's passport and the difference between clocks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.composite import limit_at
from app.csms.connector import ChargingProfile, Passport, Period, Purpose, RateUnit
from app.csms.profiles import fallback_profile, floored, profile_from_json, profile_to_json
from tests.app.csms.plans import compile_profile

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
ROOMY = Passport(units=frozenset(RateUnit), max_periods=100, max_stack_level=3, known=True)


def compiled(limits_a: list[float], **more: Any) -> ChargingProfile:
    """A TxProfile for transaction 7 from `START`, in quarters of an hour, with a day's validity."""
    arguments: dict[str, Any] = {
        "start": START,
        "slot_minutes": 15,
        "now": START,
        "valid_until": START + timedelta(days=1),
        "passport": ROOMY,
        "purpose": Purpose.TX,
        "stack_level": 1,
        "profile_id": 101,
        "transaction_id": 7,
    }
    return compile_profile(limits_a, **(arguments | more))


def test_one_limit_becomes_one_period_that_started_a_minute_ago_and_ends_with_the_plan() -> None:
    profile = compiled([16, 16, 16])

    assert profile.periods == (Period(0, 16.0),)
    assert profile.start == START - timedelta(seconds=60)
    assert profile.duration_s == 60 + 45 * 60
    assert profile.valid_from == profile.start
    assert profile.valid_to == START + 3 * QUARTER


def test_lowers_ahead_of_the_boundary_and_raises_behind_it() -> None:
    profile = compiled([16, 6, 10], skew_s=60)

    assert [(period.start_s - 60, period.limit) for period in profile.periods] == [
        (0 - 60, 16),
        (15 * 60 - 30, 6),
        (30 * 60 + 30, 10),
    ]


def test_a_peak_shorter_than_the_clocks_may_differ_is_never_reached() -> None:
    profile = compiled([6, 16, 6], slot_minutes=5, skew_s=600)

    assert [period.limit for period in profile.periods] == [6]


def test_the_slot_that_holds_now_counts_from_the_start_and_earlier_ones_do_not() -> None:
    profile = compiled([0, 10, 12], now=START + timedelta(minutes=20))

    assert profile.start == START + QUARTER - timedelta(seconds=60)
    assert [period.limit for period in profile.periods] == [10, 12]


def test_a_plan_that_begins_later_starts_in_the_past_all_the_same() -> None:
    profile = compiled([10], now=START - timedelta(minutes=5))

    assert profile.start == START - timedelta(minutes=6)


def test_ends_when_the_validity_does() -> None:
    profile = compiled([16] * 8, valid_until=START + timedelta(hours=1))

    assert profile.valid_to == START + timedelta(hours=1)
    assert profile.duration_s == 3660


def test_more_periods_than_the_station_takes_end_the_profile_early() -> None:
    profile = compiled([16, 10, 6, 12], passport=Passport(max_periods=2), skew_s=0)

    assert [period.limit for period in profile.periods] == [16, 10]
    assert profile.valid_to == START + 2 * QUARTER


def test_amperes_go_out_as_watts_of_all_phases_where_the_station_takes_no_amperes() -> None:
    profile = compiled([16.05], passport=Passport(units=frozenset({RateUnit.W})), phases=3, voltage_v=230)

    assert profile.unit is RateUnit.W
    assert profile.periods == (Period(0, 11_074.5, number_phases=3),)


def test_watts_for_a_vehicle_whose_phases_nobody_knows_count_one() -> None:
    profile = compiled([16], passport=Passport(units=frozenset({RateUnit.W})), phases=None)

    assert profile.periods == (Period(0, 3680.0),)


def test_dc_prefers_watts_and_names_no_phases() -> None:
    profile = compiled([50_000 / 690], phases=3, is_dc=True)

    assert profile.unit is RateUnit.W
    assert profile.periods == (Period(0, 50_000.0),)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"purpose": Purpose.TX_DEFAULT, "transaction_id": None, "stack_level": 0}, "belongs to the fallback"),
        ({"transaction_id": None}, "needs the transaction"),
        ({"purpose": Purpose.TX_DEFAULT}, "has no transaction"),
        ({"now": START + QUARTER}, "nothing is left"),
        ({"valid_until": START}, "nothing is left"),
    ],
)
def test_refuses_what_no_station_may_be_sent(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compiled([16], **more)


def test_a_plan_before_a_transaction_lies_above_the_fallback() -> None:
    profile = compiled([16], purpose=Purpose.TX_DEFAULT, transaction_id=None, stack_level=1)

    assert (profile.purpose, profile.stack_level, profile.transaction_id) == (Purpose.TX_DEFAULT, 1, None)


def test_the_fallback_never_ends_and_is_the_same_whenever_it_is_sent() -> None:
    profile = fallback_profile(6, Passport())

    assert profile == fallback_profile(6, Passport())
    assert (profile.purpose, profile.stack_level) == (Purpose.TX_DEFAULT, 0)
    assert (profile.duration_s, profile.valid_to, profile.transaction_id) == (None, None, None)
    assert limit_at(profile, START) == limit_at(profile, START + timedelta(days=10_000)) == 6.0


@pytest.mark.parametrize(("limit", "tenth"), [(16.1, 16.1), (16.19, 16.1), (0.1 + 0.2, 0.3), (6.05, 6.0), (0.0, 0.0)])
def test_floors_to_one_decimal_without_losing_one(limit: float, tenth: float) -> None:
    assert floored(limit) == tenth


currents = st.one_of(st.just(0.0), st.floats(6, 32), st.sampled_from([6.0, 10.0, 16.0]))


@st.composite
def compilations(draw: st.DrawFn) -> dict[str, Any]:
    """Any plan, any moment in it, any station."""
    limits_a = draw(st.lists(currents, min_size=1, max_size=24))
    slot_minutes = draw(st.sampled_from([5, 15, 60]))
    now = START + timedelta(seconds=draw(st.integers(0, len(limits_a) * slot_minutes * 60 - 1)))
    return {
        "limits_a": limits_a,
        "slot_minutes": slot_minutes,
        "now": now,
        "valid_until": now + timedelta(seconds=draw(st.integers(1, 8 * 3600))),
        "passport": Passport(
            units=draw(st.sampled_from([frozenset({unit}) for unit in RateUnit])), max_periods=draw(st.integers(1, 12))
        ),
        "phases": draw(st.sampled_from([None, 1, 2, 3])),
        "skew_s": draw(st.sampled_from([0, 1, 30, 60, 61, 400])),
    }


def amperes(profile: ChargingProfile, limit: float) -> float:
    phases = profile.periods[0].number_phases or 1
    return limit if profile.unit is RateUnit.A else limit / (230 * phases)


@given(compilations(), st.data())
def test_never_allows_more_than_the_plan_says_anywhere_within_half_the_skew(
    case: dict[str, Any], data: st.DataObject
) -> None:
    profile = compiled(**case)
    limits_a, slot = case["limits_a"], timedelta(minutes=case["slot_minutes"])
    half_s = case["skew_s"] / 2
    left_s = int((profile.valid_to - case["now"]).total_seconds()) if profile.valid_to else 0

    edges = [slot * number + timedelta(seconds=edge) for number in range(len(limits_a)) for edge in (-half_s, half_s)]
    anywhere_s = st.one_of(st.integers(0, max(0, left_s - 1)), st.integers(-1, 1).map(lambda second: near_s + second))
    near_s = (START + data.draw(st.sampled_from(edges)) - case["now"]).total_seconds()
    moment = case["now"] + timedelta(seconds=max(0, data.draw(anywhere_s)))
    apart = timedelta(seconds=data.draw(st.floats(-half_s, half_s)))
    limit = limit_at(profile, moment)

    assert limit is not None or moment >= (profile.valid_to or moment)
    slot_there = (max(case["now"], moment + apart) - START) // slot
    if limit is not None and slot_there < len(limits_a):
        assert amperes(profile, limit) <= limits_a[slot_there] + 1e-6


@given(compilations())
def test_is_a_profile_that_1_6_allows(case: dict[str, Any]) -> None:
    profile = compiled(**case)

    starts = [period.start_s for period in profile.periods]
    assert starts[0] == 0
    assert all(earlier < later for earlier, later in pairwise(starts))
    assert profile.duration_s is not None
    assert starts[-1] < profile.duration_s
    assert len(starts) <= case["passport"].max_periods
    assert all(round(period.limit, 1) == period.limit >= 0 for period in profile.periods)
    assert all(one.limit != other.limit for one, other in pairwise(profile.periods))
    assert profile.start <= case["now"] - timedelta(seconds=60)
    assert profile.valid_to == profile.start + timedelta(seconds=profile.duration_s)


@given(compilations())
def test_holds_what_was_asked_wherever_no_boundary_is_near(case: dict[str, Any]) -> None:
    case |= {"passport": ROOMY}
    profile = compiled(**case)
    limits_a, slot = case["limits_a"], timedelta(minutes=case["slot_minutes"])

    for number, limit_a in enumerate(limits_a):
        middle = START + slot * number + slot / 2
        if case["skew_s"] / 2 + 2 < slot.total_seconds() / 2 and case["now"] <= middle < (profile.valid_to or middle):
            assert limit_at(profile, middle) == pytest.approx(floored(limit_a))


@given(compilations())
def test_survives_json(case: dict[str, Any]) -> None:
    profile = compiled(**case)

    assert profile_from_json(profile_to_json(profile)) == profile


def test_the_fallback_survives_json() -> None:
    profile = fallback_profile(0, Passport(units=frozenset({RateUnit.W})))

    assert profile_from_json(profile_to_json(profile)) == profile
