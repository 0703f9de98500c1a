"""A small site is polished in whole steps; and what every stage does with the time that is left."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.optimizer_solve import SIZES, Size, site
from optimizer.check import violations
from optimizer.constraints import ALL
from optimizer.dive import forgiving
from optimizer.domain import Problem
from optimizer.doors import HighsDoor, Solution
from optimizer.errors import SolverError
from optimizer.objectives import head_start, money
from optimizer.polish import is_small, polished
from optimizer.program import Program, Site, Variables, assemble
from optimizer.rounding import Rounding
from optimizer.service import no_shortfall
from optimizer.solve import TimeLimit, least_money, solve


def arrays_of(problem: Problem) -> tuple[Site, Variables, Program]:
    arrays = Site.of(problem)
    variables = Variables.of(arrays)
    return arrays, variables, assemble(arrays, variables, ALL, money(arrays, variables))


def search(program: Program, absolute_gap: float, nodes: int) -> np.ndarray:
    return HighsDoor().search(program, time_limit_s=30, absolute_gap=absolute_gap, nodes=nodes).x


def test_a_small_site_whose_peak_suffers_from_rounding_ends_within_three_tenths_of_a_percent() -> None:
    problem = site(SIZES["S"], seed=7)  # 3.5 % by rounding alone
    problem = replace(problem, settings=replace(problem.settings, time_limit_s=300))  # however busy the machine is

    schedule = solve(problem)

    assert violations(problem, schedule).caused == ()
    assert max(one.unmet_kwh for one in schedule.sessions.values()) <= 0.01
    assert schedule.gap is not None
    assert schedule.gap < 0.003


def test_polished_powers_are_whole_steps_within_the_same_limits_and_the_same_every_time() -> None:
    arrays, variables, program = arrays_of(site(Size(2), seed=3))
    x = HighsDoor().solve(no_shortfall(arrays, program, variables), time_limit_s=30).x
    forgives = forgiving(arrays, variables, program, x, np.zeros(variables.columns))

    once, again = (polished(arrays, variables, forgives, x, settled=False, search=search) for _ in range(2))

    assert once is not None
    assert again is not None
    assert once.tolist() == again.tolist()
    on = once > 0
    assert (once[on] >= arrays.charge.min_steps[on]).all()
    assert (once <= arrays.charge.max_steps).all()
    lacking_kwh = arrays.needs.owed_kwh - arrays.delivered_kwh(once * arrays.charge.step_kw)
    assert lacking_kwh.max() <= 0.01


def test_only_small_sites_are_polished() -> None:
    assert is_small(Site.of(site(SIZES["S"])))
    assert not is_small(Site.of(site(Size(40))))


def test_a_search_that_runs_out_of_time_gives_nothing_rather_than_what_a_faster_machine_would_not_give() -> None:
    _, variables, program = arrays_of(site(SIZES["S"]))
    integer = np.zeros(variables.columns, dtype=np.bool_)
    integer[variables.charge] = True

    with pytest.raises(SolverError, match="too long"):
        HighsDoor().search(replace(program, integer=integer), time_limit_s=0.0, absolute_gap=0.0, nodes=100)


def test_a_door_that_goes_back_finds_what_it_had_marked() -> None:
    arrays, variables, program = arrays_of(site(Size(5)))
    door, wished = HighsDoor(), replace(program, cost=program.cost + head_start(arrays, variables))
    marked = door.solve(wished, time_limit_s=30)
    door.mark()
    other = replace(program, cost=program.cost[::-1].copy(), lower=program.lower * 0)
    door.solve(other, time_limit_s=30)

    door.back()
    again = door.solve(wished, time_limit_s=30)

    assert again.x.tolist() == marked.x.tolist()


class OneSolve(HighsDoor):
    """Out of time after the first program."""

    solved = 0

    def solve(
        self, program: Program, *, time_limit_s: float, absolute_gap: float = 0.0, feasible_start: bool = False
    ) -> Solution:
        self.solved += 1
        if self.solved > 1:
            raise SolverError("out of time")
        return super().solve(
            program, time_limit_s=time_limit_s, absolute_gap=absolute_gap, feasible_start=feasible_start
        )


def test_a_plan_that_cannot_be_proven_in_time_stands_with_a_bound_that_holds() -> None:
    arrays, variables, program = arrays_of(site(SIZES["S"]))
    start = head_start(arrays, variables)
    proven = least_money(arrays, variables, program, HighsDoor(), TimeLimit(30), start=start)

    found = least_money(arrays, variables, program, OneSolve(), TimeLimit(30), start=start)

    assert found.bound <= proven.bound + 1e-6
    assert found.bound >= proven.bound - 0.05 * abs(proven.bound)
    assert program.value(found.x) >= proven.bound - 1e-6


def test_rounding_without_time_gives_nothing_back_and_overloads_nothing() -> None:
    arrays, variables, program = arrays_of(site(SIZES["S"]))
    x = HighsDoor().solve(no_shortfall(arrays, program, variables), time_limit_s=30).x
    owed_kwh, floors_kwh = arrays.needs.owed_kwh, arrays.milestones.owed_kwh

    hurried = Rounding(arrays, variables, x, owed_kwh, floors_kwh, lambda: True).steps(keep_peak=True)
    patient = Rounding(arrays, variables, x, owed_kwh, floors_kwh).steps(keep_peak=True)

    assert (hurried <= arrays.charge.max_steps).all()
    missing = [np.maximum(owed_kwh - arrays.delivered_kwh(s * arrays.charge.step_kw), 0) for s in (hurried, patient)]
    assert missing[0].sum() > missing[1].sum()


def test_without_polish_a_plan_comes_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(*_: object, **__: object) -> None:
        raise AssertionError("nobody asked for a search")

    monkeypatch.setattr(HighsDoor, "search", searched)

    schedule = solve(site(SIZES["S"], seed=3), polish=False)

    assert schedule.status == "feasible"
