"""Lowered at once, given back slowly."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.guard.ceilings import Ceilings, Offer

NOON = datetime(2026, 6, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = "cs01/1"


def seen(ceilings: Ceilings, wanted_a: float, free_a: float, at: datetime) -> float | None:
    """One look: what the EVSE wants and may have; its ceiling afterwards."""
    offers = {KEY: Offer(wanted_a, free_a, free_a)}
    ceilings.lower(offers, {KEY})
    for key, ceiling_a in ceilings.due(offers, at).items():
        ceilings.give(key, ceiling_a)
    return ceilings.values.get(KEY)


def test_lowers_at_the_first_look() -> None:
    assert seen(Ceilings(MINUTE), 16, 9, NOON) == pytest.approx(9)


def test_lowers_further_and_never_waits_for_that() -> None:
    ceilings = Ceilings(MINUTE)
    seen(ceilings, 16, 9, NOON)

    assert seen(ceilings, 16, 6, NOON + timedelta(seconds=2)) == pytest.approx(6)


def test_gives_nothing_back_before_the_room_was_there_for_the_whole_time() -> None:
    ceilings = Ceilings(MINUTE)
    seen(ceilings, 16, 6, NOON)

    looks = [seen(ceilings, 16, 16, NOON + timedelta(seconds=2 * number)) for number in range(1, 31)]

    assert set(looks) == {6}


def test_gives_back_half_of_what_is_free_each_time_and_then_all() -> None:
    ceilings = Ceilings(MINUTE)
    seen(ceilings, 16, 6, NOON)

    looks = [seen(ceilings, 16, 16, NOON + timedelta(seconds=30 * number)) for number in range(1, 13)]

    assert looks == [6, 6, 11, 11, 11, 13.5, 13.5, 13.5, 14.75, 14.75, 14.75, None]


def test_a_load_that_comes_and_goes_gives_nothing_back() -> None:
    ceilings = Ceilings(MINUTE)
    seen(ceilings, 16, 6, NOON)

    looks = [
        seen(ceilings, 16, 16 if number % 10 else 6, NOON + timedelta(seconds=5 * number)) for number in range(1, 100)
    ]

    assert set(looks) == {6}


def test_a_pause_ends_at_the_minimum_current_and_not_below() -> None:
    ceilings = Ceilings(MINUTE)
    seen(ceilings, 16, 0, NOON)
    seen(ceilings, 16, 8, NOON + timedelta(seconds=1))

    assert seen(ceilings, 16, 8, NOON + timedelta(seconds=62)) == pytest.approx(6)


def test_a_plan_below_its_ceiling_loses_the_ceiling_in_time() -> None:
    ceilings = Ceilings(MINUTE)
    seen(ceilings, 16, 8, NOON)
    seen(ceilings, 7, 7, NOON + timedelta(seconds=1))

    assert seen(ceilings, 7, 7, NOON + timedelta(seconds=62)) is None


def test_who_cannot_be_told_keeps_his_ceiling_and_who_has_left_does_not() -> None:
    ceilings = Ceilings(MINUTE)
    seen(ceilings, 16, 8, NOON)

    ceilings.lower({}, {KEY})
    kept = dict(ceilings.values)
    ceilings.lower({}, ())

    assert kept == {KEY: pytest.approx(8)}
    assert ceilings.values == {}


@given(st.lists(st.tuples(st.floats(0, 32), st.floats(0, 1)), min_size=1, max_size=60))
def test_an_evse_is_never_held_above_what_it_may_have(looks: list[tuple[float, float]]) -> None:
    ceilings = Ceilings(MINUTE)

    for number, (wanted_a, share) in enumerate(looks):
        ceiling_a = seen(ceilings, wanted_a, wanted_a * share, NOON + timedelta(seconds=20 * number))
        assert min(wanted_a, float("inf") if ceiling_a is None else ceiling_a) <= wanted_a * share + 0.1 + 1e-9
