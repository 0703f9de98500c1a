"""Each switch makes a simulated station do what it says, and nothing else."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from ocpp.v16 import call

from app.clock import SteppedClock
from app.demo.faults import Fault
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


def a_tx_profile(*limits: tuple[int, float], **fields: Any) -> dict[str, Any]:
    return wire_profile(purpose="TxProfile", transaction_id=1, start=NINE, limits=limits, profile_id=2, **fields)


async def until_offline(station: SimulatedStation) -> None:
    async with asyncio.timeout(5):
        while station.is_online:  # noqa: ASYNC110 -- the socket's own time
            await asyncio.sleep(0.01)


def drawn_a(station: SimulatedStation) -> float:
    station.advance()
    return station.outlets[1].current_a


@pytest.mark.parametrize(
    ("fault", "liked", "disliked"),
    [
        (Fault.REJECTS_AMPERES, {"unit": "W", "limits": ((0, 5000.0),)}, {"unit": "A"}),
        (Fault.REJECTS_WATTS, {"unit": "A"}, {"unit": "W", "limits": ((0, 5000.0),)}),
        (Fault.REJECTS_ZERO, {"limits": ((0, 6.0),)}, {"limits": ((0, 6.0), (60, 0.0))}),
        (
            Fault.REJECTS_SIX_PERIODS,
            {"limits": tuple((60 * n, 16.0) for n in range(5))},
            {"limits": tuple((60 * n, 16.0) for n in range(6))},
        ),
        (Fault.REJECTS_STACK_LEVELS, {"stack_level": 0}, {"stack_level": 1}),
        (Fault.REJECTS_TX_PROFILES, {}, {"purpose": "TxProfile", "transaction_id": 1}),
    ],
)
async def test_declines_what_it_does_not_like(
    clock: SteppedClock, station: SimulatedStation, fault: Fault, liked: dict[str, Any], disliked: dict[str, Any]
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        assert await csms.set_profile(wire_profile(**disliked)) == "Accepted"
        station.faults.switch_on(fault)

        assert await csms.set_profile(wire_profile(**liked)) == "Accepted"
        assert await csms.set_profile(wire_profile(**disliked)) == "Rejected"


async def test_accepts_and_ignores_watts_alone(clock: SteppedClock, station: SimulatedStation) -> None:
    station.faults.switch_on(Fault.IGNORES_WATTS)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        assert await csms.set_profile(wire_profile(unit="W", limits=((0, 5000.0),))) == "Accepted"
        assert list(station.profiles) == []
        await csms.set_profile(wire_profile(unit="A"))
        assert len(list(station.profiles)) == 1


async def test_reports_what_it_was_sent_and_lets_everything_through(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    station.faults.switch_on(Fault.REPORTS_AND_IGNORES)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        await csms.set_profile(wire_profile(limits=((0, 6.0),)))
        reply = await csms.ask(call.GetCompositeSchedule(1, 600, "A"))
        await clock.run_until(NINE + minutes(1))

        assert float(reply.charging_schedule["charging_schedule_period"][0]["limit"]) == 6.0
        assert drawn_a(station) == 16.0


async def test_forgets_every_profile_when_its_connection_comes_back(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    station.faults.switch_on(Fault.FORGETS_PROFILES)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await csms.set_profile(wire_profile())
        await station.drop_connection()
        held_offline = len(list(station.profiles))
        await clock.run_until(NINE + minutes(2))

        assert (held_offline, len(list(station.profiles))) == (1, 0)


async def test_keeps_a_profile_beyond_its_transaction_and_cannot_be_cleared(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    station.faults.switch_on(Fault.KEEPS_PROFILES)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        await csms.set_profile(a_tx_profile((0, 0.0)))
        await station.unplug(1)
        reply = await csms.ask(call.ClearChargingProfile())
        await station.plug_in(1, a_car(), "tag-2")
        await clock.run_until(NINE + minutes(5))

        assert reply.status == "Unknown"
        assert station.outlets[1].energy_kwh == 0


async def test_resumes_without_a_limit_until_it_is_told_once_more(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    station.faults.switch_on(Fault.RESUMES_UNLIMITED)
    currents_a = []
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        for minute, limit_a in enumerate((10.0, 0.0, 8.0, 8.0), start=1):
            await csms.set_profile(a_tx_profile((0, limit_a)))
            await clock.run_until(NINE + minutes(minute))
            currents_a.append(drawn_a(station))

    assert currents_a == [10.0, 0.0, 16.0, 8.0]


async def test_a_new_default_counts_from_the_next_transaction_on(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    station.faults.switch_on(Fault.IGNORES_NEW_DEFAULTS)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        assert await csms.set_profile(wire_profile(limits=((0, 7.0),))) == "Accepted"
        running_a = station.offered_a(1)
        await station.unplug(1)
        await station.plug_in(1, a_car(), "tag-2")

        assert (running_a, station.offered_a(1)) == (32.0, 7.0)


async def test_says_nothing_of_use_about_its_schedule(clock: SteppedClock, station: SimulatedStation) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await csms.set_profile(wire_profile(limits=((0, 10.0),)))
        replies = []
        for fault in (Fault.NO_COMPOSITE, Fault.EMPTY_COMPOSITE, Fault.OTHER_UNIT):
            station.faults.switch_on(fault)
            composite = station.composite(1, NINE, NINE + minutes(10), "A")
            replies.append(composite and (composite.unit, [limit for _, limit in composite.steps]))
            station.faults.switch_off(fault)

        assert replies == [None, ("A", []), ("W", [6900.0])]


async def test_hangs_up_when_it_is_sent_a_profile(clock: SteppedClock, station: SimulatedStation) -> None:
    station.faults.switch_on(Fault.DROPS_IN_PROFILE)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        asking = asyncio.create_task(csms.peers["cs01"].call(call.SetChargingProfile(1, wire_profile())))
        await until_offline(station)
        asking.cancel()
        station.faults.switch_off(Fault.DROPS_IN_PROFILE)
        await clock.run_until(NINE + minutes(1))

        assert station.is_online
        assert list(station.profiles) == []


@pytest.mark.parametrize(("fault", "holds"), [(Fault.ANSWERS_LATE, 1), (Fault.NEVER_ANSWERS, 0)])
async def test_leaves_a_profile_unanswered(
    clock: SteppedClock, station: SimulatedStation, fault: Fault, holds: int
) -> None:
    station.faults.switch_on(fault)
    station.faults.late_s = 0.3
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        asking = asyncio.create_task(csms.peers["cs01"].call(call.SetChargingProfile(1, wire_profile())))
        await asyncio.sleep(0.1)

        assert not asking.done()
        assert len(list(station.profiles)) == holds
        asking.cancel()


async def test_clocks_go_wrong(clock: SteppedClock, station: SimulatedStation) -> None:
    await clock.run_until(NINE + minutes(5))
    station.faults.switch_on(Fault.CLOCK_SKEW)
    skewed = station.now()
    station.faults.switch_on(Fault.CLOCK_1970)

    assert skewed == NINE + minutes(7)
    assert station.now().isoformat() == "1970-01-01T00:05:00+00:00"


async def test_sends_transaction_messages_twice(clock: SteppedClock, station: SimulatedStation) -> None:
    station.faults.switch_on(Fault.DUPLICATES)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")

        first, second = csms.all("StartTransaction")
    assert first == second


async def test_sends_what_it_kept_in_another_order_but_starts_before_it_stops(
    clock: SteppedClock, station: SimulatedStation
) -> None:
    station.faults.switch_on(Fault.SHUFFLES)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        station.booted.clear()
        await station.drop_connection()
        await station.plug_in(1, a_car(), "tag-1")
        for _ in range(8):
            await station.send_on_request("MeterValues", 1)
            await clock.run_until(clock.now() + timedelta(seconds=0.4))  # it is back after four seconds at least
        await station.unplug(1)
        await clock.run_until(clock.now() + minutes(3))

        stamps = [values["meter_value"][0]["timestamp"] for values in csms.all("MeterValues")]
        actions = [action for action in csms.actions() if "Status" not in action and action != "BootNotification"]
    assert len(stamps) == 8
    assert stamps != sorted(stamps)
    assert (actions[0], actions[-1]) == ("StartTransaction", "StopTransaction")


@pytest.mark.parametrize(
    ("fault", "register_wh", "power_w"),
    [(Fault.METER_ZERO, 1840, 0), (Fault.METER_KWH, 1.84, 11040), (Fault.METER_STUCK, 920, 11040)],
)
async def test_meters_go_wrong(
    clock: SteppedClock, station: SimulatedStation, fault: Fault, register_wh: float, power_w: float
) -> None:
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        await clock.run_until(NINE + minutes(5))
        station.faults.switch_on(fault)
        await station.send_on_request("MeterValues", 1)
        await clock.run_until(NINE + minutes(10))

        values = csms.all("MeterValues")[-1]["meter_value"][0]["sampled_value"]
    shown = {value["measurand"]: float(value["value"]) for value in values if "phase" not in value}
    assert shown["Energy.Active.Import.Register"] == pytest.approx(register_wh, rel=0.01)
    assert shown["Power.Active.Import"] == pytest.approx(power_w, rel=0.02)


async def test_a_silent_meter_says_nothing(clock: SteppedClock, station: SimulatedStation) -> None:
    station.faults.switch_on(Fault.METER_SILENT)
    async with SmallCsms.open(clock) as csms, connected(station, csms):
        await station.plug_in(1, a_car(), "tag-1")
        await clock.run_until(NINE + minutes(5))

        assert csms.all("MeterValues") == []
        assert station.outlets[1].energy_kwh > 0
