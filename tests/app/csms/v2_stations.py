"""Stations that speak OCPP 2.0.1 and 2.1, and what they say."""

from datetime import datetime, timedelta
from typing import Any

from app.clock import SystemClock
from app.csms.ocpp_schemas import check_call, check_result
from app.csms.timestamps import iso_utc
from app.csms.v2_version import V21, V201, Version
from tests.app.csms.stations import Station

Json = dict[str, Any]

VERSIONS = {"ocpp2.0.1": V201, "ocpp2.1": V21}
TRANSACTION = "tx-6f1c"
TOKEN = {"idToken": "TAG", "type": "ISO14443"}


def ago(**time: float) -> datetime:
    return (SystemClock().now() - timedelta(**time)).replace(microsecond=0)


def a_boot(**changes: Any) -> Json:
    station = {"vendorName": "Vendor", "model": "Model", "firmwareVersion": "2.0", "serialNumber": "42"}
    return {"chargingStation": station, "reason": "PowerUp"} | changes


def sampled(value: float, measurand: str = "Energy.Active.Import.Register", **fields: Any) -> Json:
    return {"value": value, "measurand": measurand} | fields


def power(value_w: float) -> Json:
    return sampled(value_w, "Power.Active.Import", unitOfMeasure={"unit": "W", "multiplier": 0})


def metered(*samples: Json, at: datetime | None = None) -> list[Json]:
    return [{"timestamp": iso_utc(at or ago()), "sampledValue": list(samples)}]


def an_event(
    kind: str,
    number: int,
    *,
    at: datetime | None = None,
    register_wh: float | None = None,
    transaction: str = TRANSACTION,
    info: Json | None = None,
    **fields: Any,
) -> Json:
    """A TransactionEvent; fields that are None are left out."""
    at = at or ago()
    reasons = {"Started": "CablePluggedIn", "Updated": "MeterValuePeriodic", "Ended": "EVDeparted"}
    event = {
        "eventType": kind,
        "timestamp": iso_utc(at),
        "triggerReason": reasons[kind],
        "seqNo": number,
        "transactionInfo": {"transactionId": transaction} | (info or {}),
        "meterValue": None if register_wh is None else metered(sampled(register_wh), at=at),
    }
    return {key: value for key, value in (event | fields).items() if value is not None}


def a_start(number: int = 0, **changes: Any) -> Json:
    fields: Json = {"register_wh": 1000, "evse": {"id": 1, "connectorId": 1}, "idToken": TOKEN}
    return an_event("Started", number, **(fields | {"info": {"chargingState": "Charging"}} | changes))


async def tell(station: Station, version: Version, action: str, payload: Json) -> Json:
    """Say what the version allows, and hear an answer that it allows."""
    await check_call(action, payload, version.number)
    answer = await station.call(action, payload)
    await check_result(action, answer, version.number)
    return answer
