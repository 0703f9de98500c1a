"""OCPP 2.x: transactions as a station tells of them, stored before they are answered.

Events come late, twice and in the wrong order; `Store.record_transaction_event` makes the same record of them
whatever their order. Here is what they mean to the service while they are news.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from app.csms import v2_meter_values
from app.csms.frames import Json
from app.csms.lenient import quote, read_count, read_text
from app.csms.live_values import LiveValues
from app.csms.session import Answer, CallRefusedError, Session
from app.csms.timestamps import MessageTime, message_time
from app.csms.v2_held import HeldProfiles
from app.csms.v2_statuses import CHARGING_STATES, EvseStatuses
from app.csms.wire import FORMAT, OCCURRENCE
from app.db.records import EvseStatus, MeterValue, Transaction, TransactionEvent
from app.db.store import Store
from app.db.transaction_event_rows import Recorded
from app.errors import NotFoundError, ProfileRejectedError, StoreUnavailableError
from app.events import Event, StatusChanged, TransactionStarted, TransactionStopped

MAX_TRANSACTION_ID = 36
MAX_KNOWN = 1_000  # running transactions of one station; more are recorded the long way
MAX_ID_TOKEN = 255  # 2.0.1 says 36
_TYPES = {"started": "Started", "updated": "Updated", "ended": "Ended"}

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Known:
    """A running transaction of which nothing is missing yet, and the last event that was told of it."""

    transaction: Transaction
    last_number: int
    has_register: bool

    def is_told_by(self, event: TransactionEvent) -> bool:
        """Whether an event is the next of many: an update in order that says nothing new of the transaction."""
        return (
            event.event_type == "Updated"
            and event.seq_no > self.last_number
            and event.id_tag is None
            and (event.first_register_wh is None or self.has_register)
        )


class RunningNow:
    """What a connection's transactions know from memory, as the hot messages want it."""

    def __init__(self, transactions: "Transactions") -> None:
        self._transactions = transactions

    @property
    def knows_running(self) -> bool:
        return self._transactions.running_in_memory() is not None

    def running_at(self, evse_id: int, at: datetime) -> int | None:
        running = (self._transactions.running_in_memory() or {}).get(evse_id)
        return None if running is None or at < running.started_at else running.transaction_id

    def is_known_as_own(self, _transaction_id: int) -> bool:
        """MeterValues of 2.x name no transaction."""
        return False


class Transactions:
    """The transactions of one connection's station."""

    def __init__(
        self, session: Session, store: Store, live: LiveValues, statuses: EvseStatuses, held: HeldProfiles
    ) -> None:
        self._session = session
        self._station_id = session.station_id
        self._store = store
        self._live = live
        self._statuses = statuses
        self._held = held
        self._running: dict[int, Transaction] | None = None  # by EVSE; None: not read from the store yet
        self._known: dict[str, Known] = {}  # by the station's name
        self._last_status: dict[int, str] = {}
        self.now = RunningNow(self)

    async def event(self, payload: Json, received_at: datetime) -> Answer:
        """TransactionEvent. Raises `CallRefusedError` for one that cannot be told from others, and
        `StoreUnavailableError`: unanswered, the station will send it again."""
        event, values, time, violations = self._read(payload, received_at)
        self._session.note_violations(violations, "TransactionEvent")
        recorded = await self._record(event, time)
        transaction = recorded.after
        values = v2_meter_values.belonging_to(values, transaction.evse_id, transaction.transaction_id)
        await self._store.add_meter_values(values)
        await self._store.samples_written()
        events = self._news(recorded, time)
        if recorded.is_new:
            events += await self._state(event, transaction, time)
            live = v2_meter_values.live_event(self._live, values, received_at)
            events += [live] if live else []
        token = payload.get("idToken")
        return Answer({} if token is None else {"idTokenInfo": id_token_info(token)}, tuple(events))

    async def _record(self, event: TransactionEvent, time: MessageTime) -> Recorded:
        """On disk, and in memory what the next event is compared with."""
        name = event.ocpp_transaction_id
        known = self._known.get(name)
        if known is not None and known.is_told_by(event):
            is_new = await self._store.add_transaction_update(event)
            known.last_number = event.seq_no
            return Recorded(known.transaction, known.transaction, is_new)
        recorded = await self._store.record_transaction_event(event)
        transaction = recorded.after
        await self._remember(recorded)
        self._known.pop(name, None)
        if transaction.is_running and transaction.evse_id > 0 and len(self._known) < MAX_KNOWN:
            self._known[name] = Known(
                transaction,
                last_number=event.seq_no if known is None else max(event.seq_no, known.last_number),
                has_register=event.first_register_wh is not None or (known is not None and known.has_register),
            )
        log.info(
            "ocpp.transaction_event",
            station=self._station_id,
            evse=transaction.evse_id,
            transaction=transaction.transaction_id,
            kind=event.event_type,
            number=event.seq_no,
            repeated=not recorded.is_new,
            offline=event.offline,
            reported_at=time.reported,
            received_at=event.received_at,
        )
        return recorded

    def running_by_name(self, event: TransactionEvent) -> Known | None:
        """The running transaction that `event` is the next of many of; None for one that says anything new of it, or
        of its EVSE."""
        known = self._known.get(event.ocpp_transaction_id)
        if known is None or not known.is_told_by(event):
            return None
        evse_id, state = known.transaction.evse_id, event.charging_state
        if state is not None and not (evse_id in self._last_status and self._statuses.is_in(evse_id, state)):
            return None
        return known

    def running_in_memory(self) -> Mapping[int, Transaction] | None:
        """By EVSE; None before the store was asked."""
        return self._running

    async def running_at(self, evse_id: int) -> Transaction | None:
        """The newest running transaction of an EVSE; a restart of service or station ends none."""
        return (await self._running_by_evse()).get(evse_id)

    async def with_running(self, values: list[MeterValue]) -> list[MeterValue]:
        """Values given the transaction that runs at their EVSE: MeterValues of 2.x name none."""
        running = await self._running_by_evse()
        return [
            v2_meter_values.belonging_to([value], value.evse_id, transaction.transaction_id)[0]
            if (transaction := running.get(value.evse_id)) and value.at >= transaction.started_at
            else value
            for value in values
        ]

    async def name_of(self, transaction_id: int) -> str:
        """The station's own name of a transaction. Raises `ProfileRejectedError` where it has none: a station
        refuses what is for a transaction that it does not know (K01.FR.33)."""
        try:
            transaction = await self._store.transaction(transaction_id)
        except NotFoundError:
            transaction = None
        if transaction is None or transaction.station_id != self._station_id or not transaction.ocpp_transaction_id:
            raise ProfileRejectedError(self._station_id, f"TxNotFound: it has no transaction {transaction_id}")
        return transaction.ocpp_transaction_id

    async def set_status(self, evse_id: int, status: str, error_code: str, at: datetime) -> list[Event]:
        """Store the EVSE's status; an event where it is another than before."""
        try:
            await self._store.set_evse_status(EvseStatus(self._station_id, evse_id, status, error_code, at=at))
        except (StoreUnavailableError, NotFoundError) as error:
            log.error("ocpp.status_not_stored", station=self._station_id, reason=str(error))
        if self._last_status.get(evse_id) == status:
            return []
        self._last_status[evse_id] = status
        return [StatusChanged(self._station_id, evse_id, status, at)]

    def _read(
        self, payload: Json, received_at: datetime
    ) -> tuple[TransactionEvent, list[MeterValue], MessageTime, list[str]]:
        info = _object(payload, "transactionInfo")
        name = read_text(info.get("transactionId"), MAX_TRANSACTION_ID + 1)
        event_type = _TYPES.get(str(payload.get("eventType")).lower())
        number = read_count(payload.get("seqNo"))
        if name is None or number is None or event_type is None:
            wanted = (("transactionInfo.transactionId", name), ("seqNo", number), ("eventType", event_type))
            field = next(field for field, value in wanted if value is None)
            said = info.get("transactionId") if field.startswith("transactionInfo") else payload.get(field)
            raise CallRefusedError(OCCURRENCE if said is None else FORMAT, f"{field} {quote(said)} cannot be read")
        if len(name) > MAX_TRANSACTION_ID:
            raise CallRefusedError(FORMAT, f"a transactionId of more than {MAX_TRANSACTION_ID} characters")
        time, violations = message_time(payload.get("timestamp"), received_at)
        evse_id = read_count(_object(payload, "evse").get("id"))
        parsed = v2_meter_values.parse(
            payload.get("meterValue"), station_id=self._station_id, evse_id=evse_id or 0, received_at=received_at
        )
        first_wh, last_wh = v2_meter_values.registers_wh(parsed.values)
        state = read_text(info.get("chargingState"))
        token = payload.get("idToken")
        event = TransactionEvent(
            station_id=self._station_id,
            ocpp_transaction_id=name,
            seq_no=number,
            event_type=event_type,  # type: ignore[arg-type]  # one of the values of _TYPES
            at=time.at,
            received_at=received_at,
            offline=payload.get("offline") is True,
            trigger_reason=read_text(payload.get("triggerReason"), 50),
            evse_id=evse_id or None,
            id_tag=None if token is None else id_token_text(token),
            charging_state=state if state in CHARGING_STATES else None,
            stop_reason=(read_text(info.get("stoppedReason"), 50) or "Local") if event_type == "Ended" else None,
            first_register_wh=first_wh,
            last_register_wh=last_wh,
        )
        return event, parsed.values, time, violations + parsed.violations

    def _news(self, recorded: Recorded, time: MessageTime) -> list[Event]:
        transaction = recorded.after
        place = (self._station_id, transaction.evse_id, transaction.transaction_id)
        if recorded.has_begun:
            return [TransactionStarted(*place, transaction.started_at, time.is_live)]
        if recorded.has_ended:
            return [TransactionStopped(*place, transaction.stopped_at or time.at, time.is_live)]
        return []

    async def _state(self, event: TransactionEvent, transaction: Transaction, time: MessageTime) -> list[Event]:
        """What a live event says of its EVSE; a backlog says nothing of now."""
        if not time.is_live or transaction.evse_id == 0:
            return []
        if not transaction.is_running:
            status = self._statuses.after_transaction(transaction.evse_id)
        elif event.charging_state is not None:
            status = self._statuses.in_transaction(transaction.evse_id, event.charging_state)
            if self._last_status.get(transaction.evse_id) == status:
                return []  # its time is since when it has been so
        else:
            status = None
        return [] if status is None else await self.set_status(transaction.evse_id, status, "NoError", time.live_at)

    async def _remember(self, recorded: Recorded) -> None:
        running, transaction = await self._running_by_evse(), recorded.after
        if not transaction.is_running:
            self._held.end_transaction(transaction.ocpp_transaction_id or "")
            for evse_id, known in list(running.items()):
                if known.transaction_id == transaction.transaction_id:
                    del running[evse_id]
            return
        if recorded.before is not None and recorded.before.evse_id != transaction.evse_id:
            running.pop(recorded.before.evse_id, None)  # it is known by now where it runs
        known_there = running.get(transaction.evse_id)
        if known_there is None or known_there.started_at <= transaction.started_at:
            running[transaction.evse_id] = transaction

    async def _running_by_evse(self) -> dict[int, Transaction]:
        if self._running is None:
            rows = await self._store.transactions(station_id=self._station_id, running=True)
            self._running = {row.evse_id: row for row in sorted(rows, key=lambda row: row.started_at)}
        return self._running


def id_token_text(token: Any) -> str:
    """The token's text, blank where it has none (type NoAuthorization) or cannot be read."""
    return read_text(token.get("idToken"), MAX_ID_TOKEN) or "" if isinstance(token, dict) else ""


def id_token_info(token: Any) -> Json:
    """Every token is accepted but a blank one that asks for authorisation; who may charge is not the gateway's."""
    needs_none = isinstance(token, dict) and token.get("type") == "NoAuthorization"
    return {"status": "Accepted" if needs_none or id_token_text(token) else "Invalid"}


def _object(payload: Json, key: str) -> Json:
    value = payload.get(key)
    return value if isinstance(value, dict) else {}
