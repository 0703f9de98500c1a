"""Commands over Modbus TCP to SunSpec devices on real sockets: what is written, and what is read back."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from app.actuators.actuator import ActuatorError, Command, RefusedError
from app.actuators.documents import ModbusTarget
from app.actuators.modbus import ModbusActuator
from app.actuators.sunspec import StorageModel
from tests.app.actuators.sunspec_device import SunSpecDevice, a_battery, an_inverter, chain, served

pytest.importorskip("pymodbus", reason="the extra modbus is not installed")

NOW = datetime(2026, 6, 2, 12, tzinfo=UTC)


def a_command(power_kw: float | None, *, valid_s: float = 300.0) -> Command:
    return Command("c1", power_kw, NOW, NOW + timedelta(seconds=valid_s))


def a_target(port: int) -> ModbusTarget:
    return ModbusTarget(kind="modbus", host="127.0.0.1", port=port, timeout_s=1.0)


@pytest.fixture
async def battery() -> AsyncIterator[tuple[SunSpecDevice, ModbusActuator]]:
    device = a_battery()
    async with served(device) as line:
        actuator = ModbusActuator(a_target(line.port), "battery")
        yield device, actuator
        await actuator.close()


@pytest.mark.parametrize("power_kw", [10.0, 4.2, 0.0, -3.3, -10.0])
async def test_a_power_is_set_and_read_back(battery: tuple[SunSpecDevice, ModbusActuator], power_kw: float) -> None:
    device, actuator = battery

    await actuator.command(a_command(power_kw))
    shown = await actuator.shown()

    assert device.power_kw == pytest.approx(power_kw, abs=0.001)
    assert shown.setpoint_kw == pytest.approx(power_kw, abs=0.001)
    assert shown.soc == pytest.approx(0.5)


async def test_the_timer_is_written_before_the_power_it_ends(battery: tuple[SunSpecDevice, ModbusActuator]) -> None:
    device, actuator = battery

    await actuator.command(a_command(5.0, valid_s=120))

    begin = 40_000 + device.at(124)
    assert [address - begin for address, _ in device.writes] == [13, 10, 3]
    assert device.writes[0][1] == [120]


async def test_a_device_that_nobody_tells_anything_is_on_its_own_when_the_timer_has_run_down(
    battery: tuple[SunSpecDevice, ModbusActuator],
) -> None:
    device, actuator = battery
    await actuator.command(a_command(5.0, valid_s=120))

    device.pass_time(119)
    before_kw = device.power_kw
    device.pass_time(2)

    assert before_kw == pytest.approx(5.0)
    assert device.power_kw is None
    assert (await actuator.shown()).setpoint_kw is None


async def test_a_battery_is_given_back_to_its_own_control(battery: tuple[SunSpecDevice, ModbusActuator]) -> None:
    device, actuator = battery
    await actuator.command(a_command(5.0))

    await actuator.command(a_command(None))

    assert device.power_kw is None


async def test_a_device_without_a_revert_timer_is_refused_and_given_back(
    battery: tuple[SunSpecDevice, ModbusActuator],
) -> None:
    device, actuator = battery
    device.forgets_timer = True

    with pytest.raises(RefusedError, match="would hold a command for ever"):
        await actuator.command(a_command(5.0))

    assert device.power_kw is None


async def test_what_a_device_declines_is_refused(battery: tuple[SunSpecDevice, ModbusActuator]) -> None:
    device, actuator = battery
    device.refuses = True

    with pytest.raises(RefusedError, match="it declines write_registers"):
        await actuator.command(a_command(5.0))


async def test_a_state_of_charge_that_is_not_implemented_is_none_and_not_0() -> None:
    async with served(a_battery(soc_percent=None)) as line:
        actuator = ModbusActuator(a_target(line.port), "battery")
        shown = await actuator.shown()
        await actuator.close()

    assert shown.soc is None


async def test_a_limit_of_an_inverter_is_percent_of_its_rating_rounded_down() -> None:
    device = an_inverter(power_w=6_500)
    async with served(device) as line:
        actuator = ModbusActuator(a_target(line.port), "pv")
        await actuator.command(a_command(6.67, valid_s=60))
        shown = await actuator.shown()
        limit_percent = device.limit_percent
        device.pass_time(60)
        await actuator.close()

    assert limit_percent == pytest.approx(33.3)  # of 20 kW; 33.35 % would be more
    assert shown.setpoint_kw == pytest.approx(6.66)
    assert shown.power_kw == pytest.approx(6.5)
    assert device.limit_percent is None


async def test_a_line_that_is_cut_is_an_unknown_outcome_and_is_opened_anew() -> None:
    device = a_battery()
    async with served(device) as line:
        actuator = ModbusActuator(a_target(line.port), "battery")
        await actuator.command(a_command(5.0))
        await line.cut()
        with pytest.raises(ActuatorError) as lost:
            await actuator.command(a_command(0.0))
        await line.mend()
        shown = await actuator.shown()
        await actuator.close()

    assert not isinstance(lost.value, RefusedError)
    assert shown.setpoint_kw == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("registers", "said"),
    [(chain((1, [0] * 66)), "no SunSpec model 124"), ([1, 2, 3, 4], "speaks no SunSpec")],
)
async def test_a_device_that_is_no_battery_says_so(registers: list[int], said: str) -> None:
    async with served(SunSpecDevice(registers)) as line:
        actuator = ModbusActuator(a_target(line.port), "battery")
        with pytest.raises(ActuatorError, match=said):
            await actuator.shown()
        await actuator.close()


def test_limits_that_leave_a_range_are_read_as_the_most_it_may_charge_with() -> None:
    device = a_battery()
    begin = device.at(124)
    registers = device.registers[begin : begin + 24]
    registers[10], registers[11] = 0, 4_000  # no discharging, charging up to 40 %

    both = StorageModel([*registers[:3], 0b11, *registers[4:]]).shown()
    discharge_only = StorageModel([*registers[:3], 0b10, *registers[4:]]).shown()

    assert both.setpoint_kw == pytest.approx(4.0)
    assert discharge_only.setpoint_kw == pytest.approx(10.0)


async def test_a_device_that_counts_in_whole_percents_holds_what_it_was_told_within_the_tolerance() -> None:
    device = a_battery(most_w=100_000)
    device.set_point(124, 23, 0)  # InOutWRte_SF
    async with served(device) as line:
        actuator = ModbusActuator(a_target(line.port), "battery")
        await actuator.command(a_command(37.9))
        coarse = await actuator.shown()
        await actuator.command(a_command(140.0))
        most = await actuator.shown()
        await actuator.close()

    assert coarse.setpoint_kw == pytest.approx(37.0)
    assert most.setpoint_kw == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("declined", "kind"), [("timer", RefusedError), ("rates", RefusedError), ("mode", ActuatorError)]
)
async def test_what_declines_after_it_took_the_rates_may_hold_them(
    battery: tuple[SunSpecDevice, ModbusActuator], declined: str, kind: type[Exception]
) -> None:
    device, actuator = battery
    await actuator.command(a_command(1.0))
    device.refuses_at = device.at(124) + {"timer": 13, "rates": 10, "mode": 3}[declined]

    with pytest.raises(ActuatorError) as said:
        await actuator.command(a_command(8.0))

    assert type(said.value) is kind
    assert device.power_kw == pytest.approx(8.0 if declined == "mode" else 1.0)


async def test_a_gateway_that_heard_nothing_in_time_is_no_refusal(
    battery: tuple[SunSpecDevice, ModbusActuator],
) -> None:
    device, actuator = battery
    device.refuses, device.refuses_with = True, 0x0B

    with pytest.raises(ActuatorError) as said:
        await actuator.command(a_command(5.0))

    assert not isinstance(said.value, RefusedError)


@pytest.mark.parametrize(("percent", "soc"), [(100.4, 1.0), (550.0, None)])
async def test_a_state_of_charge_that_cannot_be_is_none_and_not_full(percent: float, soc: float | None) -> None:
    async with served(a_battery(soc_percent=percent)) as line:
        actuator = ModbusActuator(a_target(line.port), "battery")
        shown = await actuator.shown()
        await actuator.close()

    assert shown.soc == soc
