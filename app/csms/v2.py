"""OCPP 2.0.1 and 2.1: what we ask of a station. What it tells us is `v2_messages`."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from app.clock import Clock
from app.csms import v2_device_model, v2_rules
from app.csms.connector import ChargingProfile, CompositeSchedule, Passport, Purpose, RateUnit
from app.csms.frames import Call, Json
from app.csms.lenient import quote, read_text
from app.csms.ocpp_schemas import SchemaError, check_call
from app.csms.session import Answer, Session
from app.csms.v2_held import HeldProfiles
from app.csms.v2_messages import StationMessages
from app.csms.v2_profiles import (
    InstalledProfile,
    composite_of,
    installed_profiles,
    profile_json,
    purpose_word,
)
from app.csms.v2_reports import Reports
from app.csms.v2_version import V21, V201, Version
from app.csms.v16_passport import keep_passport, stored_passport
from app.csms.v16_profiles import UnreadableScheduleError
from app.db.records import StationVariable
from app.db.store import Store
from app.errors import (
    CallFailedError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    ProfileRejectedError,
    StationError,
    StoreUnavailableError,
)
from app.settings import Settings

SUBPROTOCOL_201 = "ocpp2.0.1"
SUBPROTOCOL_21 = "ocpp2.1"
VARIABLES_AT_ONCE = 10  # what hardly any station finds too many (its ItemsPerMessage)

# 1.6's names of what can be triggered, where 2.x has others.
_TRIGGERS = {"DiagnosticsStatusNotification": "LogStatusNotification", "StartTransaction": "TransactionEvent"}

log = structlog.get_logger(__name__)


class V2:
    """The dialect of one station that speaks 2.0.1 or 2.1."""

    def __init__(self, session: Session, store: Store, clock: Clock, settings: Settings, version: Version) -> None:
        self.version = version
        self._session = session
        self._station_id = session.station_id
        self._store = store
        self._clock = clock
        self._patience_s = settings.call_timeout_s
        self._held = HeldProfiles()
        self._reports = Reports(first_id=int(clock.now().timestamp()))
        session.at_end(self._reports.close)
        self._messages = StationMessages(
            session, store, clock, settings, version, held=self._held, reports=self._reports, resend=self._resend
        )
        self._passport: tuple[Passport, int] | None = None  # and the count of boots when it was read
        self._later: set[asyncio.Task[None]] = set()

    def answer_now(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        return self._messages.answer_now(raw, received_at)

    async def answer(self, call: Call, received_at: datetime) -> Answer:
        return await self._messages.answer(call, received_at)

    # --- charging profiles

    async def set_charging_profile(self, evse_id: int, profile: ChargingProfile) -> None:
        """Raises `ProfileRejectedError`, also for what this station would have to refuse, and `InvalidInputError`
        for what no station may be sent."""
        transaction = None
        if profile.transaction_id is not None:
            transaction = await self._messages.transactions.name_of(profile.transaction_id)
        written = self._session.station_clock.of_station(profile)
        await self.send_profile(evse_id, profile_json(written, transaction))

    async def send_profile(self, evse_id: int, document: Json) -> None:
        """A chargingProfile as OCPP writes it, with every key of this version; errors as `set_charging_profile`."""
        payload = {"evseId": evse_id, "chargingProfile": document}
        await self._check("SetChargingProfile", payload)
        self._obey_rules(evse_id, document)
        reply = await self._session.call("SetChargingProfile", payload)
        self._require_accepted(reply, "SetChargingProfile")
        self._held.put(evse_id, document)

    async def clear_charging_profile(
        self, profile_id: int | None, evse_id: int | None, purpose: Purpose | None, stack_level: int | None
    ) -> bool:
        """By id alone, or by the rest. 2.x has no message for "all": then each purpose in turn."""
        word = None if purpose is None else purpose_word(purpose)
        if profile_id is not None:
            payloads: list[Json] = [{"chargingProfileId": profile_id}]
        else:
            words = [word] if word or evse_id is not None or stack_level is not None else self._settable_words()
            payloads = [{"chargingProfileCriteria": _criteria(evse_id, one, stack_level)} for one in words]
        statuses = [await self._status_of("ClearChargingProfile", payload) for payload in payloads]
        self._held.remove(profile_id=profile_id, evse_id=evse_id, purpose=word, stack_level=stack_level)
        return any(status.lower() == "accepted" for status in statuses)

    async def composite_schedule(self, evse_id: int, duration_s: int, unit: RateUnit | None) -> CompositeSchedule:
        payload: Json = {"evseId": evse_id, "duration": duration_s}
        if unit is not None:
            payload["chargingRateUnit"] = unit.value
        reply = await self._call("GetCompositeSchedule", payload)
        self._require_accepted(reply, "GetCompositeSchedule")
        try:
            here, there = self._clock.now(), self._session.station_clock
            reported = composite_of(reply, asked=unit, duration_s=duration_s, received_at=here + there.ahead)
            return there.of_ours(reported)
        except UnreadableScheduleError as error:
            raise ProfileRejectedError(self._station_id, str(error)) from error

    async def installed_profiles(
        self, evse_id: int | None = None, purpose: Purpose | None = None, stack_level: int | None = None
    ) -> tuple[InstalledProfile, ...]:
        """What the station says it holds, by ReportChargingProfiles. `evse_id` 0: what is for the whole station.

        Raises `OutcomeUnknownError` when the report is not complete in time: half of it proves nothing.
        """
        criteria = _criteria(None, None if purpose is None else purpose_word(purpose), stack_level)
        request_id = self._reports.next_id()
        payload: Json = {"requestId": request_id, "chargingProfile": criteria}
        if evse_id is not None:
            payload["evseId"] = evse_id
        with self._clock.hold(), self._reports.awaited("ReportChargingProfiles", request_id) as report:
            status = await self._status_of("GetChargingProfiles", payload)
            if status.lower() != "accepted":  # NoProfiles
                return ()
            parts, is_complete = await report.parts(self._patience_s)
        if not is_complete:
            text = f"only {len(parts)} parts of the report of its profiles came in time"
            raise OutcomeUnknownError(self._station_id, text)
        received_at = self._clock.now()
        return tuple(
            [await self._numbered(installed) for part in parts for installed in installed_profiles(part, received_at)]
        )

    async def update_dynamic_schedule(self, profile_id: int, update: Json) -> None:
        """2.1: new values for a Dynamic profile, e.g. ``{"limit": 16.0, "limit_L2": 10.0}``.
        Raises `ProfileRejectedError`, and `InvalidInputError` for keys that are none."""
        reply = await self._call("UpdateDynamicSchedule", {"chargingProfileId": profile_id, "scheduleUpdate": update})
        self._require_accepted(reply, "UpdateDynamicSchedule")
        self._held.update(profile_id, update)

    async def use_priority_charging(self, transaction_id: int, *, activate: bool) -> str:
        """2.1: whether a transaction charges by its PriorityCharging profile. Returns the station's status."""
        name = await self._messages.transactions.name_of(transaction_id)
        return await self._status_of("UsePriorityCharging", {"transactionId": name, "activate": activate})

    # --- device model

    async def passport(self) -> Passport:
        boots = self._messages.boots
        if self._passport is None or self._passport[1] != boots:
            stored = await self._stored_passport() if boots == 0 else None
            self._passport = (stored or await self._read_passport(), boots)
        return self._passport[0]

    async def get_configuration(self, keys: tuple[str, ...]) -> dict[str, str | None]:
        """Variables by name, e.g. ``SmartChargingCtrlr.RateUnit``; with no names everything that can be configured."""
        if not keys:
            parts = await self._report("ConfigurationInventory")
            return {v2_device_model.key_of(row): row.value for row in parts if row.attribute == "Actual"}
        rows = await self._variables(keys)
        found = {v2_device_model.key_of(row).lower(): row.value for row in rows}
        return {key: found.get(key.lower()) for key in keys}

    async def change_configuration(self, key: str, value: str) -> str:
        """SetVariables of one; returns the station's status of it, e.g. ``RebootRequired``."""
        payload = {"setVariableData": [v2_device_model.named(key) | {"attributeValue": value}]}
        reply = await self._call("SetVariables", payload)
        results = reply.get("setVariableResult")
        first = results[0] if isinstance(results, list) and results and isinstance(results[0], dict) else {}
        status = read_text(first.get("attributeStatus"), 40)
        if status is None:
            raise OutcomeUnknownError(self._station_id, "SetVariables was answered without a result")
        return status

    # --- transactions

    async def remote_start(self, evse_id: int, id_tag: str, profile: ChargingProfile | None) -> str:
        payload: Json = {
            "evseId": evse_id,
            "idToken": {"idToken": id_tag, "type": "Central"},
            "remoteStartId": self._reports.next_id(),
        }
        if profile is not None:
            payload["chargingProfile"] = profile_json(self._session.station_clock.of_station(profile), None)
            await self._check("RequestStartTransaction", payload)
            self._obey_rules(evse_id, payload["chargingProfile"], starts=True)
        return await self._status_of("RequestStartTransaction", payload)

    async def remote_stop(self, transaction_id: int) -> str:
        name = await self._messages.transactions.name_of(transaction_id)
        return await self._status_of("RequestStopTransaction", {"transactionId": name})

    async def change_availability(self, evse_id: int, *, is_operative: bool) -> str:
        status = "Operative" if is_operative else "Inoperative"
        return await self._status_of("ChangeAvailability", {"operationalStatus": status, "evse": {"id": evse_id}})

    async def trigger(self, message: str, evse_id: int | None) -> str:
        payload: Json = {"requestedMessage": _TRIGGERS.get(message, message)}
        if evse_id is not None:
            payload["evse"] = {"id": evse_id}
            if message == "StatusNotification":  # which is about a connector
                payload["evse"]["connectorId"] = 1
        return await self._status_of("TriggerMessage", payload)

    # --- how

    async def _numbered(self, installed: InstalledProfile) -> InstalledProfile:
        """With our number of the transaction that the station names; none where nobody knows it."""
        if installed.profile is None or installed.transaction is None:
            return installed
        transaction = await self._store.transaction_named(self._station_id, installed.transaction)
        number = None if transaction is None else transaction.transaction_id
        return replace(installed, profile=replace(installed.profile, transaction_id=number))

    def _obey_rules(self, evse_id: int, document: Json, *, starts: bool = False) -> None:
        passport = Passport() if self._passport is None else self._passport[0]
        found = v2_rules.breaches(evse_id, document, self.version, passport, self._held.all(), starts=starts)
        for breach in sorted(found, key=lambda breach: breach.reason is not None):  # the profile's own faults first
            if breach.reason is None:
                raise InvalidInputError(f"chargingProfile.{breach.field}", breach.text)
            raise ProfileRejectedError(self._station_id, f"{breach.reason}: {breach.text}")

    def _settable_words(self) -> list[str]:
        return sorted(purpose_word(purpose) for purpose in self.version.settable)

    def _resend(self, evse_id: int, profile: ChargingProfile) -> None:
        """After the answer that is on its way; the station's own answer changes nothing that is known of it."""

        async def send() -> None:
            try:
                await self.set_charging_profile(evse_id, profile)
            except (StationError, InvalidInputError) as error:
                log.warning("ocpp.profile_not_resent", station=self._station_id, evse=evse_id, reason=str(error))

        self._in_background(send())

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _status_of(self, action: str, payload: Json) -> str:
        return self._status(await self._call(action, payload), action)

    def _status(self, reply: Json, action: str) -> str:
        status = reply.get("status")
        if not isinstance(status, str) or not status:
            text = f"{action} was answered with the status {quote(status)}"
            raise OutcomeUnknownError(self._station_id, text)
        return status[:40]

    def _require_accepted(self, reply: Json, action: str) -> None:
        status = self._status(reply, action)
        if status.lower() == "accepted":
            return
        info = reply.get("statusInfo")
        said = (
            [read_text(info.get(key), 200) for key in ("reasonCode", "additionalInfo")]
            if isinstance(info, dict)
            else []
        )
        raise ProfileRejectedError(self._station_id, ": ".join([status, *[text for text in said if text]]))

    async def _call(self, action: str, payload: Json) -> Json:
        await self._check(action, payload)
        return await self._session.call(action, payload)

    async def _check(self, action: str, payload: Json) -> None:
        if action not in self.version.sent:
            raise InvalidInputError(action, f"is nothing that a CSMS sends in OCPP {self.version.number}")
        try:
            with self._clock.hold():
                await check_call(action, payload, self.version.number)
        except SchemaError as error:
            raise InvalidInputError(action, str(error)) from error

    async def _stored_passport(self) -> Passport | None:
        """From the device model in the store, if it was read as a whole since the last boot."""
        try:
            station = await self._store.station(self._station_id)
            variables = await self._store.variables(self._station_id, component=v2_device_model.SMART_CHARGING)
        except (StoreUnavailableError, NotFoundError):
            return None
        read = stored_passport(station.passport, station.booted_at, station.firmware)
        if station.ocpp_version != self.version.number or read is None:
            return None
        return v2_device_model.passport_of(variables, self.version)

    async def _read_passport(self) -> Passport:
        """From the full inventory; what it leaves out, as some do, is asked for by name."""
        try:
            rows = await self._report("FullInventory")
        except CallFailedError as error:
            log.warning("ocpp.inventory_refused", station=self._station_id, code=error.code)
            rows = []
        reported = {v2_device_model.key_of(row).lower() for row in rows}
        missing = tuple(key for key in v2_device_model.passport_keys(self.version) if key.lower() not in reported)
        try:
            rows = [*rows, *await self._variables(missing)]
        except CallFailedError as error:
            log.warning("ocpp.variables_refused", station=self._station_id, code=error.code)
        passport = v2_device_model.passport_of(rows, self.version)
        try:
            await keep_passport(self._store, self._station_id, passport, self._clock.now())
        except (StoreUnavailableError, NotFoundError):
            log.warning("ocpp.passport_not_stored", station=self._station_id)
        return passport

    async def _report(self, base: str) -> list[StationVariable]:
        """The variables of GetBaseReport, as far as they came; none where the station has no such report."""
        request_id = self._reports.next_id()
        with self._clock.hold(), self._reports.awaited("NotifyReport", request_id) as report:
            status = await self._status_of("GetBaseReport", {"requestId": request_id, "reportBase": base})
            if status.lower() != "accepted":
                return []
            parts, is_complete = await report.parts(self._patience_s)
        if not is_complete:
            log.warning("ocpp.report_incomplete", station=self._station_id, report=base, parts=len(parts))
        now = self._clock.now()
        return [row for part in parts for row in v2_device_model.variables_of(part, self._station_id, now)[0]]

    async def _variables(self, keys: Sequence[str]) -> list[StationVariable]:
        """By GetVariables, a few at a time, one by one where a few are too many; those that the station knows."""
        rows: list[StationVariable] = []
        for first in range(0, len(keys), VARIABLES_AT_ONCE):
            some = keys[first : first + VARIABLES_AT_ONCE]
            try:
                rows += await self._ask_variables(some)
            except CallFailedError as error:
                if len(some) == 1 or error.code.startswith("Not"):
                    raise
                for key in some:
                    rows += await self._ask_variables((key,))
        try:
            await self._store.save_variables(rows)
        except StoreUnavailableError:
            log.warning("ocpp.variables_not_stored", station=self._station_id)
        return rows

    async def _ask_variables(self, keys: Sequence[str]) -> list[StationVariable]:
        reply = await self._call("GetVariables", {"getVariableData": [v2_device_model.named(key) for key in keys]})
        results = reply.get("getVariableResult")
        now = self._clock.now()
        found = [
            v2_device_model.answered_variable(result, self._station_id, now)
            for result in (results if isinstance(results, list) else [])
            if isinstance(result, dict)
        ]
        return [row for row in found if row is not None]


def v201(session: Session, store: Store, clock: Clock, settings: Settings) -> V2:
    return V2(session, store, clock, settings, V201)


def v21(session: Session, store: Store, clock: Clock, settings: Settings) -> V2:
    return V2(session, store, clock, settings, V21)


def _criteria(evse_id: int | None, purpose: str | None, stack_level: int | None) -> Json:
    criteria: Json = {"evseId": evse_id, "chargingProfilePurpose": purpose, "stackLevel": stack_level}
    return {key: value for key, value in criteria.items() if value is not None}
