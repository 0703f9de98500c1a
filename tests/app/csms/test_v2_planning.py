"""From a vehicle's needs over a plan to the profile at the station, and to the record: 2.0.1 and 2.1 as 1.6."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from app.clock import SystemClock
from app.csms.gateway import Gateway
from app.csms.ocpp_schemas import check_call
from app.csms.timestamps import iso_utc
from app.csms.v2_version import Version
from app.db.store import Store
from app.dispatch import Dispatcher
from app.events import Events
from app.gather import Gatherer
from app.planning.planner import Planner
from app.settlement import settle
from app.site import Site
from tests.app.csms.stations import Station, a_gateway, a_site, connected, eventually
from tests.app.csms.v2_stations import TRANSACTION, VERSIONS, Json, a_boot, a_start, ago, an_event, tell


@dataclass
class World:
    station: Station
    version: Version
    gateway: Gateway
    planner: Planner
    store: Store

    def sent(self, purpose: str) -> list[Json]:
        """The profiles of this purpose that the station was sent, in order."""
        profiles = [
            payload["chargingProfile"] for action, payload in self.station.asked if action == "SetChargingProfile"
        ]
        return [profile for profile in profiles if profile["chargingProfilePurpose"] == purpose]


class Profiles:
    """What a station holds and says of it: the newest TxProfile of an EVSE, else its newest default."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, str], Json] = {}

    def set(self, payload: Json) -> Json:
        profile = payload["chargingProfile"]
        self.held[payload["evseId"], profile["chargingProfilePurpose"]] = profile
        return {"status": "Accepted"}

    def composite(self, payload: Json) -> Json:
        evse_id = payload["evseId"]
        profile = self.held.get((evse_id, "TxProfile")) or self.held.get((evse_id, "TxDefaultProfile"))
        if profile is None:
            return {"status": "Rejected"}
        (schedule,) = profile["chargingSchedule"]
        composite = {
            "evseId": evse_id,
            "duration": schedule.get("duration", payload["duration"]),
            "scheduleStart": schedule["startSchedule"] if "duration" in schedule else iso_utc(ago()),
            "chargingRateUnit": schedule["chargingRateUnit"],
            "chargingSchedulePeriod": schedule["chargingSchedulePeriod"],
        }
        return {"status": "Accepted", "schedule": composite}


def variables(payload: Json) -> Json:
    values = {"RateUnit": "A,W", "ProfileStackLevel": "4", "PeriodsPerSchedule": "100"}
    results = [
        asked | {"attributeStatus": "Accepted", "attributeValue": values[asked["variable"]["name"]]}
        if asked["variable"]["name"] in values
        else asked | {"attributeStatus": "UnknownVariable"}
        for asked in payload["getVariableData"]
    ]
    return {"getVariableResult": results}


@asynccontextmanager
async def a_world(store: Store, subprotocol: str) -> AsyncIterator[World]:
    clock, events, profiles = SystemClock(), Events(), Profiles()
    document = a_site().model_dump(mode="json") | {"base_load": {"annual_energy_kwh": 20_000}}
    await store.save_site(Site.model_validate(document))
    async with (
        a_gateway(store, clock=clock, events=events) as gateway,
        connected(gateway, subprotocols=(subprotocol,)) as station,
    ):
        station.answers |= {
            "ClearChargingProfile": {"status": "Unknown"},
            "GetBaseReport": {"status": "NotSupported"},
            "GetCompositeSchedule": profiles.composite,
            "GetVariables": variables,
            "SetChargingProfile": profiles.set,
        }
        dispatcher = Dispatcher(gateway, store, events, clock)
        horizon = timedelta(hours=12)
        gatherer = Gatherer(store, clock, dispatcher, connected=gateway.connected, horizon=horizon)
        with ThreadPoolExecutor(1) as executor:
            planner = Planner(store, gatherer, dispatcher, clock, events, executor)
            yield World(station, VERSIONS[subprotocol], gateway, planner, store)
        await dispatcher.settle()


@pytest.fixture(params=VERSIONS)
async def world(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[World]:
    async with a_world(store, str(request.param)) as opened:
        yield opened


async def test_the_needs_of_a_vehicle_end_as_a_profile_of_its_transaction_and_a_record(world: World) -> None:
    station, version, store = world.station, world.version, world.store
    needs = {
        "requestedEnergyTransfer": "AC_three_phase",
        "acChargingParameters": {"energyAmount": 20_000, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 400},
        "departureTime": iso_utc(ago() + timedelta(hours=4)),
    }
    await tell(station, version, "BootNotification", a_boot())
    await tell(station, version, "TransactionEvent", a_start(at=ago(minutes=1)))
    answer = await tell(station, version, "NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})

    plan = await world.planner.plan("depot")

    assert answer == {"status": "Processing"}
    profile = world.sent("TxProfile")[-1]
    assert profile["transactionId"] == TRANSACTION
    for action, payload in station.asked:
        await check_call(action, payload, version.number)
    (delivery,) = await store.deliveries(plan.plan_id)
    assert (delivery.state, delivery.evse_id) == ("applied", 1)
    (session,) = plan.problem["sessions"]
    assert session["required_energy_kwh"] == pytest.approx(20)
    assert session["vehicle_phases"] == 3

    await tell(station, version, "TransactionEvent", an_event("Ended", 1, register_wh=9000))
    (cdr,) = await settle(store)
    assert cdr.energy_kwh == pytest.approx(8)


def a_choice(limit_a: float, **changes: Any) -> Json:
    schedule = {
        "id": 1,
        "duration": 1800,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}],
    }
    return {"evseId": 1, "timeBase": iso_utc(ago()), "chargingSchedule": schedule | changes}


async def test_a_vehicle_that_wants_more_than_it_was_offered_is_told_no_and_offered_it_again(world: World) -> None:
    station, version = world.station, world.version
    await tell(station, version, "TransactionEvent", a_start(at=ago(minutes=1)))
    await world.planner.plan("depot")
    offered = len(world.sent("TxProfile"))

    modest = await tell(station, version, "NotifyEVChargingSchedule", a_choice(0.0))
    greedy = await tell(station, version, "NotifyEVChargingSchedule", a_choice(63.0))

    assert modest == {"status": "Accepted"}
    assert greedy["status"] == "Rejected"
    assert "63.0 A" in greedy["statusInfo"]["additionalInfo"]
    await eventually(lambda: len(world.sent("TxProfile")) == offered + 1)
    assert world.sent("TxProfile")[-1] == world.sent("TxProfile")[-2]


async def test_a_choice_that_nothing_was_offered_for_is_the_vehicles_own(world: World) -> None:
    answer = await tell(world.station, world.version, "NotifyEVChargingSchedule", a_choice(63.0))

    assert answer == {"status": "Accepted"}
