from app.csms.enrolment import MAX_PENDING, Applicant, Enrolment
from app.events import SiteChanged
from tests.app.api.builders import NOW, an_api

PATH = "/v1/enrolment"
APPLICANT = Applicant("cs07", "10.0.0.7", NOW, NOW, password_hash="hmac-sha256$00$00")


async def test_an_approved_station_belongs_to_its_site_and_keeps_its_key() -> None:
    async with an_api() as api:
        api.app.state.services.enrolment.note(APPLICANT)
        [listed] = (await api.client.get(PATH)).json()
        assert (listed["charging_station_id"], listed["attempts"], listed["has_key"]) == ("cs07", 1, True)
        assert "hmac" not in str(listed)

        answer = await api.client.post(f"{PATH}/cs07", json={"site_id": "depot", "evses": [{"id": 1}, {"id": 2}]})

        assert answer.status_code == 201
        site = await api.store.site("depot")
        assert [station.id for station in site.charging_stations] == ["cs01", "cs02", "cs07"]
        assert await api.store.password_hash("cs07") == "hmac-sha256$00$00"
        assert [event.site_id for event in api.heard if isinstance(event, SiteChanged)] == ["depot"]
        assert (await api.client.get(PATH)).json() == []


async def test_a_dismissed_station_is_forgotten() -> None:
    async with an_api() as api:
        api.app.state.services.enrolment.note(APPLICANT)

        assert (await api.client.delete(f"{PATH}/cs07")).status_code == 204

        assert (await api.client.delete(f"{PATH}/cs07")).status_code == 404
        assert (await api.client.post(f"{PATH}/cs07", json={"site_id": "depot"})).status_code == 404


async def test_approval_for_no_site_changes_nothing() -> None:
    async with an_api() as api:
        api.app.state.services.enrolment.note(APPLICANT)

        assert (await api.client.post(f"{PATH}/cs07", json={"site_id": "nowhere"})).status_code == 404

        assert len((await api.client.get(PATH)).json()) == 1


def test_a_flood_of_strangers_pushes_nobody_out() -> None:
    enrolment = Enrolment()
    for number in range(MAX_PENDING + 10):
        enrolment.note(Applicant(f"cs{number}", "10.0.0.1", NOW, NOW))

    assert len(enrolment.pending()) == MAX_PENDING
    assert enrolment.pending()[0].station_id == "cs0"
