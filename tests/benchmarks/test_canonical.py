"""The canonical sites: the same for everybody, of the sizes that the docs name, and without a contradiction."""

from itertools import pairwise

import pytest

from benchmarks.canonical import SIZES, THIRD_STAY, Size, canonical
from optimizer.check import violations
from optimizer.optimise import optimise


def test_the_same_seed_gives_the_same_site() -> None:
    assert canonical(SIZES["S"], seed=3) == canonical(SIZES["S"], seed=3)
    assert canonical(SIZES["S"], seed=3) != canonical(SIZES["S"], seed=4)


@pytest.mark.parametrize(("name", "sessions"), [("S", 24), ("M", 122), ("L", 465), ("XL", 2318)])
def test_each_size_has_the_sessions_that_the_docs_name(name: str, sessions: int) -> None:
    assert len(canonical(SIZES[name]).sessions) == sessions


def test_stays_follow_one_another_inside_the_horizon() -> None:
    problem = canonical(Size(40))
    by_evse = [[one for one in problem.sessions if one.evse_id == evse.evse_id] for evse in problem.evses]

    assert all(before.departure <= after.arrival for stays in by_evse for before, after in pairwise(stays))
    assert all(problem.horizon.start <= one.arrival < one.departure for one in problem.sessions)
    assert max(one.departure for one in problem.sessions) <= problem.horizon.end
    assert 0 < sum(len(stays) == 3 for stays in by_evse) < 2 * THIRD_STAY * len(by_evse)


def test_a_small_site_is_served_within_every_rule() -> None:
    problem = canonical(SIZES["S"])

    schedule = optimise(problem, baselines=False)

    assert schedule.status != "fallback"
    assert violations(problem, schedule).all == ()
    assert schedule.unmet_kwh < 0.2
