"""`/v1/sites/{id}/forecast-quality`: what the site's forecasts have been worth lately, against naive ones."""

import asyncio
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import ClockDep, StoreDep

router = APIRouter(prefix="/v1/sites", tags=["sites"])
_one_at_a_time = asyncio.Lock()  # a back-test keeps a processor busy for seconds


class ScoreOut(BaseModel):
    signal: str = Field(description="base load, or PV")
    horizon: str = Field(description="the whole day ahead, issued at noon; or hours ahead")
    model: str
    mae: float | None = Field(description="kW")
    nmae: float | None = Field(description="share of the mean load; PV: of the 99.5 percentile of power, in daylight")
    nrmse: float | None
    bias: float | None = Field(description="kW, forecast less truth")
    pinball: float | None = Field(description="kW, mean over the quantiles")
    coverage: float | None = Field(description="share of slots within the 80 % band; null without one")
    skill: float | None = Field(description="how much less the pinball loss is than that of the same weekday")
    slots: int
    refused: int = Field(description="forecasts that were not made for lack of history")


class SessionScoreOut(BaseModel):
    hour: int = Field(description="hours after plug-in at which this was believed, of the cars that were still there")
    model: str
    sessions: int
    stay_smape: float = Field(description="mean of |truth - forecast| / (|truth| + |forecast|), 0 to 1")
    stay_mae_h: float = Field(description="h")
    stay_pinball_h: float = Field(description="h, mean over the quantiles")
    stay_above_p10: float = Field(description="share of the stays that were at least as long as their 10 % quantile")
    energy_smape: float = Field(description="as that of the stay")
    energy_mae_kwh: float = Field(description="kWh")
    energy_pinball_kwh: float = Field(description="kWh, mean over the quantiles")
    energy_below_p90: float = Field(description="share of the energies that were within their 90 % quantile")


class ForecastQualityOut(BaseModel):
    site_id: str
    scored_from: date
    scored_until: date = Field(description="the first day that is not scored")
    scores: list[ScoreOut] = Field(description="of base load and PV; empty where neither is measured")
    sessions: list[SessionScoreOut] = Field(description="empty where no session that is over arrived on those days")


@router.get("/{site_id}/forecast-quality")
async def get_forecast_quality(
    site_id: str,
    store: StoreDep,
    clock: ClockDep,
    _: Reader,
    days: Annotated[int, Query(ge=1, le=60, description="how many whole local days before today")] = 14,
) -> ForecastQualityOut:
    """Each model on the last days, issued with what was known then. Takes a second for every few days."""
    from app.backtest.site import backtest_site  # brings pvlib's and plotly's neighbours: only where it is asked for

    site, now = await store.site(site_id), clock.now()
    today = now.astimezone(site.zone).date()
    async with _one_at_a_time:
        result = await backtest_site(
            store, site, now, first_day=today - timedelta(days=days), end_day=today, with_trees=False
        )
    said = result.as_json()
    return ForecastQualityOut(
        site_id=site_id,
        scored_from=today - timedelta(days=days),
        scored_until=today,
        scores=[ScoreOut.model_validate(row) for row in said["scores"]],
        sessions=[SessionScoreOut.model_validate(row) for row in said["sessions"]],
    )
