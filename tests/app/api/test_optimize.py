"""`POST /v1/optimize`: reasons on request, baselines by name, and a time-out that leaves a file to solve again."""

import asyncio
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.application import openapi_document
from app.cli.main import main
from app.planning.solving import BASELINE_NAMES
from app.problem_json import problem_from_json
from tests.app.api.builders import PROBLEM, READ, an_api, wrong


def two_vans() -> dict[str, Any]:
    """A second van behind the same connection, which is too small for both."""
    document = deepcopy(PROBLEM)
    document["connection"]["max_import_kw"] = 17
    document["evses"].append(document["evses"][0] | {"id": "cs02/1"})
    document["sessions"].append(document["sessions"][0] | {"id": "other", "evse": "cs02/1", "required_energy_kwh": 30})
    return document


async def test_without_being_asked_there_are_no_reasons() -> None:
    async with an_api() as api:
        answer = (await api.client.post("/v1/optimize", json=PROBLEM)).json()

    assert "reasons" not in answer
    assert set(answer["baselines"]) == {"uncontrolled", "equal_share"}


async def test_reasons_name_rules_prices_next_best_slots_and_remedies() -> None:
    async with an_api() as api:
        response = await api.client.post("/v1/optimize?explain=true", json=two_vans())

    reasons = response.json()["reasons"]
    assert set(reasons["evses"]) == {"cs01/1", "cs02/1"}
    assert {one["rule"] for one in reasons["binding"]} & {"circuit_power", "max_import_kw"}
    assert all(one["shadow_price_per_kwh"] > 0 for one in reasons["binding"])
    assert set(reasons["sessions"]) == {"van", "other"}
    assert [wish["session"] for wish in reasons["unmet"]] == ["other", "van"]
    assert reasons["unmet"][0]["cheapest"]["text"] == "1.7 kW more at connection"
    assert reasons["left_out"] == {"evses": 0, "binding": 0, "unmet": 0}


async def test_reasons_for_one_evse_are_for_no_other() -> None:
    async with an_api() as api:
        response = await api.client.post("/v1/optimize", params={"evse": "cs01/1"}, json=two_vans())

    assert set(response.json()["reasons"]["evses"]) == {"cs01/1"}
    assert set(response.json()["reasons"]["sessions"]) == {"van"}


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("evse=cs09/1", "evse", "cs09/1"),
        ("evse=" + "&evse=".join(map(str, range(21))), "evse", "20"),
        ("explain=perhaps", "explain", "perhaps"),
        ("baselines=magic", "baselines[0]", "magic"),
        ("baselines=uncontrolled&baselines=", "baselines[1]", ""),
    ],
)
async def test_a_question_that_is_wrong_is_refused_by_name_and_value(query: str, field: str, value: str) -> None:
    async with an_api() as api:
        error = wrong(await api.client.post(f"/v1/optimize?{query}", json=PROBLEM))

    assert error["field"] == field
    assert value in json.dumps(error)


@pytest.mark.parametrize("path", ["/v1/optimize", "/v1/sites/depot/simulations"])
async def test_a_key_that_stands_twice_is_refused_by_name(path: str) -> None:
    body = json.dumps(PROBLEM).replace('"max_import_kw": 20', '"max_import_kw": 20, "max_import_kw": 200')
    async with an_api() as api:
        error = wrong(await api.client.post(path, content=body, headers={"content-type": "application/json"}))

    assert error == {"field": "max_import_kw", "message": "stands more than once in one object"}


async def test_foresight_of_who_may_not_come_is_refused() -> None:
    document = deepcopy(PROBLEM)
    document["sessions"][0]["probability"] = 0.5
    async with an_api() as api:
        error = wrong(await api.client.post("/v1/optimize?baselines=perfect_foresight", json=document))

    assert error["field"] == "baselines"
    assert "sessions[van]" in error["message"]


async def test_baselines_are_those_that_were_asked_for() -> None:
    async with an_api() as api:
        every = await api.client.post("/v1/optimize", params={"baselines": BASELINE_NAMES}, json=two_vans())
        one = await api.client.post("/v1/optimize", params={"baselines": "least_laxity_first"}, json=two_vans())

    assert set(every.json()["baselines"]) == set(BASELINE_NAMES)
    assert set(one.json()["baselines"]) == {"least_laxity_first"}


async def test_a_reader_may_ask_for_reasons() -> None:
    async with an_api() as api:
        headers = await api.as_(READ)

        assert (await api.anonymous.post("/v1/optimize?explain=1", json=PROBLEM, headers=headers)).is_success


async def test_what_used_up_its_time_limit_is_kept_named_and_can_be_solved_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hurried = two_vans() | {"settings": {"time_limit_s": 1e-6}, "time_zone": "Europe/Berlin"}
    async with an_api(data_dir=tmp_path) as api:
        with capture_logs() as logged:
            answer = (await api.client.post("/v1/optimize", json=hurried)).json()

    [file] = (tmp_path / "timed-out" / "requests").iterdir()
    assert file.name == "20260601T120000.000000Z-optimize.json"
    assert any(str(file) in warning for warning in answer["warnings"])
    assert any(entry.get("file") == str(file) for entry in logged)
    assert problem_from_json(json.loads(file.read_text())) == problem_from_json(hurried)
    assert sum(answer["evses"]["cs01/1"]["power_kw"]) > 0
    with pytest.raises(SystemExit) as ended:  # click ends so
        await asyncio.to_thread(main, ["plan", str(file), "--time-limit", "20"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["status"] in ("optimal", "feasible")


def test_the_document_describes_reasons_and_baselines() -> None:
    document = openapi_document()

    operation = document["paths"]["/v1/optimize"]["post"]
    asked = {one["name"]: one for one in operation["parameters"]}
    assert asked.keys() == {"explain", "evse", "baselines"}
    assert all(one["description"] for one in asked.values())
    names = next(kind for kind in asked["baselines"]["schema"]["anyOf"] if kind["type"] == "array")["items"]["enum"]
    assert names == list(BASELINE_NAMES)
    schemas = document["components"]["schemas"]
    mute = {
        f"{name}.{key}"
        for name in schemas
        if name in ("AnswerOut", "ReasonsOut", "LeftOutOut") or "Reason" in name or "Remedy" in name or "Unmet" in name
        for key, field in schemas[name]["properties"].items()
        if "description" not in field
    }
    assert mute == set()
