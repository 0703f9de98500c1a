import asyncio

from app.db.records import Delivery
from tests.app.api.builders import NOW, SITE, WRITE, a_plan, an_api, wrong

PATH = "/v1/sites/depot/schedules"


async def test_a_schedule_is_planned_and_found_again() -> None:
    async with an_api() as api:
        created = await api.client.post(PATH, json={"dispatch": False})

        schedule = created.json()
        assert created.status_code == 201
        assert created.headers["location"] == f"/v1/schedules/{schedule['id']}"
        assert api.planner.asked == [("depot", False)]
        assert schedule["status"] == "optimal"
        assert set(schedule["schedule"]["baselines"]) == {"uncontrolled", "equal_share"}
        assert schedule["problem"]["slots"] == 4
        assert schedule["provenance"]["import_price"]["source"] == "time_of_use tariff"
        assert (await api.client.get(created.headers["location"])).json() == schedule
        assert (await api.client.get(f"{PATH}/latest")).json() == schedule


async def test_a_plan_is_sent_unless_told_otherwise() -> None:
    async with an_api() as api:
        await api.client.post(PATH, json={})

        assert api.planner.asked == [("depot", True)]


async def test_a_schedule_says_what_became_of_each_evse() -> None:
    async with an_api() as api:
        plan = a_plan()
        await api.store.save_plan(plan)
        await api.store.save_deliveries(
            [
                Delivery(plan.plan_id, "depot", "cs01", 1, "verified", NOW, profile={"stack_level": 1}),
                Delivery(plan.plan_id, "depot", "cs02", 1, "rejected", NOW, detail="answered NotSupported"),
            ]
        )

        deliveries = (await api.client.get(f"/v1/schedules/{plan.plan_id}")).json()["deliveries"]

        assert [(row["charging_station_id"], row["evse_id"], row["state"]) for row in deliveries] == [
            ("cs01", 1, "verified"),
            ("cs02", 1, "rejected"),
        ]
        assert deliveries[0]["profile"] == {"stack_level": 1}
        assert deliveries[1]["detail"] == "answered NotSupported"


async def test_the_list_is_an_index_newest_first() -> None:
    async with an_api() as api:
        first = (await api.client.post(PATH, json={})).json()["id"]
        await api.clock.run_until(NOW.replace(hour=13))
        second = (await api.client.post(PATH, json={})).json()["id"]

        rows = (await api.client.get(PATH)).json()

        assert [row["id"] for row in rows] == [second, first]
        assert "schedule" not in rows[0]
        assert len((await api.client.get(PATH, params={"limit": 1})).json()) == 1


async def test_a_site_without_a_plan_has_no_latest() -> None:
    async with an_api() as api:
        wrong(await api.client.get(f"{PATH}/latest"), 404)


async def test_the_same_idempotency_key_plans_once() -> None:
    async with an_api() as api:
        headers = {"Idempotency-Key": "abc"}

        first = await api.client.post(PATH, json={}, headers=headers)
        again = await api.client.post(PATH, json={"dispatch": True}, headers=headers)

        assert again.json() == first.json()
        assert len(api.planner.asked) == 1


async def test_two_requests_at_once_with_one_idempotency_key_plan_once() -> None:
    async with an_api() as api:
        headers = {"Idempotency-Key": "abc"}

        answers = await asyncio.gather(*(api.client.post(PATH, json={}, headers=headers) for _ in range(5)))

        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(api.planner.asked) == 1


async def test_an_idempotency_key_does_not_serve_for_another_request() -> None:
    async with an_api() as api:
        headers = {"Idempotency-Key": "abc"}
        await api.client.post(PATH, json={}, headers=headers)

        other = await api.client.post(PATH, json={"dispatch": False}, headers=headers)

        assert wrong(other)["field"] == "Idempotency-Key"


async def test_two_callers_may_use_the_same_idempotency_key() -> None:
    async with an_api() as api:
        for _ in range(2):
            headers = await api.as_(WRITE) | {"Idempotency-Key": "abc"}
            assert (await api.anonymous.post(PATH, json={}, headers=headers)).status_code == 201

        assert len(api.planner.asked) == 2


async def test_a_failure_is_not_remembered() -> None:
    async with an_api(site=None) as api:
        headers = {"Idempotency-Key": "abc"}
        wrong(await api.client.post(PATH, json={}, headers=headers), 404)
        await api.client.post("/v1/sites", json=SITE)

        assert (await api.client.post(PATH, json={}, headers=headers)).status_code == 201
