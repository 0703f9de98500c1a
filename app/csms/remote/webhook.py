"""Any CSMS that keeps docs/csms.md: commands go out as signed webhooks, answers come with them or later."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec

from app.clock import Clock
from app.csms.frames import Json
from app.csms.lenient import quote, read_text
from app.csms.remote.awaited import Awaited
from app.csms.remote.road import Command, Courier, HttpAnswer, refuse_by_status
from app.csms.remote.settings import RemoteCsms
from app.csms.remote.signatures import sign
from app.csms.timestamps import iso_utc
from app.errors import CallFailedError, OutcomeUnknownError, StationOfflineError

OFFLINE = 409  # the station is not connected: nothing was sent
LATER = 202


class WebhookRoad:
    """Commands out to `csms.url`."""

    def __init__(self, csms: RemoteCsms, courier: Courier, clock: Clock) -> None:
        self._csms = csms
        self._courier = courier
        self._clock = clock
        self._secret = csms.secret.get_secret_value().encode()
        self._awaited = Awaited()

    async def ask(self, command: Command) -> Json:
        now = self._clock.now()
        document = {
            "command_id": command.command_id,
            "station_id": command.station_id,
            "ocpp_version": command.version,
            "action": command.action,
            "payload": command.payload,
            "expires_at": iso_utc(now + timedelta(seconds=self._csms.timeout_s)),
        }
        body = msgspec.json.encode(document)
        with self._awaited.answers_to(command.command_id) as answers:
            try:
                async with asyncio.timeout(self._csms.timeout_s):
                    answer = await self._courier.post(
                        command.station_id, self._csms.url, body, sign(self._secret, body, now)
                    )
                    return await self._outcome(command.station_id, answer, answers)
            except TimeoutError as error:
                text = f"{command.action} was not answered within {self._csms.timeout_s:g} s"
                raise OutcomeUnknownError(command.station_id, text) from error

    def settle(self, command_id: str, reply: Json) -> bool:
        """A reply that came as an event. False: nobody waits for it."""
        return self._awaited.settle(command_id, reply)

    async def _outcome(self, station_id: str, answer: HttpAnswer, later: asyncio.Queue[Any]) -> Json:
        if answer.status == OFFLINE:
            raise StationOfflineError(station_id)
        refuse_by_status(station_id, answer)
        return result_of(station_id, await later.get() if answer.status == LATER else answer.body)


def result_of(station_id: str, reply: Any) -> Json:
    """The `result` of a reply; raises what its `error`, or `offline`, or anything else, amounts to."""
    if isinstance(reply, dict):
        if isinstance(reply.get("result"), dict):
            result: Json = reply["result"]
            return result
        error = reply.get("error")
        if isinstance(error, dict):
            code = read_text(error.get("code"), 50) or "GenericError"
            raise CallFailedError(station_id, code, read_text(error.get("description"), 255) or "")
        if reply.get("offline") is True:
            raise StationOfflineError(station_id)
    raise OutcomeUnknownError(station_id, f"the CSMS replied with {quote(reply)}, neither a result nor an error")
