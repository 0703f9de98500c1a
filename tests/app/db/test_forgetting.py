"""Drivers and old rows are forgotten, on both databases, and what is left still adds up."""

from dataclasses import replace

import pytest
import structlog

from app.db.records import StationNotice, Suspect
from app.db.store import Store
from app.errors import ConflictError
from app.plausibility import suspect
from app.retention import FORGOTTEN, forget_driver, keep_no_longer
from tests.app.db.builders import NOON, a_cdr, a_delivery, a_meter_value, a_plan, a_series, a_site, a_start, a_wish, at


async def a_settled(store: Store, id_tag: str = "van-7", minutes: float = 0, **start: object) -> int:
    """A completed transaction with its record; its id."""
    fields = a_start(id_tag=id_tag, started_at=at(minutes), **start)
    transaction, _ = await store.start_transaction(**fields)
    number = transaction.transaction_id
    await store.stop_transaction(number, stopped_at=at(minutes + 60), meter_stop_wh=9_000, reason="Local")
    await store.save_cdr(a_cdr(number, id_tag=id_tag, stop=at(minutes + 60)))
    return number


def a_suspect(detail: str, **changes: object) -> Suspect:
    return replace(suspect("depot", "unreadable", detail), noted_at=NOON, **changes)  # type: ignore[arg-type]


async def test_a_forgotten_driver_is_nowhere_and_the_energy_is_still_there(store: Store) -> None:
    await store.save_site(a_site())
    await a_settled(store)
    await a_settled(store, id_tag="van-70", minutes=100)
    await store.save_wish(a_wish(id_tag="van-7"))
    await store.add_suspects([a_suspect("StartTransaction {'idTag': 'van-7'}"), a_suspect("idTag van-70")])
    await store.remember_answer("key", {"id_tag": "van-7"})

    pseudonym, counts = await forget_driver(store, "van-7")

    cdrs = await store.cdrs()
    assert pseudonym.startswith(FORGOTTEN)
    assert {cdr.id_tag for cdr in cdrs} == {pseudonym, "van-70"}
    assert sum(cdr.energy_kwh for cdr in cdrs) == 25.0
    assert {row.id_tag for row in await store.transactions()} == {pseudonym, "van-70"}
    assert [wish.id_tag for wish in await store.wishes("depot")] == [pseudonym]
    assert {row.detail for row in await store.suspects("depot")} == {
        f"StartTransaction {{'idTag': '{pseudonym}'}}",
        "idTag van-70",
    }
    assert await store.remembered_answer("key") is None
    assert counts["transactions"] == counts["cdrs"] == counts["quarantine"] == counts["remembered_answers"] == 1


async def test_a_driver_who_charges_is_not_forgotten_yet(store: Store) -> None:
    await store.save_site(a_site())
    await store.start_transaction(**a_start())

    with pytest.raises(ConflictError, match="still running"):
        await forget_driver(store, "van-7")


async def test_forgetting_says_what_it_did_and_not_whom(store: Store) -> None:
    await store.save_site(a_site())
    await a_settled(store)

    with structlog.testing.capture_logs() as said:
        pseudonym, _ = await forget_driver(store, "van-7")

    [line] = [entry for entry in said if entry["event"] == "driver forgotten"]
    assert (line["pseudonym"], line["transactions"], line["cdrs"]) == (pseudonym, 1, 1)
    assert "van-7" not in str(said)


async def test_notices_that_name_the_driver_go(store: Store) -> None:
    await store.save_site(a_site())
    await store.add_notice(StationNotice("cs01", NOON, "NotifyEvent", {"who": ["van-7"]}))
    await store.add_notice(StationNotice("cs01", NOON, "NotifyEvent", {"who": ["van-70"]}))

    await forget_driver(store, "van-7")

    assert [notice.payload for notice in await store.notices("cs01")] == [{"who": ["van-70"]}]


async def test_names_come_off_what_is_old_and_stay_on_what_is_new(store: Store) -> None:
    await store.save_site(a_site())
    for minutes in (0, 200, 1_000):
        await a_settled(store, minutes=minutes)

    await keep_no_longer(store, id_tags_before=at(500))
    await keep_no_longer(store, id_tags_before=at(500))  # once is enough

    old, also_old, new = [cdr.id_tag for cdr in await store.cdrs()]
    assert old == also_old != "van-7"
    assert new == "van-7"


async def test_old_samples_go_and_their_record_stays(store: Store) -> None:
    await store.save_site(a_site())
    number = await a_settled(store)
    await store.import_meter_values([a_meter_value(minutes, transaction_id=number) for minutes in (0, 10, 20)])

    counts = await keep_no_longer(store, samples_before=at(15), site_id="depot")

    assert counts["meter_values"] == 2
    assert len(await store.meter_values()) == 1
    assert len(await store.cdrs()) == 1


async def test_another_sites_samples_stay(store: Store) -> None:
    await store.save_site(a_site())
    await store.save_site(a_site("yard", stations=("cs11",)))
    await store.import_meter_values([a_meter_value(), a_meter_value(station_id="cs11")])

    await keep_no_longer(store, samples_before=at(15), site_id="depot")

    assert [value.station_id for value in await store.meter_values()] == ["cs11"]


async def test_the_newest_plan_and_the_one_in_force_outlive_all_others(store: Store) -> None:
    await store.save_site(a_site())
    for number in range(4):
        await store.save_plan(a_plan(f"p{number}", number, end=at(60)))
        await store.save_deliveries([a_delivery(f"p{number}", number, "accepted" if number < 2 else "rejected")])

    counts = await keep_no_longer(store, plans_before=at(600))

    assert [plan.plan_id for plan in await store.plans("depot")] == ["p3", "p1"]
    assert (counts["plans"], counts["deliveries"]) == (2, 2)
    assert [row.plan_id for row in await store.deliveries_in_force("depot")] == ["p1"]


async def test_old_series_and_old_suspects_go(store: Store) -> None:
    await store.save_site(a_site())
    await store.add_series(a_series())
    await store.add_series(a_series(start_minutes=600))
    await store.add_suspects([a_suspect("odd")])

    counts = await keep_no_longer(store, history_before=at(300), quarantine_before=at(1))

    assert (counts["series"], counts["quarantine"]) == (1, 1)
    assert await store.count_suspects("depot") == {}
