"""Meter values of OCPP 2.x: the same readings as 1.6's with a multiplier, and some that nobody here has a use for.

Pure. They are put into 1.6's form and read by its rules, so that every quirk is forgiven once.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.csms import meter_values
from app.csms.frames import Json
from app.csms.lenient import read_number, read_text
from app.csms.live_values import Live, LiveValues
from app.csms.meter_values import Parsed
from app.db.records import MeterValue
from app.events import MeterValuesReceived

MAX_EXPONENT = 12  # of a multiplier; beyond is no unit of anything

# 2.1's words for what has one already. What a vehicle shows on its display is its own state of charge.
_SAME_AS = {
    "Current.Import.Offered": "Current.Offered",
    "Display.PresentSOC": "SoC",
    "Power.Import.Offered": "Power.Offered",
}

# Known to 2.x and kept by nobody: bounds, sums and set-points that say nothing of what is drawn.
_NOT_KEPT = frozenset(
    {
        "Current.Export.Minimum",
        "Current.Export.Offered",
        "Current.Import.Minimum",
        "Display.BatteryEnergyCapacity",
        "Display.ChargingComplete",
        "Display.InletHot",
        "Display.MaximumSOC",
        "Display.MinimumSOC",
        "Display.RemainingTimeToMaximumSOC",
        "Display.RemainingTimeToMinimumSOC",
        "Display.RemainingTimeToTargetSOC",
        "Display.TargetSOC",
        "Energy.Active.Import.CableLoss",
        "Energy.Active.Import.LocalGeneration.Register",
        "Energy.Active.Net",
        "Energy.Active.Setpoint.Interval",
        "Energy.Apparent.Export",
        "Energy.Apparent.Import",
        "Energy.Apparent.Net",
        "Energy.Reactive.Net",
        "EnergyRequest.Bulk",
        "EnergyRequest.Maximum",
        "EnergyRequest.Maximum.V2X",
        "EnergyRequest.Minimum",
        "EnergyRequest.Minimum.V2X",
        "EnergyRequest.Target",
        "Power.Active.Residual",
        "Power.Active.Setpoint",
        "Power.Export.Minimum",
        "Power.Export.Offered",
        "Power.Import.Minimum",
        "Voltage.Maximum",
        "Voltage.Minimum",
    }
)


def parse(groups: Any, *, station_id: str, evse_id: int, received_at: datetime) -> Parsed:
    """The values of a `meterValue` list, in W, Wh, A, V or %; what cannot be read is a violation and is skipped."""
    plain = [_plain_group(group) for group in groups] if isinstance(groups, list) else groups
    return meter_values.parse({"meterValue": plain}, station_id=station_id, evse_id=evse_id, received_at=received_at)


def registers_wh(values: Sequence[MeterValue]) -> tuple[float | None, float | None]:
    """The first and the last total of the energy register among `values`; None where there is none."""
    totals = [
        total
        for at in sorted({value.at for value in values})
        if (total := meter_values.live_energy_wh([value for value in values if value.at == at])) is not None
    ]
    return (totals[0], totals[-1]) if totals else (None, None)


def live_event(
    live_values: LiveValues, values: Sequence[MeterValue], received_at: datetime
) -> MeterValuesReceived | None:
    """The notice of the newest of one EVSE's values; None when there is nothing new in them."""
    if not values:
        return None
    newest_at = max(value.at for value in values)
    newest = [value for value in values if value.at == newest_at]
    live = Live(
        newest_at,
        power_w=meter_values.live_power_w(newest),
        current_a=meter_values.live_current_a(newest),
        energy_wh=meter_values.live_energy_wh(newest),
    )
    return live_values.event(newest[0].evse_id, newest[0].transaction_id, live, received_at)


def belonging_to(values: Sequence[MeterValue], evse_id: int, transaction_id: int) -> list[MeterValue]:
    return [replace(value, evse_id=evse_id, transaction_id=transaction_id) for value in values]


def _plain_group(group: Any) -> Any:
    sampled = group.get("sampledValue") if isinstance(group, dict) else None
    if not isinstance(sampled, list):
        return group
    return group | {"sampledValue": [_plain_sample(one) for one in sampled if not _is_of_no_use(one)]}


def _is_of_no_use(sample: Any) -> bool:
    return isinstance(sample, dict) and read_text(sample.get("measurand")) in _NOT_KEPT


def _plain_sample(sample: Any) -> Any:
    if not isinstance(sample, dict):
        return sample
    unit_of_measure = sample.get("unitOfMeasure")
    unit = unit_of_measure if isinstance(unit_of_measure, dict) else {}
    plain: Json = {key: value for key, value in sample.items() if key != "unitOfMeasure"}
    if unit.get("unit") is not None:
        plain["unit"] = unit["unit"]
    measurand = sample.get("measurand")
    if isinstance(measurand, str) and measurand in _SAME_AS:
        plain["measurand"] = _SAME_AS[measurand]
    number, exponent = read_number(sample.get("value")), read_number(unit.get("multiplier", 0))
    if number is not None and exponent is not None and exponent.is_integer() and abs(exponent) <= MAX_EXPONENT:
        plain["value"] = number * 10.0 ** int(exponent)
    elif exponent != 0:
        plain["value"] = f"{str(sample.get('value'))[:20]}·10^{str(unit.get('multiplier'))[:20]}"  # is no number
    return plain
