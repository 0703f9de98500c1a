"""What is not believed is stored once, counted and listed."""

from dataclasses import replace

from app.clock import SteppedClock
from app.db.store import Store
from app.plausibility import METER_STUCK, UNREADABLE, suspect
from tests.app.db.builders import a_cdr, a_site, a_start, at


async def test_the_same_finding_again_is_one(store: Store) -> None:
    found = [suspect("depot", UNREADABLE, "row 3"), suspect("depot", UNREADABLE, "row 4")]

    first, again = await store.add_suspects(found), await store.add_suspects(found)

    assert (first, again) == (2, 0)
    assert await store.count_suspects("depot") == {UNREADABLE: 2}
    assert await store.count_suspects("yard") == {}


async def test_they_are_listed_by_reason_and_by_what_they_are_about(store: Store) -> None:
    await store.add_suspects(
        [
            suspect("depot", UNREADABLE, "no time"),
            suspect("depot", METER_STUCK, "early", at=at(0)),
            suspect("depot", METER_STUCK, "late", at=at(60)),
        ]
    )

    assert [row.detail for row in await store.suspects("depot", reason=METER_STUCK)] == ["late", "early"]
    assert [row.detail for row in await store.suspects("depot", start=at(0), end=at(60))] == ["early"]
    assert len(await store.suspects("depot", limit=2)) == 2


async def test_a_text_that_no_database_takes_is_kept_without_what_it_cannot_hold(store: Store) -> None:
    await store.add_suspects([suspect("depot", UNREADABLE, "a\x00b \ud800", source="x\x00")])

    [row] = await store.suspects("depot")
    assert (row.detail, row.source) == ("a�b �", "x")


async def test_settling_again_takes_back_what_is_not_found_any_more(store: Store) -> None:
    await store.save_site(a_site())
    transaction, _ = await store.start_transaction(**a_start())
    cdr = a_cdr(transaction.transaction_id)
    odd = suspect("depot", METER_STUCK, "it stands", transaction=transaction)
    other = suspect("depot", UNREADABLE, "elsewhere")
    await store.add_suspects([other])

    await store.save_cdr(cdr, [odd])
    kept = await store.suspects("depot", reason=METER_STUCK)
    await store.save_cdr(cdr, [odd, replace(odd, suspect_id="more", detail="and more")])
    more = await store.count_suspects("depot")
    await store.save_cdr(cdr, [])

    assert [row.transaction_id for row in kept] == [transaction.transaction_id]
    assert more == {METER_STUCK: 2, UNREADABLE: 1}
    assert await store.count_suspects("depot") == {UNREADABLE: 1}


async def test_a_sites_tariffs_are_kept_from_when_they_were_saved(store: Store, clock: SteppedClock) -> None:
    await store.save_site(a_site())
    await store.save_site(a_site(name="the same tariff"))
    await clock.run_until(at(60))
    await store.save_site(a_site(tariff={"kind": "fixed", "price_per_kwh": 0.4}))

    kept = [(row.since, row.tariff["price_per_kwh"]) for row in await store.tariffs("depot")]
    assert kept == [(at(0), 0.3), (at(60), 0.4)]
