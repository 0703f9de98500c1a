"""What CitrineOS posts for a station that one of its subscriptions is about: connections, and raw OCPP frames.

It tells of both directions. The station's calls are what we want; of its own answers the one to a 1.6 StartTransaction
matters, for it numbers the transaction. The two may come in any order.
"""

from typing import Any

import msgspec

from app.csms.frames import Json, Kind
from app.csms.remote.connector import RemoteConnector
from app.errors import InvalidInputError

MAX_HALVES = 1_000  # starts without an answer, or answers without a start; older ones are given up
FROM_STATION = "cs"
FROM_CSMS = "csms"


class CitrineosEvents:
    """The events of one CitrineOS."""

    def __init__(self, connector: RemoteConnector) -> None:
        self._connector = connector
        self._starts: dict[tuple[str, str], Json] = {}  # by station and message id
        self._answers: dict[tuple[str, str], Json] = {}

    async def receive(self, station_id: str, event: str, origin: str | None, message: str | None) -> None:
        """Raises what `RemoteConnector.tell` does, and `InvalidInputError` for what is none of its events."""
        if event == "connected":
            await self._connector.note_present(station_id)
        elif event == "closed":
            await self._connector.note_absent(station_id)
        elif event == "message":
            await self._frame(station_id, origin, _frame(message))
        else:
            raise InvalidInputError("event", f"{event[:40]!r} is none of connected, closed, message")

    async def _frame(self, station_id: str, origin: str | None, frame: list[Any]) -> None:
        kind, message_id = frame[0], (station_id, str(frame[1])[:40])
        match frame:
            case [Kind.CALL, _, str(action), dict(payload)] if origin == FROM_STATION:
                if action != "StartTransaction":
                    await self._connector.tell(station_id, action, payload)
                elif (known := self._answers.pop(message_id, None)) is not None:
                    await self._connector.tell(station_id, action, payload, known)
                else:
                    _keep(self._starts, message_id, payload)
            case [Kind.RESULT, _, dict(answer)] if origin == FROM_CSMS and "transactionId" in answer:
                if (start := self._starts.pop(message_id, None)) is not None:
                    await self._connector.tell(station_id, "StartTransaction", start, answer)
                else:
                    _keep(self._answers, message_id, answer)
            case [Kind.CALL | Kind.RESULT | Kind.ERROR, *_]:
                pass  # its own calls, and answers to them: ours come to their callback
            case _:
                raise InvalidInputError("message", f"is no OCPP frame: it begins with {kind!r}"[:200])


def _frame(message: str | None) -> list[Any]:
    try:
        frame = msgspec.json.decode(message or "")
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError("message", f"is no JSON: {error}") from error
    if not isinstance(frame, list) or len(frame) < 2:
        raise InvalidInputError("message", "is no OCPP frame")
    return frame


def _keep(halves: dict[tuple[str, str], Json], message_id: tuple[str, str], payload: Json) -> None:
    if len(halves) >= MAX_HALVES:
        halves.pop(next(iter(halves)))
    halves[message_id] = payload
