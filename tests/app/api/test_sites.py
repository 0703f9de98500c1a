from app.events import SiteChanged
from app.site import Site
from tests.app.api.builders import NOW, SITE, an_api, wrong


async def test_a_site_comes_back_as_it_was_sent() -> None:
    async with an_api(site=None) as api:
        created = await api.client.post("/v1/sites", json=SITE)

        assert created.status_code == 201
        assert created.headers["location"] == "/v1/sites/depot"
        assert Site.model_validate((await api.client.get("/v1/sites/depot")).json()) == Site.model_validate(SITE)
        assert [site["id"] for site in (await api.client.get("/v1/sites")).json()] == ["depot"]
        assert api.heard == [SiteChanged("depot", NOW)]


async def test_a_site_is_not_created_twice() -> None:
    async with an_api() as api:
        wrong(await api.client.post("/v1/sites", json=SITE), 409)


async def test_a_station_belongs_to_one_site() -> None:
    async with an_api() as api:
        wrong(await api.client.post("/v1/sites", json=SITE | {"id": "other"}), 409)

        wrong(await api.client.get("/v1/sites/other"), 404)


async def test_put_replaces_a_site_and_adds_a_new_one() -> None:
    async with an_api() as api:
        replaced = await api.client.put("/v1/sites/depot", json=SITE | {"name": "Depot South"})
        added = await api.client.put("/v1/sites/second", json=SITE | {"id": "second", "charging_stations": []})

        assert (replaced.status_code, added.status_code) == (200, 201)
        assert (await api.client.get("/v1/sites/depot")).json()["name"] == "Depot South"
        assert api.heard == [SiteChanged("depot", NOW), SiteChanged("second", NOW)]


async def test_put_under_another_name_is_refused() -> None:
    async with an_api() as api:
        assert wrong(await api.client.put("/v1/sites/other", json=SITE))["field"] == "id"


async def test_a_refused_site_leaves_nothing_behind() -> None:
    async with an_api(site=None) as api:
        wrong(await api.client.post("/v1/sites", json=SITE | {"time_zone": "nowhere"}))

        assert (await api.client.get("/v1/sites")).json() == []
        assert (await api.client.get("/v1/charging-stations")).json() == []
        assert api.heard == []


async def test_a_deleted_site_is_gone() -> None:
    async with an_api() as api:
        assert (await api.client.delete("/v1/sites/depot")).status_code == 204

        wrong(await api.client.get("/v1/sites/depot"), 404)
        wrong(await api.client.delete("/v1/sites/depot"), 404)


async def test_a_site_with_a_running_transaction_is_not_deleted() -> None:
    async with an_api() as api:
        await api.store.start_transaction(station_id="cs01", evse_id=1, id_tag="TAG", started_at=NOW, meter_start_wh=0)

        wrong(await api.client.delete("/v1/sites/depot"), 409)
