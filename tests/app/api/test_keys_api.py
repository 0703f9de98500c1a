from tests.app.api.builders import an_api, wrong


async def test_a_key_is_told_once() -> None:
    async with an_api() as api:
        created = (await api.client.post("/v1/keys", json={"name": "fleet", "scopes": ["read", "write"]})).json()
        listed = await api.client.get("/v1/keys")

        headers = {"Authorization": f"Bearer {created['key']}"}
        assert (await api.anonymous.get("/v1/sites", headers=headers)).status_code == 200
        assert created["key"] not in listed.text
        assert created["key"].split("_", 2)[2] not in listed.text
        assert "secret" not in listed.text
        assert created["id"] in [key["id"] for key in listed.json()]


async def test_a_scope_that_does_not_exist_is_refused() -> None:
    async with an_api() as api:
        error = wrong(await api.client.post("/v1/keys", json={"name": "fleet", "scopes": ["root"]}))

        assert (error["field"], error["value"]) == ("scopes[0]", "root")


async def test_revoking_an_unknown_key_is_a_problem() -> None:
    async with an_api() as api:
        wrong(await api.client.delete("/v1/keys/nobody"), 404)
