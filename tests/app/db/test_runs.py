"""The run ledger in the store: one row a site, window and kind; leases, tokens, and what ended processes."""

import asyncio
from datetime import datetime, timedelta

import pytest

from app.db.ledger_records import Claim
from app.db.records import PlanKind
from app.db.store import Store
from app.errors import OvertakenError
from tests.app.db.builders import NOON, a_plan, at

LEASE = timedelta(minutes=2)


async def claim(
    store: Store, owner: str = "one", *, kind: PlanKind = "nightly", window: datetime = NOON, now: datetime = NOON
) -> Claim | None:
    return await store.claim_run("depot", kind, window, owner=owner, now=now, lease_until=now + LEASE)


async def claimed(store: Store, owner: str = "one", **wanted: object) -> Claim:
    found = await claim(store, owner, **wanted)  # type: ignore[arg-type]  # as `claim` takes them
    assert found is not None
    return found


async def test_a_run_belongs_to_the_first_who_claims_it(store: Store) -> None:
    claims = await asyncio.gather(*(claim(store, f"service-{number}") for number in range(8)))

    [mine] = [found for found in claims if found is not None]
    [row] = await store.runs()
    assert (row.owner, row.state, row.attempts, row.fence) == (mine.run.owner, "running", 1, 1)


async def test_a_run_whose_lease_has_ended_is_anybodys(store: Store) -> None:
    await claimed(store, "one")

    assert await claim(store, "two", now=at(1)) is None
    taken = await claimed(store, "two", now=at(2))

    assert (taken.run.owner, taken.run.attempts, taken.run.fence) == ("two", 2, 2)
    assert taken.poisoned is not None
    assert taken.poisoned.deaths == 1


async def test_a_lease_that_is_renewed_does_not_end(store: Store) -> None:
    mine = await claimed(store)

    assert await store.renew_run(mine.run, at(10))

    assert await claim(store, "two", now=at(9)) is None
    await claimed(store, "two", now=at(10))
    assert not await store.renew_run(mine.run, at(20))


async def test_an_ended_run_is_not_done_again(store: Store) -> None:
    mine = await claimed(store)

    assert await store.end_run(mine.run, "done", None, at(1))

    assert await claim(store, "two", now=at(500)) is None
    assert [run.state for run in await store.runs(states=("done",))] == ["done"]
    assert await store.runs(states=("open",)) == []


async def test_a_plan_of_a_run_that_was_taken_over_is_not_saved(store: Store) -> None:
    late = await claimed(store, "one")
    now = await claimed(store, "two", now=at(2))

    with pytest.raises(OvertakenError, match="depot"):
        await store.save_plan_of_run(a_plan("of-one"), late.run)
    await store.save_plan_of_run(a_plan("of-two"), now.run)

    assert [plan.plan_id for plan in await store.plans("depot")] == ["of-two"]
    assert not await store.end_run(late.run, "done", None, at(3))


async def test_a_plan_with_an_older_token_is_not_admitted_once_a_newer_one_was(store: Store) -> None:
    older, newer = await claimed(store, window=at(1)), await claimed(store, window=at(2))
    await store.save_plan_of_run(a_plan("older"), older.run)
    await store.save_plan_of_run(a_plan("newer"), newer.run)

    assert await store.admit_plan("newer")
    assert not await store.admit_plan("older")
    assert await store.admit_plan("newer")
    assert await store.admit_plan("of no run at all")


async def test_a_newer_plan_that_is_never_sent_is_in_nobodys_way(store: Store) -> None:
    older, newer = await claimed(store, window=at(1)), await claimed(store, window=at(2))
    await store.save_plan_of_run(a_plan("older"), older.run)
    await store.save_plan_of_run(a_plan("what-if"), newer.run)

    assert await store.admit_plan("older")


async def test_runs_of_a_moment_that_were_never_ended_are_lost_and_counted_at_the_next_claim(store: Store) -> None:
    for minute in (0, 10):
        await claimed(store, f"service-{minute}", kind="replan", window=at(minute), now=at(minute))

    third = await claimed(store, "third", kind="replan", window=at(20), now=at(20))

    assert third.poisoned is not None
    assert third.poisoned.deaths == 2
    assert [run.state for run in await store.runs("depot")] == ["running", "lost", "lost"]


async def test_a_process_that_only_lost_its_database_is_not_dead(store: Store) -> None:
    await claimed(store, "one", kind="replan", window=at(0))
    await claimed(store, "one", kind="nightly", window=at(1), now=at(1))

    again = await claimed(store, "one", kind="nightly", window=at(1), now=at(30))

    assert again.poisoned is None


async def test_a_process_that_died_while_sending_says_nothing_against_the_problem(store: Store) -> None:
    mine = await claimed(store, "one")
    await store.save_plan_of_run(a_plan("p1"), mine.run)

    taken = await claimed(store, "two", now=at(5))

    assert (taken.run.plan_id, taken.poisoned) == ("p1", None)


async def test_what_is_held_against_a_site_can_be_forgiven(store: Store) -> None:
    await store.add_deaths("depot", 2, NOON)
    await store.add_deaths("depot", 1, at(5))
    assert [(one.deaths, one.last_at) for one in await store.poisoned_sites()] == [(3, at(5))]

    assert await store.forgive_site("depot")

    assert not await store.forgive_site("depot")
    assert await store.poisoned_sites() == []


async def test_the_next_night_is_opened_once_and_moves_with_its_hour(store: Store) -> None:
    due = {"depot": at(60), "yard": at(120)}
    await store.open_runs("nightly", due, NOON)
    await store.open_runs("nightly", due, NOON)
    assert {(run.site_id, run.window, run.state) for run in await store.runs()} == {
        ("depot", at(60), "open"),
        ("yard", at(120), "open"),
    }

    await store.open_runs("nightly", {"depot": at(90)}, NOON)

    assert [(run.site_id, run.window) for run in await store.runs()] == [("depot", at(90))]


async def test_a_night_that_has_begun_is_not_withdrawn(store: Store) -> None:
    await store.open_runs("nightly", {"depot": at(60)}, NOON)

    await store.open_runs("nightly", {"depot": at(90)}, at(61))

    assert [run.window for run in await store.unended_runs("nightly", at(61))] == [at(60)]


async def test_a_run_that_is_given_back_is_free_at_once(store: Store) -> None:
    mine = await claimed(store, "one")

    assert await store.release_run(mine.run)

    taken = await claimed(store, "two", now=at(1))
    assert (taken.run.attempts, taken.poisoned) == (2, None)


async def test_runs_that_ended_long_ago_are_dropped(store: Store) -> None:
    mine = await claimed(store)
    await store.end_run(mine.run, "failed", "no prices", at(1))
    await claimed(store, window=at(5), now=at(5))

    assert await store.drop_runs(at(60)) == {"runs": 1}

    assert [run.window for run in await store.runs()] == [at(5)]
