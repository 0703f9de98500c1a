"""What is not enough for everybody is divided class by class; in time for one solve only, by the least total."""

import numpy as np
import pytest

from optimizer.arrays import Floats
from optimizer.constraints import ALL
from optimizer.domain import Connection, Problem
from optimizer.doors import HighsDoor, Solution
from optimizer.errors import SolverError
from optimizer.objectives import money
from optimizer.program import Program, Site, Variables, assemble
from optimizer.service import Shortfall, divide
from tests.optimizer.builders import a_problem, a_session, an_evse


class DoorThatCloses:
    """HiGHS for some solves, and then no time is left."""

    def __init__(self, solves: int) -> None:
        self._left, self._highs = solves, HighsDoor()

    def solve(
        self, program: Program, *, time_limit_s: float, absolute_gap: float = 0.0, feasible_start: bool = False
    ) -> Solution:
        if self._left == 0:
            raise SolverError("no time left")
        self._left -= 1
        return self._highs.solve(
            program, time_limit_s=time_limit_s, absolute_gap=absolute_gap, feasible_start=feasible_start
        )

    def mark(self) -> None:
        self._highs.mark()

    def back(self) -> None:
        self._highs.back()


def an_hour_of_11_kw(*needs: tuple[float, int]) -> Problem:
    """One hour, 11 kW for everybody together; needs in kWh, each with its priority."""
    return a_problem(
        prices=[0.20],
        connection=Connection(max_import_kw=11.0),
        evses=[an_evse(f"evse-{number}", max_current_a=32) for number, _ in enumerate(needs)],
        sessions=[
            a_session(f"tx-{number}", evse_id=f"evse-{number}", hours=1, required_energy_kwh=kwh, priority=priority)
            for number, (kwh, priority) in enumerate(needs)
        ],
    )


def divided(problem: Problem, solves: int = 1000) -> Shortfall:
    site = Site.of(problem)
    return divide(site, Variables.of(site), DoorThatCloses(solves), time_limit_s=30)


def met_shares(problem: Problem, shortfall: Shortfall) -> Floats:
    needs_kwh = np.array([session.required_energy_kwh for session in problem.sessions])
    shares: Floats = 1 - shortfall.by_session_kwh / needs_kwh
    return shares


def test_everybody_of_a_class_gets_the_same_share_at_least() -> None:
    problem = an_hour_of_11_kw((20, 1), (10, 1), (3, 1))

    shortfall = divided(problem)

    assert shortfall.proven
    assert met_shares(problem, shortfall) == pytest.approx(11 / 33, abs=1e-5)
    assert shortfall.by_class_kwh == pytest.approx([22.0], abs=1e-4)


def test_a_later_class_shares_what_the_earlier_one_leaves() -> None:
    problem = an_hour_of_11_kw((5, 1), (12, 2), (4, 2))

    shortfall = divided(problem)

    assert shortfall.by_class_kwh == pytest.approx([0.0, 10.0], abs=1e-4)
    assert met_shares(problem, shortfall) == pytest.approx([1.0, 6 / 16, 6 / 16], abs=1e-5)


def test_a_class_that_nothing_is_left_for_goes_without() -> None:
    problem = an_hour_of_11_kw((20, 1), (4, 2))

    shortfall = divided(problem)

    assert shortfall.by_class_kwh == pytest.approx([9.0, 4.0], abs=1e-4)


@pytest.mark.parametrize("solves", range(1, 13))
def test_whenever_time_runs_out_the_rest_goes_without_the_least_total(solves: int) -> None:
    problem = an_hour_of_11_kw((20, 1), (10, 1), (6, 2), (3, 2))
    site = Site.of(problem)
    v = Variables.of(site)
    money_program = assemble(site, v, ALL, money(site, v))

    shortfall = divided(problem, solves)
    x = HighsDoor().solve(shortfall.bound(money_program, v), time_limit_s=30).x

    assert shortfall.proven == (solves == 12)
    assert x[v.unmet].sum() == pytest.approx(28.0, abs=1e-3)


def test_without_time_for_one_solve_there_is_none() -> None:
    with pytest.raises(SolverError):
        divided(an_hour_of_11_kw((20, 1), (10, 1)), solves=0)
