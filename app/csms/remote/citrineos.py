"""CitrineOS' message API: plain OCPP in, and the station's answer posted to an address of ours.

Its answer to the request says only that the call was queued. The station's own comes to `callbackUrl`, and only where
there is one: call errors, failed sendings and a station's silence are not delivered, or not by every release, so the
time-out is ours and its outcome is unknown.
"""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec
import structlog

from app.clock import Clock
from app.csms.frames import Json
from app.csms.lenient import quote, read_text
from app.csms.remote.awaited import Awaited
from app.csms.remote.road import REFUSED, Command, Courier, refuse_by_status
from app.csms.remote.settings import RemoteCsms
from app.csms.timestamps import read_timestamp
from app.errors import CallFailedError, OutcomeUnknownError, ProfileRejectedError, StationError, StationOfflineError

# Which of its modules sends what; every other action is the configuration module's.
_MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "smartcharging": (
            "SetChargingProfile",
            "ClearChargingProfile",
            "GetChargingProfiles",
            "GetCompositeSchedule",
            "ClearedChargingLimit",
        ),
        "evdriver": (
            "RemoteStartTransaction",
            "RemoteStopTransaction",
            "RequestStartTransaction",
            "RequestStopTransaction",
            "UnlockConnector",
            "ReserveNow",
            "CancelReservation",
            "ClearCache",
            "GetLocalListVersion",
            "SendLocalList",
        ),
        "monitoring": (
            "GetVariables",
            "SetVariables",
            "SetVariableMonitoring",
            "ClearVariableMonitoring",
            "SetMonitoringLevel",
            "SetMonitoringBase",
        ),
        "reporting": ("GetBaseReport", "GetReport", "GetMonitoringReport", "CustomerInformation", "GetLog"),
        "transactions": ("GetTransactionStatus", "CostUpdated"),
        "certificates": ("CertificateSigned", "InstallCertificate", "DeleteCertificate", "GetInstalledCertificateIds"),
    }
)
_MODULE_OF = {action: module for module, actions in _MODULES.items() for action in actions}
NOT_CONNECTED = "no connection"  # "No connection found for identifier: …"

log = structlog.get_logger(__name__)


class CitrineosRoad:
    """Commands out to `csms.url`, answers in through `settle`."""

    def __init__(self, csms: RemoteCsms, courier: Courier, clock: Clock) -> None:
        self._csms = csms
        self._courier = courier
        self._clock = clock
        self._awaited = Awaited()

    async def ask(self, command: Command) -> Json:
        try:
            async with asyncio.timeout(self._csms.timeout_s):
                if command.action == "SetChargingProfile" and command.version != "1.6":
                    return await self._set_profile(command)
                return await self._ask(command, command.action, command.payload)
        except TimeoutError as error:
            text = f"{command.action} was not answered within {self._csms.timeout_s:g} s"
            raise OutcomeUnknownError(command.station_id, text) from error

    def settle(self, token: str, body: Any) -> bool:
        """What was posted to the callback address that ends in `token`. False: nobody waits for it."""
        return self._awaited.settle(token, body)

    async def _set_profile(self, command: Command) -> Json:
        """2.0.1: it keeps its own account of profiles, and refuses a second one of the same purpose, stack level and
        transaction even where the station would replace the first, as OCPP has it. Then the first is cleared."""
        payload = without_future_validity(command.station_id, command.payload, self._clock.now())
        try:
            return await self._ask(command, command.action, payload)
        except CallFailedError as refusal:
            if refusal.code != REFUSED:
                raise
            log.info("citrineos.profile_refused", station=command.station_id, reason=refusal.description)
            cleared = await self._ask(
                command, "ClearChargingProfile", {"chargingProfileId": payload["chargingProfile"]["id"]}
            )
            if str(cleared.get("status")).lower() != "accepted":
                raise  # there was none: it refuses this one for another reason, and the station holds what it held
        try:
            return await self._ask(command, command.action, payload)
        except StationError as error:
            # The old profile is gone and the new one did not come: more than "it kept what it had" would say.
            text = f"the old profile was cleared, and the new one not taken: {error}"
            raise OutcomeUnknownError(command.station_id, text) from error

    async def _ask(self, command: Command, action: str, payload: Json) -> Json:
        token = secrets.token_urlsafe(32)
        module = _MODULE_OF.get(action, "configuration")
        path = f"ocpp/{command.version}/{module}/{action[0].lower()}{action[1:]}"
        headers = {}
        if self._csms.bearer_token is not None:
            headers["Authorization"] = f"Bearer {self._csms.bearer_token.get_secret_value()}"
        query = {
            "identifier": command.station_id,
            "tenantId": str(self._csms.tenant_id),
            "callbackUrl": f"{(self._csms.callback_url or '').rstrip('/')}/csms/{self._csms.name}/callbacks/{token}",
        }
        with self._awaited.answers_to(token) as answers:
            answer = await self._courier.post(
                command.station_id,
                f"{self._csms.url.rstrip('/')}/{path}",
                msgspec.json.encode(payload),
                headers,
                query,
            )
            refuse_by_status(command.station_id, answer)
            batches = _queued(command.station_id, answer.body)
            return _together([_answer(command.station_id, await answers.get()) for _ in range(batches)])


def without_future_validity(station_id: str, payload: Json, now: datetime) -> Json:
    """CitrineOS refuses a validFrom in the future. It is left out where the schedule begins no earlier anyway;
    elsewhere the profile would hold before its time: raises `ProfileRejectedError`."""
    profile = payload["chargingProfile"]
    valid_from, _ = read_timestamp(profile.get("validFrom"))
    if valid_from is None or valid_from <= now:
        return payload
    starts = [read_timestamp(schedule.get("startSchedule"))[0] for schedule in profile["chargingSchedule"]]
    if any(start is None or start < valid_from for start in starts):
        text = f"CitrineOS takes no validFrom in the future ({profile['validFrom']})"
        raise ProfileRejectedError(station_id, text)
    return payload | {"chargingProfile": {key: value for key, value in profile.items() if key != "validFrom"}}


def _queued(station_id: str, body: Any) -> int:
    """How many calls it has made of the one: it splits long lists. Raises what a refusal means."""
    confirmations = body if isinstance(body, list) else [body]
    if not confirmations or not all(isinstance(one, dict) for one in confirmations):
        raise OutcomeUnknownError(station_id, f"CitrineOS answered with {quote(body)}")
    refusals = [one for one in confirmations if one.get("success") is not True]
    if not refusals:
        return len(confirmations)
    if len(refusals) < len(confirmations):
        raise OutcomeUnknownError(station_id, "CitrineOS sent a part of the command only")
    reason = _reason(refusals[0].get("payload"))
    if NOT_CONNECTED in reason.lower():
        raise StationOfflineError(station_id)
    raise CallFailedError(station_id, REFUSED, reason)


def _reason(payload: Any) -> str:
    if isinstance(payload, dict):
        payload = payload.get("message")
    return read_text(payload, 255) or "CitrineOS gave no reason"


def _together(answers: list[Json]) -> Json:
    """The answers to the parts of one call as one: their lists joined."""
    whole: Json = {}
    for answer in answers:
        for key, value in answer.items():
            whole[key] = whole[key] + value if isinstance(value, list) and isinstance(whole.get(key), list) else value
    return whole


def _answer(station_id: str, body: Any) -> Json:
    """The station's answer as it was posted; some releases post its call error too, in a spelling of their own."""
    if not isinstance(body, dict):
        raise OutcomeUnknownError(station_id, f"its answer came as {quote(body)}")
    code = body.get("_errorCode", body.get("errorCode"))
    if isinstance(code, str) and "status" not in body:
        description = body.get("message", body.get("errorDescription"))
        raise CallFailedError(station_id, code[:50], read_text(description, 255) or "")
    return body
