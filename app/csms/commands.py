"""What an operator may send a station of each version, as plain OCPP: which key it takes, what it puts in doubt.

Pure. Whatever a CSMS may send is here; the schemas are `ocpp_schemas`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from app.csms.connector import OcppVersion
from app.csms.frames import Json, call_frame
from app.csms.ocpp_schemas import V16_ACTIONS
from app.csms.v2_version import V21, V201
from app.csms.wire import WIRE_16
from app.errors import InvalidInputError

V16_ANSWERED = frozenset(
    {
        "Authorize",
        "BootNotification",
        "DataTransfer",
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "SecurityEventNotification",
        "SignCertificate",
        "SignedFirmwareStatusNotification",
        "StartTransaction",
        "StatusNotification",
        "StopTransaction",
    }
)
SENT: Mapping[OcppVersion, frozenset[str]] = {
    "1.6": V16_ACTIONS - V16_ANSWERED | {"DataTransfer"},
    "2.0.1": V201.sent,
    "2.1": V21.sent,
}
ANSWERED: Mapping[OcppVersion, frozenset[str]] = {"1.6": V16_ANSWERED, "2.0.1": V201.answered, "2.1": V21.answered}

# What a depot does every day. Whatever is not named here, and with it all that is new, takes an admin's key: profiles,
# configuration, firmware, certificates, networks, tariffs, uploads to an address of the caller's choice.
_EVERYDAY = frozenset(
    {
        "CancelReservation",
        "ChangeAvailability",
        "ClearCache",
        "ClearDisplayMessage",
        "CostUpdated",
        "GetBaseReport",
        "GetChargingProfiles",
        "GetCompositeSchedule",
        "GetConfiguration",
        "GetDERControl",
        "GetDisplayMessages",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetMonitoringReport",
        "GetPeriodicEventStream",
        "GetReport",
        "GetTariffs",
        "GetTransactionStatus",
        "GetVariables",
        "ExtendedTriggerMessage",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "RequestStartTransaction",
        "RequestStopTransaction",
        "ReserveNow",
        "Reset",
        "SetDisplayMessage",
        "TriggerMessage",
        "UnlockConnector",
    }
)
_MOVES_LIMITS = frozenset(
    {"ClearChargingProfile", "SetChargingProfile", "UpdateDynamicSchedule", "UsePriorityCharging"}
)
_STARTS = frozenset({"RemoteStartTransaction", "RequestStartTransaction"})
_SMART_CHARGING = "smartchargingctrlr"
_SMART_CHARGING_KEYS = ("charge", "charging", "smartcharging", "connectorswitch3to1", "maxchargingprofiles")

_SECRET_FIELDS = frozenset({"apnPassword", "basicAuthPassword", "password"})
_SECRET_NAMES = ("password", "authorizationkey", "secret", "privatekey")  # parts of the names of settings
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")  # in the address of an upload
REDACTED = "***"


def scope_of(action: str, payload: Json) -> Literal["write", "admin"]:
    """The scope that a key needs to send this."""
    return "admin" if action not in _EVERYDAY or moves_limits(action, payload) else "write"


def moves_limits(action: str, payload: Json) -> bool:
    """Whether the station may hold other limits afterwards than those that the dispatcher knows of.

    A message that no version knows may do anything.
    """
    if action in _MOVES_LIMITS or not any(action in sent for sent in SENT.values()):
        return True
    if action in _STARTS:
        return "chargingProfile" in payload
    if action == "ChangeConfiguration":
        return str(payload.get("key")).strip().lower().startswith(_SMART_CHARGING_KEYS)
    if action == "SetVariables":
        return any(_name(data.get("component")).lower() == _SMART_CHARGING for data in _objects(payload))
    return False


def check_sendable(action: str, payload: Json, version: OcppVersion) -> None:
    """Raise `InvalidInputError` for what cannot be put into a frame, or is larger than any message of `version`."""
    try:
        json.dumps(payload, allow_nan=False)  # ours writes NaN as null
        frame = call_frame("", action, payload)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidInputError("payload", f"cannot be written as JSON: {error}") from error
    if version == "1.6" and len(frame.encode()) > WIRE_16.max_frame_bytes:
        raise InvalidInputError("payload", f"has more than {WIRE_16.max_frame_bytes} bytes")


def redacted(payload: Json) -> Json:
    """`payload` for a record of who sent what: passwords and keys are `REDACTED`."""
    return {key: _redacted(key, value, payload) for key, value in payload.items()}


def _redacted(key: str, value: Any, around: Json) -> Any:
    if isinstance(value, dict):
        return redacted(value)
    if isinstance(value, list):
        return [_redacted(key, item, around) for item in value]
    if key in _SECRET_FIELDS or (key == "key" and "server" in around):  # the second is a VPN's
        return REDACTED
    if key in ("value", "attributeValue"):
        names = f"{around.get('key')} {_name(around.get('variable'))}".lower()
        return REDACTED if any(secret in names for secret in _SECRET_NAMES) else value
    return _LOGIN.sub(REDACTED, value) if isinstance(value, str) else value


def _objects(payload: Json) -> Iterator[Json]:
    listed = payload.get("setVariableData")
    return (item for item in (listed if isinstance(listed, list) else []) if isinstance(item, dict))


def _name(part: Any) -> str:
    return str(part.get("name")) if isinstance(part, dict) else ""
