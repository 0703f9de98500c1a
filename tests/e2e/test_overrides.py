"""What an operator sets by hand, seen at the meters; and that it survives a restart."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from app.db.operating_records import Override
from app.main import open_store
from tests.e2e.builders import settings
from tests.e2e.stepped import FUSE_A, Model, a_stepped_depot


async def test_a_pause_stops_a_car_and_its_end_lets_it_go_on(tmp_path: Path) -> None:
    async with a_stepped_depot(tmp_path, {"cs01": Model(), "cs02": Model("2.0.1")}) as depot:
        for station_id in ("cs01", "cs02"):
            await depot.arrive(station_id)
        await depot.pass_time(minutes=2)
        before = [depot.drawn_a(f"{name}/1") for name in ("cs01", "cs02")]

        pause = {"kind": "pause", "charging_station_id": "cs01", "minutes": 10}
        await depot.send("POST", "/v1/sites/depot/overrides", pause)
        await depot.pass_time(minutes=2)
        during = [depot.drawn_a(f"{name}/1") for name in ("cs01", "cs02")]
        mode = (await depot.get("/v1/sites/depot/now"))["mode"]
        await depot.pass_time(minutes=10)
        after = [depot.drawn_a(f"{name}/1") for name in ("cs01", "cs02")]

        assert min(before) > 6
        assert during[0] == 0
        assert during[1] > 6
        assert mode["mode"] == "manual"
        assert mode["reason"].startswith("pause of cs01 until")
        assert min(after) > 6
        assert (await depot.get("/v1/sites/depot/now"))["mode"]["mode"] == "optimised"
        modes = [entry["detail"]["mode"] for entry in await depot.get("/v1/sites/depot/audit?action=mode.changed")]
        assert modes[:3] == ["optimised", "manual", "optimised"]
        assert depot.measured().violations == 0


async def test_boosts_of_everybody_do_not_lift_the_fuse_and_a_limit_holds(tmp_path: Path) -> None:
    models = {f"cs0{number}": Model() for number in (1, 2, 3)}
    async with a_stepped_depot(tmp_path, models) as depot:
        for station_id in models:
            await depot.arrive(station_id, wants_kwh=2.0)
        await depot.send("POST", "/v1/sites/depot/overrides", {"kind": "boost", "minutes": 30})
        limit = {"kind": "limit", "charging_station_id": "cs02", "evse_id": 1, "max_current_a": 8, "minutes": 30}
        await depot.send("POST", "/v1/sites/depot/overrides", limit)
        await depot.pass_time(minutes=5)
        drawn = [depot.drawn_a(f"{name}/1") for name in models]

        assert drawn[0] == pytest.approx(16, abs=0.2)
        assert drawn[2] == pytest.approx(16, abs=0.2)
        assert 6 <= drawn[1] <= 8
        assert sum(drawn) <= FUSE_A
        assert depot.measured().violations == 0


async def test_an_override_in_the_store_holds_after_a_restart(tmp_path: Path) -> None:
    async with open_store(settings(tmp_path)) as store, a_stepped_depot(tmp_path, {"cs01": Model()}) as depot:
        now: datetime = depot.clock.now()
        await store.add_override(
            Override("o", "depot", "limit", now, now + timedelta(hours=1), "eve", "cs01", 1, max_current_a=7.0)
        )
        await depot.arrive("cs01")
        await depot.pass_time(minutes=3)

        assert 6 <= depot.drawn_a("cs01/1") <= 7
