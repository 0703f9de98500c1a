"""One connection of a simulated station: OCPP-J's calls and answers in both directions, checked by the schemas.

It is written apart from `app.csms`, on plain JSON: what the service sends is held against the protocol's own schemas
and not against our reading of them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ocpp.exceptions import OCPPError
from ocpp.messages import Call as SchemaCall
from ocpp.messages import validate_payload
from websockets.asyncio.client import ClientConnection

from app.clock import Clock

CALL, RESULT, ERROR = 2, 3, 4
PATIENCE_S = 30.0  # for an answer of the service; real seconds
FORMAT_ERROR = {"1.6": "FormationViolation"}  # 2.x spells it FormatViolation

Json = dict[str, Any]


class CallError(Exception):
    """A CALLERROR, of either side."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"{code}: {description}" if description else code)
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, when it goes out, and what the station does once it has gone. `payload` None: no answer at all."""

    payload: Json | None
    then: Callable[[], Awaitable[None]] | None = None
    delay_s: float = 0.0  # real seconds: simulated time stands still while a frame is unanswered


class Link:
    """`start` works until the connection is lost. Every call is answered in a task of its own, so that a slow answer
    never blocks a reply to us."""

    def __init__(
        self,
        connection: ClientConnection,
        version: str,
        clock: Clock,
        answer: Callable[[str, Json], Awaitable[Reply]],
    ) -> None:
        self._connection = connection
        self._version = version
        self._clock = clock
        self._answer_call = answer
        self._awaited: dict[str, asyncio.Future[Json]] = {}
        self._turn = asyncio.Lock()  # one call at a time, as the protocol asks

    async def start(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                frame = json.loads(await self._connection.recv())
                if frame[0] == CALL:
                    tasks.create_task(self._answer(*frame[1:4]))
                elif frame[0] in (RESULT, ERROR):
                    self._settle(frame)

    async def call(self, action: str, payload: Json) -> Json:
        """The answer's payload. Raises `CallError`, `TimeoutError` and `ConnectionClosed`."""
        message_id = str(uuid4())
        async with self._turn:
            answered: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
            self._awaited[message_id] = answered
            try:
                await self._send([CALL, message_id, action, payload])
                async with asyncio.timeout(PATIENCE_S):
                    return await answered
            finally:
                del self._awaited[message_id]

    def _settle(self, frame: list[Any]) -> None:
        answered = self._awaited.get(frame[1])
        if answered is None or answered.done():
            return
        if frame[0] == ERROR:
            answered.set_exception(CallError(frame[2], frame[3]))
        else:
            answered.set_result(frame[2])

    async def _answer(self, message_id: str, action: str, payload: Json) -> None:
        with self._clock.hold():
            try:
                await self._check(action, payload)
                reply = await self._answer_call(action, payload)
            except CallError as error:
                await self._send([ERROR, message_id, error.code, error.description, {}])
                return
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            if reply.payload is not None:
                await self._send([RESULT, message_id, reply.payload])
            if reply.then is not None:
                await reply.then()

    async def _check(self, action: str, payload: Json) -> None:
        try:
            await validate_payload(SchemaCall("", action, payload), self._version)
        except (OCPPError, TypeError, ValueError) as error:
            code = getattr(error, "code", "FormatViolation")
            code = FORMAT_ERROR.get(self._version, code) if code == "FormatViolation" else code
            cause = getattr(error, "details", {}).get("cause", error)
            raise CallError(code, str(cause)[:200]) from error

    async def _send(self, frame: list[Any]) -> None:
        await self._connection.send(json.dumps(frame, separators=(",", ":")))
