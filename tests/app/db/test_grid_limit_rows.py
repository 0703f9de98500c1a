"""Grid operators' limits and their log, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db.operating_records import GridLimit, GridLimitEntry
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_limit(limit_id: str = "one", **changed: Any) -> GridLimit:
    limit = GridLimit(limit_id, "depot", "dso", limit_id, "charging", 8.4, NOW, NOW + HOUR, NOW)
    return replace(limit, **changed)


def an_entry(what: str = "received") -> GridLimitEntry:
    return GridLimitEntry("one", NOW, what, {"by": "key"})


async def test_what_was_saved_is_read_with_its_log(store: Store) -> None:
    saved = await store.save_grid_limit(a_limit(), an_entry())
    await store.note_grid_limits([an_entry("begun"), an_entry("ended")])

    assert saved == a_limit()
    assert await store.grid_limit("depot", "one") == a_limit()
    assert [entry.what for entry in await store.grid_limit_log("one")] == ["received", "begun", "ended"]


async def test_the_same_reference_keeps_the_first_id(store: Store) -> None:
    await store.save_grid_limit(a_limit(), an_entry())
    saved = await store.save_grid_limit(a_limit("two", reference="one", max_kw=4.2, end=None), an_entry())

    assert (saved.limit_id, saved.max_kw, saved.end) == ("one", 4.2, None)
    assert await store.grid_limits("depot") == [saved]
    assert len(await store.grid_limit_log("one")) == 2


async def test_those_that_are_over_or_cancelled_are_left_out_where_only_current_ones_are_wanted(store: Store) -> None:
    limits = [
        a_limit("over", end=NOW),
        a_limit("current"),
        a_limit("to-come", start=NOW + HOUR, end=NOW + 2 * HOUR),
        a_limit("endless", end=None),
        a_limit("cancelled", end=None, cancelled_at=NOW),
        a_limit("elsewhere", site_id="other"),
    ]
    for limit in limits:
        await store.save_grid_limit(limit, an_entry())

    current = await store.grid_limits("depot", after=NOW)

    assert {limit.limit_id for limit in current} == {"current", "to-come", "endless"}
    assert len(await store.grid_limits("depot")) == 5
    assert len(await store.grid_limits(after=NOW)) == 4


async def test_a_limit_of_another_site_is_not_found(store: Store) -> None:
    await store.save_grid_limit(a_limit(), an_entry())

    with pytest.raises(NotFoundError):
        await store.grid_limit("other", "one")


async def test_a_limit_that_is_no_number_is_refused_with_its_entry(store: Store) -> None:
    with pytest.raises(InvalidInputError):
        await store.save_grid_limit(a_limit(max_kw=float("nan")), an_entry())

    assert await store.grid_limits() == []
    assert await store.grid_limit_log("one") == []


async def test_the_newest_series_of_each_source_is_known(store: Store) -> None:
    assert await store.newest_series("depot") == {}
