"""Months of a site, a driver and a fleet; the quarantine; what the coming day could give the grid."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.api.sites import EXAMPLE
from app.db.records import Cdr
from app.db.store import Store
from app.plausibility import METER_STUCK, REASONS, UNREADABLE, suspect
from tests.app.api.builders import NOW, Api, an_api, wrong

MAY = datetime(2026, 5, 15, 12, tzinfo=UTC)


async def charged(store: Store, id_tag: str, stop: datetime = MAY, **changes: Any) -> None:
    [station, *_] = EXAMPLE["charging_stations"]
    transaction, _ = await store.start_transaction(
        station_id=station["id"], evse_id=1, id_tag=id_tag, started_at=stop - timedelta(hours=2), meter_start_wh=0
    )
    number = transaction.transaction_id
    await store.stop_transaction(number, stopped_at=stop, meter_stop_wh=9_000, reason=None)
    cdr = Cdr(number, "depot", station["id"], 1, id_tag, stop - timedelta(hours=2), stop, 9.0, 2.0, 0.5, **changes)
    await store.save_cdr(cdr)


async def some_charges(api: Api) -> None:
    await charged(api.store, "van-1", cost=2.0, uncontrolled_cost=3.0, currency="EUR")
    await charged(api.store, "van-2", stop=MAY + timedelta(hours=1))
    await charged(api.store, "VAN-3", stop=MAY + timedelta(hours=2))
    await charged(api.store, "van-1", stop=datetime(2026, 4, 30, 21, 59, tzinfo=UTC))  # 23:59 in Berlin


async def test_a_sites_month_is_by_its_own_clock_and_names_its_drivers() -> None:
    async with an_api() as api:
        await some_charges(api)

        month = (await api.client.get("/v1/sites/depot/consumption", params={"month": "2026-05"})).json()

        assert month["total"]["energy_kwh"] == 27.0
        assert month["total"]["saved"] == {"EUR": 1.0}
        assert month["total"]["priced_kwh"] == 9.0
        assert {tag: sums["sessions"] for tag, sums in month["drivers"].items()} == {"VAN-3": 1, "van-1": 1, "van-2": 1}


async def test_a_driver_has_a_month_of_their_own() -> None:
    async with an_api() as api:
        await some_charges(api)
        params = {"month": "2026-05", "site_id": "depot"}

        found = (await api.client.get("/v1/drivers/van-1/consumption", params=params)).json()
        nobody = (await api.client.get("/v1/drivers/nobody/consumption", params=params)).json()

        assert (found["sessions"], found["energy_kwh"], found["cost"]) == (1, 9.0, {"EUR": 2.0})
        assert (nobody["sessions"], nobody["co2_kg"]) == (0, None)


async def test_a_fleet_is_a_prefix_or_a_list_of_id_tags() -> None:
    async with an_api() as api:
        await some_charges(api)
        path, month = "/v1/consumption", {"month": "2026-05"}

        by_prefix = (await api.client.get(path, params=month | {"id_tag_prefix": "van-"})).json()
        by_list = (await api.client.get(path, params={**month, "id_tag": ["van-1", "VAN-3"]})).json()

        assert list(by_prefix["drivers"]) == ["van-1", "van-2"]
        assert list(by_list["drivers"]) == ["VAN-3", "van-1"]
        assert wrong(await api.client.get(path, params=month))["field"] == "id_tag"


async def test_a_month_that_is_none_is_refused() -> None:
    async with an_api() as api:
        for path in ("/v1/sites/depot/consumption", "/v1/drivers/x/consumption"):
            assert wrong(await api.client.get(path, params={"month": "2026-13"}))["field"] == "month"
        wrong(await api.client.get("/v1/sites/attic/consumption", params={"month": "2026-05"}), 404)


async def test_the_quarantine_is_counted_and_listed_with_the_reason() -> None:
    async with an_api() as api:
        await api.store.add_suspects(
            [suspect("depot", UNREADABLE, "row 3: x", source="log.csv"), suspect("depot", METER_STUCK, "5 kW", at=NOW)]
        )
        path = "/v1/sites/depot/quarantine"

        everything = (await api.client.get(path)).json()
        stuck = (await api.client.get(path, params={"reason": METER_STUCK})).json()

        assert everything["counts"] == {METER_STUCK: 1, UNREADABLE: 1}
        assert {row["reason"]: row["source"] for row in everything["suspects"]} == {
            METER_STUCK: "",
            UNREADABLE: "log.csv",
        }
        assert [(row["detail"], row["meaning"]) for row in stuck["suspects"]] == [("5 kW", REASONS[METER_STUCK])]
        assert wrong(await api.client.get(path, params={"reason": "odd"}))["field"] == "reason"
        wrong(await api.client.get("/v1/sites/attic/quarantine"), 404)


async def test_the_flexibility_is_that_of_the_newest_plan() -> None:
    async with an_api() as api:
        wrong(await api.client.get("/v1/sites/depot/flexibility"), 404)
        plan = (await api.client.post("/v1/sites/depot/schedules", json={})).json()

        found = (await api.client.get("/v1/sites/depot/flexibility")).json()

        assert found["plan_id"] == (await api.store.latest_plan("depot")).plan_id  # type: ignore[union-attr]  # it is there
        assert plan
        assert found["site_id"] == "depot"
        assert {"start", "planned_kw", "up_kw", "down_kw", "up_kwh", "down_kwh"} == set(found["slots"][0])
