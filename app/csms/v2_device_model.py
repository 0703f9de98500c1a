"""The device model of OCPP 2.x: components and their variables, and the passport that they amount to. Pure.

A variable has a name for people and for `get_configuration`: ``Component.Variable``, with an instance in brackets and
an EVSE behind an @: ``SmartChargingCtrlr.Entries[ChargingProfiles]``, ``EVSE@1.Power``, ``Connector@1.2.Available``.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from app.csms.connector import Passport, Purpose, RateUnit
from app.csms.frames import Json
from app.csms.lenient import quote, read_count, read_number, read_text
from app.csms.v2_statuses import CONNECTOR_STATUS_BY_LOWER
from app.csms.v2_version import Version
from app.db.records import StationVariable
from app.errors import InvalidInputError

SMART_CHARGING = "SmartChargingCtrlr"
PASSPORT_VARIABLES = (
    "Enabled",
    "Available",
    "RateUnit",
    "ProfileStackLevel",
    "PeriodsPerSchedule",
    "Entries[ChargingProfiles]",
    "ACPhaseSwitchingSupported",
    "Phases3to1",
)
PASSPORT_VARIABLES_21 = (
    "SupportedAdditionalPurposes",
    "SupportsDynamicProfiles",
    "SupportsMaxOfflineDuration",
    "ChargingProfileUpdateRateLimit",
)
MAX_VALUE = 2_500

_ATTRIBUTES = {"actual": "Actual", "target": "Target", "minset": "MinSet", "maxset": "MaxSet"}
_KEY = re.compile(
    r"(?P<component>[^.\[\]@]+)(?:\[(?P<component_instance>[^\[\]]+)\])?"
    r"(?:@(?P<evse_id>\d{1,9})(?:\.(?P<connector_id>\d{1,9}))?)?"
    r"\.(?P<variable>[^\[\]@]+?)(?:\[(?P<variable_instance>[^\[\]]+)\])?"
)


def variables_of(part: Json, station_id: str, at: datetime) -> tuple[list[StationVariable], list[str]]:
    """The variables of one NotifyReport, and what was wrong with it."""
    found: list[StationVariable] = []
    violations: list[str] = []
    listed = part.get("reportData")
    for entry in listed if isinstance(listed, list) else []:
        place = _place(entry) if isinstance(entry, dict) else None
        if place is None:
            violations.append(f"reportData {quote(entry)} names no variable")
            continue
        traits = _object(entry, "variableCharacteristics")
        attributes = entry.get("variableAttribute")
        found += [
            StationVariable(
                station_id=station_id,
                at=at,
                attribute=attribute_of(attribute.get("type")),
                value=read_text(attribute.get("value"), MAX_VALUE),
                mutability=read_text(attribute.get("mutability"), 20),
                data_type=read_text(traits.get("dataType"), 20),
                unit=read_text(traits.get("unit"), 20),
                min_limit=read_number(traits.get("minLimit")),
                max_limit=read_number(traits.get("maxLimit")),
                values_list=read_text(traits.get("valuesList"), 1_000),
                **place,
            )
            for attribute in (attributes if isinstance(attributes, list) else [])
            if isinstance(attribute, dict)
        ]
    return found, violations


def answered_variable(result: Json, station_id: str, at: datetime) -> StationVariable | None:
    """One accepted result of GetVariables."""
    place = _place(result)
    if place is None or str(result.get("attributeStatus")).lower() != "accepted":
        return None
    value = read_text(result.get("attributeValue"), MAX_VALUE)
    return StationVariable(
        station_id=station_id, at=at, attribute=attribute_of(result.get("attributeType")), value=value, **place
    )


def availability_of(entry: Json) -> tuple[int, int, str] | None:
    """EVSE, connector and status, where one eventData of NotifyEvent is about a connector's availability."""
    place = _place(entry)
    if place is None or place["component"].lower() != "connector" or place["variable"].lower() != "availabilitystate":
        return None
    status = CONNECTOR_STATUS_BY_LOWER.get((read_text(entry.get("actualValue")) or "").lower())
    return None if status is None or not place["evse_id"] else (place["evse_id"], place["connector_id"] or 1, status)


def key_of(variable: StationVariable) -> str:
    """The variable's name; attributes other than Actual are not part of it."""
    place = f"@{variable.evse_id}" if variable.evse_id else ""
    place += f".{variable.connector_id}" if variable.evse_id and variable.connector_id else ""
    return (
        f"{variable.component}{_bracketed(variable.component_instance)}{place}"
        f".{variable.variable}{_bracketed(variable.variable_instance)}"
    )


def named(key: str) -> Json:
    """`component` and `variable` as GetVariables and SetVariables take them. Raises `InvalidInputError`."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise InvalidInputError("key", f"{key!r} is no Component.Variable, e.g. SmartChargingCtrlr.RateUnit")
    component: Json = {"name": match["component"]}
    if match["component_instance"]:
        component["instance"] = match["component_instance"]
    if match["evse_id"]:
        component["evse"] = {"id": int(match["evse_id"])}
        if match["connector_id"]:
            component["evse"]["connectorId"] = int(match["connector_id"])
    variable: Json = {"name": match["variable"]}
    if match["variable_instance"]:
        variable["instance"] = match["variable_instance"]
    return {"component": component, "variable": variable}


def passport_keys(version: Version) -> tuple[str, ...]:
    names = PASSPORT_VARIABLES + (PASSPORT_VARIABLES_21 if version.has_discharge else ())
    return tuple(f"{SMART_CHARGING}.{name}" for name in names)


def passport_of(variables: Iterable[StationVariable], version: Version) -> Passport:
    """The passport that a device model amounts to; what the station left out or garbled keeps the safe default.

    Kinds stay what everybody has been seen to execute: 2.x obliges a station to all three, and few were tried.
    """
    own = [row for row in variables if row.component.lower() == SMART_CHARGING.lower() and row.attribute == "Actual"]
    by_name: dict[str, StationVariable] = {}
    for row in sorted(own, key=lambda row: (row.evse_id, row.component_instance)):
        by_name.setdefault(_name(row), row)
    safe = Passport()
    entries = by_name.get("entries[chargingprofiles]")
    max_profiles = None if entries is None or entries.max_limit is None else int(entries.max_limit)
    words = {_word(word) for word in _words(by_name, "supportedadditionalpurposes")}
    extra = {purpose for purpose in (Purpose.PRIORITY, Purpose.LOCAL_GENERATION) if _word(purpose.value) in words}
    return Passport(
        units=_units(by_name) or safe.units,
        max_periods=max(1, _count(by_name, "periodsperschedule", safe.max_periods)),
        max_stack_level=_count(by_name, "profilestacklevel", safe.max_stack_level),
        max_profiles=max(1, safe.max_profiles if max_profiles is None else max_profiles),
        smart_charging=_is_not_false(by_name, "enabled") and _is_not_false(by_name, "available"),
        known=bool(own),  # one that said nothing of itself is asked, not presumed upon
        raw={key_of(row): row.value for row in by_name.values() if row.value is not None},
        version=version.number,
        purposes=safe.purposes | extra,
        phases_switchable=_is_true(by_name, "acphaseswitchingsupported") or _is_true(by_name, "phases3to1"),
    )


def attribute_of(value: Any) -> str:
    return _ATTRIBUTES.get(str(value).lower(), "Actual")


def _place(entry: Json) -> dict[str, Any] | None:
    component, variable = _object(entry, "component"), _object(entry, "variable")
    evse = _object(component, "evse")
    component_name, variable_name = read_text(component.get("name"), 50), read_text(variable.get("name"), 50)
    if component_name is None or variable_name is None:
        return None
    return {
        "component": component_name,
        "component_instance": read_text(component.get("instance"), 50) or "",
        "evse_id": read_count(evse.get("id")) or 0,
        "connector_id": read_count(evse.get("connectorId")) or 0,
        "variable": variable_name,
        "variable_instance": read_text(variable.get("instance"), 50) or "",
    }


def _name(row: StationVariable) -> str:
    return f"{row.variable}{_bracketed(row.variable_instance)}".lower()


def _units(by_name: Mapping[str, StationVariable]) -> frozenset[RateUnit]:
    """A list such as ``A,W``; the field also quotes it, and writes 1.6's words."""
    spelled = {"a": RateUnit.A, "current": RateUnit.A, "w": RateUnit.W, "power": RateUnit.W}
    return frozenset(spelled[word.lower()] for word in _words(by_name, "rateunit") if word.lower() in spelled)


def _words(by_name: Mapping[str, StationVariable], name: str) -> list[str]:
    row = by_name.get(name)
    return [] if row is None or row.value is None else re.findall(r"[A-Za-z0-9]+", row.value)


def _word(text: str) -> str:
    return text.lower()


def _count(by_name: Mapping[str, StationVariable], name: str, default: int) -> int:
    row = by_name.get(name)
    count = None if row is None or row.value is None else read_count(row.value.strip("\"' "))
    return default if count is None else count


def _is_true(by_name: Mapping[str, StationVariable], name: str) -> bool:
    return [word.lower() for word in _words(by_name, name)] == ["true"]


def _is_not_false(by_name: Mapping[str, StationVariable], name: str) -> bool:
    return [word.lower() for word in _words(by_name, name)] != ["false"]


def _object(payload: Json, key: str) -> Json:
    value = payload.get(key)
    return value if isinstance(value, dict) else {}


def _bracketed(instance: str) -> str:
    return f"[{instance}]" if instance else ""
