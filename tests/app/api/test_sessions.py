from app.api.sessions import EXAMPLE, EXAMPLE_FLEET
from app.events import WishChanged
from tests.app.api.builders import NOW, SITE, an_api, wrong

PATH = "/v1/sites/depot/sessions"


async def test_a_wish_is_kept_and_the_planner_hears_of_it() -> None:
    async with an_api() as api:
        created = await api.client.post(PATH, json=EXAMPLE)

        wish = created.json()
        assert created.status_code == 201
        assert (wish["charging_station_id"], wish["evse_id"], wish["required_energy_kwh"]) == ("cs01", 1, 22.5)
        assert wish["departure"] == "2099-06-01T15:00:00Z"
        assert (await api.client.get(f"{PATH}/{wish['id']}")).json() == wish
        assert (await api.client.get(PATH)).json() == [wish]
        assert api.heard == [WishChanged("depot", NOW)]


async def test_the_only_evse_of_a_station_need_not_be_named() -> None:
    async with an_api() as api:
        wish = await api.client.post(PATH, json={key: EXAMPLE[key] for key in EXAMPLE if key != "evse_id"})

        assert wish.json()["evse_id"] == 1


async def test_of_several_evses_one_must_be_named_unless_an_id_tag_is() -> None:
    evses = [{"id": 1, "circuit": "garage"}, {"id": 2, "circuit": "garage"}]
    wish = {key: EXAMPLE[key] for key in EXAMPLE if key != "evse_id"}
    async with an_api(site=SITE | {"charging_stations": [{"id": "cs01", "evses": evses}]}) as api:
        assert wrong(await api.client.post(PATH, json=wish))["field"] == "evse_id"
        assert (await api.client.post(PATH, json=wish | {"id_tag": "TAG"})).json()["evse_id"] is None


async def test_a_wish_names_an_evse_or_an_id_tag() -> None:
    wish = {"departure": EXAMPLE["departure"], "required_energy_kwh": 10}
    async with an_api() as api:
        assert wrong(await api.client.post(PATH, json=wish))["field"] == "id_tag"
        assert wrong(await api.client.post(PATH, json=wish | {"evse_id": 1}))["field"] == "evse_id"


async def test_a_wish_that_is_taken_back_is_gone() -> None:
    async with an_api() as api:
        wish_id = (await api.client.post(PATH, json=EXAMPLE_FLEET)).json()["id"]

        assert (await api.client.delete(f"{PATH}/{wish_id}")).status_code == 204

        wrong(await api.client.delete(f"{PATH}/{wish_id}"), 404)
        assert (await api.client.get(PATH)).json() == []
        assert api.heard == [WishChanged("depot", NOW)] * 2


async def test_a_wish_is_not_found_under_another_site() -> None:
    async with an_api() as api:
        await api.client.post("/v1/sites", json=SITE | {"id": "other", "charging_stations": []})
        wish_id = (await api.client.post(PATH, json=EXAMPLE_FLEET)).json()["id"]

        wrong(await api.client.get(f"/v1/sites/other/sessions/{wish_id}"), 404)
        wrong(await api.client.delete(f"/v1/sites/other/sessions/{wish_id}"), 404)


async def test_only_wishes_that_lie_ahead_are_active() -> None:
    async with an_api() as api:
        await api.client.post(PATH, json=EXAMPLE | {"departure": "2026-06-01T12:30:00Z"})
        await api.client.post(PATH, json=EXAMPLE_FLEET)
        await api.clock.run_until(NOW.replace(hour=13))

        active = (await api.client.get(PATH, params={"active": True})).json()

        assert [wish["id_tag"] for wish in active] == ["VAN-07"]
