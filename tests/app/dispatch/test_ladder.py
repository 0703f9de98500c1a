"""The forms in which a plan is offered to a station, best first, and what its answer teaches."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.csms.connector import Kind, Passport, Purpose, RateUnit
from app.csms.corrections import Corrections
from app.dispatch.ladder import Recipe, ladder

FULL = Passport(units=frozenset(RateUnit), max_periods=24, max_stack_level=8, known=True)
BEST = Recipe(RateUnit.A, Purpose.TX, 1, 24, Kind.ABSOLUTE)


def test_begins_with_what_the_passport_promises() -> None:
    assert ladder(FULL, is_dc=False)[0] == BEST
    assert ladder(FULL, is_dc=True)[0] == replace(BEST, unit=RateUnit.W)
    assert ladder(replace(FULL, max_stack_level=0), is_dc=False)[0] == replace(BEST, stack_level=0)


def test_goes_through_units_levels_periods_kinds_purposes_to_a_single_period() -> None:
    rungs = ladder(FULL, is_dc=False)

    assert rungs[1] == replace(BEST, unit=RateUnit.W)
    assert rungs[2] == replace(BEST, stack_level=0)
    assert rungs[3] == replace(BEST, max_periods=5)
    assert rungs[4] == replace(BEST, kind=Kind.RELATIVE, max_periods=1)
    assert rungs[5] == replace(BEST, purpose=Purpose.TX_DEFAULT)
    assert rungs[-1] == Recipe(RateUnit.W, Purpose.TX, 0, 1, Kind.ABSOLUTE)


def test_a_station_of_relative_profiles_is_told_one_period() -> None:
    best = ladder(replace(FULL, kinds=frozenset({Kind.RELATIVE})), is_dc=False)[0]

    assert best == replace(BEST, kind=Kind.RELATIVE, max_periods=1)


def test_without_a_tx_profile_the_default_is_used_in_the_fallbacks_place_only_where_there_is_no_other() -> None:
    two_levels = replace(FULL, purposes=frozenset({Purpose.TX_DEFAULT}))
    one_level = replace(two_levels, max_stack_level=0)

    assert {(rung.purpose, rung.stack_level) for rung in ladder(two_levels, is_dc=False)} == {(Purpose.TX_DEFAULT, 1)}
    assert {(rung.purpose, rung.stack_level) for rung in ladder(one_level, is_dc=False)} == {(Purpose.TX_DEFAULT, 0)}


@given(
    level=st.integers(0, 3),
    periods=st.integers(1, 30),
    purposes=st.sets(st.sampled_from([Purpose.TX, Purpose.TX_DEFAULT]), min_size=1),
    is_dc=st.booleans(),
)
def test_before_a_transaction_every_rung_is_above_the_fallback(
    level: int, periods: int, purposes: set[Purpose], is_dc: bool
) -> None:
    passport = replace(FULL, max_stack_level=level, max_periods=periods, purposes=frozenset(purposes))

    rungs = ladder(passport, is_dc=is_dc, has_transaction=False)

    assert all(rung.purpose is Purpose.TX_DEFAULT and rung.stack_level >= 1 for rung in rungs)
    assert bool(rungs) == (level >= 1 and Purpose.TX_DEFAULT in purposes)


@given(level=st.integers(0, 3), periods=st.integers(1, 30), is_dc=st.booleans())
def test_what_is_learned_makes_the_accepted_rung_the_first(level: int, periods: int, is_dc: bool) -> None:
    passport = replace(FULL, max_stack_level=level, max_periods=periods)
    rungs = ladder(passport, is_dc=is_dc)

    for accepted in rungs:
        taught = accepted.lesson(rungs[0], passport).applied_to(passport)

        assert ladder(taught, is_dc=is_dc)[0] == accepted


def test_the_best_rung_teaches_nothing() -> None:
    assert BEST.lesson(BEST, FULL) == Corrections()
