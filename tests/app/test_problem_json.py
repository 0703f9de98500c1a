"""The JSON edge: what goes in comes out again, and what is wrong is named with its path and value."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given, settings

from app.problem_json import (
    ProblemIn,
    ScheduleOut,
    problem_from_json,
    problem_to_json,
    schedule_from_json,
    schedule_to_json,
)
from app.problem_json.problem import EXAMPLE
from optimizer.domain import Problem, Violation
from optimizer.errors import InvalidProblemError
from optimizer.optimise import optimise
from tests.optimizer.builders import a_battery, a_problem, a_session, an_evse, problems, rich_problems

SHARED_EXAMPLE = Path(__file__).parents[3] / "shared" / "example_problem.json"


def an_example(change: Callable[[dict[str, Any]], object] | None = None) -> dict[str, Any]:
    document = copy.deepcopy(EXAMPLE)
    if change:
        change(document)
    return document


def through_text(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document, allow_nan=False))


@given(problems() | rich_problems())
@settings(deadline=None)  # shared cores
def test_a_problem_survives_the_way_through_json(problem: Problem) -> None:
    assert problem_from_json(through_text(problem_to_json(problem))) == problem


@given(problems(max_slots=6))
@settings(deadline=None, max_examples=20)  # each one is solved, on shared cores
def test_a_schedule_survives_the_way_through_json(problem: Problem) -> None:
    schedule = optimise(problem)

    assert schedule_from_json(through_text(schedule_to_json(schedule))) == schedule


def test_the_example_of_the_schema_is_a_problem_that_can_be_met() -> None:
    schedule = optimise(problem_from_json(EXAMPLE))

    assert schedule.status != "fallback"
    assert schedule.sessions["tx-1"].unmet_kwh == 0


def test_reads_the_example_that_was_handed_out() -> None:
    if not SHARED_EXAMPLE.exists():
        pytest.skip(f"{SHARED_EXAMPLE.name} is handed out beside the repository and is not there")

    problem = problem_from_json(json.loads(SHARED_EXAMPLE.read_text()))

    assert problem.horizon.slots == 96
    assert problem.evse("cs02/1").phases == ("L2", "L3", "L1")
    assert problem.demand_charges[0].peak_so_far_kw == 95


def test_a_number_in_place_of_a_series_stands_for_every_slot() -> None:
    problem = problem_from_json(an_example(lambda document: document.update(base_load_kw=5, pv_high_kw=1.5)))

    assert problem.base_load_kw == (5.0,) * 4
    assert problem.pv_high_kw == (1.5,) * 4


def test_a_number_as_the_plan_in_force_stands_for_every_slot_too() -> None:
    problem = problem_from_json(an_example(lambda document: document["evses"][0].update(planned_kw=-2)))

    assert problem.evses[0].planned_kw == (-2.0,) * 4


def test_the_plan_in_force_survives_the_way_through_json() -> None:
    evse = replace(an_evse(), planned_kw=(0.0, 11.04, -3.5))
    problem = a_problem(evses=[evse])

    assert problem_from_json(through_text(problem_to_json(problem))) == problem


def test_what_is_left_out_is_unlimited_unknown_or_the_default() -> None:
    problem = problem_from_json(an_example(lambda document: document["sessions"][0].pop("vehicle_phases")))

    assert problem.connection.max_export_kw is None
    assert problem.sessions[0].vehicle_phases is None
    assert problem.evses[0].min_current_a == 6
    assert problem.evses[0].planned_kw is None
    assert problem.pv_kw == (0.0,) * 4
    assert problem.base_load_high_kw is None


def test_null_is_accepted_where_it_means_something() -> None:
    def change(document: dict[str, Any]) -> None:
        document["circuits"][0]["parent"] = None
        document["sessions"][0]["vehicle_phases"] = None

    problem = problem_from_json(an_example(change))

    assert problem.circuits[0].parent is None
    assert problem.sessions[0].vehicle_phases is None


@pytest.mark.parametrize("written", ["2026-04-26T00:00:00+02:00", "2026-04-25T22:00:00Z", "2026-04-25T18:00:00-04:00"])
def test_moments_are_read_with_any_offset_and_kept_in_utc(written: str) -> None:
    problem = problem_from_json(an_example(lambda document: document.update(start=written)))

    assert problem.horizon.start == datetime(2026, 4, 25, 22, tzinfo=UTC)
    assert problem.horizon.start.tzinfo is UTC


def test_writes_moments_in_utc() -> None:
    assert problem_to_json(problem_from_json(EXAMPLE))["sessions"][0]["arrival"] == "2026-04-25T22:10:00Z"


Change = Callable[[dict[str, Any]], object]


def put(path: str, value: object) -> Change:
    """Put `value` at a path such as ``sessions.0.arrival``."""

    def change(document: dict[str, Any]) -> None:
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = document
        for part in above:
            place = place[part]
        place[last] = value

    return change


WRONG: list[tuple[str, Change, str, str]] = [
    ("a naive start", put("start", "2026-04-26T00:00:00"), "start", "'2026-04-26T00:00:00'"),
    ("a naive arrival", put("sessions.0.arrival", "2026-04-26T00:00:00"), "sessions[0].arrival", "timezone"),
    ("a moment as a number", put("start", 1777154400), "start", "1777154400"),
    ("a day that does not exist", put("start", "2026-02-30T00:00:00Z"), "start", "2026-02-30"),
    ("a year without an end", put("start", "9999-12-31T23:59:59-14:00"), "start", "1971 to 2998"),
    ("NaN", put("connection.max_import_kw", float("nan")), "connection.max_import_kw", "nan"),
    ("NaN in a series", put("import_price_per_kwh", [0.1, float("nan"), 0.1, 0.1]), "import_price_per_kwh[1]", "nan"),
    ("infinity", put("sessions.0.required_energy_kwh", float("inf")), "sessions[0].required_energy_kwh", "inf"),
    (
        "a number that solvers take for infinity",
        put("connection.max_import_kw", 1e30),
        "connection.max_import_kw",
        "1e+30",
    ),
    ("an integer without a float", put("connection.max_import_kw", 10**400), "connection.max_import_kw", "beyond"),
    (
        "a series that is too short",
        put("import_price_per_kwh", [0.1] * 3),
        "import_price_per_kwh",
        "3 values, the horizon has 4",
    ),
    ("a series that is too long", put("base_load_kw", [1.0] * 5), "base_load_kw", "5 values, the horizon has 4"),
    ("a null in a series", put("base_load_kw", [1.0, None, 1.0, 1.0]), "base_load_kw[1]", "None"),
    ("an empty series", put("base_load_kw", []), "base_load_kw", "0 values"),
    ("text for a number", put("connection.max_import_kw", "40"), "connection.max_import_kw", "'40'"),
    ("true for a number", put("base_load_kw", True), "base_load_kw", "True"),
    ("null for a limit", put("connection.max_import_kw", None), "connection.max_import_kw", "leave the key out"),
    ("null for now", put("now", None), "now", "leave the key out"),
    ("an unknown key", put("max_power", 3), "max_power", "not a key of version 1"),
    ("an unknown key further down", put("evses.0.loss", 0.9), "evses[0].loss", "not a key of version 1"),
    (
        "a key of a limit that is not known",
        put("connection.max_base_power_kw", 9),
        "connection.max_base_power_kw",
        "not a key",
    ),
    ("a missing key", lambda document: document.pop("base_load_kw"), "base_load_kw", "missing"),
    ("a plan that is too short", put("evses.0.planned_kw", [1.0]), "evses[cs01/1].planned_kw", "has 1 values"),
    ("a plan beyond any site", put("evses.0.planned_kw", [0, 0, 2e6, 0]), "evses[0].planned_kw[2]", "2000000"),
    ("NaN in a plan", put("evses.0.planned_kw", [0, float("nan"), 0, 0]), "evses[0].planned_kw[1]", "nan"),
    ("null for a plan", put("evses.0.planned_kw", None), "evses[0].planned_kw", "leave the key out"),
    ("another version", put("version", 2), "version", "2"),
    ("slots of 7 minutes", put("slot_minutes", 7), "slot_minutes", "7"),
    ("no slots", put("slots", 0), "slots", "0"),
    ("more than a week", put("slots", 2000), "slots", "more than 7 days"),
    (
        "a departure before the arrival",
        put("sessions.0.departure", "2026-04-26T00:05:00+02:00"),
        "sessions[tx-1].departure",
        "not after",
    ),
    ("a circuit that feeds itself", put("circuits.0.parent", "garage"), "circuits[garage].parent", "closes a loop"),
    (
        "circuits in a loop",
        put("circuits", [{"id": "garage", "parent": "row"}, {"id": "row", "parent": "garage"}]),
        "circuits[garage].parent",
        "closes a loop",
    ),
    (
        "an EVSE on an unknown circuit",
        put("evses.0.circuit", "attic"),
        "evses[cs01/1].circuit",
        "'attic' does not exist",
    ),
    ("a session at an unknown EVSE", put("sessions.0.evse", "cs99"), "sessions[tx-1].evse", "'cs99' does not exist"),
    (
        "an id twice",
        lambda document: document["evses"].append(document["evses"][0]),
        "evses",
        "'cs01/1' more than once",
    ),
    ("a phase that does not exist", put("evses.0.phases", ["L1", "L4"]), "evses[0].phases[1]", "L4"),
    ("a phase twice", put("evses.0.phases", ["L1", "L1"]), "evses[cs01/1].phases", "distinct"),
    ("four phases", put("sessions.0.vehicle_phases", 4), "sessions[0].vehicle_phases", "4"),
    ("an unknown time zone", put("time_zone", "Europe/Atlantis"), "time_zone", "'Europe/Atlantis'"),
    ("a time zone that is a folder", put("time_zone", "America"), "time_zone", "'America'"),
    ("a time zone that climbs", put("time_zone", "../etc/passwd"), "time_zone", "'../etc/passwd'"),
    ("now outside the horizon", put("now", "2026-04-27T00:00:00Z"), "now", "not within the horizon"),
    (
        "phase shares that do not add up",
        put("base_load_phase_share", [0.5, 0.5, 0.5]),
        "base_load_phase_share",
        "add up to 1",
    ),
    (
        "an interval shorter than a slot",
        put("demand_charges", [{"id": "m", "price_per_kw": 1}]),
        "demand_charges[m].interval_minutes",
        "15 is shorter",
    ),
    (
        "a reservation of nothing",
        put("reservations", [{"current_a": {"L1": 6}}]),
        "reservations[]",
        "either evse or circuit",
    ),
    ("a negative need", put("sessions.0.required_energy_kwh", -1), "sessions[0].required_energy_kwh", "-1"),
]


@pytest.mark.parametrize(("change", "field", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_names_the_path_and_the_value_of_what_is_wrong(change: Change, field: str, text: str) -> None:
    with pytest.raises(InvalidProblemError) as refused:
        problem_from_json(an_example(change))

    assert refused.value.field == field
    assert text in str(refused.value)


@pytest.mark.parametrize("document", [None, [], "problem", 1, {}], ids=repr)
def test_refuses_what_is_no_problem_at_all(document: object) -> None:
    with pytest.raises(InvalidProblemError):
        problem_from_json(document)


def test_writes_the_schedule_under_the_names_of_version_1() -> None:
    problem = a_problem(
        prices=[0.3, 0.1],
        evses=[an_evse("cs01/1"), an_evse("dc", max_current_a=None, max_power_kw=50)],
        sessions=[a_session("tx-1", evse_id="cs01/1", hours=2, required_energy_kwh=11.04)],
        batteries=[a_battery("bat")],
    )

    document = through_text(schedule_to_json(optimise(problem)))

    assert document.keys() == {
        "version", "currency", "status", "gap", "reason", "cost", "evses", "sessions", "batteries", "import_kw",
        "export_kw", "curtail_kw", "peak_kw", "baselines", "violations", "warnings", "timing_ms",
        "price_of_fairness_kwh",
    }  # fmt: skip
    assert document["version"] == 1
    assert document["cost"].keys() == {"energy", "demand", "carbon", "wear", "total", "ev", "unmet"}
    assert document["evses"]["cs01/1"].keys() == {"power_kw", "current_a"}
    assert document["evses"]["dc"]["current_a"] is None
    assert document["sessions"]["tx-1"].keys() == {
        "planned_energy_kwh", "unmet_kwh", "note", "floor_unmet_kwh", "expected_unmet_kwh", "met_share",
    }  # fmt: skip
    assert document["sessions"]["tx-1"]["planned_energy_kwh"] == 11.04
    assert document["batteries"]["bat"].keys() == {"power_kw", "energy_kwh"}
    assert document["baselines"].keys() == {"uncontrolled", "equal_share"}
    assert document["baselines"]["uncontrolled"]["cost"]["total"] == pytest.approx(11.04 * 0.3)


def test_writes_violations_with_their_place() -> None:
    found = Violation("circuit_current", "row", 0.5, "A", slot=3, phase="L2", unavoidable=True)
    schedule = optimise(a_problem(prices=[0.1]))

    document = through_text(schedule_to_json(replace(schedule, violations=(found,))))

    assert document["violations"] == [
        {
            "rule": "circuit_current",
            "where": "row",
            "excess": 0.5,
            "unit": "A",
            "slot": 3,
            "phase": "L2",
            "unavoidable": True,
        }
    ]
    assert schedule_from_json(document).violations == (found,)


def test_every_key_is_described_in_openapi() -> None:
    service = FastAPI()

    @service.post("/solve")
    def answer(problem: ProblemIn) -> ScheduleOut:
        raise NotImplementedError

    schemas = service.openapi()["components"]["schemas"]
    mute = {
        f"{name}.{key}"
        for name, schema in schemas.items()
        if not name.startswith(("HTTP", "Validation"))
        for key, field in schema.get("properties", {}).items()
        if "description" not in field
    }

    assert mute == set()
    assert schemas["ProblemIn"]["examples"] == [EXAMPLE]
    assert {"type": "number"} in schemas["ProblemIn"]["properties"]["base_load_kw"]["anyOf"]
