"""What is kept of a station, newest first, page by page."""

from datetime import timedelta

from app.db.records import StationNotice
from tests.app.api.builders import NOW, an_api, wrong

PATH = "/v1/charging-stations/cs01/notices"


async def test_notices_come_newest_first_and_page_by_page() -> None:
    async with an_api() as api:
        for minute, action in enumerate(("NotifyEvent", "operator:Reset", "service:tolerated")):
            await api.store.add_notice(StationNotice("cs01", NOW + timedelta(minutes=minute), action, {"n": minute}))

        first = (await api.client.get(PATH, params={"limit": 2})).json()
        rest = (await api.client.get(PATH, params={"limit": 2, "before": first[-1]["number"]})).json()
        ordered = (await api.client.get(PATH, params={"action": "operator:"})).json()

        assert [notice["payload"]["n"] for notice in first] == [2, 1]
        assert [notice["action"] for notice in rest] == ["NotifyEvent"]
        assert [notice["action"] for notice in ordered] == ["operator:Reset"]


async def test_a_percent_sign_is_no_wildcard() -> None:
    async with an_api() as api:
        await api.store.add_notice(StationNotice("cs01", NOW, "NotifyEvent", {}))

        assert (await api.client.get(PATH, params={"action": "%"})).json() == []


async def test_an_unknown_station_has_none() -> None:
    async with an_api() as api:
        assert wrong(await api.client.get("/v1/charging-stations/nobody/notices"), 404) == {}
        assert (await api.anonymous.get(PATH)).status_code == 401
