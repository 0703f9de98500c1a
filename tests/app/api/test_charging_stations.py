from dataclasses import replace
from datetime import timedelta

from app.csms.passwords import verify
from app.csms.v16_passport import passport_json, passport_of
from app.db.records import EvseStatus, MeterValue
from app.dispatch import Dispatcher
from app.events import Events
from tests.app.api.builders import NOW, SITE, an_api, wrong
from tests.fakes_connector import FakeConnector as FakeStations

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


async def test_a_station_shows_what_it_accepts_and_where_each_value_comes_from() -> None:
    async with an_api() as api:
        read = passport_of({"ChargingScheduleMaxPeriods": "9"})
        await api.store.update_station("cs01", vendor="ABB", model="Terra AC", passport=passport_json(read, NOW))

        accepts = (await api.client.get(f"{PATH}/cs01")).json()["accepts"]

        assert accepts["max_periods"] == {"value": 9, "source": "station", "detail": "ChargingScheduleMaxPeriods"}
        assert accepts["pause"] == {"value": "minimum", "source": "quirk", "detail": "evcc-io/evcc#15493"}
        assert accepts["units"] == {"value": ["A"], "source": "default", "detail": None}


async def test_an_operator_overrides_what_a_station_accepts_in_the_site_document() -> None:
    stations = [SITE["charging_stations"][0] | {"profile": {"units": ["W"], "max_periods": 2}}]
    async with an_api(site=SITE | {"charging_stations": stations}) as api:
        accepts = (await api.client.get(f"{PATH}/cs01")).json()["accepts"]

        assert accepts["units"] == {"value": ["W"], "source": "override", "detail": None}
        assert accepts["max_periods"]["value"] == 2


async def test_a_wrong_override_is_refused_by_its_field() -> None:
    stations = [SITE["charging_stations"][0] | {"profile": {"units": ["V"]}}]
    async with an_api() as api:
        problem = await api.client.put("/v1/sites/depot", json=SITE | {"charging_stations": stations})

        assert "profile.units" in str(wrong(problem, 422))


async def test_a_probe_answers_with_its_steps_and_what_they_prove() -> None:
    async with an_api() as api:
        connector = FakeStations(api.clock)
        connector.add("cs01")
        events = Events()
        dispatcher = Dispatcher(connector, api.store, events, api.clock)
        api.app.state.services = replace(api.app.state.services, connector=connector, probe=dispatcher.probe)
        await dispatcher.prepare(await api.store.site("depot"), "cs01")

        report = (await api.client.post(f"{PATH}/cs01/probe")).json()

        assert report["ended_early"] is None
        assert report["steps"][0] == {
            "name": "limits in A",
            "limits_a": [report["low_a"]],
            "unit": "A",
            "kind": "Absolute",
            "answer": "accepted",
            "reported": "applied",
            "cleared": "cleared",
        }
        assert report["found"]["units"] == ["A", "W"]
        accepts = (await api.client.get(f"{PATH}/cs01")).json()["accepts"]
        assert accepts["kinds"]["source"] == "probe"


async def test_a_probe_is_refused_at_a_station_that_is_away_and_to_a_key_that_may_only_read() -> None:
    async with an_api() as api:
        wrong(await api.client.post(f"{PATH}/cs01/probe"), 409)
        wrong(await api.client.post(f"{PATH}/cs01/probe", headers=await api.as_("read")), 403)


async def test_an_unknown_station_is_a_problem() -> None:
    async with an_api() as api:
        wrong(await api.client.get(f"{PATH}/cs99"), 404)
        wrong(await api.client.post(f"{PATH}/cs99/password"), 404)
        wrong(await api.client.put(f"{PATH}/cs99/password", json={"password": "correct-horse-42"}), 404)
