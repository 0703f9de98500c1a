"""Wishes, plans, deliveries, API keys and remembered answers in the store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.clock import SteppedClock
from app.db.records import ApiKey
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError
from tests.app.db.builders import NOON, a_delivery, a_plan, a_site, a_wish, at


async def test_a_wish_comes_back_as_it_was_and_may_be_changed(store: Store) -> None:
    wish = a_wish(station_id="cs01", evse_id=1, id_tag="van-7", arrival=at(-5), max_power_kw=11.0, vehicle_phases=3)
    await store.save_wish(wish)
    assert await store.wish("w1") == wish

    met = replace(wish, transaction_id=7, priority=2)
    await store.save_wish(met)

    assert await store.wishes("depot") == [met]


async def test_lists_wishes_newest_first_and_only_active_ones_when_asked(store: Store) -> None:
    for wish in (
        a_wish("old", created_at=at(0), departure=at(60)),
        a_wish("new", created_at=at(10), departure=at(90)),
    ):
        await store.save_wish(wish)

    async def ids(**wanted: object) -> list[str]:
        return [wish.wish_id for wish in await store.wishes("depot", **wanted)]  # type: ignore[arg-type]  # only active_at

    assert await ids() == ["new", "old"]
    assert await ids(active_at=at(59)) == ["new", "old"]
    assert await ids(active_at=at(60)) == ["new"]
    assert await store.wishes("yard") == []


async def test_a_deleted_wish_is_gone(store: Store) -> None:
    await store.save_wish(a_wish())

    await store.delete_wish("w1")

    with pytest.raises(NotFoundError, match="w1"):
        await store.wish("w1")
    with pytest.raises(NotFoundError, match="w1"):
        await store.delete_wish("w1")


async def test_a_plan_comes_back_as_it_was(store: Store) -> None:
    plan = a_plan(reason="price changed", schedule={"power_kw": {"cs01/1": [0.1] * 1000}, "note": "ü"})

    await store.save_plan(plan)

    assert await store.plan("p1") == plan
    with pytest.raises(NotFoundError, match="p2"):
        await store.plan("p2")


async def test_the_list_of_plans_is_an_index_newest_first(store: Store) -> None:
    for minutes, plan_id in ((-30, "a"), (0, "c"), (-15, "b")):
        await store.save_plan(a_plan(plan_id, minutes))

    listed = await store.plans("depot", limit=2)

    assert listed == [a_plan("c", 0, problem={}, schedule={}), a_plan("b", -15, problem={}, schedule={})]
    assert await store.latest_plan("depot") == a_plan("c", 0)
    assert await store.latest_plan("yard") is None


async def test_of_two_plans_at_one_instant_the_one_saved_last_is_the_latest(store: Store) -> None:
    await store.save_plan(a_plan("z", 0))
    await store.save_plan(a_plan("a", 0))

    latest = await store.latest_plan("depot")

    assert latest is not None
    assert latest.plan_id == "a"


async def test_a_plan_from_before_the_clock_was_put_back_stands_behind_all_others(store: Store) -> None:
    await store.save_plan(a_plan("ahead", 60))
    assert await store.latest_plan("depot") == a_plan("ahead", 60)

    await store.save_plan(a_plan("now", 0))

    assert await store.latest_plan("depot") == a_plan("now", 0)


async def test_a_plan_saved_twice_is_one_plan(store: Store) -> None:
    await store.save_plan(a_plan(status="optimal"))

    await store.save_plan(a_plan(status="feasible"))

    assert [plan.status for plan in await store.plans("depot")] == ["feasible"]


async def test_refuses_a_plan_with_a_number_that_json_has_not(store: Store) -> None:
    with pytest.raises(InvalidInputError):
        await store.save_plan(a_plan(schedule={"cost": float("nan")}))


async def test_a_delivery_is_one_row_whatever_becomes_of_it(store: Store) -> None:
    await store.save_plan(a_plan())
    await store.save_deliveries([a_delivery(state="sent"), a_delivery(state="sent", evse_id=2)])

    verified = a_delivery(minutes=1, state="verified", profile={"chargingProfileId": 9}, detail="read back")
    await store.save_deliveries([verified])

    assert await store.deliveries("p1") == [verified, a_delivery(state="sent", evse_id=2)]
    assert await store.deliveries("p2") == []


async def test_a_delivery_of_an_unknown_plan_saves_none(store: Store) -> None:
    await store.save_plan(a_plan())

    with pytest.raises(NotFoundError, match="p9"):
        await store.save_deliveries([a_delivery("p1"), a_delivery("p9")])

    assert await store.deliveries("p1") == []
    await store.save_deliveries([])


async def test_in_force_is_the_newest_that_reached_its_station(store: Store) -> None:
    await store.save_site(a_site())
    for plan_id in ("p1", "p2", "p3"):
        await store.save_plan(a_plan(plan_id))
    reached = a_delivery("p2", 10, "unknown", evse_id=1)
    verified = a_delivery("p1", 5, "verified", evse_id=2)
    await store.save_deliveries([a_delivery("p1", 5, "verified", evse_id=1), verified])
    await store.save_deliveries([reached, a_delivery("p2", 10, "rejected", evse_id=2)])
    await store.save_deliveries([a_delivery("p3", 20, "offline", evse_id=1), a_delivery("p3", 20, "sent", evse_id=2)])

    assert await store.deliveries_in_force("depot") == [reached, verified]
    assert await store.deliveries_in_force("yard") == []


async def test_of_two_in_force_at_one_instant_the_later_plan_counts(store: Store) -> None:
    await store.save_site(a_site())
    await store.save_plan(a_plan("p1"))
    await store.save_plan(a_plan("p2"))
    await store.save_deliveries([a_delivery("p1")])
    await store.save_deliveries([a_delivery("p2")])
    await store.save_deliveries([a_delivery("p1")])  # its row was there first

    assert [delivery.plan_id for delivery in await store.deliveries_in_force("depot")] == ["p2"]


async def test_keys_come_back_and_may_be_revoked(store: Store) -> None:
    key = ApiKey("k1", "dashboard", "hash", ("read", "control"), NOON)
    await store.save_api_key(key)
    await store.save_api_key(ApiKey("k2", "export", "hash", ("read",), at(1)))
    revoked = replace(key, revoked_at=at(5), last_used_at=at(4))

    await store.save_api_key(revoked)

    assert await store.api_key("k1") == revoked
    assert [each.key_id for each in await store.api_keys()] == ["k1", "k2"]
    assert await store.api_key("k9") is None


async def test_the_first_answer_to_a_key_is_remembered(store: Store) -> None:
    assert await store.remembered_answer("abc") is None
    await store.remember_answer("abc", {"status": 201, "body": {"id": "p1"}})

    await store.remember_answer("abc", {"status": 500})

    assert await store.remembered_answer("abc") == {"status": 201, "body": {"id": "p1"}}


async def test_answers_are_forgotten_after_two_days(store: Store, clock: SteppedClock) -> None:
    await store.remember_answer("old", {})
    await clock.run_until(NOON + timedelta(hours=49))

    await store.remember_answer("new", {})

    assert await store.remembered_answer("old") is None
    assert await store.remembered_answer("new") == {}
