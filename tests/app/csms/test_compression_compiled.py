"""From a plan through compression and compiler to what a station does: it fits, and it is the plan."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from app.csms.composite import composite
from app.csms.connector import Passport, Purpose, RateUnit
from app.csms.profiles import Electrics, cautious_steps, compile_steps
from optimizer.compress import compress
from optimizer.domain import Problem, Schedule
from optimizer.optimise import optimise
from tests.optimizer.builders import problems


def first_stay(problem: Problem, evse_id: str) -> tuple[int, int] | None:
    """The slots of the first unbroken presence at an EVSE from now on: first and behind the last."""
    horizon = problem.horizon
    there = [
        any(
            one.evse_id == evse_id
            and min(one.departure, horizon.slot_start(slot + 1))
            - max(one.arrival, horizon.slot_start(slot), horizon.first_moment)
            > timedelta(milliseconds=4)
            for one in problem.sessions
        )
        for slot in range(horizon.slots)
    ]
    if True not in there:
        return None
    first = there.index(True)
    return first, [*there, False].index(False, first)


def currents_of(problem: Problem, schedule: Schedule, evse_id: str) -> list[float]:
    evse = problem.evse(evse_id)
    currents_a = schedule.current_a[evse_id]
    if currents_a is not None:
        return list(currents_a)
    return [
        power_kw * 1000 / (problem.connection.voltage_v * len(evse.phases)) for power_kw in schedule.power_kw[evse_id]
    ]


@given(problems(), st.integers(1, 5), st.sampled_from(RateUnit))
@settings(max_examples=40, deadline=None)
def test_a_compressed_plan_fits_its_station_and_is_held_as_planned(
    problem: Problem, periods: int, unit: RateUnit
) -> None:
    everywhere = {evse.evse_id: periods for evse in problem.evses}
    schedule = compress(problem, optimise(problem, baselines=False), everywhere).schedule
    passport = Passport(units=frozenset({unit}), max_periods=periods, max_stack_level=1)

    for evse in problem.evses:
        stay = first_stay(problem, evse.evse_id)
        if stay is None:
            continue
        horizon, currents_a = problem.horizon, currents_of(problem, schedule, evse.evse_id)
        begins = max(horizon.slot_start(stay[0]), horizon.first_moment)
        plan = cautious_steps(
            currents_a,
            start=horizon.start,
            slot_minutes=horizon.slot_minutes,
            now=begins,
            valid_until=horizon.slot_start(stay[1]),
            skew_s=0,
        )
        electrics = Electrics(phases=len(evse.phases), is_dc=evse.is_dc)
        result = compile_steps(
            plan,
            passport=passport,
            purpose=Purpose.TX,
            stack_level=1,
            profile_id=1,
            transaction_id=1,
            electrics=electrics,
        )

        held = composite([result.profile], plan.start, plan.end, phases=len(evse.phases))
        tenth_a = 0.1 if unit is RateUnit.A else 0.1 / electrics.watts_per_ampere
        assert result.covers
        for moment in {*plan.moments, *held.moments}:
            assert -1e-6 <= plan.at(moment) - held.at(moment) < tenth_a + 1e-6
