"""Who may draw how much: laws that hold for every tree of fuses, and a few examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.guard.sharing import Claim, Floats, shared

AMPERES = st.floats(0, 63).map(lambda value: round(value, 1))


@st.composite
def crowded(draw: st.DrawFn) -> tuple[list[Claim], Floats, Floats]:
    """EVSEs below fuses; what a fuse has left may be less than nothing."""
    count, limits = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    claims = [
        Claim(
            f"cs{number}/1",
            wanted_a=draw(AMPERES),
            minimum_a=draw(st.sampled_from([6.0, 8.0, 0.0])),
            floor_a=draw(st.sampled_from([0.0, 0.0, 6.0])),
            rank=draw(st.integers(1, 3)),
        )
        for number in range(count)
    ]
    load = np.array([[draw(st.sampled_from([0.0, 1.0, 0.69])) for _ in claims] for _ in range(limits)])
    room = np.array([draw(st.floats(-20, 200)) for _ in range(limits)])
    return claims, load, room


def one_fuse(room_a: float, *claims: Claim) -> list[float]:
    return list(shared(claims, np.ones((1, len(claims))), np.array([room_a])))


@given(crowded())
def test_nobody_is_given_more_than_he_wants_or_less_than_he_takes_anyway(
    case: tuple[list[Claim], Floats, Floats],
) -> None:
    claims, load, room = case

    given_a = shared(claims, load, room)

    for claim, current_a in zip(claims, given_a, strict=True):
        assert min(claim.floor_a, claim.wanted_a) - 1e-9 <= current_a <= claim.wanted_a + 1e-9


@given(crowded())
def test_no_fuse_carries_more_than_its_room_unless_floors_alone_do(case: tuple[list[Claim], Floats, Floats]) -> None:
    claims, load, room = case
    unavoidable = load @ np.array([min(claim.floor_a, claim.wanted_a) for claim in claims])

    given_a = shared(claims, load, room)

    assert np.all(load @ given_a <= np.maximum(room, unavoidable) + 1e-6)


@given(crowded())
def test_what_was_shared_once_is_not_lowered_again(case: tuple[list[Claim], Floats, Floats]) -> None:
    claims, load, room = case
    once_a = shared(claims, load, room)
    again = [
        Claim(claim.key, float(current_a), claim.minimum_a, claim.floor_a, claim.rank)
        for claim, current_a in zip(claims, once_a, strict=True)
    ]

    twice_a = shared(again, load, room)

    assert twice_a == pytest.approx(once_a, abs=1e-6)


@given(crowded())
def test_whoever_gets_less_than_he_wants_is_below_a_full_fuse_that_later_ranks_use_at_their_minimum(
    case: tuple[list[Claim], Floats, Floats],
) -> None:
    claims, load, room = case
    given_a = shared(claims, load, room)
    left = room - load @ given_a

    for number, claim in enumerate(claims):
        if not 0 < given_a[number] < claim.wanted_a - 1e-6:
            continue
        above = [row for row in range(len(room)) if load[row, number] > 0 and left[row] <= 1e-6]
        later = {
            row: [
                given_a[other] - max(claims[other].minimum_a, claims[other].floor_a)
                for other in range(len(claims))
                if load[row, other] > 0 and claims[other].rank > claim.rank
            ]
            for row in above
        }
        assert any(all(beyond_a <= 1e-6 for beyond_a in beyond) for beyond in later.values())


@given(crowded(), st.floats(0, 50))
def test_more_room_never_takes_from_everybody(case: tuple[list[Claim], Floats, Floats], more: float) -> None:
    claims, load, room = case

    before_a, after_a = shared(claims, load, room), shared(claims, load, room + more)

    assert not np.all(after_a < before_a - 1e-6)


def test_what_fits_is_left_as_it_is() -> None:
    assert one_fuse(40, Claim("a", 16), Claim("b", 13.3), Claim("c", 0)) == pytest.approx([16, 13.3, 0])


def test_equals_share_evenly() -> None:
    assert one_fuse(30, Claim("a", 16), Claim("b", 16), Claim("c", 8)) == pytest.approx([11, 11, 8])


def test_who_is_served_first_keeps_what_he_has_and_the_others_their_minimum() -> None:
    assert one_fuse(30, Claim("a", 16, rank=2), Claim("b", 16, rank=1), Claim("c", 16, rank=2)) == pytest.approx(
        [7, 16, 7]
    )


def test_the_last_one_is_paused_when_not_all_fit_at_their_minimum() -> None:
    assert one_fuse(15, Claim("a", 16), Claim("b", 16), Claim("c", 16)) == pytest.approx([7.5, 7.5, 0])


def test_a_station_that_cannot_pause_comes_before_everybody_else() -> None:
    assert one_fuse(8, Claim("a", 16, rank=1), Claim("b", 16, rank=2, floor_a=6)) == pytest.approx([0, 8])


def test_a_fuse_that_is_overloaded_without_any_car_pauses_only_those_below_it() -> None:
    load = np.array([[1.0, 0.0], [1.0, 1.0]])

    given_a = shared([Claim("a", 16), Claim("b", 16)], load, np.array([-5.0, 100.0]))

    assert list(given_a) == pytest.approx([0, 16])
