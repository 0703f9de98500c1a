"""OCPP-J frames: JSON arrays in, typed frames out, before anything else sees what a station sent.

The `ocpp` package lets TypeError, RecursionError and ValueError escape on hostile frames and echoes whole messages in
its errors; here every byte string ends as one of four frames, and errors quote nothing of the message.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec

Json = dict[str, Any]

MAX_DEPTH = 12  # the deepest 1.6 message, a charging profile, nests six levels
MAX_ID = 36
MAX_ACTION = 50
NO_ID = "-1"
_BOM = b"\xef\xbb\xbf"


class Kind(IntEnum):
    """The first element of a frame."""

    CALL = 2
    RESULT = 3
    ERROR = 4


@dataclass(frozen=True, slots=True)
class Call:
    message_id: str
    action: str
    payload: Json


@dataclass(frozen=True, slots=True)
class Result:
    message_id: str
    payload: Json


@dataclass(frozen=True, slots=True)
class Error:
    message_id: str
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not OCPP. `code` None: an answer that we cannot read, which is itself never answered."""

    message_id: str
    code: str | None
    reason: str


Frame = Call | Result | Error | Malformed


def read_frame(raw: bytes) -> Frame:
    """What `raw` is; never raises. Codes are spelled as in 1.6."""
    try:
        message = msgspec.json.decode(raw.removeprefix(_BOM))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        return Malformed(NO_ID, "FormationViolation", f"no JSON: {type(error).__name__}")
    if not isinstance(message, list) or not message:
        return Malformed(NO_ID, "ProtocolError", "no JSON array with a message type")
    if _deeper_than(message, MAX_DEPTH):
        return Malformed(NO_ID, "FormationViolation", f"nested deeper than {MAX_DEPTH}")
    match message:
        case [int(kind), str(message_id), *rest] if not isinstance(kind, bool) and 1 <= len(message_id) <= MAX_ID:
            return _read_known(kind, message_id, rest)
        case [int(kind), *_] if kind in (Kind.RESULT, Kind.ERROR) and not isinstance(kind, bool):
            return Malformed(NO_ID, None, "an answer without a message id")
        case _:
            return Malformed(NO_ID, "FormationViolation", f"no message id of 1 to {MAX_ID} characters")


def call_frame(message_id: str, action: str, payload: Json) -> str:
    return _encode([Kind.CALL, message_id, action, payload])


def result_frame(message_id: str, payload: Json) -> str:
    return _encode([Kind.RESULT, message_id, payload])


def error_frame(message_id: str, code: str, description: str) -> str:
    return _encode([Kind.ERROR, message_id, code, description[:255], {}])


def _read_known(kind: int, message_id: str, rest: list[Any]) -> Frame:
    match kind:
        case Kind.CALL:
            return _read_call(message_id, rest)
        case Kind.RESULT if rest and isinstance(rest[0], dict):
            return Result(message_id, rest[0])
        case Kind.RESULT:
            return Malformed(message_id, None, "a result without a payload object")
        case Kind.ERROR:  # stations have been seen to send [4, id] alone
            code, description, *_ = [*rest, "", ""]
            return Error(message_id, str(code)[:50] or "GenericError", str(description)[:255])
        case _:
            return Malformed(message_id, "ProtocolError", f"message type {str(kind)[:20]} is unknown")


def _read_call(message_id: str, rest: list[Any]) -> Frame:
    match rest:
        case [str(action), dict(payload), *_] if 1 <= len(action) <= MAX_ACTION:
            return Call(message_id, action, payload)
        case [_, _, *_]:
            return Malformed(message_id, "FormationViolation", "the action is no text or the payload no object")
        case _:
            return Malformed(message_id, "ProtocolError", "a call has four elements")


def _deeper_than(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_deeper_than(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_deeper_than(item, levels - 1) for item in value)
    return False


def _encode(message: list[Any]) -> str:
    return msgspec.json.encode(message).decode()
