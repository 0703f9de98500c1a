"""What is odd about a transaction's meter values, and what of it counts all the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.cdr import record
from app.db.records import MeterValue, Transaction
from app.plausibility import (
    ENERGY_ABOVE_LIMIT,
    METER_STUCK,
    NEGATIVE_POWER,
    PHASES_DISAGREE,
    POWER_ABOVE_LIMIT,
    POWER_FROM_CURRENT,
    POWER_IN_KW,
    REASONS,
    REGISTER_IN_KWH,
    REGISTER_RESET,
    REGISTERS_MIXED,
    Finding,
    metered,
    suspects_of,
)

START = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POWER, REGISTER, CURRENT, VOLTAGE = (
    "Power.Active.Import",
    "Energy.Active.Import.Register",
    "Current.Import",
    "Voltage",
)
UNITS = {POWER: "W", REGISTER: "Wh", CURRENT: "A", VOLTAGE: "V"}
TWO_HOURS = Transaction(
    7, "depot", "cs01", 1, "tag", START, 5_000, stopped_at=START + 120 * MINUTE, meter_stop_wh=16_000
)  # 11 kWh


def value(minute: float, measurand: str, number: float, phase: str = "") -> MeterValue:
    return MeterValue("cs01", 1, START + minute * MINUTE, measurand, number, UNITS[measurand], 7, phase)


def an_hour_at_11_kw() -> list[MeterValue]:
    """11 kWh by power and by register, then an hour of parking."""
    power = [value(minute, POWER, 11_000 if minute < 60 else 0) for minute in range(0, 120, 10)]
    register = [value(minute, REGISTER, 5_000 + min(minute, 60) / 60 * 11_000) for minute in range(0, 121, 10)]
    return power + register


def reasons(
    values: Sequence[MeterValue], transaction: Transaction = TWO_HOURS, max_power_kw: float | None = 22.0
) -> list[str]:
    _, findings = record(transaction, metered(values, max_power_kw=max_power_kw), max_power_kw=max_power_kw)
    return [finding.reason for finding in findings]


def replaced(values: Sequence[MeterValue], measurand: str, minute: float, number: float) -> list[MeterValue]:
    at = START + minute * MINUTE
    return [replace(row, value=number) if (row.measurand, row.at) == (measurand, at) else row for row in values]


def scaled(values: Sequence[MeterValue], measurand: str, factor: float) -> list[MeterValue]:
    return [replace(row, value=row.value * factor) if row.measurand == measurand else row for row in values]


def test_nothing_is_odd_about_an_ordinary_charge() -> None:
    assert reasons(an_hour_at_11_kw()) == []


CASES: dict[str, tuple[list[MeterValue], Transaction, str]] = {
    "a spike beyond the fuse": (replaced(an_hour_at_11_kw(), POWER, 30, 1e7), TWO_HOURS, POWER_ABOVE_LIMIT),
    "import below zero": (replaced(an_hour_at_11_kw(), POWER, 30, -11_000), TWO_HOURS, NEGATIVE_POWER),
    "a register that falls": (replaced(an_hour_at_11_kw(), REGISTER, 60, 300), TWO_HOURS, REGISTER_RESET),
    "a register that stands": (
        [replace(row, value=5_000.0) if row.measurand == REGISTER else row for row in an_hour_at_11_kw()],
        replace(TWO_HOURS, meter_stop_wh=5_000),
        METER_STUCK,
    ),
    "samples of the session, start and stop of the lifetime": (
        [replace(row, value=row.value - 5_000) if row.measurand == REGISTER else row for row in an_hour_at_11_kw()],
        replace(TWO_HOURS, meter_start_wh=1_234_000, meter_stop_wh=1_245_000),
        REGISTERS_MIXED,
    ),
    "a register in kWh": (
        scaled(an_hour_at_11_kw(), REGISTER, 1e-3),
        replace(TWO_HOURS, meter_start_wh=5, meter_stop_wh=16),
        REGISTER_IN_KWH,
    ),
    "power in kW": (scaled(an_hour_at_11_kw(), POWER, 1e-3), TWO_HOURS, POWER_IN_KW),
    "more energy than fits": (
        an_hour_at_11_kw(),
        replace(TWO_HOURS, meter_start_wh=0, meter_stop_wh=1_234_000),
        ENERGY_ABOVE_LIMIT,
    ),
    "a total that is three times its one phase": (
        [*an_hour_at_11_kw(), value(0, POWER, 3_667, "L1")],
        TWO_HOURS,
        PHASES_DISAGREE,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_that_there_is(name: str) -> None:
    values, transaction, reason = CASES[name]

    found = reasons(values, transaction)

    assert reason in found
    assert set(found) <= set(REASONS)


def test_a_spike_is_listed_and_neither_peak_nor_energy() -> None:
    meter = metered(replaced(an_hour_at_11_kw(), POWER, 30, 1e7), max_power_kw=22.0)

    cdr, [finding] = record(TWO_HOURS, meter, max_power_kw=22.0)

    assert cdr.peak_power_kw == 11.0
    assert cdr.integrated_energy_kwh == pytest.approx(11.0)
    assert (finding.at, finding.detail) == (START + 30 * MINUTE, "1e+07 W where 22 kW is the most")
    assert POWER_ABOVE_LIMIT in cdr.flags


def test_without_a_limit_nothing_is_above_it() -> None:
    assert reasons(replaced(an_hour_at_11_kw(), POWER, 30, 1e5), max_power_kw=None) == []


def test_power_is_made_of_current_and_voltage_where_none_was_sent() -> None:
    currents = [value(0, CURRENT, 16, phase) for phase in ("L1", "L2", "L3")]
    values = [*currents, value(0, VOLTAGE, 240, "L1"), value(60, CURRENT, 0, "L1")]

    meter = metered(values, voltage_v=230.0)

    assert meter.power_w == [(START, 16 * (240 + 230 + 230)), (START + 60 * MINUTE, 0.0)]
    assert [finding.reason for finding in meter.findings] == [POWER_FROM_CURRENT]


def test_a_register_that_stands_while_the_car_is_full_is_no_finding() -> None:
    values = [value(minute, REGISTER, 16_000) for minute in range(0, 120, 10)]

    assert METER_STUCK not in reasons([*values, value(0, POWER, 0)])


def test_a_finding_again_has_the_same_id() -> None:
    finding = Finding(METER_STUCK, "it stands", START)

    [one], [again] = suspects_of(TWO_HOURS, [finding]), suspects_of(TWO_HOURS, [finding])
    [other] = suspects_of(replace(TWO_HOURS, transaction_id=8), [finding])

    assert one == again
    assert one.suspect_id != other.suspect_id
