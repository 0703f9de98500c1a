"""A site's own forecasts, scored from what its meters measured: by command and by HTTP."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.backtest.site import backtest_site
from app.clock import SteppedClock
from app.db.records import Reading, StoredSeries
from app.db.store import Store
from app.errors import InvalidInputError
from app.site import Site
from forecasts.backtest import Horizon
from forecasts.irradiance import weather_kw
from tests.app.api.builders import NOW, SITE, an_api
from tests.forecasts.builders import a_site as an_office
from tests.forecasts.test_pv_weather import a_sky
from tests.stores import a_store

DAY_AHEAD = (Horizon.day(1),)
DEPOT = Site.model_validate(
    SITE
    | {
        "slot_minutes": 60,
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        "meters": [{"id": "building", "measures": "base_load"}, {"id": "roof", "measures": "pv"}],
        "pv_arrays": [{"id": "roof", "peak_kw": 10, "tilt_deg": 30, "azimuth_deg": 180}],
    }
)


async def measured(store: Store, days: int = 45) -> None:
    """An office that is measured by the hour until now."""
    await store.save_site(DEPOT)
    load_kw = an_office(f"{NOW:%Y-%m-%d %H:%M}", days=days, minutes=60, noise_kw=2.0)
    await store.add_readings([Reading("depot", "building", at.to_pydatetime(), kw) for at, kw in load_kw.items()])  # type: ignore[attr-defined]  # stamps


async def sunny(store: Store, end: datetime) -> None:
    """A roof that gives 60 % of its nameplate, and the irradiance that it had."""
    ghi = a_sky().resample("h").mean()
    ghi = ghi.set_axis(ghi.index + (end - ghi.index[-1]).ceil("h"))
    from pandas import DatetimeIndex

    power_kw = 0.6 * weather_kw(_arrays(), DEPOT.latitude or 0, DEPOT.longitude or 0, ghi)
    stamps = DatetimeIndex(ghi.index)
    await store.add_readings(
        [Reading("depot", "roof", at.to_pydatetime(), float(kw)) for at, kw in zip(stamps, power_kw, strict=True)]
    )
    await store.add_series(
        StoredSeries(
            site_id="depot",
            kind="ghi",
            source="test",
            issued_at=end,
            start=stamps[0].to_pydatetime(),
            resolution_minutes=60,
            unit="W/m2",
            values=tuple(ghi),
        )
    )


def _arrays() -> list[Any]:
    from app.gather.history import pv_arrays

    return pv_arrays(DEPOT)


async def test_the_base_load_is_scored_on_whole_days_before_today(tmp_path: Path) -> None:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await measured(store)

        result = await backtest_site(
            store, DEPOT, NOW, first_day=date(2026, 5, 30), horizons=DAY_AHEAD, with_trees=False
        )

    rows = {row["model"]: row for row in result.rows}
    assert {row["signal"] for row in result.rows} == {"base load"}
    assert rows["own history"]["slots"] == 48  # 30 and 31 May; today, the first of June, is not over
    assert rows["own history"]["pinball"] < rows["last value"]["pinball"]


async def test_pv_is_scored_with_the_weather_that_was_stored(tmp_path: Path) -> None:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await measured(store, days=3)
        await sunny(store, NOW)

        result = await backtest_site(
            store, DEPOT, NOW, first_day=date(2026, 5, 30), horizons=DAY_AHEAD, with_trees=False
        )

    rows = {row["model"]: row for row in result.rows if row["signal"] == "PV"}
    assert rows["weather, learned"]["nrmse"] < 0.7 * rows["clear sky, own clearness"]["nrmse"]


async def test_days_that_have_nothing_are_refused(tmp_path: Path) -> None:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(DEPOT)

        with pytest.raises(InvalidInputError, match="no base load, PV or session measured"):
            await backtest_site(store, DEPOT, NOW)
        with pytest.raises(InvalidInputError, match="2026-06-05 to 2026-06-01 are not 1 to 366 days"):
            await backtest_site(store, DEPOT, NOW, first_day=NOW.date() + timedelta(days=4))


async def test_the_quality_is_an_answer_of_the_api() -> None:
    async with an_api() as api:
        await measured(api.store)

        reply = await api.client.get("/v1/sites/depot/forecast-quality", params={"days": 2})
        unknown = await api.client.get("/v1/sites/nowhere/forecast-quality")
        too_many = await api.client.get("/v1/sites/depot/forecast-quality", params={"days": 900})

    body = reply.json()
    assert reply.status_code == 200, reply.text
    assert (body["scored_from"], body["scored_until"]) == ("2026-05-30", "2026-06-01")
    assert {row["horizon"] for row in body["scores"]} >= {"day ahead", "1st hour"}
    assert (unknown.status_code, too_many.status_code) == (404, 422)


async def test_a_site_without_measurements_says_so() -> None:
    async with an_api() as api:
        reply = await api.client.get("/v1/sites/depot/forecast-quality")

    assert reply.status_code == 422
    assert "no base load, PV or session measured" in reply.text


def test_an_unknown_site_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.cli.main import main

    monkeypatch.setenv("SMARTCHARGE_DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "site", "nowhere"])

    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err


def test_json_of_scores_has_null_where_nothing_is_known() -> None:
    from app.backtest.report import Backtest, Column

    result = Backtest("load", "x", {}, (Column("skill", "Skill"),), [{"skill": float("nan")}])

    assert json.loads(result.as_text())["scores"] == [{"skill": None}]
