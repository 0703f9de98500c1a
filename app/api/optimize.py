"""`/v1/optimize`: one problem in, one schedule out. Nothing is sent; only a problem that timed out is kept."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from app.api.auth import Reader
from app.api.json_body import EachKeyOnceRoute
from app.api.services import ServicesDep
from app.planning.explained import MOST_NAMED, check_evses, reasons_or_warning
from app.planning.solving import (
    BASELINE_NAMES,
    BASELINES_DESCRIPTION,
    DEFAULTS,
    BaselineName,
    Keeping,
    check_baselines,
    log_kept,
    solve,
)
from app.planning.timed_out import OF_REQUESTS, TimedOut
from app.problem_json import ProblemIn, ScheduleOut
from app.problem_json.reasons import AnswerOut, ReasonsOut
from optimizer.domain import Schedule

router = APIRouter(prefix="/v1", tags=["optimize"], route_class=EachKeyOnceRoute)


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
    explain: Annotated[
        bool,
        Query(
            description="Add `reasons`: binding rules by name with shadow prices, the next-best slot, and for each "
            "wish that was not met the cheapest remedy. A large site answers with what matters most; see `left_out`."
        ),
    ] = False,
    evse: Annotated[
        list[str] | None,
        Query(max_length=MOST_NAMED, description="Reasons for these EVSEs alone. May be repeated."),
    ] = None,
    baselines: Annotated[
        list[BaselineName] | None,
        Query(
            max_length=len(BASELINE_NAMES),
            description=f"{BASELINES_DESCRIPTION} May be repeated; left out: {' and '.join(DEFAULTS)}.",
        ),
    ] = None,
) -> AnswerOut | ScheduleOut:
    """Solve a problem (JSON version 1): the power of each EVSE and slot, its cost, and the baselines beside it."""
    asked, names = problem.to_domain(), DEFAULTS if baselines is None else tuple(baselines)
    check_baselines(asked, names)
    check_evses(asked, evse or ())
    keeping = Keeping(TimedOut(services.settings.data_dir / OF_REQUESTS), "optimize", services.clock.now())

    def work() -> tuple[Schedule, ReasonsOut | None]:
        solved = solve(asked, solver=services.settings.solver, baselines=names, keeping=keeping)
        log_kept(asked, solved)
        return reasons_or_warning(asked, solved.schedule, evse or ()) if explain or evse else (solved.schedule, None)

    schedule, reasons = await asyncio.to_thread(work)
    answer = ScheduleOut.of(schedule)
    return AnswerOut.answer(answer, reasons) if explain or evse else answer
