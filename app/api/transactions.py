"""`/v1/transactions`: charging processes, running and completed, with the energy that is known of each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from app.api.auth import Reader
from app.api.services import StoreDep
from app.db.records import Transaction
from app.db.store import Store

router = APIRouter(prefix="/v1/transactions", tags=["transactions"])

Register = tuple[datetime, float]  # at, Wh


class TransactionOut(BaseModel):
    id: int
    site_id: str
    charging_station_id: str
    evse_id: int
    id_tag: str
    start: datetime
    stop: datetime | None = Field(description="null: it is running")
    stop_reason: str | None
    meter_start_wh: float
    meter_stop_wh: float | None
    energy_kwh: float | None = Field(description="dispensed; of a running one the last that is known, null if none is")
    energy_at: datetime | None = Field(description="when that energy was read")
    ocpp_transaction_id: str | None = Field(description="the station's or the imported log's own name for it")

    @classmethod
    def of(cls, row: Transaction, register: Register | None) -> Self:
        """`register` is the newest energy value that the station sent for it."""
        at, register_wh = row.stopped_at, row.meter_stop_wh
        if register_wh is None and register is not None:
            at, register_wh = register
        return cls(
            id=row.transaction_id,
            site_id=row.site_id,
            charging_station_id=row.station_id,
            evse_id=row.evse_id,
            id_tag=row.id_tag,
            start=row.started_at,
            stop=row.stopped_at,
            stop_reason=row.stop_reason,
            meter_start_wh=row.meter_start_wh,
            meter_stop_wh=row.meter_stop_wh,
            energy_kwh=None if register_wh is None else (register_wh - row.meter_start_wh) / 1000,
            energy_at=None if register_wh is None else at,
            ocpp_transaction_id=row.ocpp_transaction_id,
        )


@router.get("")
async def list_transactions(
    store: StoreDep,
    _: Reader,
    site_id: str | None = None,
    charging_station_id: str | None = None,
    running: Annotated[bool | None, Query(description="true: only running ones; false: only completed ones")] = None,
    start: AwareDatetime | None = None,
    end: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> list[TransactionOut]:
    """Transactions that started in ``[start, end)``, newest first."""
    rows = await store.transactions(
        site_id=site_id, station_id=charging_station_id, running=running, start=start, end=end, limit=limit
    )
    registers = await registers_of(store, rows)
    return [TransactionOut.of(row, registers.get(row.transaction_id)) for row in rows]


@router.get("/{transaction_id}")
async def get_transaction(transaction_id: int, store: StoreDep, _: Reader) -> TransactionOut:
    """One transaction; while it runs, with the last known dispensed energy."""
    row = await store.transaction(transaction_id)
    return TransactionOut.of(row, (await registers_of(store, [row])).get(transaction_id))


async def registers_of(store: Store, rows: Sequence[Transaction]) -> Mapping[int, Register]:
    """Of every row whose stop did not say it: the newest energy register."""
    wanted = [row.transaction_id for row in rows if row.meter_stop_wh is None]
    return await store.latest_energy_wh(wanted) if wanted else {}
