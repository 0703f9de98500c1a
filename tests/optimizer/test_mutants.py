"""How much of what can be wrong is seen: mutants of good schedules, each with one value that breaks a rule."""

import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import Phase, given, settings

from optimizer.baseline import equal_share
from optimizer.check import violations
from optimizer.domain import Problem
from optimizer.optimise import optimise
from tests.optimizer.builders import problems, rich_problems
from tests.optimizer.mutants import OPERATORS, mutants

SITES = 80
LEAST_MUTANTS = 500
LEAST_OF_A_KIND = 5
LEAST_CAUGHT = 0.95


def test_at_least_95_percent_of_the_mutants_are_caught(capsys: pytest.CaptureFixture[str]) -> None:
    made, caught = Counter[str](), Counter[str]()

    @given(problems(max_slots=10, max_evses=3) | rich_problems(max_slots=10))
    @settings(
        max_examples=SITES, derandomize=True, database=None, phases=[Phase.generate], deadline=None
    )  # always the same sites, none of them shrunk
    def mutate(problem: Problem) -> None:
        random = Random(made.total())
        planned = equal_share(problem) if random.random() < 0.5 else optimise(problem, baselines=False)
        assert violations(problem, planned).caused == ()

        for mutant in mutants(problem, planned, random):
            made[mutant.kind] += 1
            caught[mutant.kind] += bool(violations(mutant.problem, mutant.schedule).caused)

    mutate()

    rate = caught.total() / made.total()
    missed = {kind: f"{made[kind] - caught[kind]} of {made[kind]}" for kind in made if caught[kind] < made[kind]}
    with capsys.disabled():
        sys.stdout.write(f"\n{caught.total()} of {made.total()} mutants: {rate:.2%}; missed: {missed or 'none'}\n")
    assert made.total() >= LEAST_MUTANTS
    assert min(made[operator.__name__] for operator in OPERATORS) >= LEAST_OF_A_KIND, made
    assert rate >= LEAST_CAUGHT, missed
