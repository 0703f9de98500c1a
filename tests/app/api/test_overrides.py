"""What operators set by hand over the API, and the audit of it."""

from datetime import timedelta
from typing import Any

import pytest

from app.events import OverridesChanged
from tests.app.api.builders import NOW, SITE, an_api, wrong

PATH = "/v1/sites/depot/overrides"
LIMIT: dict[str, Any] = {
    "kind": "limit",
    "charging_station_id": "cs01",
    "evse_id": 1,
    "max_current_a": 10,
    "minutes": 30,
    "reason": "a warm plug",
}


async def test_a_limit_is_kept_audited_and_heard_of() -> None:
    async with an_api() as api:
        created = await api.client.post(PATH, json=LIMIT)

        override = created.json()
        assert created.status_code == 201
        assert (override["kind"], override["charging_station_id"], override["evse_id"]) == ("limit", "cs01", 1)
        assert override["expires_at"] == "2026-06-01T12:30:00Z"
        assert override["active"]
        assert override["created_by"] == "admin"
        assert (await api.client.get(PATH)).json() == [override]
        assert api.heard == [OverridesChanged("depot", NOW)]
        [entry] = (await api.client.get("/v1/sites/depot/audit")).json()
        assert (entry["action"], entry["actor"], entry["detail"]["reason"]) == (
            "override.created",
            "admin",
            "a warm plug",
        )


async def test_ending_it_keeps_it_in_the_list_and_says_who_did() -> None:
    async with an_api() as api:
        override_id = (await api.client.post(PATH, json=LIMIT)).json()["id"]
        writer = await api.as_("write")
        await api.clock.run_until(NOW + timedelta(minutes=5))

        first = await api.client.delete(f"{PATH}/{override_id}", headers=writer)
        again = await api.client.delete(f"{PATH}/{override_id}", headers=writer)

        [override] = (await api.client.get(PATH)).json()
        assert (first.status_code, again.status_code) == (204, 204)
        assert (override["active"], override["ended_at"], override["ended_by"]) == (
            False,
            "2026-06-01T12:05:00Z",
            "test",
        )
        assert (await api.client.get(PATH, params={"active": True})).json() == []
        actions = [entry["action"] for entry in (await api.client.get("/v1/sites/depot/audit")).json()]
        assert actions == ["override.ended", "override.created"]


async def test_it_ends_by_itself() -> None:
    async with an_api() as api:
        await api.client.post(PATH, json=LIMIT)
        await api.clock.run_until(NOW + timedelta(minutes=30))

        assert (await api.client.get(PATH, params={"active": True})).json() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"charging_station_id": "cs99"}, "charging_station_id"),
        ({"charging_station_id": None}, "evse_id"),
        ({"evse_id": 7}, "evse_id"),
        ({"max_current_a": None}, "max_current_a"),
        ({"max_power_kw": 3.0}, "max_current_a"),
        ({"kind": "pause"}, "max_current_a"),
        ({"kind": "stop"}, "kind"),
        ({"minutes": None}, "expires_at"),
        ({"minutes": None, "expires_at": "2026-06-01T11:00:00Z"}, "expires_at"),
        ({"minutes": None, "expires_at": "2027-06-01T11:00:00Z"}, "expires_at"),
        ({"max_current_a": -1}, "max_current_a"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_kept(change: dict[str, Any], field: str) -> None:
    async with an_api() as api:
        body = {name: value for name, value in (LIMIT | change).items() if value is not None}

        assert wrong(await api.client.post(PATH, json=body))["field"] == field

        assert (await api.client.get(PATH)).json() == []
        assert (await api.client.get("/v1/sites/depot/audit")).json() == []


async def test_who_may_only_read_sets_nothing() -> None:
    async with an_api() as api:
        reader = await api.as_("read")

        wrong(await api.client.post(PATH, json=LIMIT, headers=reader), 403)


async def test_an_override_is_not_found_under_another_site() -> None:
    async with an_api() as api:
        await api.client.post("/v1/sites", json=SITE | {"id": "other", "charging_stations": []})
        override_id = (await api.client.post(PATH, json=LIMIT)).json()["id"]

        wrong(await api.client.delete(f"/v1/sites/other/overrides/{override_id}"), 404)
        assert (await api.client.get("/v1/sites/other/overrides")).json() == []
