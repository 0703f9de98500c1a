"""The last resort: where even equal share is refused, nobody charges, and the reason says so."""

from dataclasses import replace

import pytest

from optimizer import optimise as module
from optimizer.baseline import uncontrolled
from optimizer.domain import Connection, Problem, Schedule
from optimizer.errors import SolverError
from optimizer.optimise import optimise
from tests.optimizer.builders import a_problem, a_session


def test_where_even_equal_share_is_refused_nobody_charges(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = a_problem(prices=[0.1], connection=Connection(max_import_kw=10), sessions=[a_session(hours=1)])

    def full_power(problem: Problem) -> Schedule:
        return replace(uncontrolled(problem), status="fallback")

    def gone(problem: Problem, *, solver: str = "highs") -> Schedule:
        raise SolverError("gone")

    monkeypatch.setattr(module, "equal_share", full_power)

    schedule = optimise(problem, baselines=False, solve=gone)

    assert schedule.status == "fallback"
    assert schedule.power_kw == {"evse-1": (0.0,)}
    assert schedule.reason is not None
    assert schedule.reason.startswith("nobody charges, because the solver gave no answer: gone; equal share breaks")
    assert "connection_import" in schedule.reason
    assert schedule.violations == ()
