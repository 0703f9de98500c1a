"""`/v1/sites/{id}/simulations`: what if? The production path with other inputs; nothing in it can send."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Body
from pydantic import Field, PositiveFloat

from app.api.auth import Reader
from app.api.json_body import EachKeyOnceRoute
from app.api.services import SimulatorDep
from app.gather import WhatIf
from app.planning.simulate import Scenario, ScenarioResult
from app.planning.solving import BASELINE_NAMES, BASELINES_DESCRIPTION, DEFAULTS, BaselineName
from app.problem_json import ScheduleOut
from app.problem_json.fields import Edge
from app.problem_json.problem import BatteryIn, SessionIn

router = APIRouter(prefix="/v1/sites", tags=["simulations"], route_class=EachKeyOnceRoute)

MAX_SCENARIOS = 20

EXAMPLE: dict[str, Any] = {
    "scenarios": [
        {"name": "as it is"},
        {"name": "a larger connection", "site": {"connection": {"max_import_kw": 250}}},
        {"name": "twice the PV", "pv_factor": 2},
        {
            "name": "a battery",
            "batteries": [
                {"id": "b", "capacity_kwh": 60, "energy_kwh": 30, "max_charge_kw": 30, "max_discharge_kw": 30}
            ],
        },
    ]
}


class ScenarioIn(Edge):
    """What is different in it. Left out: as it is."""

    name: str = Field(min_length=1, max_length=100)
    site: dict[str, Any] = Field(
        default={}, description="keys of the site's document to replace: tariff, connection, circuits, pv_arrays, ..."
    )
    sessions: list[SessionIn] | None = Field(default=None, description="in place of those that are there; JSON v1")
    batteries: list[BatteryIn] = Field(default=[], description="stationary batteries with their energy now; JSON v1")
    base_load_factor: PositiveFloat = 1.0
    pv_factor: float = Field(default=1.0, ge=0, le=1000)

    def to_scenario(self) -> Scenario:
        return Scenario(
            name=self.name,
            site=self.site,
            sessions=self.sessions,
            what_if=WhatIf(
                batteries=tuple(battery.to_domain() for battery in self.batteries),
                base_load_factor=self.base_load_factor,
                pv_factor=self.pv_factor,
            ),
        )


class SimulationIn(Edge):
    scenarios: list[ScenarioIn] = Field(min_length=1, max_length=MAX_SCENARIOS)
    baselines: list[BaselineName] = Field(
        default=list(DEFAULTS), max_length=len(BASELINE_NAMES), description=BASELINES_DESCRIPTION
    )


class ScenarioOut(Edge):
    name: str
    schedule: ScheduleOut = Field(description="the answer, with its baselines beside it")
    provenance: dict[str, Any] = Field(description="where its series come from")

    @classmethod
    def of(cls, result: ScenarioResult) -> Self:
        return cls(name=result.name, schedule=ScheduleOut.of(result.schedule), provenance=result.gathered.provenance)


class SimulationOut(Edge):
    scenarios: list[ScenarioOut]


@router.post("/{site_id}/simulations")
async def simulate(
    site_id: str,
    wish: Annotated[SimulationIn, Body(openapi_examples={"four scenarios": {"value": EXAMPLE}})],
    simulator: SimulatorDep,
    _: Reader,
) -> SimulationOut:
    """Plan the coming hours under each scenario. Nothing is stored, nothing is sent."""
    scenarios = [scenario.to_scenario() for scenario in wish.scenarios]
    results = await simulator.run(site_id, scenarios, baselines=wish.baselines)
    return SimulationOut(scenarios=[ScenarioOut.of(result) for result in results])
