"""What becomes of readings: at once to the guard, as means of minutes to the store, and nothing of it is invented."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.clock import SteppedClock
from app.errors import StoreUnavailableError
from app.events import Event, Events, MeterValuesReceived, SiteMeasured
from app.meters.meters import Meters
from app.meters.shown import Shown
from app.settings import Settings
from tests.app.meters.meter_world import OneSite, a_site

NOON = datetime(2026, 6, 2, 12, tzinfo=UTC)
HTTP = {"kind": "http", "url": "http://meter.lan", "values": {"power": "p"}}


class World:
    """A clock that the test moves, and what was published."""

    def __init__(self, source: dict[str, Any]) -> None:
        self.site = a_site(source)
        self.clock, self.events, self.store = SteppedClock(NOON), Events(), OneSite(self.site)
        self.meters = Meters(self.store, self.clock, self.events, Settings())
        self.published: list[Event] = []
        self.events.subscribe(self.published.append)

    def show(self, *kw: float, every_s: float = 20) -> None:
        for value in kw:
            self.meters.take(self.site, self.site.meters[0], Shown(value))
            self.clock._now += timedelta(seconds=every_s)  # nothing sleeps here: time may jump


async def test_a_minute_is_stored_as_its_mean_when_it_is_over() -> None:
    world = World(HTTP)
    world.show(10, 20, 30, 40)

    await world.meters._keep()

    assert [(row.meter_id, row.at, row.kw) for row in world.store.readings_kept] == [("grid", NOON, 20.0)]
    assert len([event for event in world.published if isinstance(event, SiteMeasured)]) == 4


async def test_a_value_that_no_connection_carries_makes_no_history_but_is_told() -> None:
    world = World(HTTP)
    world.show(10, 5_000, 30, 40)

    await world.meters._keep()

    assert [row.kw for row in world.store.readings_kept] == [20.0]
    assert 5_000 in [event.power_kw for event in world.published if isinstance(event, SiteMeasured)]


async def test_minutes_wait_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Any) -> int:
        raise StoreUnavailableError("gone")

    world = World(HTTP)
    world.show(10, 10, 10, 20)
    with monkeypatch.context() as broken:
        broken.setattr(world.store, "add_readings", away)
        await world.meters._keep()
    world.show(20, 20, 30)

    await world.meters._keep()

    assert [row.kw for row in world.store.readings_kept] == [10.0, 20.0]


async def test_the_main_meter_of_a_station_is_a_site_meter_if_its_operator_says_so() -> None:
    world = World({"kind": "ocpp", "charging_station_id": "cs01"})
    world.meters._follow([world.site], None)  # type: ignore[arg-type]  # nothing is asked over HTTP
    for evse_id, power_w in ((1, 11_000.0), (0, 23_000.0)):
        currents = {"L1": 30.0, "L2": 31.0, "L3": 32.0, "N": 2.0}
        world.meters._hear(MeterValuesReceived("cs01", evse_id, None, NOON, power_w, currents, None))

    [measured] = [event for event in world.published if isinstance(event, SiteMeasured)]

    assert measured.power_kw == 23
    assert measured.current_a == {"L1": 30.0, "L2": 31.0, "L3": 32.0}
