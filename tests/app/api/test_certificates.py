"""`/v1/sites/{id}/certificate`."""

from datetime import UTC, datetime

from tests.app.api.builders import an_api, wrong


async def test_tells_what_is_exposed_before_any_station_has_confirmed_its_fallback() -> None:
    async with an_api() as api:
        answer = await api.client.get("/v1/sites/depot/certificate")

    body = answer.json()
    assert answer.status_code == 200
    assert not body["holds"]
    assert body["unlimited"]
    assert body["fallback_a"] == {}
    assert all(fuse["margin"] is None or fuse["margin"] < fuse["rating"] for fuse in body["fuses"])
    assert body["assumptions"]


async def test_an_unknown_site_is_not_found() -> None:
    async with an_api() as api:
        wrong(await api.client.get("/v1/sites/nowhere/certificate"), 404)


async def test_what_was_proven_before_is_listed_newest_first() -> None:
    async with an_api() as api:
        now = await api.client.get("/v1/sites/depot/certificate")
        earlier = now.json() | {"made_at": "2026-01-01T00:00:00Z"}
        await api.store.save_certificate("depot", datetime(2026, 1, 1, tzinfo=UTC), earlier)
        await api.store.save_certificate("depot", datetime(2026, 1, 2, tzinfo=UTC), now.json())

        answer = await api.client.get("/v1/sites/depot/certificates")

    assert answer.json() == [now.json(), earlier]
