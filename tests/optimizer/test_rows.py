"""Single rows of the program, read number by number."""

from datetime import timedelta

import numpy as np
import pytest

from optimizer.arrays import Floats
from optimizer.constraints import ALL
from optimizer.domain import DemandCharge, Evse, Problem, VehicleToGrid
from optimizer.objectives import money
from optimizer.program import Program, Site, Variables, assemble
from tests.optimizer.builders import START, a_problem, a_session


def assembled(problem: Problem) -> tuple[Variables, Program]:
    site = Site.of(problem)
    variables = Variables.of(site)
    return variables, assemble(site, variables, ALL, money(site, variables))


def column_of(program: Program, column: int, row: str) -> Floats:
    """The coefficients of one column in the rows of a rule."""
    one = np.zeros(program.cost.size)
    one[column] = 1.0
    return program.matrix.dot(one)[program.rows(row)]


def test_an_interval_that_is_running_brings_its_energy_along() -> None:
    charge = DemandCharge("month", price_per_kw=5, interval_minutes=60, interval_energy_so_far_kwh=4)
    problem = a_problem(
        prices=[0.1, 0.3],
        now=START + timedelta(minutes=30),
        demand_charges=[charge],
        sessions=[a_session(hours=2, required_energy_kwh=6.9)],
    )

    variables, program = assembled(problem)

    assert program.row_upper[program.rows("demand_peak")].tolist() == [-4, 0]
    assert column_of(program, variables.peak[0], "demand_peak").tolist() == [-1, -1]
    assert column_of(program, variables.imported[0], "demand_peak").tolist() == [0.5, 0]


def test_what_is_given_costs_a_need_the_losses_of_both_ways() -> None:
    problem = a_problem(
        prices=[0.1, 0.3],
        evses=[Evse("evse-1", "connection", max_power_kw=10, efficiency=0.8)],
        sessions=[
            a_session(hours=2, required_energy_kwh=5, soc=0.5, capacity_kwh=40, v2g=VehicleToGrid(max_discharge_kw=10))
        ],
    )

    variables, program = assembled(problem)

    given = [column_of(program, column, "energy_by_departure")[0] for column in variables.give]
    assert given == pytest.approx([-1 / 0.64] * 2)
    assert column_of(program, variables.charge[0], "energy_by_departure").tolist() == [1]
