"""A grid operator's limits become a hard cap on what the cars draw."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db.operating_records import GridLimit
from app.gather.grid_cap import GRID_LIMIT, under_grid_limits
from app.problem_json import problem_from_json, problem_to_json
from optimizer.check import violations
from optimizer.domain import Circuit, Reservation
from optimizer.optimise import optimise
from tests.optimizer.builders import a_problem, a_session, an_evse

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_limit(max_kw: float, start: datetime, end: datetime | None, **changes: Any) -> GridLimit:
    columns = {"limit_id": "l", "site_id": "s", "source": "dso", "reference": "1", "applies_to": "charging"}
    return GridLimit(**(columns | {"max_kw": max_kw, "start": start, "end": end, "received_at": START} | changes))


def two_cars(**changes: Any) -> Any:
    options: dict[str, Any] = {
        "start": START,
        "prices": [0.1, 0.2, 0.3, 0.4],
        "evses": [an_evse("a"), an_evse("b", circuit_id="row")],
        "circuits": [Circuit("row", max_current_a=32)],
        "sessions": [
            a_session(session_id=f"tx-{name}", evse_id=name, arrival=START, hours=4, required_energy_kwh=11)
            for name in ("a", "b")
        ],
    }
    return a_problem(**(options | changes))


def drawn(problem: Any) -> list[float]:
    schedule = optimise(problem)
    assert violations(problem, schedule).caused == ()
    return [round(sum(powers), 3) for powers in zip(*schedule.power_kw.values(), strict=True)]


def test_what_all_cars_draw_together_stays_under_the_limit_while_it_holds() -> None:
    free = two_cars()

    capped = under_grid_limits(free, [a_limit(8.4, START, START + HOUR)], idle=())

    assert drawn(free)[0] == pytest.approx(22, abs=0.2)
    assert drawn(capped)[0] <= 8.4 + 1e-6
    assert sum(drawn(capped)) > 21.99  # and nobody leaves short


def test_a_limit_that_is_to_come_is_planned_for() -> None:
    capped = under_grid_limits(
        two_cars(prices=[0.4, 0.1, 0.3, 0.2]), [a_limit(0, START + HOUR, START + 2 * HOUR)], idle=()
    )

    assert drawn(capped)[1] == 0


def test_of_several_limits_the_lowest_counts_and_a_cancelled_one_does_not() -> None:
    limits = [
        a_limit(9, START, None),
        a_limit(6, START + HOUR, START + 2 * HOUR),
        a_limit(0, START, None, cancelled_at=START),
    ]

    [cap, _] = under_grid_limits(two_cars(), limits, idle=()).circuits

    assert cap.power_cap_kw == (9, 6, 9, 9)


def test_a_limit_that_begins_within_a_slot_holds_for_all_of_it_and_one_that_is_over_for_none() -> None:
    ends_within = a_limit(5, START - HOUR, START + HOUR / 2)
    over = a_limit(1, START - 2 * HOUR, START)

    [cap, _] = under_grid_limits(two_cars(), [ends_within, over], idle=()).circuits

    assert cap.power_cap_kw is not None
    assert cap.power_cap_kw[0] == 5
    assert cap.power_cap_kw[1] > 10_000


def test_a_limit_of_the_import_leaves_what_the_building_does_not_need() -> None:
    problem = two_cars(base_load_kw=[4.0] * 4, base_load_high_kw=[5.0] * 4)

    [cap, _] = under_grid_limits(problem, [a_limit(12, START, None, applies_to="import")], idle=()).circuits
    [none, _] = under_grid_limits(problem, [a_limit(3, START, None, applies_to="import")], idle=()).circuits

    assert cap.power_cap_kw == (7.0,) * 4
    assert none.power_cap_kw == (0.0,) * 4


def test_what_is_kept_for_free_evses_does_not_count_and_what_others_may_draw_does() -> None:
    idle, lost = (Reservation((6.0, 6.0, 6.0), evse_id=name) for name in ("c", "d"))
    evses = [an_evse(name) for name in ("a", "b", "c", "d")]
    problem = two_cars(evses=evses, circuits=[], reservations=(idle, lost))

    capped = under_grid_limits(problem, [a_limit(10, START, None)], idle={"c"})

    assert drawn(capped)[0] <= 10 - 4.14 + 1e-6
    assert drawn(capped)[0] > 4.14


def test_without_a_limit_the_problem_stays_as_it_is() -> None:
    problem = two_cars()

    assert under_grid_limits(problem, [a_limit(1, START - 2 * HOUR, START - HOUR)], idle=()) is problem


def test_a_capped_problem_survives_the_way_through_json() -> None:
    capped = under_grid_limits(two_cars(), [a_limit(8.4, START, START + HOUR)], idle=())

    assert problem_from_json(problem_to_json(capped)) == capped
    assert capped.ancestors("row") == ("row", GRID_LIMIT)
