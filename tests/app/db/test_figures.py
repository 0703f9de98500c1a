"""Figures about everything."""

from datetime import timedelta

from app.db.store import Store
from tests.app.db.builders import NOON, a_plan, a_site, a_start


async def test_the_oldest_plan_in_use_is_that_of_the_site_that_waits_longest(store: Store) -> None:
    await store.save_site(a_site())
    await store.save_plan(a_plan("old", created_at=NOON - timedelta(hours=1)))
    unused = await store.plans_in_use()
    await store.start_transaction(**a_start())
    await store.save_plan(a_plan("new", created_at=NOON))

    assert unused == (0, None)
    assert await store.plans_in_use() == (1, NOON)


async def test_nothing_issued_has_no_age(store: Store) -> None:
    assert await store.newest_issues() == {}
