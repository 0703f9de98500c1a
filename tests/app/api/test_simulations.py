"""`POST /v1/sites/{id}/simulations`: what the edge adds to the simulator."""

import json
from typing import Any

import pytest

from app.api.simulations import EXAMPLE
from tests.app.api.builders import NOW, SITE, an_api, wrong

CAR = {
    "id": "car",
    "evse": "cs01/1",
    "arrival": NOW.isoformat(),
    "departure": "2026-06-01T15:00:00+00:00",
    "soc": 0.5,
    "target_soc": 0.6,
    "capacity_kwh": 40,
}


def a_wish(**scenario: Any) -> dict[str, Any]:
    return {"scenarios": [{"name": "odd", **scenario}]}


async def test_a_target_state_of_charge_counts_the_losses_behind_the_meter() -> None:
    [station, *others] = SITE["charging_stations"]
    [evse, *more] = station["evses"]
    lossy = [station | {"evses": [evse | {"efficiency": 0.8}, *more]}, *others]
    async with an_api() as api:
        response = await api.client.post(
            "/v1/sites/depot/simulations", json=a_wish(site={"charging_stations": lossy}, sessions=[CAR])
        )

    [scenario] = response.json()["scenarios"]
    assert scenario["schedule"]["sessions"]["car"]["planned_energy_kwh"] == pytest.approx(0.1 * 40 / 0.8, abs=0.1)


async def test_baselines_are_those_that_were_asked_for() -> None:
    async with an_api() as api:
        response = await api.client.post(
            "/v1/sites/depot/simulations",
            json={"scenarios": EXAMPLE["scenarios"][:1], "baselines": ["earliest_deadline_first"]},
        )

    assert set(response.json()["scenarios"][0]["schedule"]["baselines"]) == {"earliest_deadline_first"}


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        (a_wish() | {"baselines": ["magic"]}, "baselines[0]", "magic"),
        (a_wish(site={"connection": {"max_import_kw": -5}}), "scenarios[odd].site.connection.max_import_kw", "-5"),
        (a_wish(site={"connection": {"max_amps": 63}}), "scenarios[odd].site.connection.max_amps", "63"),
        (a_wish(site={"id": "other"}), "scenarios[odd].site.id", "other"),
        (a_wish(sessions=[CAR | {"soc": 40}]), "scenarios[0].sessions[0].soc", "40"),
        (
            a_wish(sessions=[CAR | {"departure": NOW.isoformat()}]),
            "scenarios[odd].sessions[car].departure",
            "2026-06-01",
        ),
        (a_wish(sessions=[CAR | {"evse": "cs99/1"}]), "scenarios[odd].sessions[car].evse", "cs99/1"),
        (a_wish(pv_factor=-1), "scenarios[0].pv_factor", "-1"),
    ],
)
async def test_what_is_wrong_is_refused_by_path_and_value(body: dict[str, Any], field: str, value: str) -> None:
    async with an_api() as api:
        error = wrong(await api.client.post("/v1/sites/depot/simulations", json=body))

    assert error["field"] == field
    assert value in json.dumps(error)
