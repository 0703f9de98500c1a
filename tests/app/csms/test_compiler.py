"""What the compiler sends, the calculator reads: never above the plan at any instant, and equal to it where it fits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import floor, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.csms.composite import composite, composite_at
from app.csms.connector import ChargingProfile, Kind, Passport, PauseMethod, Period, Purpose, RateUnit
from app.csms.profile_rules import breaches
from app.csms.profiles import (
    Compiled,
    Electrics,
    cautious_steps,
    compile_steps,
    fallback_profile,
    plan_place,
    profile_from_json,
    profile_to_json,
)
from app.csms.steps import Steps

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
DAY = timedelta(days=1)
ROOMY = Passport(
    units=frozenset(RateUnit), max_periods=50, max_stack_level=3, kinds=frozenset(Kind), known=True, max_profiles=9
)
THREE_PHASES = Electrics(phases=3)


def steps(*values: float, minutes: int = 15) -> Steps:
    moments = tuple(START + timedelta(minutes=minutes * number) for number in range(len(values)))
    return Steps(moments, tuple(map(float, values)), START + timedelta(minutes=minutes * len(values)))


def compiled(curve: Steps, passport: Passport = ROOMY, electrics: Electrics = THREE_PHASES, **more: object) -> Compiled:
    purpose, level = plan_place(passport)
    arguments: dict[str, object] = {
        "passport": passport,
        "purpose": purpose,
        "stack_level": level,
        "profile_id": 101,
        "transaction_id": 7 if purpose is Purpose.TX else None,
        "electrics": electrics,
    }
    return compile_steps(curve, **(arguments | more))  # type: ignore[arg-type]  # each test passes what it means


@st.composite
def passports(draw: st.DrawFn) -> Passport:
    kinds = draw(st.sampled_from([{Kind.ABSOLUTE}, {Kind.RELATIVE}, set(Kind)]))
    return Passport(
        units=frozenset(draw(st.sampled_from([{RateUnit.A}, {RateUnit.W}, set(RateUnit)]))),
        max_periods=draw(st.integers(1, 12)),
        max_stack_level=draw(st.integers(0, 3)),
        max_profiles=9,
        version=draw(st.sampled_from(("1.6", "2.0.1", "2.1"))),
        kinds=frozenset(kinds),
        purposes=frozenset(draw(st.sampled_from([set(Purpose), {Purpose.TX_DEFAULT, Purpose.STATION_MAX}]))),
        decimals=draw(st.integers(0, 1)),
        min_limit_a=draw(st.sampled_from((0.0, 6.0, 8.0))),
        pause=draw(st.sampled_from(PauseMethod)),
    )


CURVES = st.lists(st.integers(0, 320).map(lambda tenth: tenth / 10), min_size=1, max_size=30)
ELECTRICS = st.sampled_from([Electrics(), Electrics(phases=1), Electrics(phases=3), Electrics(phases=3, is_dc=True)])


@given(CURVES, passports(), ELECTRICS, st.sampled_from(("end", "lowest")))
@settings(deadline=None)
def test_what_a_station_makes_of_it_is_never_above_the_plan_but_for_pauses_that_are_named(
    values: list[float], passport: Passport, electrics: Electrics, tail: str
) -> None:
    curve = steps(*values)
    purpose, level = plan_place(passport)
    takes_its_place = purpose is Purpose.TX_DEFAULT and level == 0

    result = compiled(curve, passport, electrics, tail=tail, afterwards_a=6.0 if takes_its_place else None)

    held = composite([result.profile], curve.start, result.reach, phases=electrics.phases or 1)
    assert held == result.allowed.merged()
    for moment in {*held.moments, *(one for one in curve.moments if one < result.reach)}:
        above_a = held.at(moment) - curve.at(moment)
        assert above_a <= result.excess_a + 1e-6
        assert above_a <= 1e-6 or any(first <= moment < last for first, last in result.pauses)
    if passport.pause is PauseMethod.ZERO:
        assert (result.excess_a, result.pauses) == (0, ())


@given(CURVES, passports(), ELECTRICS)
@settings(deadline=None)
def test_what_is_compiled_breaks_no_rule_of_its_version(
    values: list[float], passport: Passport, electrics: Electrics
) -> None:
    purpose, level = plan_place(passport)
    takes_its_place = purpose is Purpose.TX_DEFAULT and level == 0

    profile = compiled(steps(*values), passport, electrics, afterwards_a=6.0 if takes_its_place else None).profile

    assert breaches(profile, 1, passport) == ()
    assert profile_from_json(profile_to_json(profile)) == profile


@given(CURVES, ELECTRICS, st.sampled_from(RateUnit))
@settings(deadline=None)
def test_a_plan_that_fits_is_held_to_the_tenth(values: list[float], electrics: Electrics, unit: RateUnit) -> None:
    curve = steps(*values)

    result = compiled(curve, ROOMY, electrics, unit=unit)

    assert result.covers
    assert result.reach == curve.end
    per_ampere = 1.0 if unit is RateUnit.A else electrics.watts_per_ampere
    for moment in curve.moments:
        allowed_a = composite_at([result.profile], moment, phases=electrics.phases or 1)
        assert allowed_a == pytest.approx(floor(curve.at(moment) * per_ampere * 10 + 1e-6) / 10 / per_ampere)


@given(CURVES, st.integers(0, 1800), st.floats(0, 300), st.floats(-60, 60))
@settings(deadline=None)
def test_with_a_clock_that_is_off_a_station_is_never_above_the_plan(
    values: list[float], now_s: int, skew_s: float, off_s: float
) -> None:
    now = START + timedelta(seconds=min(now_s, len(values) * 900 - 1))
    curve = cautious_steps(
        values, start=START, slot_minutes=15, now=now, valid_until=START + DAY, skew_s=max(skew_s, 2 * abs(off_s))
    )
    plan = steps(*values)
    profile = compiled(curve).profile

    for moment in {*plan.moments, now, *(one + timedelta(seconds=off_s) for one in curve.moments)}:
        allowed_a = composite_at([profile], moment - timedelta(seconds=off_s))
        if allowed_a is not None and moment >= now:
            assert allowed_a <= plan.at(moment) + 1e-6


def test_a_plan_with_too_many_steps_says_how_far_it_reaches_and_when_the_next_is_due() -> None:
    result = compiled(steps(16, 10, 6, 12), replace(ROOMY, max_periods=2))

    assert not result.covers
    assert result.reach == START + timedelta(minutes=30)
    assert result.send_next_by == START + timedelta(minutes=27)
    assert result.profile.valid_to == result.reach


def test_a_station_that_takes_no_zero_is_told_its_minimum_and_the_rest_is_named() -> None:
    result = compiled(steps(16, 0, 4, 10), replace(ROOMY, pause=PauseMethod.MINIMUM, min_limit_a=6))

    assert [period.limit for period in result.profile.periods] == [16, 6, 10]
    assert result.excess_a == 6
    assert result.pauses == ((START + timedelta(minutes=15), START + timedelta(minutes=45)),)


def test_a_station_that_can_pause_pauses_where_the_plan_is_below_its_least_limit() -> None:
    result = compiled(steps(16, 6, 10), replace(ROOMY, min_limit_a=8))

    assert [period.limit for period in result.profile.periods] == [16, 0, 10]
    assert result.excess_a == 0


def test_whole_amperes_are_floored() -> None:
    assert compiled(steps(15.9), replace(ROOMY, decimals=0)).profile.periods == (Period(0, 15.0),)


def test_a_station_that_knows_relative_profiles_only_is_told_one_period_until_the_next_change() -> None:
    result = compiled(steps(10, 10, 16), replace(ROOMY, kinds=frozenset({Kind.RELATIVE})))

    assert result.profile.kind is Kind.RELATIVE
    assert result.profile.periods == (Period(0, 10.0),)
    assert (result.profile.duration_s, result.profile.valid_to) == (None, START + timedelta(minutes=30))


def test_with_a_single_stack_level_the_plan_is_a_tx_profile_at_level_0() -> None:
    assert plan_place(replace(ROOMY, max_stack_level=0)) == (Purpose.TX, 0)


def test_a_default_profile_in_the_fallbacks_place_goes_on_as_the_fallback() -> None:
    passport = replace(ROOMY, max_stack_level=0, purposes=frozenset({Purpose.TX_DEFAULT}), max_periods=3)

    result = compiled(steps(16, 10, 16), passport, afterwards_a=6)

    assert [period.limit for period in result.profile.periods] == [16, 10, 6]
    assert (result.profile.duration_s, result.profile.valid_to) == (None, None)
    assert composite_at([result.profile], START + 400 * DAY) == 6
    assert not result.covers


def test_with_one_period_and_one_level_a_plan_is_never_above_the_fallback() -> None:
    passport = replace(ROOMY, max_stack_level=0, purposes=frozenset({Purpose.TX_DEFAULT}), max_periods=1)

    assert compiled(steps(16, 10), passport, afterwards_a=6).profile.periods == (Period(0, 6.0),)
    assert compiled(steps(16, 3), passport, afterwards_a=6).profile.periods == (Period(0, 3.0),)


def test_the_fallback_is_never_raised_to_a_stations_minimum() -> None:
    passport = replace(ROOMY, pause=PauseMethod.MINIMUM, min_limit_a=6)

    assert fallback_profile(0, passport).periods == (Period(0, 0.0),)


PLAIN = ChargingProfile(1, 1, Purpose.TX, RateUnit.A, START, (Period(0, 16.0),), transaction_id=7)


@pytest.mark.parametrize(
    ("profile", "evse_id", "said"),
    [
        (replace(PLAIN, periods=()), 1, "FR.31"),
        (replace(PLAIN, periods=(Period(5, 16.0),)), 1, "FR.31"),
        (replace(PLAIN, periods=(Period(0, 16.0), Period(0, 6.0))), 1, "FR.35"),
        (replace(PLAIN, periods=tuple(Period(n, 6.0) for n in range(51))), 1, "51 periods"),
        (replace(PLAIN, periods=(Period(0, inf),)), 1, "no limit"),
        (replace(PLAIN, periods=(Period(0, -6.0),)), 1, "no limit"),
        (replace(PLAIN, periods=(Period(0, 6.05),)), 1, "one decimal"),
        (replace(PLAIN, periods=(Period(0, 6.0, 4),)), 1, "phases"),
        (replace(PLAIN, duration_s=0), 1, "duration"),
        (replace(PLAIN, kind=Kind.RECURRING), 1, "recurrency"),
        (replace(PLAIN, valid_from=START, valid_to=START), 1, "ends before"),
        (replace(PLAIN, stack_level=4), 1, "stack level"),
        (replace(PLAIN, transaction_id=None), 1, "FR.03"),
        (PLAIN, 0, "FR.16"),
        (replace(PLAIN, purpose=Purpose.TX_DEFAULT), 1, "no transaction"),
        (replace(PLAIN, purpose=Purpose.STATION_MAX, transaction_id=None, kind=Kind.RELATIVE), 0, "FR.38"),
        (replace(PLAIN, purpose=Purpose.STATION_MAX, transaction_id=None), 1, "not for EVSE"),
        (replace(PLAIN, purpose=Purpose.EXTERNAL, transaction_id=None), 0, "FR.22"),
        (replace(PLAIN, purpose=Purpose.PRIORITY, transaction_id=None), 1, "1.6 knows no"),
    ],
)
def test_names_the_rule_that_a_profile_breaks(profile: ChargingProfile, evse_id: int, said: str) -> None:
    assert any(said in breach for breach in breaches(profile, evse_id, ROOMY))


def test_a_profile_in_a_unit_or_kind_that_the_station_lacks_breaks_a_rule() -> None:
    found = breaches(replace(PLAIN, unit=RateUnit.W, kind=Kind.RELATIVE), 1, Passport(max_stack_level=1))

    assert len(found) == 2
    assert breaches(PLAIN, 1, Passport(max_stack_level=1)) == ()
