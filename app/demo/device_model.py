"""The device model of a simulated station: the variables of OCPP 2.x, read, written and reported."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.demo.link import Json

if TYPE_CHECKING:
    from app.demo.station import SimulatedStation

PER_REPORT = 8  # variables in one NotifyReport

Key = tuple[str, int | None, str, str | None]  # component, EVSE, variable, variable's instance


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable with its attribute Actual. `write` None: read only; it returns whether the value is taken."""

    component: str
    name: str
    value: str
    data_type: str
    evse_id: int | None = None
    instance: str | None = None
    unit: str | None = None
    max_limit: float | None = None
    write: Callable[[str], bool] | None = None

    @property
    def key(self) -> Key:
        return (
            self.component.lower(),
            self.evse_id,
            self.name.lower(),
            None if self.instance is None else self.instance.lower(),
        )

    def named(self) -> Json:
        component: Json = {"name": self.component}
        if self.evse_id is not None:
            component["evse"] = {"id": self.evse_id}
        variable: Json = {"name": self.name}
        if self.instance is not None:
            variable["instance"] = self.instance
        return {"component": component, "variable": variable}

    def reported(self) -> Json:
        """As NotifyReport tells it."""
        traits: Json = {"dataType": self.data_type, "supportsMonitoring": False}
        if self.unit is not None:
            traits["unit"] = self.unit
        if self.max_limit is not None:
            traits["maxLimit"] = self.max_limit
        attribute: Json = {"type": "Actual", "value": self.value}
        attribute["mutability"] = "ReadOnly" if self.write is None else "ReadWrite"
        return self.named() | {"variableAttribute": [attribute], "variableCharacteristics": traits}


class DeviceModel:
    """Of one station; values are those of the moment."""

    def __init__(self, station: "SimulatedStation") -> None:
        self._station = station

    def variables(self) -> Iterator[Variable]:
        station, capability = self._station, self._station.spec.capability
        yield Variable("ChargingStation", "Model", station.spec.model, "string")
        yield Variable("ChargingStation", "VendorName", station.spec.vendor, "string")
        yield Variable("ChargingStation", "SupplyPhases", "3", "integer")
        for number, outlet in station.outlets.items():
            phases = len(outlet.evse.phases)
            power_w = outlet.max_current_a * outlet.voltage_v * phases
            yield Variable("EVSE", "Power", f"{outlet.power_kw * 1000:.0f}", "decimal", number, None, "W", power_w)
            yield Variable("EVSE", "SupplyPhases", str(phases), "integer", number)
            yield Variable("EVSE", "AvailabilityState", station.connector_status(number), "OptionList", number)
        yield Variable("SmartChargingCtrlr", "Enabled", "true", "boolean")
        yield Variable("SmartChargingCtrlr", "Available", "true", "boolean")
        yield Variable("SmartChargingCtrlr", "ProfileStackLevel", str(capability.max_stack_level), "integer")
        yield Variable("SmartChargingCtrlr", "RateUnit", ",".join(capability.units), "MemberList")
        yield Variable("SmartChargingCtrlr", "PeriodsPerSchedule", str(capability.max_periods), "integer")
        yield Variable(
            "SmartChargingCtrlr",
            "Entries",
            str(len(list(station.profiles))),
            "integer",
            instance="ChargingProfiles",
            max_limit=capability.max_profiles,
        )
        yield Variable("SmartChargingCtrlr", "LimitChangeSignificance", "1.0", "decimal")
        yield Variable("SmartChargingCtrlr", "ACPhaseSwitchingSupported", "false", "boolean")
        if station.spec.version == "2.1":
            more = "PriorityCharging,LocalGeneration"
            yield Variable("SmartChargingCtrlr", "SupportedAdditionalPurposes", more, "MemberList")
            yield Variable("SmartChargingCtrlr", "SupportsDynamicProfiles", "true", "boolean")
            yield Variable("SmartChargingCtrlr", "SupportsMaxOfflineDuration", "true", "boolean")
        heartbeat_s, sample_s = str(station.heartbeat_interval_s), str(station.sample_interval_s)
        yield Variable("OCPPCommCtrlr", "HeartbeatInterval", heartbeat_s, "integer", unit="s", write=self._beat)
        yield Variable("SampledDataCtrlr", "TxUpdatedInterval", sample_s, "integer", unit="s", write=self._sample)

    def report_parts(self, *, only_writable: bool) -> list[list[Json]]:
        rows = [row.reported() for row in self.variables() if row.write is not None or not only_writable]
        return [rows[first : first + PER_REPORT] for first in range(0, len(rows), PER_REPORT)]

    def get(self, asked: Json) -> Json:
        """One result of GetVariables."""
        found = self._find(asked)
        if isinstance(found, str):
            return _echo(asked) | {"attributeStatus": found}
        if asked.get("attributeType", "Actual") != "Actual":
            return _echo(asked) | {"attributeStatus": "NotSupportedAttributeType"}
        return _echo(asked) | {"attributeStatus": "Accepted", "attributeValue": found.value}

    def set(self, asked: Json) -> Json:
        """One result of SetVariables."""
        found = self._find(asked)
        if isinstance(found, str):
            return _echo(asked) | {"attributeStatus": found}
        taken = found.write is not None and found.write(str(asked["attributeValue"]))
        return _echo(asked) | {"attributeStatus": "Accepted" if taken else "Rejected"}

    def _find(self, asked: Json) -> Variable | str:
        component, variable = asked["component"], asked["variable"]
        instance = variable.get("instance")
        key: Key = (
            component["name"].lower(),
            component.get("evse", {}).get("id"),
            variable["name"].lower(),
            None if instance is None else instance.lower(),
        )
        rows = list(self.variables())
        if key[0] not in {row.key[0] for row in rows}:
            return "UnknownComponent"
        return next((row for row in rows if row.key == key), "UnknownVariable")

    def _beat(self, value: str) -> bool:
        return self._set_seconds("heartbeat_interval_s", value)

    def _sample(self, value: str) -> bool:
        return self._set_seconds("sample_interval_s", value)

    def _set_seconds(self, name: str, value: str) -> bool:
        if not value.isdecimal() or int(value) == 0:
            return False
        setattr(self._station, name, int(value))
        return True


def _echo(asked: Json) -> Json:
    echoed: dict[str, Any] = {"component": asked["component"], "variable": asked["variable"]}
    return echoed | ({"attributeType": asked["attributeType"]} if "attributeType" in asked else {})
