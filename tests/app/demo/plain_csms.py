"""The least CSMS of OCPP 2.x: plain JSON, and every message of the station held against the protocol's schemas."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from ocpp.messages import Call, CallResult, validate_payload
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from app.clock import Clock

Json = dict[str, Any]


class PlainCsms:
    """Accepts every station, and remembers what it heard."""

    def __init__(self, clock: Clock, version: str) -> None:
        self.clock = clock
        self.version = version
        self.url = ""
        self.heard: list[tuple[str, Json]] = []
        self.token_status = "Accepted"
        self._connection: ServerConnection | None = None
        self._awaited: dict[str, tuple[str, asyncio.Future[Json]]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, clock: Clock, version: str) -> AsyncIterator["PlainCsms"]:
        csms = cls(clock, version)
        protocols: Any = [f"ocpp{version}"]
        async with serve(csms._serve, "127.0.0.1", 0, subprotocols=protocols, compression=None) as server:
            csms.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield csms

    def all(self, action: str) -> list[Json]:
        return [payload for heard, payload in self.heard if heard == action]

    async def ask(self, action: str, payload: Json) -> Json:
        """The station's answer; a CALLERROR is a `RuntimeError` with its code."""
        assert self._connection is not None
        message_id = f"ask-{len(self._awaited)}"
        answered: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._awaited[message_id] = (action, answered)
        with self.clock.hold():
            await self._connection.send(json.dumps([2, message_id, action, payload]))
            return await asyncio.wait_for(answered, 5)

    async def set_profile(self, profile: Json, evse_id: int = 1) -> Json:
        return await self.ask("SetChargingProfile", {"evseId": evse_id, "chargingProfile": profile})

    async def _serve(self, connection: ServerConnection) -> None:
        self._connection = connection
        with suppress(ConnectionClosed):
            async for frame in connection:
                await self._take(connection, json.loads(frame))

    async def _take(self, connection: ServerConnection, frame: list[Any]) -> None:
        if frame[0] == 2:
            _, message_id, action, payload = frame
            await validate_payload(Call("", action, payload), self.version)
            self.heard.append((action, payload))
            await connection.send(json.dumps([3, message_id, self._answer(action, payload)]))
            return
        action, answered = self._awaited[frame[1]]
        if frame[0] == 4:
            answered.set_exception(RuntimeError(frame[2]))
            return
        try:
            await validate_payload(CallResult("", frame[2], action), self.version)
        except Exception as error:
            answered.set_exception(error)
        else:
            answered.set_result(frame[2])

    def _answer(self, action: str, payload: Json) -> Json:
        now = self.clock.now().isoformat()
        match action:
            case "BootNotification":
                return {"status": "Accepted", "currentTime": now, "interval": 300}
            case "Heartbeat":
                return {"currentTime": now}
            case "Authorize":
                return {"idTokenInfo": {"status": self.token_status}}
            case "TransactionEvent" if "idToken" in payload:
                return {"idTokenInfo": {"status": self.token_status}}
            case "NotifyEVChargingNeeds":
                return {"status": "Accepted"}
            case _:
                return {}


def a_document(
    *limits: tuple[int, float], purpose: str = "TxDefaultProfile", unit: str = "A", start: datetime, **fields: Any
) -> Json:
    """A `chargingProfile` of 2.x; fields of its schedule go there."""
    schedule: Json = {
        "id": 1,
        "startSchedule": start.isoformat(),
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": begin_s, "limit": limit} for begin_s, limit in limits],
    }
    if fields.get("chargingProfileKind") == "Relative":
        del schedule["startSchedule"]
    schedule |= {key: fields.pop(key) for key in ("duration",) if key in fields}
    return {
        "id": 1,
        "stackLevel": 1,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
    } | fields
