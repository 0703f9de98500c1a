"""Stays that go on although their transaction was stopped for a pause, and the wishes that stand for them.

A wish is what the gatherer already plans for a vehicle without a transaction; it survives a restart of the service,
and it meets the transaction that follows the pause.
"""

from datetime import datetime

from app.db.records import Transaction, Wish

_PREFIX = "pause-"


def is_paused_stay(wish_id: str) -> bool:
    return wish_id.startswith(_PREFIX)


def wish_id_of(transaction: Transaction) -> str:
    return f"{_PREFIX}{transaction.station_id}-{transaction.evse_id}-{transaction.transaction_id}"


def paused_stay(transaction: Transaction, now: datetime, departure: datetime, required_energy_kwh: float) -> Wish:
    """What is still to be delivered from `now` on to the vehicle of a transaction that is about to be stopped."""
    return Wish(
        wish_id=wish_id_of(transaction),
        site_id=transaction.site_id,
        departure=departure,
        required_energy_kwh=required_energy_kwh,
        created_at=now,
        station_id=transaction.station_id,
        evse_id=transaction.evse_id,
        id_tag=transaction.id_tag,
        arrival=now,
    )
