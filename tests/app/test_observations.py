"""What the service observes of stations is kept among their notices."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from app.clock import SteppedClock
from app.db.records import StationNotice
from app.db.store import Store
from app.events import Events, ObedienceChanged, StationBooted, StationFlapping, StationMisread
from app.observations import Observations
from tests.app.csms.stations import STATION, furnish
from tests.stores import a_store

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with a_store() as opened:
        await furnish(opened)
        yield opened


async def observed(store: Store, *told: object) -> list[StationNotice]:
    """Oldest first."""
    events = Events()
    observations = Observations(store, events, SteppedClock(NOW))
    for event in told:
        events.publish(event)  # type: ignore[arg-type]  # one of app.events
    await observations.close()
    return (await store.notices(STATION))[::-1]


async def test_a_slip_that_was_forgiven_is_written_once(store: Store) -> None:
    slip = StationMisread(STATION, "MeterValues", "measurand 'x' is unknown", NOW)
    other = StationMisread(STATION, "StatusNotification", "measurand 'x' is unknown", NOW)

    notices = await observed(store, slip, slip, other)

    assert [(notice.action, notice.payload["action"]) for notice in notices] == [
        ("service:tolerated", "MeterValues"),
        ("service:tolerated", "StatusNotification"),
    ]
    assert notices[0].payload["violation"] == "measurand 'x' is unknown"
    assert notices[0].at == NOW


async def test_who_is_kept_out_and_who_disobeys_is_written_each_time(store: Store) -> None:
    notices = await observed(
        store,
        StationFlapping(STATION, NOW),
        ObedienceChanged(STATION, 1, False, NOW),
        ObedienceChanged(STATION, 1, True, NOW),
    )

    assert [notice.action for notice in notices] == ["service:kept_out", "service:disobeys", "service:obeys"]


async def test_the_quirks_that_a_station_is_treated_by_are_written_with_their_source(store: Store) -> None:
    await store.update_station(STATION, vendor="Wallbox", model="Pulsar", firmware="5.17.2")

    [notice] = await observed(store, StationBooted(STATION, NOW), StationBooted(STATION, NOW))

    assert notice.action == "service:quirks"
    assert "needs_remote_start" in str(notice.payload["quirks"])
    assert all("#" in quirk["source"] for quirk in notice.payload["quirks"])


async def test_a_station_without_quirks_has_no_such_notice(store: Store) -> None:
    assert await observed(store, StationBooted(STATION, NOW)) == []


async def test_a_station_that_nobody_knows_is_no_trouble(store: Store) -> None:
    assert await observed(store, StationFlapping("stranger", NOW), StationBooted("stranger", NOW)) == []
