"""The benchmarks as they are run: small, in a process of their own, with figures that hang together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.canonical import SIZES, canonical
from benchmarks.optimizer_best_known import SEED, bound, fingerprint, stored, with_minimum
from benchmarks.optimizer_lp import bare, money_program, ours
from benchmarks.optimizer_peers import as_arrays, common
from benchmarks.report import read
from benchmarks.soak import Series
from optimizer.doors import door
from optimizer.program import Site, Variables

ROOT = Path(__file__).parents[2]


def run(tmp_path: Path, name: str, *given: str) -> dict[tuple[str, str], float | None]:
    figures = tmp_path / "figures.jsonl"
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *given, "--json", str(figures)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=100)
    return {(one.case, one.measure): one.value for one in read(figures)}


def test_the_linear_program_is_measured_beside_the_bare_solver_and_pulp(tmp_path: Path) -> None:
    figures = run(tmp_path, "optimizer_lp", "S", "--repeat", "1")

    assert figures["S", "sessions"] == 24
    for measure in ("bare", "ours", "whole", "PuLP+HiGHS", "ours / bare"):
        value = figures["S", measure]
        assert value is not None
        assert value > 0


def test_a_request_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    figures = run(tmp_path, "service_optimize", "S", "--repeat", "1")

    parts = [figures["S", part] or 0.0 for part in ("validation", "solve", "answer", "rest")]
    assert sum(parts) >= (figures["S", "request"] or 0.0) * 0.99
    assert all(part >= 0 for part in parts)


def test_memory_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    figures = run(tmp_path, "optimizer_scale", "S")

    memory_mb = figures["S", "memory"]
    assert memory_mb is not None
    assert 0 < memory_mb < 200


@pytest.mark.slow
def test_a_soak_says_how_memory_and_tasks_grow(tmp_path: Path) -> None:
    figures = run(tmp_path, "soak", "--minutes", "0.1", "--stations", "2")

    memory_mb, tasks = figures["2 stations", "memory at the end"], figures["2 stations", "tasks at the end"]
    assert memory_mb is not None
    assert 50 < memory_mb < 1000
    assert tasks is not None
    assert 5 < tasks < 200


def test_a_slope_is_that_of_the_last_two_thirds() -> None:
    series = Series(list(range(0, 3600, 60)), [*range(20), *[20 + 0.01 * number for number in range(40)]])

    slope, error = series.slope_per_hour()

    assert slope == pytest.approx(0.6)
    assert error == pytest.approx(0, abs=1e-6)


def test_both_paths_find_the_same_optimum() -> None:
    problem = canonical(SIZES["S"])

    assert ours(problem) == pytest.approx(bare(money_program(problem)), rel=1e-9)


@pytest.mark.parametrize("name", ["S", "M", "L", "XL"])
def test_the_best_known_belongs_to_the_site_as_it_is(name: str) -> None:
    record = stored()[name]

    assert record.seed == SEED
    assert record.site == fingerprint(canonical(SIZES[name], seed=SEED))
    assert record.lp_bound <= record.best_money
    assert 0 <= record.gap_percent < 1


def test_the_long_run_starts_from_a_program_whose_relaxation_is_the_bound() -> None:
    problem = canonical(SIZES["S"])
    site = Site.of(problem)
    variables = Variables.of(site)
    program = money_program(problem)

    whole = with_minimum(site, variables, program)
    relaxed = door("highs").solve(
        type(whole)(whole.matrix, whole.cost, whole.lower, whole.upper, whole.row_lower, whole.row_upper, whole.blocks),
        time_limit_s=30,
    )

    assert relaxed.objective == pytest.approx(bare(program), rel=1e-9)
    assert bound(site, variables, program, np.zeros(len(problem.sessions))) <= stored()["S"].best_money + 1e-6


def test_peers_get_stays_on_whole_slots_that_can_hold_their_energy() -> None:
    told = json.loads(json.dumps(as_arrays(common(10))))

    assert len(told["sessions"]) == 10
    for session in told["sessions"]:
        assert 0 <= session["first"] < session["end"] <= told["slots"]
        assert session["energy_kwh"] <= (session["end"] - session["first"]) * told["step_h"] * session["max_kw"]
