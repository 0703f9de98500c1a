"""How much of what can be wrong is seen: mutants of good schedules, each with one value that breaks a rule."""

import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import Phase, given, seed, settings

from optimizer.baseline import equal_share
from optimizer.check import RULES, violations
from optimizer.check.plan import Plan
from optimizer.check.shape import shape
from optimizer.domain import Problem
from optimizer.optimise import optimise
from tests.optimizer.builders import problems, rich_problems
from tests.optimizer.mutants import OPERATORS, Mutant, mutants

SITES = 200
SEEDS = (1, 2, 3, 4)  # the next only where a kind of mutant was never made
LEAST_MUTANTS = 1000
LEAST_OF_A_KIND = 1
LEAST_CAUGHT = 0.95
ONLY_WITH_OTHERS = {  # one value alone cannot break them here: test_check and test_check_vehicles do
    "one_direction",  # a flow that is moved is off the balance too
    "vehicle_battery",  # a power that is moved has another current
}


def seen_by(mutant: Mutant) -> set[str]:
    """The rules that see it, each asked alone."""
    if any(shape(mutant.problem, mutant.schedule)):
        return {"shape"}
    plan = Plan.read(mutant.problem, mutant.schedule)
    return {rule.__name__ for rule in RULES if any(not violation.unavoidable for violation in rule(plan))}


def test_at_least_95_percent_of_the_mutants_are_caught_and_every_rule_is_needed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made, caught, alone, together = Counter[str](), Counter[str](), Counter[str](), Counter[str]()

    @given(problems(max_slots=10, max_evses=3) | rich_problems(max_slots=10))
    @settings(max_examples=SITES, database=None, phases=[Phase.generate], deadline=None)
    def mutate(problem: Problem) -> None:
        random = Random(made.total())
        planned = equal_share(problem) if random.random() < 0.5 else optimise(problem, baselines=False)
        assert violations(problem, planned).caused == ()

        for mutant in mutants(problem, planned, random):
            seers = seen_by(mutant)
            made[mutant.kind] += 1
            caught[mutant.kind] += bool(violations(mutant.problem, mutant.schedule).caused)
            (alone if len(seers) == 1 else together).update(seers)

    for start in SEEDS:  # the same sites for the same loaded modules: hypothesis draws constants from them
        seed(start)(mutate)()
        if min(made[operator.__name__] for operator in OPERATORS) >= LEAST_OF_A_KIND:
            break

    rate = caught.total() / made.total()
    missed = {kind: f"{made[kind] - caught[kind]} of {made[kind]}" for kind in made if caught[kind] < made[kind]}
    with capsys.disabled():
        sys.stdout.write(f"\n{caught.total()} of {made.total()} mutants: {rate:.2%}; missed: {missed or 'none'}\n")
    assert made.total() >= LEAST_MUTANTS
    assert min(made[operator.__name__] for operator in OPERATORS) >= LEAST_OF_A_KIND, made
    assert rate >= LEAST_CAUGHT, missed
    assert {rule.__name__ for rule in RULES} - set(alone) <= ONLY_WITH_OTHERS <= set(together)
