"""`/v1/optimize`: one problem in, one schedule out. Nothing is stored, nothing is sent."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body

from app.api.auth import Reader
from app.api.services import ServicesDep
from app.problem_json import ProblemIn, ScheduleOut
from optimizer.optimise import optimise

router = APIRouter(prefix="/v1", tags=["optimize"])


EXAMPLE: dict[str, Any] = {
    "version": 1,
    "start": "2026-06-01T18:00:00+02:00",
    "slot_minutes": 60,
    "slots": 4,
    "connection": {"max_import_kw": 20},
    "circuits": [],
    "evses": [{"id": "cs01/1", "circuit": "connection", "max_current_a": 16}],
    "sessions": [
        {
            "id": "van",
            "evse": "cs01/1",
            "arrival": "2026-06-01T18:00:00+02:00",
            "departure": "2026-06-01T22:00:00+02:00",
            "required_energy_kwh": 16,
            "vehicle_phases": 3,
        }
    ],
    "base_load_kw": [8, 7, 6, 6],
    "pv_kw": 0,
    "import_price_per_kwh": [0.34, 0.29, 0.21, 0.24],
    "export_price_per_kwh": 0.08,
}


@router.post("/optimize")
async def optimize(
    problem: Annotated[ProblemIn, Body(openapi_examples={"a van and four hours": {"value": EXAMPLE}})],
    services: ServicesDep,
    _: Reader,
) -> ScheduleOut:
    """Solve a problem (JSON version 1): the power of each EVSE and slot, its cost, and the baselines beside it."""
    schedule = await asyncio.to_thread(optimise, problem.to_domain(), solver=services.settings.solver)
    return ScheduleOut.of(schedule)
