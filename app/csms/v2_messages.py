"""OCPP 2.0.1 and 2.1: what a station tells us, and what it is answered.

Every message that a station may send is answered, however it is spelled, unless nothing can be made of it at all.
What it got wrong is counted and logged; what changes nothing else is kept as a notice.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from app.clock import Clock
from app.csms import v2_device_model, v2_meter_values
from app.csms.boot import accept_boot
from app.csms.frames import Call, Json
from app.csms.heartbeat import heartbeat_interval_s
from app.csms.lenient import quote, read_count, read_text
from app.csms.live_values import LiveValues
from app.csms.notices import keep_notice
from app.csms.ocpp_schemas import V21_ACTIONS, V201_ACTIONS, SchemaError, check_call
from app.csms.reservations import end_reservation, reservation_id_of
from app.csms.session import Answer, CallRefusedError, Session
from app.csms.timestamps import MessageTime, iso_utc, message_time
from app.csms.v2_held import HeldProfiles
from app.csms.v2_hot import HotMessages2x
from app.csms.v2_limit_messages import LimitMessages, Resend
from app.csms.v2_reports import Reports
from app.csms.v2_statuses import CONNECTOR_STATUS_BY_LOWER, EvseStatuses
from app.csms.v2_transactions import Transactions, id_token_info
from app.csms.v2_version import Version
from app.csms.wire import FORMAT, OCCURRENCE
from app.db.store import Store
from app.errors import NotFoundError, StoreUnavailableError
from app.events import Event, PriorityChargingChanged
from app.settings import Settings

# What is kept as a notice and acknowledged; what it means is an operator's business.
_NOTICED = frozenset(
    {
        "BatterySwap",
        "FirmwareStatusNotification",
        "LogStatusNotification",
        "NotifyDERAlarm",
        "NotifyDERStartStop",
        "NotifySettlement",
        "PublishFirmwareStatusNotification",
        "SecurityEventNotification",
    }
)

# Parts of reports that somebody has asked for; nothing of them is kept. Customer data least of all.
_REPORTS = frozenset(
    {"NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyMonitoringReport", "ReportDERControl"}
)

# There is no certificate authority behind this service, no trade with vendors' data, and no tax office.
_NO_AUTHORITY: Json = {"reasonCode": "UnsupportedRequest", "additionalInfo": "this service issues no certificates"}
_FIXED_ANSWERS: dict[str, Json] = {
    "ClosePeriodicEventStream": {},
    "DataTransfer": {"status": "UnknownVendorId"},
    "Get15118EVCertificate": {"status": "Failed", "statusInfo": _NO_AUTHORITY, "exiResponse": ""},
    "GetCertificateStatus": {"status": "Failed", "statusInfo": _NO_AUTHORITY},
    "NotifyPeriodicEventStream": {},  # a SEND: this goes nowhere
    "OpenPeriodicEventStream": {
        "status": "Rejected",
        "statusInfo": {"reasonCode": "UnsupportedRequest", "additionalInfo": "events are taken by NotifyEvent"},
    },
    "SignCertificate": {"status": "Rejected", "statusInfo": _NO_AUTHORITY},
}

log = structlog.get_logger(__name__)


class StationMessages:
    """The handlers of one connection. `boots` counts its BootNotifications."""

    def __init__(
        self,
        session: Session,
        store: Store,
        clock: Clock,
        settings: Settings,
        version: Version,
        *,
        held: HeldProfiles,
        reports: Reports,
        resend: Resend,
    ) -> None:
        self.boots = 0
        self._session = session
        self._station_id = session.station_id
        self._store = store
        self._clock = clock
        self._version = version
        self._heartbeat_interval_s = heartbeat_interval_s(session.station_id, settings.heartbeat_interval_s)
        self._held = held
        self._reports = reports
        self._live = LiveValues(session.station_id)
        self._statuses = EvseStatuses()
        self.transactions = Transactions(session, store, self._live, self._statuses, held)
        self._hot = HotMessages2x(session.station_id, store, clock, self.transactions, self._live, session.note_time)
        limits = LimitMessages(session, store, version, self.transactions, held, resend)
        self._handlers: dict[str, Callable[[Json, datetime], Awaitable[Answer]]] = {
            "Authorize": self._authorize,
            "BootNotification": self._boot,
            "ClearedChargingLimit": limits.cleared_limit,
            "GetCertificateChainStatus": self._certificate_chain,
            "Heartbeat": self._heartbeat,
            "MeterValues": self._meter_values,
            "NotifyChargingLimit": limits.limit,
            "NotifyEVChargingNeeds": limits.charging_needs,
            "NotifyEVChargingSchedule": limits.charging_schedule,
            "NotifyEvent": self._event,
            "NotifyPriorityCharging": self._priority_charging,
            "NotifyReport": self._device_model,
            "PullDynamicScheduleUpdate": self._dynamic_schedule,
            "ReservationStatusUpdate": self._reservation,
            "ReportChargingProfiles": limits.reported_profiles,
            "StatusNotification": self._status,
            "TransactionEvent": self.transactions.event,
            "VatNumberValidation": self._vat_number,
        }

    def answer_now(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        return self._hot.answer(raw, received_at)

    async def answer(self, call: Call, received_at: datetime) -> Answer:
        """Raises `CallRefusedError` for what is no message of a station; database errors mean: send it again."""
        action = call.action
        if action not in self._version.answered:
            known = V201_ACTIONS if self._version.number == "2.0.1" else V21_ACTIONS
            if action in known:
                raise CallRefusedError("NotSupported", "this is for a CSMS to ask")
            raise CallRefusedError("NotImplemented", f"no action of OCPP {self._version.number}")
        is_awaited = self._reports.take(action, call.payload)
        if action in self._handlers:
            return await self._handlers[action](call.payload, received_at)
        if action in _REPORTS:
            if not is_awaited:
                self._session.note_violations([f"a part of no report that was asked for: {action}"], action)
            return Answer({})
        if action in _NOTICED:
            return Answer({}, (await self._noticed(action, call.payload, received_at),))
        return Answer(_FIXED_ANSWERS[action])

    async def _authorize(self, payload: Json, _received_at: datetime) -> Answer:
        token = payload.get("idToken")
        answer: Json = {"idTokenInfo": id_token_info(token)}
        if payload.get("certificate") is not None or payload.get("iso15118CertificateHashData") is not None:
            # Contract certificates cannot be checked here, and unchecked ones are not vouched for.
            answer["certificateStatus"] = "NoCertificateAvailable"
        return Answer(answer)

    async def _boot(self, payload: Json, received_at: datetime) -> Answer:
        self.boots += 1
        listed = payload.get("chargingStation")
        said = listed if isinstance(listed, dict) else {}
        for key in ("vendorName", "model"):
            if not read_text(said.get(key)):
                self._session.note_violations([f"{key} {quote(said.get(key))} is no name"], "BootNotification")
        return await accept_boot(
            self._store,
            self._clock,
            self._station_id,
            received_at,
            interval_s=self._heartbeat_interval_s,
            vendor=read_text(said.get("vendorName")),
            model=read_text(said.get("model")),
            serial=read_text(said.get("serialNumber")),
            firmware=read_text(said.get("firmwareVersion")),
        )

    async def _heartbeat(self, _payload: Json, _received_at: datetime) -> Answer:
        return Answer({"currentTime": iso_utc(self._clock.now())})

    async def _status(self, payload: Json, received_at: datetime) -> Answer:
        evse_id, connector_id = read_count(payload.get("evseId")), read_count(payload.get("connectorId"))
        status = CONNECTOR_STATUS_BY_LOWER.get((read_text(payload.get("connectorStatus")) or "").lower())
        if evse_id is None or status is None:
            said = f"evseId {quote(payload.get('evseId'))} with status {quote(payload.get('connectorStatus'))}"
            self._session.note_violations([said], "StatusNotification")
            return Answer({})
        time, violations = message_time(payload.get("timestamp"), received_at)
        self._session.note_violations(violations, "StatusNotification")
        return Answer({}, tuple(await self._connector(evse_id, connector_id or 1, status, time)))

    async def _event(self, payload: Json, received_at: datetime) -> Answer:
        """NotifyEvent: kept as a notice. The availability of a connector may be told in this way alone."""
        events = [await self._noticed("NotifyEvent", payload, received_at)]
        listed = payload.get("eventData")
        for entry in listed if isinstance(listed, list) else []:
            place = v2_device_model.availability_of(entry) if isinstance(entry, dict) else None
            if place is not None:
                time, _ = message_time(entry.get("timestamp"), received_at)
                events += await self._connector(*place, time)
        return Answer({}, tuple(events))

    async def _connector(self, evse_id: int, connector_id: int, status: str, time: MessageTime) -> list[Event]:
        of_evse = self._statuses.of_connector(evse_id, connector_id, status)
        error_code = "OtherError" if of_evse == "Faulted" else "NoError"  # which one, NotifyEvent tells
        return await self.transactions.set_status(evse_id, of_evse, error_code, time.live_at)

    async def _meter_values(self, payload: Json, received_at: datetime) -> Answer:
        evse_id = read_count(payload.get("evseId"))
        if evse_id is None:
            said = f"evseId {quote(payload.get('evseId'))} is no EVSE"
            self._session.note_violations([said], "MeterValues")
            return Answer({})
        parsed = v2_meter_values.parse(
            payload.get("meterValue"), station_id=self._station_id, evse_id=evse_id, received_at=received_at
        )
        self._session.note_violations(parsed.violations, "MeterValues")
        values = parsed.values
        try:
            values = await self.transactions.with_running(values)
            await self._store.add_meter_values(values)
            await self._store.samples_written()
        except (StoreUnavailableError, NotFoundError) as error:
            # Samples may be lost, live values not: the guard goes on from memory.
            log.error("ocpp.meter_values_not_stored", station=self._station_id, count=len(values), reason=str(error))
        event = v2_meter_values.live_event(self._live, values, received_at)
        return Answer({}, (event,) if event else ())

    async def _device_model(self, payload: Json, received_at: datetime) -> Answer:
        variables, violations = v2_device_model.variables_of(payload, self._station_id, received_at)
        self._session.note_violations(violations, "NotifyReport")
        await self._store.save_variables(variables)
        return Answer({})

    async def _priority_charging(self, payload: Json, received_at: datetime) -> Answer:
        """A driver has chosen, at the station, to charge without regard to any plan, or to do so no more."""
        name = read_text(payload.get("transactionId"), 36)
        transaction = None if name is None else await self._store.transaction_named(self._station_id, name)
        if transaction is None:
            self._session.note_violations(
                [f"transaction {quote(name)} is not this station's"], "NotifyPriorityCharging"
            )
            return Answer({})
        changed = PriorityChargingChanged(
            self._station_id,
            transaction.evse_id,
            transaction.transaction_id,
            payload.get("activated") is True,
            received_at,
        )
        return Answer({}, (changed,))

    async def _dynamic_schedule(self, payload: Json, _received_at: datetime) -> Answer:
        """What a Dynamic profile of ours says now; of one that is not known to be ours nothing is invented."""
        profile_id = payload.get("chargingProfileId")
        values = self._held.current_values(profile_id) if isinstance(profile_id, int) else None
        if values is None:
            return Answer({"status": "Rejected", "statusInfo": {"reasonCode": "InvalidProfileId"}})
        return Answer({"status": "Accepted", "scheduleUpdate": values})

    async def _certificate_chain(self, payload: Json, received_at: datetime) -> Answer:
        if payload.get("certificateStatusRequests") is None:
            raise CallRefusedError(OCCURRENCE, "certificateStatusRequests is missing")
        try:  # the answer repeats what was asked: it is as valid as that
            await check_call("GetCertificateChainStatus", payload, self._version.number)
        except SchemaError as error:
            raise CallRefusedError(FORMAT, str(error)) from error
        statuses = [
            {
                "certificateHashData": one["certificateHashData"],
                "source": one["source"],
                "status": "Failed",
                "nextUpdate": iso_utc(received_at),
            }
            for one in payload["certificateStatusRequests"]
        ]
        return Answer({"certificateStatus": statuses})

    async def _vat_number(self, payload: Json, _received_at: datetime) -> Answer:
        answer: Json = {
            "status": "Rejected",
            "vatNumber": read_text(payload.get("vatNumber"), 20) or "",
            "statusInfo": {"reasonCode": "UnsupportedRequest", "additionalInfo": "this service knows no companies"},
        }
        evse_id = read_count(payload.get("evseId"))
        return Answer(answer if evse_id is None else answer | {"evseId": evse_id})

    async def _reservation(self, payload: Json, received_at: datetime) -> Answer:
        """Expired, removed, or used by nobody: no car is expected for it any more."""
        events: list[Event] = [await self._noticed("ReservationStatusUpdate", payload, received_at)]
        reservation_id = reservation_id_of(payload)
        if reservation_id is None:
            said = f"reservationId {quote(payload.get('reservationId'))} is no number"
            self._session.note_violations([said], "ReservationStatusUpdate")
        elif ended := await end_reservation(self._store, self._station_id, reservation_id, received_at):
            events.append(ended)
        return Answer({}, tuple(events))

    async def _noticed(self, action: str, payload: Json, received_at: datetime) -> Event:
        return await keep_notice(self._store, self._station_id, action, payload, received_at)
