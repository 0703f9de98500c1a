"""What is said over HTTP and MQTT: the command that we send, and the state that a device tells. Pure.

command: {"command_id", "site_id", "device_id", "kind", "power_kw", "issued_at", "valid_until", "valid_s"}
state:   {"setpoint_kw", "power_kw", "soc", "at"}     only the first must be there; null: on its own
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.actuators.actuator import ActuatorError, Command, Kind, Shown
from app.csms.timestamps import iso_utc

MOST_BYTES = 65_536  # of a state
CLOCKS_DIFFER = timedelta(minutes=1)


def command_json(command: Command, site_id: str, device_id: str, kind: Kind) -> bytes:
    said = {
        "command_id": command.command_id,
        "site_id": site_id,
        "device_id": device_id,
        "kind": kind,
        "power_kw": command.power_kw,
        "issued_at": iso_utc(command.at),
        "valid_until": iso_utc(command.valid_until),
        "valid_s": round(command.valid_s, 3),
    }
    return json.dumps(said).encode()


def state_of(body: bytes, now: datetime) -> Shown:
    """Raises `ActuatorError` for anything that is no state. `at` (ISO 8601) is when its values were measured."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ActuatorError(f"its state is no JSON: {body[:40]!r}") from error
    if not isinstance(document, Mapping):
        raise ActuatorError("its state is no JSON object")
    if "setpoint_kw" not in document:
        raise ActuatorError("its state has no setpoint_kw")
    return Shown(
        _number(document, "setpoint_kw"), _number(document, "power_kw"), _number(document, "soc"), _at(document, now)
    )


def _number(document: Mapping[str, Any], name: str) -> float | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ActuatorError(f"its {name} is no number: {value!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise ActuatorError(f"its {name} is no number") from error


def _at(document: Mapping[str, Any], now: datetime) -> datetime | None:
    text = document.get("at")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ActuatorError(f"its at is no time: {text!r}") from error
    if moment.tzinfo is None:
        raise ActuatorError(f"its at has no time zone: {text!r}")
    if moment - now > CLOCKS_DIFFER:
        raise ActuatorError(f"its at is in the future: {text!r}")
    return min(moment.astimezone(UTC), now)
