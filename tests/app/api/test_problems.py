"""The matrix of bad input: each is refused with the path of the field and the value, and never with a 500."""

import json
import math
from copy import deepcopy
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.optimize import EXAMPLE as PROBLEM
from app.api.sessions import EXAMPLE as SESSION
from tests.app.api.builders import SITE, an_api, wrong

JSON = {"content-type": "application/json"}
PRICES = {
    "kind": "import_price",
    "source": "test",
    "start": "2026-06-02T00:00:00Z",
    "resolution_minutes": 60,
    "unit": "EUR/kWh",
    "values": [0.1, 0.2],
}
READINGS = {"readings": [{"meter_id": "grid", "at": "2026-06-01T10:00:00Z", "kw": 1.0}]}


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy = deepcopy(document)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = copy
    for part in above:
        place = place[part]
    place[last] = value
    return copy


MATRIX = [
    # name, path, document, changed path, value, field of the error, value in the error
    ("naive arrival", "/v1/optimize", PROBLEM, "sessions.0.arrival", "2026-06-01T18:00:00", "sessions[0].arrival"),
    ("naive departure", "/v1/sites/depot/sessions", SESSION, "departure", "2099-06-01T17:00:00", "departure"),
    ("naive start", "/v1/sites/depot/series", PRICES, "start", "2026-06-02T00:00:00", "start"),
    ("naive reading", "/v1/sites/depot/readings", READINGS, "readings.0.at", "2026-06-01T10:00", "readings[0].at"),
    ("NaN in a problem", "/v1/optimize", PROBLEM, "pv_kw", math.nan, "pv_kw[0]"),
    ("infinity in a problem", "/v1/optimize", PROBLEM, "base_load_kw.1", math.inf, "base_load_kw[1]"),
    ("NaN price", "/v1/sites/depot/series", PRICES, "values.1", math.nan, "values[1]"),
    ("missing price", "/v1/sites/depot/series", PRICES, "values.1", None, "values[1]"),
    ("price as text", "/v1/sites/depot/series", PRICES, "values.1", "0.2", "values[1]"),
    ("huge price", "/v1/sites/depot/series", PRICES, "values.1", 1e300, "values[1]"),
    ("NaN reading", "/v1/sites/depot/readings", READINGS, "readings.0.kw", math.nan, "readings[0].kw"),
    ("infinite reading", "/v1/sites/depot/readings", READINGS, "readings.0.kw", -math.inf, "readings[0].kw"),
    ("NaN limit", "/v1/sites", SITE, "connection.max_import_kw", math.nan, "connection.max_import_kw"),
    ("infinite limit", "/v1/sites", SITE, "circuits.0.max_current_a", math.inf, "circuits[0].max_current_a"),
    ("NaN energy", "/v1/sites/depot/sessions", SESSION, "required_energy_kwh", math.nan, "required_energy_kwh"),
    ("wrong length", "/v1/optimize", PROBLEM, "base_load_kw", [1, 2, 3], "base_load_kw"),
    ("unknown key of a site", "/v1/sites", SITE, "colour", "blue", "colour"),
    ("unknown key of a circuit", "/v1/sites", SITE, "circuits.0.max_amps", 63, "circuits[0].max_amps"),
    ("unknown key of a problem", "/v1/optimize", PROBLEM, "sessions.0.charge", 0.5, "sessions[0].charge"),
    ("unknown key of a session", "/v1/sites/depot/sessions", SESSION, "energy", 3, "energy"),
    ("unknown key of a schedule", "/v1/sites/depot/schedules", {}, "send", True, "send"),
    ("dispatch as text", "/v1/sites/depot/schedules", {}, "dispatch", "no", "dispatch"),
    ("loop of circuits", "/v1/sites", SITE, "circuits.0.parent", "garage", "circuits[garage].parent"),
    ("loop in a problem", "/v1/optimize", PROBLEM, "circuits", [{"id": "a", "parent": "a"}], "circuits[a].parent"),
    ("EVSE on no circuit", "/v1/sites", SITE, "charging_stations.0.evses.0.circuit", "attic",
     "charging_stations[cs01].evses[1].circuit"),
    ("EVSE of a problem on no circuit", "/v1/optimize", PROBLEM, "evses.0.circuit", "attic", "evses[cs01/1].circuit"),
    ("no such time zone", "/v1/sites", SITE, "time_zone", "Mars/Olympus", "time_zone"),
    ("no such tariff", "/v1/sites", SITE, "tariff.kind", "free", "tariff"),
    ("price of a step", "/v1/sites", SITE, "tariff.periods.0.steps.1.price_per_kwh", "dear",
     "tariff.periods[0].steps[1].price_per_kwh"),
    ("PV without a place", "/v1/sites", SITE, "latitude", None, "pv_arrays"),
    ("negative energy", "/v1/sites/depot/sessions", SESSION, "required_energy_kwh", -1, "required_energy_kwh"),
    ("departure in the past", "/v1/sites/depot/sessions", SESSION, "departure", "2026-06-01T11:59:00+00:00",
     "departure"),
    ("departure at the arrival", "/v1/sites/depot/sessions", SESSION, "arrival", "2099-06-01T15:00:00+00:00",
     "departure"),
    ("departure before arrival", "/v1/optimize", PROBLEM, "sessions.0.departure", "2026-06-01T15:00:00+00:00",
     "sessions[van].departure"),
    ("unknown station", "/v1/sites/depot/sessions", SESSION, "charging_station_id", "cs99", "charging_station_id"),
    ("unknown EVSE", "/v1/sites/depot/sessions", SESSION, "evse_id", 7, "evse_id"),
    ("unknown meter", "/v1/sites/depot/readings", READINGS, "readings.0.meter_id", "attic", "readings[0].meter_id"),
    ("another currency", "/v1/sites/depot/series", PRICES, "unit", "USD/kWh", "unit"),
    ("a price in kW", "/v1/sites/depot/series", PRICES, "unit", "kW", "unit"),
    ("off the grid", "/v1/sites/depot/series", PRICES, "start", "2026-06-02T00:07:00+00:00", "start"),
    ("odd resolution", "/v1/sites/depot/series", PRICES, "resolution_minutes", 7, "resolution_minutes"),
    ("an integer without end", "/v1/optimize", PROBLEM, "pv_kw", 10**400, "pv_kw"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "document", "place", "value", "field"), [row[1:] for row in MATRIX],
                         ids=[row[0] for row in MATRIX])  # fmt: skip
async def test_bad_input_is_refused_with_the_fields_path_and_value(
    path: str, document: dict[str, Any], place: str, value: Any, field: str
) -> None:
    async with an_api() as api:
        body = json.dumps(changed(document, place, value))  # writes NaN and Infinity as Python does: not valid JSON

        response = await api.client.post(path, content=body, headers=JSON)

        error = wrong(response)
        assert error["field"].startswith(field)
        text = json.dumps(error)
        assert _shown(value) in text, text


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity"
    if isinstance(value, int) and value > 2**63:
        return "53 bits"
    return str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
async def test_what_is_no_json_is_refused_as_a_problem(body: bytes) -> None:
    async with an_api() as api:
        for path in ("/v1/sites", "/v1/optimize", "/v1/sites/depot/readings", "/session"):
            response = await api.client.post(path, content=body, headers=JSON)

            wrong(response, response.status_code)
            assert response.status_code in (400, 422)


async def test_json_that_is_no_object_is_refused() -> None:
    async with an_api() as api:
        for body in (b"null", b"[]", b'"text"', b"7", b"NaN"):
            for path in ("/v1/sites", "/v1/optimize", "/v1/sites/depot/sessions", "/v1/sites/depot/readings"):
                wrong(await api.client.post(path, content=body, headers=JSON))


async def test_a_path_that_nobody_knows_is_a_problem() -> None:
    async with an_api() as api:
        for path in ("/v1/nowhere", "/nowhere", "/v1/sites/attic", "/static/../main.py", "/v1/schedules/1"):
            wrong(await api.client.get(path), 404)


async def test_a_method_that_a_path_does_not_know_is_a_problem() -> None:
    async with an_api() as api:
        response = await api.client.patch("/v1/sites/depot", json={})

        wrong(response, 405)
        assert "GET" in response.headers["allow"]


async def test_a_bug_is_logged_and_a_problem_without_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    async def explode(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 42")

    async with an_api() as api:
        monkeypatch.setattr(api.planner, "plan", explode)
        with capture_logs() as logged:
            response = await api.client.post("/v1/sites/depot/schedules", json={})

    wrong(response, 500)
    assert "42" not in response.text
    assert "42" in logged[0]["error"]


async def test_a_password_that_is_refused_does_not_come_back() -> None:
    async with an_api() as api:
        response = await api.client.put("/v1/charging-stations/cs01/password", json={"password": "hunter2"})

        assert wrong(response)["field"] == "password"
        assert "hunter2" not in response.text


async def test_a_long_value_is_quoted_shortened() -> None:
    async with an_api() as api:
        response = await api.client.post("/v1/sites", json=changed(SITE, "time_zone", "x" * 10_000))

        wrong(response)
        assert len(response.content) < 2_000


async def test_of_many_errors_the_first_are_named_and_the_rest_counted() -> None:
    async with an_api() as api:
        response = await api.client.post("/v1/sites/depot/series", json=PRICES | {"values": [None] * 50_000})

        wrong(response)
        assert "49999 more" in response.json()["detail"]
        assert len(response.content) < 5_000


async def test_queries_are_refused_by_name_and_value() -> None:
    async with an_api() as api:
        naive = await api.client.get(
            "/v1/sites/depot/readings?meter_id=grid&start=2026-06-01T00:00&end=2026-06-02T00:00Z"
        )
        month = await api.client.get("/v1/cdrs?month=2026-13")

        assert wrong(naive) | {"message": ""} == {"field": "start", "message": "", "value": "2026-06-01T00:00"}
        assert wrong(month)["field"] == "month"
