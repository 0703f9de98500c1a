"""The checker's tolerances, from both sides: what is within is kept, what is just beyond is named."""

from dataclasses import replace
from datetime import timedelta

import pytest

from optimizer.check import violations
from optimizer.domain import Problem, Schedule
from tests.optimizer.builders import START
from tests.optimizer.test_check import (
    GOOD,
    PROBLEM,
    at,
    battery,
    powered,
    session,
    with_connection,
    with_row,
    with_session,
)

PHASE_A = 16 + 8 + 2000 / 3 / 230  # on L2 of the connection in slot 1

WITHIN_AND_BEYOND: list[tuple[str, Problem, Problem, Schedule, Schedule]] = [
    ("connection_import", with_connection(max_import_kw=14.87991), with_connection(max_import_kw=14.87986), GOOD, GOOD),
    ("circuit_power", with_row(max_power_kw=12.87991), with_row(max_power_kw=12.87986), GOOD, GOOD),
    (
        "connection_current",
        with_connection(max_current_a=PHASE_A - 0.00042),
        with_connection(max_current_a=PHASE_A - 0.00058),
        GOOD,
        GOOD,
    ),
    ("circuit_current", with_row(max_current_a=23.99958), with_row(max_current_a=23.9994), GOOD, GOOD),
    ("power_of_current", PROBLEM, PROBLEM, powered("a", 1, 11.04009, 16), powered("a", 1, 11.04013, 16)),
    ("planned_energy", PROBLEM, PROBLEM, session("tx-b", 5.52009, 0.48), session("tx-b", 5.52012, 0.48)),
    ("unmet_energy", PROBLEM, PROBLEM, session("tx-b", 5.52, 0.48009), session("tx-b", 5.52, 0.48012)),
    ("current_step", PROBLEM, PROBLEM, powered("a", 1, 11.04, 16.00009), powered("a", 1, 11.04, 16.00011)),
    (
        "battery_energy",
        PROBLEM,
        PROBLEM,
        battery((2.0, 0.0, -3.0, 0.0), (7.0, 7.0, 4.0, 4.00009)),
        battery((2.0, 0.0, -3.0, 0.0), (7.0, 7.0, 4.0, 4.00012)),
    ),
    (
        "power_balance",
        PROBLEM,
        PROBLEM,
        replace(GOOD, import_kw=at(GOOD.import_kw, 0, 10.90009)),
        replace(GOOD, import_kw=at(GOOD.import_kw, 0, 10.90013)),
    ),
    (
        "demand_cost",
        PROBLEM,
        PROBLEM,
        replace(GOOD, cost=replace(GOOD.cost, demand=17.76009)),
        replace(GOOD, cost=replace(GOOD.cost, demand=17.76016)),
    ),
]


@pytest.mark.parametrize(
    ("rule", "roomy", "tight", "near", "far"), WITHIN_AND_BEYOND, ids=[case[0] for case in WITHIN_AND_BEYOND]
)
def test_what_is_within_a_tolerance_is_kept_and_what_is_beyond_is_named(
    rule: str, roomy: Problem, tight: Problem, near: Schedule, far: Schedule
) -> None:
    within = {violation.rule for violation in violations(roomy, near).caused}
    beyond = {violation.rule for violation in violations(tight, far).caused}

    assert rule not in within
    assert rule in beyond


def test_a_large_value_may_be_off_by_a_millionth_of_itself() -> None:
    large = replace(
        PROBLEM, base_load_kw=(1000.0,) * 4, base_load_high_kw=(1000.0,) * 4, base_load_low_kw=(1000.0,) * 4
    )
    site_kw = 1000 + 11.04 + 1.84  # slot 1

    def found(short_kw: float) -> set[str]:
        connection = replace(PROBLEM.connection, max_import_kw=site_kw - short_kw, max_current_a=None)
        return {one.rule for one in violations(replace(large, connection=connection), GOOD).caused if one.slot == 1}

    assert "connection_import" not in found(0.0010)
    assert "connection_import" in found(0.0012)


@pytest.mark.parametrize(("milliseconds", "is_there"), [(3, False), (5, True)])
def test_who_is_there_for_less_than_4_ms_may_draw_nothing(milliseconds: int, is_there: bool) -> None:
    until = START + timedelta(hours=3, milliseconds=milliseconds)

    found = violations(with_session(0, departure=until), powered("a", 3, 4.14, 6.0)).caused

    named = {(violation.rule, violation.where, violation.slot) for violation in found}
    assert (("outside_presence", "a", 3) in named) != is_there
