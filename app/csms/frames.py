"""OCPP-J frames: JSON arrays in, typed frames out, before anything else sees what a station sent.

The `ocpp` package lets TypeError, RecursionError and ValueError escape on hostile frames and echoes whole messages in
its errors; here every byte string ends as one of six frames, and errors quote nothing of the message. What differs
between the versions is `wire`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec

from app.csms.wire import FORMAT, MESSAGE_TYPE, RPC_FRAMEWORK, UNREADABLE, WIRE_16, Wire

Json = dict[str, Any]

MAX_ID = 36
MAX_ACTION = 50
NO_ID = "-1"
_BOM = b"\xef\xbb\xbf"


class Kind(IntEnum):
    """The first element of a frame."""

    CALL = 2
    RESULT = 3
    ERROR = 4
    RESULT_ERROR = 5  # 2.1
    SEND = 6  # 2.1


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
class ResultError:
    """2.1: the station could make nothing of an answer of ours."""

    message_id: str
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Send:
    """2.1: a message that is never answered, not even with an error."""

    message_id: str
    action: str
    payload: Json


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not OCPP. `code` None: an answer that we cannot read, which this version has no way to answer.

    `kind` is the frame that says so to the station: an error, or where it was an answer, a result error.
    """

    message_id: str
    code: str | None
    reason: str
    kind: Kind = Kind.ERROR


Frame = Call | Result | Error | ResultError | Send | Malformed


def read_frame(raw: bytes, wire: Wire = WIRE_16) -> Frame:
    """What `raw` is; never raises. Codes are spelled as the version of `wire` does."""
    try:
        message = msgspec.json.decode(raw.removeprefix(_BOM))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        return Malformed(NO_ID, wire.code(UNREADABLE), f"no JSON: {type(error).__name__}")
    if not isinstance(message, list) or not message:
        return Malformed(NO_ID, wire.code(RPC_FRAMEWORK), "no JSON array with a message type")
    match message:
        case [int(kind), str(message_id), *rest] if not isinstance(kind, bool) and 1 <= len(message_id) <= MAX_ID:
            if _deeper_than(message, wire.max_depth):
                return _not_readable(kind, message_id, wire, FORMAT, f"nested deeper than {wire.max_depth}")
            return _read_known(kind, message_id, rest, wire)
        case [int(kind), *_] if kind in (Kind.RESULT, Kind.ERROR, Kind.RESULT_ERROR) and not isinstance(kind, bool):
            return Malformed(NO_ID, None, "an answer without a message id")
        case _:
            return Malformed(NO_ID, wire.code(UNREADABLE), f"no message id of 1 to {MAX_ID} characters")


def call_frame(message_id: str, action: str, payload: Json) -> str:
    return _encode([Kind.CALL, message_id, action, payload])


def result_frame(message_id: str, payload: Json) -> str:
    return _encode([Kind.RESULT, message_id, payload])


def error_frame(message_id: str, code: str, description: str, kind: Kind = Kind.ERROR) -> str:
    """`kind` may be RESULT_ERROR, for an answer that is no good; 2.1 only."""
    return _encode([kind, message_id, code, description[:255], {}])


def _read_known(kind: int, message_id: str, rest: list[Any], wire: Wire) -> Frame:
    if kind == Kind.CALL:
        return _read_call(message_id, rest, wire)
    if kind in (Kind.RESULT, Kind.ERROR) or (kind == Kind.RESULT_ERROR and wire.has_result_errors):
        return _read_answer(kind, message_id, rest, wire)
    if kind == Kind.SEND and wire.has_sends:
        call = _read_call(message_id, rest, wire)
        if isinstance(call, Call):
            return Send(message_id, call.action, call.payload)
        return Malformed(message_id, None, "no message that could be sent without an answer")
    return Malformed(message_id, wire.code(MESSAGE_TYPE), f"message type {str(kind)[:20]} is unknown")


def _read_answer(kind: int, message_id: str, rest: list[Any], wire: Wire) -> Frame:
    if kind == Kind.RESULT:
        if rest and isinstance(rest[0], dict):
            return Result(message_id, rest[0])
        return _not_readable(kind, message_id, wire, FORMAT, "a result without a payload object")
    code, description, *_ = [*rest, "", ""]  # stations have been seen to send [4, id] alone
    answer = Error if kind == Kind.ERROR else ResultError
    return answer(message_id, str(code)[:50] or "GenericError", str(description)[:255])


def _read_call(message_id: str, rest: list[Any], wire: Wire) -> Call | Malformed:
    match rest:
        case [str(action), dict(payload), *_] if 1 <= len(action) <= MAX_ACTION:
            return Call(message_id, action, payload)
        case [_, _, *_]:
            return Malformed(message_id, wire.code(FORMAT), "the action is no text or the payload no object")
        case _:
            return Malformed(message_id, wire.code(RPC_FRAMEWORK), "a call has four elements")


def _not_readable(kind: int, message_id: str, wire: Wire, code: str, reason: str) -> Malformed:
    """What cannot be read behind a good message id: a call is told so, an answer where the version knows how."""
    if kind == Kind.RESULT and wire.has_result_errors:
        return Malformed(message_id, wire.code(code), reason, Kind.RESULT_ERROR)
    is_answered = kind not in (Kind.RESULT, Kind.ERROR, Kind.RESULT_ERROR, Kind.SEND)
    return Malformed(message_id, wire.code(code) if is_answered else None, reason)


def _deeper_than(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_deeper_than(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_deeper_than(item, levels - 1) for item in value)
    return False


def _encode(message: list[Any]) -> str:
    return msgspec.json.encode(message).decode()
