"""What a vehicle asks for over ISO 15118, as its station passes it on; and whether the schedule that it then chose
keeps to what it was offered. Pure.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.csms.composite import composite, end_of
from app.csms.connector import ChargingProfile, RateUnit
from app.csms.frames import Json
from app.csms.lenient import quote, read_number
from app.csms.steps import Steps, evaluated
from app.csms.timestamps import read_timestamp
from app.csms.v2_profiles import read_periods, read_unit

TOLERATED_A = 0.1  # what rounding to a tenth may add
LONGEST_SCHEDULE = timedelta(days=7)

# Of EnergyTransferModeEnumType; 2.1's bidirectional and DER modes charge on as many phases as their wiring has.
_PHASES = {"AC_single_phase": 1, "AC_two_phase": 2, "AC_three_phase": 3}


@dataclass(frozen=True, slots=True)
class Needs:
    """`energy_kwh` from now on. None: the vehicle did not say."""

    energy_kwh: float | None
    departure: datetime | None
    max_power_kw: float | None
    phases: int | None


def read_needs(payload: Json, voltage_v: float) -> tuple[Needs, list[str]]:
    """The chargingNeeds of NotifyEVChargingNeeds, and what was wrong with them.

    A DC vehicle that names no energy but its battery's size and both states of charge has said it all the same;
    a state of charge that is missing is not 0 %.
    """
    needs, violations = _object(payload, "chargingNeeds"), []
    departure, wrong = read_timestamp(needs.get("departureTime"))
    if needs.get("departureTime") is not None and wrong:
        violations.append(f"departureTime: {wrong}")
    ac, dc, v2x = (
        _object(needs, name) for name in ("acChargingParameters", "dcChargingParameters", "v2xChargingParameters")
    )
    phases = _PHASES.get(str(needs.get("requestedEnergyTransfer")))
    energy_wh = _first_number(ac.get("energyAmount"), dc.get("energyAmount"), v2x.get("evTargetEnergyRequest"))
    if energy_wh is None:
        energy_wh = _missing_energy_wh(dc)
    if energy_wh is not None and energy_wh < 0:
        violations.append(f"an energy of {quote(energy_wh)} Wh; taken as none")
        energy_wh = 0.0
    power_w = _first_number(dc.get("evMaxPower"), v2x.get("maxChargePower"))
    current_a = read_number(ac.get("evMaxCurrent"))
    if power_w is None and current_a is not None and phases is not None:
        power_w = current_a * voltage_v * phases
    return (
        Needs(
            energy_kwh=None if energy_wh is None else energy_wh / 1000,
            departure=departure,
            max_power_kw=power_w / 1000 if power_w is not None and power_w > 0 else None,
            phases=phases,
        ),
        violations,
    )


def excess(payload: Json, offered: ChargingProfile, *, now: datetime, voltage_v: float, phases: int) -> str | None:
    """Where the schedule of a NotifyEVChargingSchedule is above `offered`, in words; None where it keeps to it.

    Compared is what both speak of, from `now` on. Raises `UnreadableScheduleError` for a schedule that is none.
    """
    schedule = _object(payload, "chargingSchedule")
    base = read_timestamp(schedule.get("startSchedule"))[0] or read_timestamp(payload.get("timeBase"))[0] or now
    chosen, end = _chosen(schedule, base, voltage_v, phases)
    start = max(base, offered.start, now)
    end = min(end, end_of(offered) or end)
    if end <= start:
        return None
    allowed = composite([offered], start, end, voltage_v=voltage_v, phases=phases)
    wanted = evaluated(chosen.at, chosen.moments, start, end)
    for moment in sorted({*allowed.moments, *wanted.moments}):
        if wanted.at(moment) > allowed.at(moment) + TOLERATED_A:
            return f"{wanted.at(moment):.1f} A at {moment:%H:%M:%S} UTC, where {allowed.at(moment):.1f} A are allowed"
    return None


def _chosen(schedule: Json, base: datetime, voltage_v: float, phases: int) -> tuple[Steps, datetime]:
    """In A per phase, and where it ends."""
    unit, periods = read_unit(schedule), read_periods(schedule)
    duration_s = read_number(schedule.get("duration"))
    longest_s = LONGEST_SCHEDULE.total_seconds()
    end = base + timedelta(seconds=longest_s if duration_s is None or duration_s <= 0 else min(duration_s, longest_s))
    values_a: dict[datetime, float] = {}
    for period in periods:
        per_ampere = 1.0 if unit is RateUnit.A else voltage_v * (period.number_phases or phases)
        moment = base + timedelta(seconds=min(period.start_s, longest_s))
        if moment < end:
            values_a[moment] = period.limit / per_ampere
    return Steps(tuple(values_a), tuple(values_a.values()), end), end


def _missing_energy_wh(dc: Json) -> float | None:
    capacity_wh, soc = read_number(dc.get("evEnergyCapacity")), read_number(dc.get("stateOfCharge"))
    full = _first_number(dc.get("fullSoC"), 100)
    if capacity_wh is None or soc is None or full is None:
        return None
    return max(0.0, full - soc) / 100 * capacity_wh


def _first_number(*values: Any) -> float | None:
    return next((number for value in values if (number := read_number(value)) is not None), None)


def _object(payload: Json, key: str) -> Json:
    value = payload.get(key)
    return value if isinstance(value, dict) else {}
