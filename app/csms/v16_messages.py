"""OCPP 1.6-J: what a station tells us, and what it is answered.

Every message of the core profile is answered, however it is spelled: a station that gets an error repeats itself, or
stops charging. What it got wrong is counted and logged.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import structlog

from app.clock import Clock
from app.csms import meter_values
from app.csms.boot import accept_boot
from app.csms.frames import Call, Json
from app.csms.heartbeat import heartbeat_interval_s
from app.csms.hot_messages import HotMessages
from app.csms.lenient import quote, read_count, read_text
from app.csms.live_values import Live, LiveValues
from app.csms.notices import keep_notice
from app.csms.ocpp_schemas import V16_ACTIONS
from app.csms.session import Answer, CallRefusedError, Session
from app.csms.timestamps import MessageTime, iso_utc, message_time
from app.csms.v16_transactions import Transactions, id_tag_info
from app.db.records import EvseStatus, MeterValue
from app.db.store import Store
from app.errors import NotFoundError, StoreUnavailableError
from app.events import MeterValuesReceived, StatusChanged
from app.settings import Settings

_STATUSES = (
    "Available",
    "Preparing",
    "Charging",
    "SuspendedEVSE",
    "SuspendedEV",
    "Finishing",
    "Reserved",
    "Unavailable",
    "Faulted",
)
_STATUS_BY_LOWER = {status.lower(): status for status in _STATUSES}

# What is kept as a notice and acknowledged; what it means is an operator's business.
_NOTICED = frozenset(
    {
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "LogStatusNotification",
        "SecurityEventNotification",
        "SignedFirmwareStatusNotification",
    }
)

# There is no certificate authority behind this service, and no trade with vendors' data.
_FIXED_ANSWERS: dict[str, Json] = {
    "DataTransfer": {"status": "UnknownVendorId"},
    "SignCertificate": {"status": "Rejected"},
}

log = structlog.get_logger(__name__)


class StationMessages:
    """The handlers of one connection. `boots` counts its BootNotifications."""

    def __init__(self, session: Session, store: Store, clock: Clock, settings: Settings) -> None:
        self.boots = 0
        self._session = session
        self._station_id = session.station_id
        self._store = store
        self._clock = clock
        self._heartbeat_interval_s = heartbeat_interval_s(session.station_id, settings.heartbeat_interval_s)
        self._transactions = Transactions(session, store)
        self._last_status: dict[int, str] = {}
        self._live_values = LiveValues(session.station_id)
        self._hot = HotMessages(
            session.station_id, store, clock, self._transactions, self._live_values, session.note_time
        )
        self._handlers: dict[str, Callable[[Json, datetime], Awaitable[Answer]]] = {
            "Authorize": self._authorize,
            "BootNotification": self._boot,
            "Heartbeat": self._heartbeat,
            "MeterValues": self._meter_values,
            "StartTransaction": self._transactions.start,
            "StatusNotification": self._status,
            "StopTransaction": self._transactions.stop,
        }

    def answer_now(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        return self._hot.answer(raw, received_at)

    async def answer(self, call: Call, received_at: datetime) -> Answer:
        """Raises `CallRefusedError` for what is no message of a station; database errors mean: send it again."""
        if call.action in self._handlers:
            return await self._handlers[call.action](call.payload, received_at)
        if call.action in _NOTICED:
            noticed = await keep_notice(self._store, self._station_id, call.action, call.payload, received_at)
            return Answer({}, (noticed,))
        if call.action in _FIXED_ANSWERS:
            return Answer(_FIXED_ANSWERS[call.action])
        if call.action in V16_ACTIONS:
            raise CallRefusedError("NotSupported", "this is for a central system to ask")
        raise CallRefusedError("NotImplemented", "the action is unknown")

    async def _authorize(self, payload: Json, _received_at: datetime) -> Answer:
        return Answer({"idTagInfo": id_tag_info(self._transactions.id_tag(payload, "Authorize"))})

    async def _boot(self, payload: Json, received_at: datetime) -> Answer:
        self.boots += 1
        for key in ("chargePointVendor", "chargePointModel"):
            if not read_text(payload.get(key)):
                self._session.note_violations([f"{key} {quote(payload.get(key))} is no name"], "BootNotification")
        serials = (read_text(payload.get(key)) for key in ("chargePointSerialNumber", "chargeBoxSerialNumber"))
        return await accept_boot(
            self._store,
            self._clock,
            self._station_id,
            received_at,
            interval_s=self._heartbeat_interval_s,
            vendor=read_text(payload.get("chargePointVendor")),
            model=read_text(payload.get("chargePointModel")),
            serial=next((serial for serial in serials if serial), None),
            firmware=read_text(payload.get("firmwareVersion")),
        )

    async def _heartbeat(self, _payload: Json, _received_at: datetime) -> Answer:
        return Answer({"currentTime": iso_utc(self._clock.now())})

    async def _status(self, payload: Json, received_at: datetime) -> Answer:
        evse_id = read_count(payload.get("connectorId"))
        status = _STATUS_BY_LOWER.get((read_text(payload.get("status")) or "").lower())
        if evse_id is None or status is None:
            said = f"connectorId {quote(payload.get('connectorId'))} with status {quote(payload.get('status'))}"
            self._session.note_violations([said], "StatusNotification")
            return Answer({})
        time = MessageTime(None, received_at)
        if payload.get("timestamp"):  # optional here
            time, violations = message_time(payload["timestamp"], received_at)
            self._session.note_violations(violations, "StatusNotification")
        error_code = read_text(payload.get("errorCode")) or "NoError"
        try:
            await self._store.set_evse_status(
                EvseStatus(self._station_id, evse_id, status, error_code, at=time.live_at)
            )
        except (StoreUnavailableError, NotFoundError) as error:
            log.error("ocpp.status_not_stored", station=self._station_id, reason=str(error))
        if self._last_status.get(evse_id) == status:
            return Answer({})
        self._last_status[evse_id] = status
        return Answer({}, (StatusChanged(self._station_id, evse_id, status, time.live_at),))

    async def _meter_values(self, payload: Json, received_at: datetime) -> Answer:
        parsed = meter_values.parse(
            payload | {"transactionId": None}, station_id=self._station_id, received_at=received_at
        )
        self._session.note_violations(parsed.violations, "MeterValues")
        values = parsed.values
        try:
            values = await self._with_transaction(values, payload.get("transactionId"))
            await self._store.add_meter_values(values)
            await self._store.samples_written()
        except (StoreUnavailableError, NotFoundError) as error:
            # Samples may be lost, live values not: the guard goes on from memory.
            log.error("ocpp.meter_values_not_stored", station=self._station_id, count=len(values), reason=str(error))
        event = self._live_event(values, received_at)
        return Answer({}, (event,) if event else ())

    async def _with_transaction(self, values: list[MeterValue], said: object) -> list[MeterValue]:
        transaction_id, violations = await self._transactions.own(said)
        self._session.note_violations(violations, "MeterValues")
        if transaction_id is None:
            return await self._transactions.with_running(values)
        return [replace(value, transaction_id=transaction_id) for value in values]

    def _live_event(self, values: list[MeterValue], received_at: datetime) -> MeterValuesReceived | None:
        if not values:
            return None
        newest_at = max(value.at for value in values)
        newest = [value for value in values if value.at == newest_at]
        live = Live(
            newest_at,
            power_w=meter_values.live_power_w(newest),
            current_a=meter_values.live_current_a(newest),
            energy_wh=meter_values.live_energy_wh(newest),
        )
        return self._live_values.event(newest[0].evse_id, newest[0].transaction_id, live, received_at)
