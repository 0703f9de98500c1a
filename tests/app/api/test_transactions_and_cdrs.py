from datetime import UTC, datetime, timedelta

from app.db.records import Cdr, MeterValue
from tests.app.api.builders import NOW, SITE, Api, an_api, wrong


async def _start(api: Api, hours_ago: float, station_id: str = "cs01") -> int:
    transaction, _ = await api.store.start_transaction(
        station_id=station_id, evse_id=1, id_tag="TAG", started_at=NOW - timedelta(hours=hours_ago), meter_start_wh=500
    )
    return transaction.transaction_id


async def test_a_running_transaction_shows_the_last_known_energy_and_when_it_was_read() -> None:
    async with an_api() as api:
        running = await _start(api, 2)
        value = MeterValue("cs01", 1, NOW, "Energy.Active.Import.Register", 3500, "Wh", transaction_id=running)
        await api.store.add_meter_values([value])
        await api.store.flush()

        row = (await api.client.get(f"/v1/transactions/{running}")).json()

        assert (row["energy_kwh"], row["energy_at"], row["stop"]) == (3.0, "2026-06-01T12:00:00Z", None)


async def test_a_running_transaction_without_a_register_has_no_energy_rather_than_none() -> None:
    async with an_api() as api:
        running = await _start(api, 2)

        assert (await api.client.get(f"/v1/transactions/{running}")).json()["energy_kwh"] is None


async def test_transactions_are_listed_newest_first_and_by_state() -> None:
    async with an_api() as api:
        first = await _start(api, 3)
        await api.store.stop_transaction(first, stopped_at=NOW, meter_stop_wh=8_000, reason="Local")
        second = await _start(api, 1, "cs02")

        every = (await api.client.get("/v1/transactions")).json()
        running = (await api.client.get("/v1/transactions", params={"running": True})).json()
        done = (await api.client.get("/v1/transactions", params={"running": False, "site_id": "depot"})).json()

        assert [row["id"] for row in every] == [second, first]
        assert [row["id"] for row in running] == [second]
        assert [(row["id"], row["energy_kwh"], row["stop_reason"]) for row in done] == [(first, 7.5, "Local")]


async def test_an_unknown_transaction_is_a_problem() -> None:
    async with an_api() as api:
        wrong(await api.client.get("/v1/transactions/4711"), 404)
        wrong(await api.client.get("/v1/transactions/first"))


async def _save_cdr(api: Api, stop: datetime, station_id: str = "cs01") -> int:
    transaction, _ = await api.store.start_transaction(
        station_id=station_id, evse_id=1, id_tag="TAG", started_at=stop - timedelta(hours=2), meter_start_wh=0
    )
    await api.store.stop_transaction(transaction.transaction_id, stopped_at=stop, meter_stop_wh=9_000, reason=None)
    await api.store.save_cdr(
        Cdr(transaction.transaction_id, "depot", station_id, 1, "TAG", stop - timedelta(hours=2), stop, 9.0, 2.0, 0.5)
    )
    return transaction.transaction_id


async def test_a_month_is_the_sites_own() -> None:
    async with an_api() as api:
        may = await _save_cdr(api, datetime(2026, 5, 31, 21, 59, tzinfo=UTC))
        june = await _save_cdr(api, datetime(2026, 5, 31, 22, 1, tzinfo=UTC))  # 00:01 on 1 June in Berlin

        for month, expected in {"2026-05": may, "2026-06": june}.items():
            for params in ({"site_id": "depot"}, {}, {"charging_station_id": "cs01", "id_tag": "TAG"}):
                rows = (await api.client.get("/v1/cdrs", params=params | {"month": month})).json()
                assert [row["transaction_id"] for row in rows] == [expected]


async def test_a_cdr_has_energy_total_time_and_parking_time() -> None:
    async with an_api() as api:
        await _save_cdr(api, NOW)

        [row] = (await api.client.get("/v1/cdrs", params={"start": "2026-06-01T00:00Z"})).json()

        assert (row["energy_kwh"], row["total_time_h"], row["parking_time_h"]) == (9.0, 2.0, 0.5)
        assert row["charging_station_id"] == "cs01"


async def test_a_month_does_not_go_together_with_a_range() -> None:
    async with an_api() as api:
        response = await api.client.get("/v1/cdrs", params={"month": "2026-05", "start": "2026-06-01T00:00Z"})

        assert wrong(response)["field"] == "month"


async def test_a_month_of_an_unknown_site_is_a_problem() -> None:
    async with an_api(site=SITE) as api:
        wrong(await api.client.get("/v1/cdrs", params={"month": "2026-05", "site_id": "attic"}), 404)
