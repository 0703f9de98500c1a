from app.api.ocpp_messages import EXAMPLE
from app.events import SiteChanged
from tests.app.api.builders import NOW, an_api

PATH = "/v1/sites/depot/ocpp-messages"
LINES = {"content-type": "application/x-ndjson"}


async def test_a_log_becomes_cdrs_and_its_stations_join_the_site() -> None:
    async with an_api() as api:
        reply = await api.client.post(PATH, content=EXAMPLE, headers=LINES)

        assert reply.status_code == 201
        assert reply.json()["cdrs"] == 1
        [cdr] = (await api.client.get("/v1/cdrs", params={"site_id": "depot"})).json()
        assert (cdr["charging_station_id"], cdr["energy_kwh"]) == ("cp-9", 4.0)
        assert (await api.client.get("/v1/charging-stations/cp-9")).json()["site_id"] == "depot"
        assert SiteChanged("depot", NOW) in api.heard


async def test_a_line_that_is_no_json_is_counted_and_quoted() -> None:
    async with an_api() as api:
        reply = await api.client.post(PATH, content=EXAMPLE + "\n{oops\n", headers=LINES)

        assert (reply.json()["cdrs"], reply.json()["skipped"]) == (1, 1)
        assert "{oops" in reply.json()["skipped_rows"][0]
        assert (
            reply.json()["quarantined"]
            == len((await api.client.get("/v1/sites/depot/quarantine")).json()["suspects"])
            == 1
        )


async def test_another_kind_of_body_is_refused_by_name() -> None:
    async with an_api() as api:
        reply = await api.client.post(PATH, content=EXAMPLE, headers={"content-type": "text/html"})

        assert reply.status_code == 415
        assert "text/html" in reply.json()["detail"]
