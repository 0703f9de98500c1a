"""Powers below the minimum are decided; on a large site only a few vehicles move for it."""

import numpy as np
import pytest

from benchmarks.optimizer_solve import SIZES, Size, site
from optimizer.check import violations
from optimizer.constraints import ALL
from optimizer.dive import LARGE, dive
from optimizer.doors import door
from optimizer.neighbourhood import Neighbourhood, free_columns, moving_evses
from optimizer.objectives import money
from optimizer.program import Program, Site, Variables, assemble
from optimizer.room import POWER_NOISE_KW
from optimizer.service import no_shortfall
from optimizer.solve import solve


def solved(size: Size, seed: int = 1) -> tuple[Site, Variables, Program, np.ndarray]:
    arrays = Site.of(site(size, seed=seed))
    variables = Variables.of(arrays)
    program = no_shortfall(arrays, assemble(arrays, variables, ALL, money(arrays, variables)), variables)
    return arrays, variables, program, door("highs").solve(program, time_limit_s=30).x


@pytest.mark.parametrize(("seed", "battery"), [(1, False), (2, False), (1, True)])
def test_a_large_site_is_served_within_three_tenths_of_a_percent_of_the_bound(seed: int, battery: bool) -> None:
    problem = site(Size(90), seed=seed, battery=battery)

    schedule = solve(problem)

    assert Site.of(problem).charge.columns > LARGE
    assert violations(problem, schedule).caused == ()
    assert max(result.unmet_kwh for result in schedule.sessions.values()) <= 0.01
    assert schedule.gap is not None
    assert schedule.gap < 0.003


def test_only_vehicles_below_the_minimum_and_their_rivals_move() -> None:
    arrays, variables, program, x = solved(Size(90))
    charge, power_kw = arrays.charge, x[variables.charge]
    below = (power_kw > POWER_NOISE_KW) & (power_kw < charge.min_kw - POWER_NOISE_KW)
    moving = moving_evses(arrays, power_kw, x[variables.store], below)
    asked: list[Program] = []

    def run_part(part: Program) -> np.ndarray:
        asked.append(part)
        return door("highs").solve(part, time_limit_s=30).x

    decided = dive(arrays, variables, program, x, wish=np.zeros(program.cost.size), run=run_part, run_part=run_part)

    assert below.any()
    assert set(charge.evse[below]) <= set(np.flatnonzero(moving)) < set(range(90))
    assert asked[0].lower.size < program.lower.size
    changed = np.abs(decided[variables.charge] - power_kw) > POWER_NOISE_KW
    assert set(charge.evse[changed]) <= set(np.flatnonzero(moving))
    kw = decided[variables.charge]
    assert not ((kw > POWER_NOISE_KW) & (kw < charge.min_kw - POWER_NOISE_KW)).any()


def test_a_part_of_a_solved_program_has_nothing_to_gain() -> None:
    arrays, variables, program, x = solved(SIZES["S"])
    half = np.arange(len(arrays.problem.evses)) % 2 == 0

    part = Neighbourhood.around(program, x, free_columns(arrays, variables, half))
    again = part.whole(door("highs").solve(part.part(program), time_limit_s=30).x)

    assert program.cost @ again == pytest.approx(program.cost @ x, abs=1e-4)
    sums = program.matrix.dot(again)
    assert (sums >= program.row_lower - 1e-5).all()
    assert (sums <= program.row_upper + 1e-5).all()
