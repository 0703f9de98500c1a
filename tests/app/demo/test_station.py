"""A simulated station on a real socket, against the least CSMS there can be."""

import asyncio
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from ocpp.exceptions import PropertyConstraintViolationError
from ocpp.v16 import call

from app.clock import SteppedClock
from app.demo.faults import Fault
from app.demo.profiles_held import Capability, Limit
from app.demo.station import SimulatedStation
from tests.app.demo.builders import MIDNIGHT, a_car, a_station, connected
from tests.app.demo.small_csms import SmallCsms, minutes, wire_profile

NINE = MIDNIGHT + timedelta(hours=9)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NINE)


@pytest.fixture
def station(clock: SteppedClock) -> SimulatedStation:
    return a_station(clock)


async def test_boots_and_says_how_it_is(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        assert csms.actions() == ["BootNotification", "StatusNotification"]
        assert csms.all("StatusNotification")[0]["status"] == "Available"
        assert csms.credentials == ["Basic " + b64encode(b"cs01:password-of-a-test").decode()]


async def test_keeps_its_heart_beating_at_the_interval_it_was_told(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await clock.run_until(NINE + minutes(16))

        assert csms.actions().count("Heartbeat") == 3


async def test_a_car_that_plugs_in_is_authorised_and_charges_at_all_it_can(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(max_current_a=16.0), "tag-1")
        await clock.run_until(NINE + minutes(10))

        assert csms.actions()[2:6] == ["StatusNotification", "Authorize", "StartTransaction", "StatusNotification"]
        assert len(csms.all("MeterValues")) == 10
        assert _sampled(csms, "Power.Active.Import") == pytest.approx(3 * 16 * 230, rel=0.02)
        assert _sampled(csms, "Current.Import", "L3") == pytest.approx(16, rel=0.02)
        assert _sampled(csms, "Energy.Active.Import.Register") == pytest.approx(3 * 16 * 230 / 6, abs=2)


async def test_says_less_while_nothing_is_drawn_and_at_once_when_it_is_again(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await csms.set_profile(wire_profile(start=NINE, limits=((0, 0.0), (17 * 60, 16.0))))
        await station.plug_in(1, a_car(), "tag-1")

        await clock.run_until(NINE + minutes(17))
        assert len(csms.all("MeterValues")) == 3

        await clock.run_until(NINE + minutes(20))
        assert len(csms.all("MeterValues")) == 6


async def test_a_tag_that_is_refused_draws_nothing(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        csms.tag_status = "Invalid"

        await station.plug_in(1, a_car(), "stranger")
        await clock.run_until(NINE + minutes(10))

        assert station.outlets[1].energy_kwh == 0
        assert "StartTransaction" not in csms.actions()


async def test_the_current_follows_the_profile(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        profile = wire_profile(
            purpose="TxProfile", transaction_id=1, start=NINE, limits=((0, 10.0), (600, 6.0), (1200, 0.0))
        )

        assert await csms.set_profile(profile) == "Accepted"

        drawn = {}
        for minute in (5, 15, 25):
            await clock.run_until(NINE + minutes(minute))
            station.advance()
            drawn[minute] = station.outlets[1].current_a
        assert drawn == {5: 10.0, 15: 6.0, 25: 0.0}
        assert csms.all("StatusNotification")[-1]["status"] == "SuspendedEVSE"


async def test_a_profile_begins_by_the_clock_of_the_station(clock: SteppedClock) -> None:
    fast = a_station(clock, clock_offset_s=4.0)
    async with SmallCsms.open(clock) as csms, connected(fast, csms):
        await fast.plug_in(1, a_car(), "tag-1")
        await csms.set_profile(wire_profile(start=NINE, limits=((0, 6.0), (600, 16.0))))

        await clock.run_until(NINE + minutes(11))
        fast.advance()

    ten_minutes = [6.0] * 596 + [16.0] * 64
    assert [float(a) for trace in fast.outlets[1].traces for a in trace.current_a] == ten_minutes


async def test_answers_with_the_composite_of_what_it_holds(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await csms.set_profile(wire_profile(start=NINE - minutes(1), limits=((0, 10.0), (960, 16.5)), duration=3660))

        reply = await csms.ask(call.GetCompositeSchedule(1, 7200, "A"))

        assert reply.status == "Accepted"
        assert reply.charging_schedule["charging_rate_unit"] == "A"
        assert [
            (period["start_period"], float(period["limit"]))
            for period in reply.charging_schedule["charging_schedule_period"]
        ] == [(0, 10.0), (900, 16.5), (3600, 32.0)]


async def test_a_limit_in_watts_is_the_sum_of_the_phases_it_names(clock: SteppedClock) -> None:
    station = a_station(clock, capability=Capability(units=("W",)))
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(phases=1, max_current_a=32), "tag-1")

        assert await csms.set_profile(wire_profile(unit="A")) == "Rejected"
        assert await csms.set_profile(wire_profile(unit="W", limits=((0, 2760.0),), number_phases=1)) == "Accepted"
        await clock.run_until(NINE + minutes(1))

        assert station.outlets[1].current_a == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        ({"limits": tuple((60 * n, 16.0) for n in range(7))}, "more periods than it takes"),
        ({"limits": ((60, 16.0),)}, "nothing at its start"),
        ({"stack_level": 9}, "a stack level that is too high"),
        ({"purpose": "TxProfile", "transaction_id": 1}, "no transaction"),
        ({"purpose": "ChargePointMaxProfile"}, "a limit of the whole station on one connector"),
    ],
)
async def test_declines(clock: SteppedClock, wrong: dict[str, Any], because: str) -> None:
    station = a_station(clock, capability=Capability(max_periods=6))
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        assert await csms.set_profile(wire_profile(**wrong)) == "Rejected", because
        assert list(station.profiles) == []


async def test_a_connector_that_does_not_exist_is_an_error(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        with pytest.raises(PropertyConstraintViolationError, match="connector 2"):
            await csms.set_profile(wire_profile(), connector_id=2)


async def test_says_what_it_takes_and_lets_its_interval_be_changed(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        reply = await csms.ask(call.GetConfiguration(["ChargingScheduleMaxPeriods", "NoSuchKey"]))
        changes = [
            (await csms.ask(call.ChangeConfiguration(key, value))).status
            for key, value in (("MeterValueSampleInterval", "30"), ("ChargingScheduleMaxPeriods", "9"), ("No", "1"))
        ]

        assert [(row["key"], row["value"]) for row in reply.configuration_key] == [("ChargingScheduleMaxPeriods", "24")]
        assert reply.unknown_key == ["NoSuchKey"]
        assert changes == ["Accepted", "Rejected", "NotSupported"]
        assert station.sample_interval_s == 30


async def test_a_car_that_leaves_ends_its_transaction_and_its_profile(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        await csms.set_profile(wire_profile(purpose="TxProfile", transaction_id=1))
        await clock.run_until(NINE + minutes(6))
        await station.unplug(1)

        (stop,) = csms.all("StopTransaction")
        assert stop["transaction_id"] == 1
        assert stop["meter_stop"] == pytest.approx(3 * 16 * 230 / 10, abs=1)
        assert stop["reason"] == "EVDisconnected"
        assert list(station.profiles) == []
        assert csms.all("StatusNotification")[-1]["status"] == "Available"


async def test_a_lost_connection_costs_no_transaction_message(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.drop_connection()
        await clock.settle()
        was_online = station.is_online
        await station.plug_in(1, a_car(), "tag-1")
        await clock.run_until(NINE + minutes(3))
        await station.unplug(1)
        await clock.run_until(NINE + minutes(5))

        assert [was_online, station.is_online] == [False, True]
        transaction = [action for action in csms.actions() if action.endswith("Transaction")]
        assert transaction == ["StartTransaction", "StopTransaction"]
        assert csms.all("StopTransaction")[0]["transaction_id"] == 1
        assert csms.all("MeterValues")
        assert csms.actions().count("BootNotification") == 1


async def test_who_was_out_of_reach_for_a_while_tells_of_its_meter_again(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    async with SmallCsms.open(clock) as csms:
        async with connected(station, csms):
            await station.plug_in(1, a_car(), "tag-1")
            await clock.run_until(NINE + minutes(3))
        await clock.run_until(NINE + minutes(20))
        csms.heard.clear()

        async with connected(station, csms):
            await clock.run_until(NINE + minutes(24))

            assert len(csms.all("MeterValues")) >= 2
            assert _sampled(csms, "Energy.Active.Import.Register") > 16 * 230 * 3 * 20 / 60


async def test_starts_and_stops_when_the_service_says_so(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        csms.tag_status = "Blocked"
        await station.plug_in(1, a_car(), "tag-1")
        csms.tag_status = "Accepted"

        assert (await csms.ask(call.RemoteStartTransaction("tag-2", connector_id=1))).status == "Accepted"
        await clock.run_until(NINE + minutes(1))
        assert station.outlets[1].current_a == 16.0
        assert (await csms.ask(call.RemoteStopTransaction(1))).status == "Accepted"
        await clock.run_until(NINE + minutes(2))
        station.advance()

        assert csms.all("StopTransaction")[0]["reason"] == "Remote"
        assert station.outlets[1].current_a == 0.0


async def test_sends_meter_values_when_triggered_and_no_second_boot(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        assert (await csms.ask(call.TriggerMessage("BootNotification"))).status == "Rejected"
        assert (await csms.ask(call.TriggerMessage("MeterValues", 1))).status == "Accepted"
        await clock.settle()

        assert csms.all("MeterValues")[0]["meter_value"][0]["sampled_value"][0]["context"] == "Trigger"


async def test_profiles_survive_a_reset(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await csms.set_profile(wire_profile())

        await csms.ask(call.Reset("Soft"))
        await clock.run_until(NINE + minutes(2))

        assert csms.actions().count("BootNotification") == 2
        assert len(list(station.profiles)) == 1


async def test_two_connectors_share_the_limit_of_their_station(clock: SteppedClock) -> None:
    station = a_station(clock, evses=2)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await csms.set_profile(wire_profile(purpose="ChargePointMaxProfile", limits=((0, 20.0),)), connector_id=0)
        await station.plug_in(1, a_car(), "tag-1")
        await station.plug_in(2, a_car(), "tag-2")
        await clock.run_until(NINE + minutes(1))

        assert [outlet.current_a for outlet in station.outlets.values()] == [10.0, 10.0]


class TestFaults:
    async def test_rejects_every_profile(self, clock: SteppedClock, station: SimulatedStation) -> None:
        station.faults.switch_on(Fault.REJECTS_PROFILES)
        async with SmallCsms.open(clock) as csms, connected(station, csms):
            assert await csms.set_profile(wire_profile()) == "Rejected"

    async def test_accepts_and_ignores(self, clock: SteppedClock, station: SimulatedStation) -> None:
        station.faults.switch_on(Fault.IGNORES_PROFILES)
        async with SmallCsms.open(clock) as csms, connected(station, csms):
            assert await csms.set_profile(wire_profile()) == "Accepted"
            assert list(station.profiles) == []

    async def test_holds_something_else_than_it_was_sent(self, clock: SteppedClock, station: SimulatedStation) -> None:
        station.faults.tamper = lambda profile: replace(profile, periods=((0, Limit(32.0, "A")),))
        async with SmallCsms.open(clock) as csms, connected(station, csms):
            await csms.set_profile(wire_profile(limits=((0, 6.0),)))

            reply = await csms.ask(call.GetCompositeSchedule(1, 600, "A"))

            assert [float(period["limit"]) for period in reply.charging_schedule["charging_schedule_period"]] == [32.0]

    async def test_a_slow_answer_keeps_nothing_else_waiting(
        self, clock: SteppedClock, station: SimulatedStation
    ) -> None:
        async with SmallCsms.open(clock) as csms, connected(station, csms):
            station.faults.answer_delay_s = 0.2
            order: list[str] = []

            async def slowly() -> None:
                await csms.set_profile(wire_profile())
                order.append("profile")

            async def meanwhile() -> None:
                await station.send_on_request("Heartbeat", None)
                order.append("heartbeat")

            await asyncio.gather(slowly(), meanwhile())

            assert order == ["heartbeat", "profile"]


def _sampled(csms: SmallCsms, measurand: str, phase: str | None = None) -> float:
    values = csms.all("MeterValues")[-1]["meter_value"][0]["sampled_value"]
    return next(
        float(value["value"]) for value in values if value["measurand"] == measurand and value.get("phase") == phase
    )
