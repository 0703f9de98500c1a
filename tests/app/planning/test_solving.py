"""One solve as the service wants it: baselines by name, foresight beside them, time-outs kept."""

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from app.planning.solving import BASELINE_NAMES, DEFAULTS, FORESIGHT, Keeping, Solved, solve
from app.planning.timed_out import TimedOut
from optimizer.domain import Connection, Problem, Scenario, Settings
from optimizer.errors import InvalidProblemError
from optimizer.optimise import BASELINES, DEFAULT_BASELINES, optimise
from tests.optimizer.builders import START, a_problem, a_session, an_evse

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def two_cars(time_limit_s: float = 30.0) -> Problem:
    """Two hours for two cars behind a fuse of one, of which the second leaves first."""
    return a_problem(
        prices=[0.30, 0.10, 0.20],
        connection=Connection(max_import_kw=12),
        base_load_kw=0.5,
        evses=[an_evse("a"), an_evse("b")],
        sessions=[
            a_session("slow", evse_id="a", required_energy_kwh=10, hours=3),
            a_session("quick", evse_id="b", required_energy_kwh=10, hours=2),
        ],
        settings=Settings(time_limit_s=time_limit_s),
    )


def test_every_baseline_of_the_optimizer_can_be_asked_for() -> None:
    assert set(BASELINE_NAMES) == {*BASELINES, FORESIGHT}
    assert set(DEFAULTS) == set(DEFAULT_BASELINES)


def test_every_baseline_stands_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "model.md").read_text("utf-8")

    assert all(f"| `{name}` |" in text for name in BASELINE_NAMES)


def test_baselines_are_those_that_were_named_in_any_number() -> None:
    problem = two_cars()

    assert set(solve(problem).schedule.baselines) == {"uncontrolled", "equal_share"}
    assert set(solve(problem, baselines=["least_laxity_first"]).schedule.baselines) == {"least_laxity_first"}
    assert set(solve(problem, baselines=BASELINE_NAMES).schedule.baselines) == set(BASELINE_NAMES)
    assert solve(problem, baselines=()).schedule.baselines == {}


@pytest.mark.parametrize("name", ["magic", "", "Uncontrolled"])
def test_a_baseline_that_nobody_knows_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidProblemError, match=f"baselines {name!r} is none of uncontrolled, equal_share"):
        solve(two_cars(), baselines=["uncontrolled", name])


def test_perfect_foresight_serves_what_a_plan_that_keeps_room_for_doubt_cannot() -> None:
    unsure = replace(two_cars(), base_load_high_kw=(6.0, 6.0, 6.0))

    schedule = solve(unsure, baselines=[FORESIGHT]).schedule

    best = schedule.baselines[FORESIGHT]
    assert schedule.unmet_kwh > 2
    assert best.unmet_kwh == pytest.approx(0, abs=1e-3)
    assert best.violations == ()


def test_without_any_doubt_perfect_foresight_is_the_plan_itself() -> None:
    certain = replace(two_cars(), base_load_high_kw=(0.5,) * 3, base_load_low_kw=(0.5,) * 3)

    schedule = solve(certain, baselines=[FORESIGHT]).schedule

    assert schedule.baselines[FORESIGHT].cost.total == pytest.approx(schedule.cost.total)


@pytest.mark.parametrize(
    "doubt",
    [
        {"probability": 0.5},
        {
            "scenarios": (
                Scenario(0.5, START + timedelta(hours=1), 5.0),
                Scenario(0.5, START + timedelta(hours=3), 10.0),
            )
        },
    ],
)
def test_who_may_or_may_not_come_leaves_no_perfect_foresight(doubt: dict[str, object]) -> None:
    problem = two_cars()
    guest = replace(problem.sessions[0], **doubt)  # type: ignore[arg-type]  # fields of one or the other doubt
    problem = replace(problem, sessions=(guest, problem.sessions[1]), unmet_price_per_kwh=1.0)

    with pytest.raises(InvalidProblemError, match=r"'perfect_foresight' has to know who comes: sessions\[slow\]"):
        solve(problem, baselines=[FORESIGHT])


def test_a_foresight_that_fails_is_left_out_and_said() -> None:
    solved = solve(two_cars(), solver="pulp:NO_SUCH_SOLVER", baselines=[FORESIGHT])

    assert solved.schedule.baselines == {}
    assert any(warning.startswith("no baseline perfect_foresight: ") for warning in solved.schedule.warnings)


def test_a_problem_that_uses_up_its_time_limit_is_kept_and_the_warning_names_the_file(tmp_path: Path) -> None:
    keeping = Keeping(TimedOut(tmp_path), "depot", AT)

    solved = solve(two_cars(time_limit_s=1e-6), keeping=keeping)

    assert solved.used_up
    assert solved.kept == tmp_path / "20260601T120000.000000Z-depot.json"
    assert solved.kept.exists()
    assert str(solved.kept) in solved.schedule.warnings[-1]
    assert set(solved.schedule.power_kw) == {"a", "b"}


def test_a_problem_that_is_solved_in_time_leaves_no_file(tmp_path: Path) -> None:
    solved = solve(two_cars(), keeping=Keeping(TimedOut(tmp_path), "depot", AT))

    assert solved == Solved(solved.schedule, used_up=False, kept=None)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_the_plan_stands_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    solved = solve(two_cars(time_limit_s=1e-6), keeping=Keeping(TimedOut(tmp_path / "file"), "depot", AT))

    assert solved.used_up
    assert solved.kept is None
    assert any("could not be kept" in warning for warning in solved.schedule.warnings)
    assert solved.schedule.unmet_kwh < 20


def test_a_solve_can_travel_to_another_process(tmp_path: Path) -> None:
    work = partial(solve, two_cars(), baselines=BASELINE_NAMES, keeping=Keeping(TimedOut(tmp_path), "depot", AT))

    there = pickle.loads(pickle.dumps(work))  # noqa: S301 - our own bytes
    back = pickle.loads(pickle.dumps(there()))  # noqa: S301 - our own bytes

    assert back.schedule.power_kw == optimise(two_cars()).power_kw
