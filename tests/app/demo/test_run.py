"""The real service and the simulated site in lock-step, for the first hours of the day."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from app.clock import Clock
from app.demo.profiles_held import HeldProfile, Limit
from app.demo.run import run_day
from app.demo.station import SimulatedStation
from app.main import service
from app.settings import Settings

HOURS = 10.25  # one car has come and gone: s08, at cs09

Start = Callable[[Clock], AbstractAsyncContextManager["Started"]]


@dataclass(frozen=True)
class Started:
    http_url: str
    ocpp_url: str
    api_key: str


@pytest.fixture
def start_service(tmp_path: Path) -> Start:
    settings = Settings(http_port=0, ocpp_port=0, data_dir=tmp_path, ping_interval_s=None)

    @asynccontextmanager
    async def start(clock: Clock) -> AsyncIterator[Started]:
        async with service(settings, clock) as running:
            yield Started(running.http_url, running.ocpp_url, await running.create_key("demo"))

    return start


async def test_every_profile_is_verified_and_no_limit_is_exceeded(start_service: Start) -> None:
    result = await run_day(start_service, hours=HOURS)

    assert result.deliveries.sent > 0
    assert result.deliveries.unverified == ()
    assert result.realised.measured.violations == 0
    assert [session.session_id for session in result.realised.sessions] == ["s08"]
    assert result.realised.sessions[0].delivered_kwh > 5
    assert result.planned_cost > 0


@pytest.mark.slow
async def test_a_station_that_holds_something_else_than_it_was_sent_fails_the_day(start_service: Start) -> None:
    def more_than_was_sent(profile: HeldProfile) -> HeldProfile:
        if profile.purpose != "TxProfile":
            return profile
        return replace(profile, periods=((0, Limit(32.0, "A")),))

    def tamper(stations: Mapping[str, SimulatedStation]) -> None:
        stations["cs09"].faults.tamper = more_than_was_sent

    result = await run_day(start_service, hours=HOURS, switch_faults=tamper)

    assert not result.is_good
    assert any("cs09/1" in failure and "verified" not in failure for failure in result.failures)
    assert result.deliveries.verified < result.deliveries.sent


async def test_a_station_that_cannot_connect_at_once_does_not_stop_the_day(
    start_service: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shut_out(stations: Mapping[str, SimulatedStation]) -> None:
        line = stations["cs03"].line
        connect = line._connect

        async def refused(url: str) -> ClientConnection | None:
            monkeypatch.setattr(line, "_connect", connect)
            return None

        monkeypatch.setattr(line, "_connect", refused)

    async with asyncio.timeout(60):
        result = await run_day(start_service, hours=0.25, switch_faults=shut_out)

    assert result.stations == 12
