"""OCPP 1.6-J: what we ask of a station. What it tells us is `v16_messages`."""

from datetime import datetime

import structlog

from app.clock import Clock
from app.csms.connector import ChargingProfile, CompositeSchedule, Passport, Purpose, RateUnit
from app.csms.frames import Call, Json
from app.csms.lenient import quote
from app.csms.ocpp_schemas import SchemaError, check_call
from app.csms.session import Answer, Session
from app.csms.v16_messages import StationMessages
from app.csms.v16_passport import PASSPORT_KEYS, keep_passport, passport_of, stored_passport
from app.csms.v16_profiles import UnreadableScheduleError, profile_json, read_composite
from app.db.store import Store
from app.errors import (
    CallFailedError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    ProfileRejectedError,
    StoreUnavailableError,
)
from app.settings import Settings

SUBPROTOCOL = "ocpp1.6"

log = structlog.get_logger(__name__)


class V16:
    """The dialect of one station that speaks 1.6."""

    def __init__(self, session: Session, store: Store, clock: Clock, settings: Settings) -> None:
        self._session = session
        self._store = store
        self._clock = clock
        self._messages = StationMessages(session, store, clock, settings)
        self._passport: tuple[Passport, int] | None = None  # and the count of boots when it was read

    def answer_now(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        return self._messages.answer_now(raw, received_at)

    async def answer(self, call: Call, received_at: datetime) -> Answer:
        return await self._messages.answer(call, received_at)

    async def set_charging_profile(self, evse_id: int, profile: ChargingProfile) -> None:
        written = self._session.station_clock.of_station(profile)
        payload = {"connectorId": evse_id, "csChargingProfiles": profile_json(written)}
        status = await self._status_of("SetChargingProfile", payload)
        if status.lower() != "accepted":
            raise ProfileRejectedError(self._session.station_id, status)

    async def clear_charging_profile(
        self, profile_id: int | None, evse_id: int | None, purpose: Purpose | None, stack_level: int | None
    ) -> bool:
        criteria: Json = {
            "id": profile_id,
            "connectorId": evse_id,
            "chargingProfilePurpose": purpose.value if purpose else None,
            "stackLevel": stack_level,
        }
        payload = {key: value for key, value in criteria.items() if value is not None}
        return (await self._status_of("ClearChargingProfile", payload)).lower() == "accepted"

    async def composite_schedule(self, evse_id: int, duration_s: int, unit: RateUnit | None) -> CompositeSchedule:
        payload: Json = {"connectorId": evse_id, "duration": duration_s}
        if unit is not None:
            payload["chargingRateUnit"] = unit.value
        reply = await self._call("GetCompositeSchedule", payload)
        status = self._status(reply, "GetCompositeSchedule")
        if status.lower() != "accepted":
            raise ProfileRejectedError(self._session.station_id, status)
        try:
            here, there = self._clock.now(), self._session.station_clock
            reported = read_composite(reply, asked=unit, duration_s=duration_s, received_at=here + there.ahead)
            return there.of_ours(reported)
        except UnreadableScheduleError as error:
            raise ProfileRejectedError(self._session.station_id, str(error)) from error

    async def passport(self) -> Passport:
        boots = self._messages.boots
        if self._passport is None or self._passport[1] != boots:
            stored = await self._stored_passport() if boots == 0 else None
            self._passport = (stored or await self._read_passport(), boots)
        return self._passport[0]

    async def get_configuration(self, keys: tuple[str, ...]) -> dict[str, str | None]:
        reply = await self._call("GetConfiguration", {"key": list(keys)} if keys else {})
        listed = reply.get("configurationKey")
        unknown = reply.get("unknownKey")
        configuration: dict[str, str | None] = {
            key: None for key in (unknown if isinstance(unknown, list) else []) if isinstance(key, str)
        }
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("key"), str):
                value = entry.get("value")
                configuration[entry["key"]] = None if value is None else str(value)
        return configuration

    async def change_configuration(self, key: str, value: str) -> str:
        return await self._status_of("ChangeConfiguration", {"key": key, "value": value})

    async def remote_start(self, evse_id: int, id_tag: str, profile: ChargingProfile | None) -> str:
        payload: Json = {"connectorId": evse_id, "idTag": id_tag}
        if profile is not None:
            written = self._session.station_clock.of_station(profile)
            payload["chargingProfile"] = profile_json(written, with_transaction=False)
        return await self._status_of("RemoteStartTransaction", payload)

    async def remote_stop(self, transaction_id: int) -> str:
        return await self._status_of("RemoteStopTransaction", {"transactionId": transaction_id})

    async def change_availability(self, evse_id: int, *, is_operative: bool) -> str:
        payload = {"connectorId": evse_id, "type": "Operative" if is_operative else "Inoperative"}
        return await self._status_of("ChangeAvailability", payload)

    async def trigger(self, message: str, evse_id: int | None) -> str:
        payload: Json = {"requestedMessage": message}
        if evse_id is not None:
            payload["connectorId"] = evse_id
        return await self._status_of("TriggerMessage", payload)

    async def _status_of(self, action: str, payload: Json) -> str:
        return self._status(await self._call(action, payload), action)

    def _status(self, reply: Json, action: str) -> str:
        status = reply.get("status")
        if not isinstance(status, str) or not status:
            text = f"{action} was answered with the status {quote(status)}"
            raise OutcomeUnknownError(self._session.station_id, text)
        return status[:40]

    async def _call(self, action: str, payload: Json) -> Json:
        try:
            with self._clock.hold():
                await check_call(action, payload)
        except SchemaError as error:
            raise InvalidInputError(action, str(error)) from error
        return await self._session.call(action, payload)

    async def _stored_passport(self) -> Passport | None:
        try:
            station = await self._store.station(self._session.station_id)
        except (StoreUnavailableError, NotFoundError):
            return None
        return stored_passport(station.passport, station.booted_at, station.firmware)

    async def _read_passport(self) -> Passport:
        try:
            configuration = await self.get_configuration(PASSPORT_KEYS)
        except CallFailedError as error:
            # Some stations take fewer keys at once than we ask for, some have no such call at all.
            log.warning("ocpp.configuration_refused", station=self._session.station_id, code=error.code)
            configuration = {} if error.code.startswith("Not") else await self.get_configuration(())
        passport = passport_of(configuration)
        try:
            await keep_passport(self._store, self._session.station_id, passport, self._clock.now())
        except (StoreUnavailableError, NotFoundError):
            log.warning("ocpp.passport_not_stored", station=self._session.station_id)
        return passport
