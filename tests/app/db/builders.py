"""Rows for the store's tests, valid unless told otherwise."""

from datetime import UTC, datetime, timedelta
from typing import Any

from app.db.records import Cdr, Delivery, DeliveryState, MeterValue, Plan, StoredSeries, Wish
from app.site import Site

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POWER = "Power.Active.Import"
ENERGY = "Energy.Active.Import.Register"


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def a_site(site_id: str = "depot", *, stations: tuple[str, ...] = ("cs01", "cs02"), **changes: Any) -> Site:
    """Two charging stations of two EVSEs each."""
    return Site.model_validate(
        {
            "id": site_id,
            "name": "Depot",
            "time_zone": "Europe/Berlin",
            "connection": {"max_import_kw": 60},
            "charging_stations": [{"id": station, "evses": [{"id": 1}, {"id": 2}]} for station in stations],
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
            **changes,
        }
    )


def a_start(**changes: Any) -> dict[str, Any]:
    """Arguments of `start_transaction`."""
    return {
        "station_id": "cs01",
        "evse_id": 1,
        "id_tag": "van-7",
        "started_at": NOON,
        "meter_start_wh": 1000.0,
        **changes,
    }


def a_meter_value(minutes: float = 0, value: float = 7400.0, **changes: Any) -> MeterValue:
    fields = {"station_id": "cs01", "evse_id": 1, "measurand": POWER, "unit": "W", "transaction_id": 1, **changes}
    return MeterValue(at=at(minutes), value=value, **fields)


def a_series(issued_minutes: float = 0, *, start_minutes: float = 0, **changes: Any) -> StoredSeries:
    """An hour of import prices."""
    return StoredSeries(
        **{
            "site_id": "depot",
            "kind": "import_price",
            "source": "upload",
            "issued_at": at(issued_minutes),
            "start": at(start_minutes),
            "resolution_minutes": 15,
            "unit": "EUR/kWh",
            "values": (0.1, 0.2, 0.3, 0.4),
            **changes,
        }
    )


def a_wish(wish_id: str = "w1", **changes: Any) -> Wish:
    fields = {"departure": at(360), "required_energy_kwh": 22.5, "created_at": NOON, **changes}
    return Wish(wish_id=wish_id, site_id="depot", **fields)


def a_plan(plan_id: str = "p1", created_minutes: float = 0, **changes: Any) -> Plan:
    return Plan(
        **{
            "plan_id": plan_id,
            "site_id": "depot",
            "kind": "replan",
            "created_at": at(created_minutes),
            "start": NOON,
            "end": at(36 * 60),
            "status": "optimal",
            "reason": None,
            "problem": {"version": 1, "sessions": [{"id": "cs01/1"}]},
            "schedule": {"version": 1, "power_kw": {"cs01/1": [11.0, 0.0]}},
            "provenance": {"import_price": {"source": "upload"}},
            **changes,
        }
    )


def a_delivery(plan_id: str = "p1", minutes: float = 0, state: DeliveryState = "accepted", **changes: Any) -> Delivery:
    fields = {"station_id": "cs01", "evse_id": 1, **changes}
    return Delivery(plan_id=plan_id, site_id="depot", state=state, at=at(minutes), **fields)


def a_cdr(transaction_id: int, **changes: Any) -> Cdr:
    return Cdr(
        **{
            "transaction_id": transaction_id,
            "site_id": "depot",
            "station_id": "cs01",
            "evse_id": 1,
            "id_tag": "van-7",
            "start": NOON,
            "stop": at(90),
            "energy_kwh": 12.5,
            "total_time_h": 1.5,
            "parking_time_h": 0.25,
            **changes,
        }
    )
