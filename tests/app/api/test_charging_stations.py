from datetime import timedelta

from app.csms.passwords import verify
from app.db.records import EvseStatus, MeterValue
from tests.app.api.builders import NOW, an_api, wrong

PATH = "/v1/charging-stations"


async def test_a_station_says_when_it_last_spoke() -> None:
    async with an_api() as api:
        await api.store.update_station("cs01", vendor="Acme", last_seen_at=NOW - timedelta(minutes=3))

        first, second = (await api.client.get(PATH)).json()

        assert (first["id"], first["vendor"], first["silent_s"]) == ("cs01", "Acme", 180)
        assert first["last_seen_at"] == "2026-06-01T11:57:00Z"
        assert (second["last_seen_at"], second["silent_s"]) == (None, None)


async def test_an_active_station_shows_its_transaction_and_the_energy_so_far() -> None:
    async with an_api() as api:
        transaction, _ = await api.store.start_transaction(
            station_id="cs02", evse_id=1, id_tag="TAG", started_at=NOW - timedelta(hours=1), meter_start_wh=1000
        )
        await api.store.add_meter_values(
            [
                MeterValue("cs02", 1, NOW - timedelta(minutes=age), "Energy.Active.Import.Register", wh, "Wh",
                           transaction_id=transaction.transaction_id)
                for age, wh in ((20, 4000), (5, 7500))
            ]
        )  # fmt: skip
        await api.store.flush()
        await api.store.set_evse_status(EvseStatus("cs02", 1, "Charging", "NoError", NOW))

        [active] = (await api.client.get(PATH, params={"active": True})).json()
        idle = (await api.client.get(PATH, params={"active": False})).json()

        assert active["id"] == "cs02"
        assert active["evses"][0]["status"] == "Charging"
        assert active["evses"][0]["transaction"]["energy_kwh"] == 6.5
        assert active["evses"][0]["transaction"]["energy_at"] == "2026-06-01T11:55:00Z"
        assert [row["id"] for row in idle] == ["cs01"]


async def test_connected_is_what_the_gateway_says() -> None:
    async with an_api() as api:
        api.connector.online = frozenset({"cs01"})

        assert [row["id"] for row in (await api.client.get(PATH, params={"connected": True})).json()] == ["cs01"]
        assert (await api.client.get(f"{PATH}/cs01")).json()["connected"]
        assert not (await api.client.get(f"{PATH}/cs02")).json()["connected"]


async def test_stations_of_one_site() -> None:
    async with an_api() as api:
        assert len((await api.client.get(PATH, params={"site_id": "depot"})).json()) == 2
        assert (await api.client.get(PATH, params={"site_id": "other"})).json() == []


async def test_a_password_that_is_made_is_told_once_and_kept_as_a_hash() -> None:
    async with an_api() as api:
        made = await api.client.post(f"{PATH}/cs01/password")

        password, stored = made.json()["password"], await api.store.password_hash("cs01")
        assert made.status_code == 201
        assert stored is not None
        assert verify(password.encode(), stored)
        assert password not in stored
        assert (await api.client.get(f"{PATH}/cs01")).json()["has_password"]


async def test_a_chosen_password_is_kept_as_a_hash() -> None:
    async with an_api() as api:
        response = await api.client.put(f"{PATH}/cs01/password", json={"password": "correct-horse-42"})

        stored = await api.store.password_hash("cs01")
        assert response.status_code == 204
        assert stored is not None
        assert verify(b"correct-horse-42", stored)


async def test_an_unknown_station_is_a_problem() -> None:
    async with an_api() as api:
        wrong(await api.client.get(f"{PATH}/cs99"), 404)
        wrong(await api.client.post(f"{PATH}/cs99/password"), 404)
        wrong(await api.client.put(f"{PATH}/cs99/password", json={"password": "correct-horse-42"}), 404)
