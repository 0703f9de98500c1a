"""OCPP 1.6-J: starts and stops of transactions, on disk before they are answered.

A station repeats what was not answered, queues what it could not send, and may have been wrong about the time; the
same start gives the same transaction, the first stop wins, and everything is acknowledged.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from app.csms import meter_values
from app.csms.frames import Json
from app.csms.lenient import quote, read_count, read_number, read_text
from app.csms.session import Answer, Session
from app.csms.timestamps import MAX_SKEW, MessageTime, message_time
from app.db.records import MeterValue, Transaction
from app.db.store import Store
from app.errors import NotFoundError
from app.events import TransactionStarted, TransactionStopped

MAX_ID_TAG = 255  # 1.6 says 20; 36 are seen in the field
MAX_REMEMBERED = 10_000  # transaction ids a connection, ours or not: a station may name any number

log = structlog.get_logger(__name__)


class Transactions:
    """The transactions of one connection's station."""

    def __init__(self, session: Session, store: Store) -> None:
        self._session = session
        self._station_id = session.station_id
        self._store = store
        self._running: dict[int, Transaction] | None = None  # by EVSE; None: not read from the store yet
        self._is_own: dict[int, bool] = {}  # by transaction id

    async def start(self, payload: Json, received_at: datetime) -> Answer:
        """StartTransaction. Raises `StoreUnavailableError`: unanswered, the station will send it again."""
        time, violations = message_time(payload.get("timestamp"), received_at)
        evse_id = read_count(payload.get("connectorId"))
        if not evse_id:
            violations.append(f"connectorId {quote(payload.get('connectorId'))} is no connector; taken as 1")
            evse_id = 1
        meter_start_wh = read_number(payload.get("meterStart"))
        if meter_start_wh is None:
            violations.append(f"meterStart {quote(payload.get('meterStart'))} is no number; taken as 0")
            meter_start_wh = 0.0
        self._session.note_violations(violations, "StartTransaction")
        id_tag = self.id_tag(payload, "StartTransaction")

        known = None if time.is_plausible else await self._running_like(evse_id, id_tag, meter_start_wh)
        transaction, is_new = (
            (known, False)
            if known
            else await self._store.start_transaction(
                station_id=self._station_id,
                evse_id=evse_id,
                id_tag=id_tag,
                started_at=time.at,
                meter_start_wh=meter_start_wh,
            )
        )
        if transaction.is_running:
            (await self._running_by_evse())[evse_id] = transaction
        self._is_own[transaction.transaction_id] = True
        log.info(
            "ocpp.transaction_started",
            station=self._station_id,
            evse=evse_id,
            transaction=transaction.transaction_id,
            repeated=not is_new,
            reported_at=time.reported,
            received_at=received_at,
        )
        answer = {"transactionId": transaction.transaction_id, "idTagInfo": id_tag_info(id_tag)}
        started = TransactionStarted(self._station_id, evse_id, transaction.transaction_id, time.at, time.is_live)
        return Answer(answer, (started,) if is_new else ())

    async def stop(self, payload: Json, received_at: datetime) -> Answer:
        """StopTransaction, with its transactionData. Raises `StoreUnavailableError`."""
        time, violations = message_time(payload.get("timestamp"), received_at)
        answer = {} if payload.get("idTag") is None else {"idTagInfo": id_tag_info(read_text(payload["idTag"]) or "")}
        transaction = await self._stopped_by(payload.get("transactionId"), time)
        if transaction is None:
            violations.append(f"transactionId {quote(payload.get('transactionId'))} is no transaction of this station")
            self._session.note_violations(violations, "StopTransaction")
            return Answer(answer)

        parsed = meter_values.parse(
            {"transactionData": payload.get("transactionData")},
            station_id=self._station_id,
            received_at=received_at,
            evse_id=transaction.evse_id,
            transaction_id=transaction.transaction_id,
        )
        meter_stop_wh = read_number(payload.get("meterStop"))
        if meter_stop_wh is None:
            violations.append(f"meterStop {quote(payload.get('meterStop'))} is no number; the last register is taken")
            meter_stop_wh = await self._last_register_wh(transaction, parsed.values)
        self._session.note_violations([*violations, *parsed.violations], "StopTransaction")
        if parsed.values:
            await self._store.add_meter_values(parsed.values)
            await self._store.samples_written()
        stopped, is_new = await self._store.stop_transaction(
            transaction.transaction_id,
            stopped_at=max(time.at, transaction.started_at),
            meter_stop_wh=meter_stop_wh,
            reason=read_text(payload.get("reason")) or "Local",  # 1.6: absent means Local
        )
        running = await self._running_by_evse()
        if stopped.evse_id in running and running[stopped.evse_id].transaction_id == stopped.transaction_id:
            del running[stopped.evse_id]
        log.info(
            "ocpp.transaction_stopped",
            station=self._station_id,
            transaction=stopped.transaction_id,
            repeated=not is_new,
            reported_at=time.reported,
            received_at=received_at,
        )
        event = TransactionStopped(
            self._station_id, stopped.evse_id, stopped.transaction_id, stopped.stopped_at or time.at, time.is_live
        )
        return Answer(answer, (event,) if is_new else ())

    def id_tag(self, payload: Json, action: str) -> str:
        """The id tag, blank when there is none; one longer than 1.6 allows is only noted."""
        id_tag = read_text(payload.get("idTag"), MAX_ID_TAG) or ""
        if not 1 <= len(id_tag) <= 20:
            self._session.note_violations([f"an id tag of {len(id_tag)} characters"], action)
        return id_tag

    def is_known_as_own(self, transaction_id: int) -> bool:
        """Whether it is this station's, as far as memory goes: False may mean that the store was not asked yet."""
        return self._is_own.get(transaction_id, False)

    @property
    def knows_running(self) -> bool:
        """Whether the store was asked for the running transactions yet: only then `running_at` is the truth."""
        return self._running is not None

    def running_at(self, evse_id: int, at: datetime) -> int | None:
        """The transaction that values of `at` belong to when they name none: clock-aligned ones often do not."""
        transaction = (self._running or {}).get(evse_id)
        return transaction.transaction_id if transaction and at >= transaction.started_at else None

    async def own(self, said: Any) -> tuple[int | None, list[str]]:
        """The transaction that a message names, if it is this station's; and what was wrong with the name.

        None without a complaint when it names none: absent, or 0 and -1 of stations that started one offline.
        """
        transaction_id = read_count(said)
        if not transaction_id:
            return None, []
        is_own = self._is_own.get(transaction_id)
        if is_own is None:
            try:
                is_own = (await self._store.transaction(transaction_id)).station_id == self._station_id
            except NotFoundError:
                is_own = False
            if len(self._is_own) < MAX_REMEMBERED:
                self._is_own[transaction_id] = is_own
        return (transaction_id, []) if is_own else (None, [f"transaction {transaction_id} is not this station's"])

    async def with_running(self, values: list[MeterValue]) -> list[MeterValue]:
        """Values that name no transaction, given the one that runs at their EVSE."""
        await self._running_by_evse()
        return [replace(value, transaction_id=self.running_at(value.evse_id, value.at)) for value in values]

    async def _running_by_evse(self) -> dict[int, Transaction]:
        """The newest running transaction of each EVSE; a restart of service or station ends none."""
        if self._running is None:
            running = await self._store.transactions(station_id=self._station_id, running=True)
            by_start = sorted(running, key=lambda transaction: transaction.started_at)
            self._running = {transaction.evse_id: transaction for transaction in by_start}
        return self._running

    async def _running_like(self, evse_id: int, id_tag: str, meter_start_wh: float) -> Transaction | None:
        """The running transaction that a repeated start without a usable time is about."""
        same = (evse_id, id_tag, meter_start_wh)
        for transaction in await self._store.transactions(station_id=self._station_id, running=True):
            if (transaction.evse_id, transaction.id_tag, transaction.meter_start_wh) == same:
                return transaction
        return None

    async def _stopped_by(self, said: Any, time: MessageTime) -> Transaction | None:
        """The transaction that a stop is about; one of -1 or 0 is about the only one that ran then, if there is one."""
        transaction_id, _ = await self.own(said)
        if transaction_id is not None:
            return await self._store.transaction(transaction_id)
        number = read_number(said)
        if number is None or number > 0:
            return None
        running = await self._store.transactions(station_id=self._station_id, running=True)
        candidates = [transaction for transaction in running if transaction.started_at <= time.at + MAX_SKEW]
        return candidates[0] if len(candidates) == 1 else None

    async def _last_register_wh(self, transaction: Transaction, values: list[MeterValue]) -> float:
        sent = meter_values.live_energy_wh(values)
        if sent is not None:
            return sent
        await self._store.flush()
        stored = await self._store.latest_energy_wh([transaction.transaction_id])
        _, register_wh = stored.get(transaction.transaction_id, (None, transaction.meter_start_wh))
        return register_wh


def id_tag_info(id_tag: str) -> Json:
    """Every tag is accepted but a blank one; local rules of who may charge are not the gateway's."""
    return {"status": "Accepted" if id_tag else "Invalid"}
