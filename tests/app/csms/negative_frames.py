"""What a station may send that it should not, for each version, and what OCPP asks of us then.

Tables and loops over the package's schemas: nothing here knows how the gateway does it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from app.csms.commands import ANSWERED, SENT
from app.csms.connector import OcppVersion
from tests.app.csms.schema_messages import full, least

VERSIONS: tuple[OcppVersion, ...] = ("1.6", "2.0.1", "2.1")
SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}
SEND = "NotifyPeriodicEventStream"
NO_ID = "-1"

# Each version's word for what is wrong with a frame.
NO_JSON = {"1.6": "FormationViolation", "2.0.1": "RpcFrameworkError", "2.1": "RpcFrameworkError"}
NO_FRAME = {"1.6": "ProtocolError", "2.0.1": "RpcFrameworkError", "2.1": "RpcFrameworkError"}
WRONG_FORMAT = {"1.6": "FormationViolation", "2.0.1": "FormatViolation", "2.1": "FormatViolation"}
WRONG_TYPE = {"1.6": "ProtocolError", "2.0.1": "MessageTypeNotSupported", "2.1": "MessageTypeNotSupported"}
# What may be said of a payload that breaks the schema, where it is not forgiven.
WRONG_PAYLOAD = {
    "1.6": {"FormationViolation", "OccurenceConstraintViolation", "PropertyConstraintViolation"},
    "2.0.1": {"FormatViolation", "OccurrenceConstraintViolation", "PropertyConstraintViolation"},
    "2.1": {"FormatViolation", "OccurrenceConstraintViolation", "PropertyConstraintViolation"},
}


@dataclass(frozen=True)
class Case:
    """`raw` is sent as a text frame. The answer is one of four:

    ``error`` (CALLERROR with one of `codes`), ``result_error`` (CALLRESULTERROR), ``answered`` (a valid CALLRESULT of
    `action`, or a CALLERROR with one of `codes`), or ``nothing``.
    """

    name: str
    raw: bytes
    answer: Literal["error", "result_error", "answered", "nothing"]
    message_id: str = NO_ID
    codes: frozenset[str] = frozenset()
    action: str = ""


def cases(version: OcppVersion) -> list[Case]:
    """All of them, each with a name of its own."""
    return [*no_json(version), *no_frames(version), *no_answers(version), *no_actions(version), *no_payloads(version)]


def no_json(version: OcppVersion) -> Iterator[Case]:
    heartbeat = b'[2,"id","Heartbeat",{}]'
    texts: dict[str, bytes] = {
        "empty": b"",
        "a space": b" ",
        "a word": b"hello",
        "xml": b"<soap:Envelope/>",
        "a request of another protocol": b"GET / HTTP/1.1\r\n\r\n",
        "no UTF-8": b"\xff\xfe\xfd",
        "Latin-1": '[2,"id","Heartbeat",{"x":"ä"}]'.encode("latin-1"),
        "UTF-16": heartbeat.decode().encode("utf-16"),
        "an overlong encoding": b'[2,"id","Heartbeat",{"x":"\xc0\xaf"}]',
        "an encoded surrogate": b'[2,"id","Heartbeat",{"x":"\xed\xa0\x80"}]',
        "a byte order mark alone": b"\xef\xbb\xbf",
        "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + heartbeat,
        "NUL before": b"\0" + heartbeat,
        "NUL after": heartbeat + b"\0",
        "NUL in an action": b'[2,"id","Heart\0beat",{}]',
        "a line break in a string": b'[2,"id","Heart\nbeat",{}]',
        "two frames in one": heartbeat * 2,
        "one a line": heartbeat + b"\n" + heartbeat,
        "single quotes": heartbeat.replace(b'"', b"'"),
        "a comment": b"/* call */" + heartbeat,
        "a comma too many": b'[2,"id","Heartbeat",{},]',
        "a comma too few": b'[2 "id","Heartbeat",{}]',
        "a key without quotes": b'[2,"id","Heartbeat",{x:1}]',
        "NaN": b'[2,"id","Heartbeat",{"x":NaN}]',
        "Infinity": b'[2,"id","Heartbeat",{"x":Infinity}]',
        "minus infinity": b'[2,"id","Heartbeat",{"x":-Infinity}]',
        "undefined": b'[2,"id","Heartbeat",undefined]',
        "a hexadecimal number": b'[0x2,"id","Heartbeat",{}]',
        "a number with a leading zero": b'[02,"id","Heartbeat",{}]',
        "a number with a plus": b'[+2,"id","Heartbeat",{}]',
        "an integer of 5,000 digits": b'[2,"id","Heartbeat",{"x":' + b"9" * 5_000 + b"}]",
        "an exponent beyond any": b'[2,"id","Heartbeat",{"x":1e99999}]',
        "half an escape": b'[2,"id","Heart\\u12",{}]',
        "an unknown escape": b'[2,"id","Heart\\xbeat",{}]',
        "10,000 brackets": b"[" * 10_000,
        "10,000 braces": b'{"x":' * 5_000,
        "10,000 closed brackets": b"[" * 10_000 + b"]" * 10_000,
    }
    texts |= {f"cut off after {length} bytes": heartbeat[:length] for length in range(1, len(heartbeat))}
    for name, raw in texts.items():
        yield Case(name, raw, "error", codes=frozenset({NO_JSON[version]}))


def no_frames(version: OcppVersion) -> Iterator[Case]:
    """JSON, but neither call nor answer."""
    kind: Any
    action: Any
    payload: Any
    frame: list[Any]
    value: Any
    for value in (None, True, 2, 2.5, "Heartbeat", {}, {"2": "id"}, []):
        yield _framed(f"only {json.dumps(value)}", value, "error", {NO_FRAME[version]})
    for kind in (None, True, "2", 2.5, "CALL", [], {}, [2]):
        frame = [kind, "id", "Heartbeat", {}]
        yield _framed(f"message type {json.dumps(kind)}", frame, "error", {NO_JSON[version]})
    for kind in (-2, 0, 1, 7, 22, 2**31, 2**63):
        frame = [kind, "id", "Heartbeat", {}]
        yield _framed(f"message type {kind}", frame, "error", {WRONG_TYPE[version]}, "id")
    ids: dict[str, Any] = {
        "none": None,
        "7": 7,
        "1.5": 1.5,
        "true": True,
        "a list": [],
        "an object": {},
        "empty": "",
        "37": "x" * 37,
    }
    for name, message_id in (ids | {"a thousand characters": "x" * 1000}).items():
        yield _framed(f"message id {name}", [2, message_id, "Heartbeat", {}], "error", {NO_JSON[version]})
    yield _framed("a call of one element", [2], "error", {NO_JSON[version]})
    yield _framed("a call of two elements", [2, "id"], "error", {NO_FRAME[version]}, "id")
    yield _framed("a call of three elements", [2, "id", "Heartbeat"], "error", {NO_FRAME[version]}, "id")
    yield _framed("the payload in place of the action", [2, "id", {}], "error", {NO_FRAME[version]}, "id")
    for action in (None, 7, True, [], {}, "", "x" * 51, ["Heartbeat"]):
        frame = [2, "id", action, {}]
        yield _framed(f"action {json.dumps(action)[:9]}", frame, "error", {WRONG_FORMAT[version]}, "id")
    for payload in (None, 7, False, "", "{}", [], [{}]):
        frame = [2, "id", "Heartbeat", payload]
        yield _framed(f"payload {json.dumps(payload)}", frame, "error", {WRONG_FORMAT[version]}, "id")
    for opening, closing, name in (('{"x":', "}", "objects"), ("[", "]", "lists")):
        raw = f'[2,"id","Heartbeat",{{"y":{opening * 30}1{closing * 30}}}]'
        yield Case(f"30 {name} deep", raw.encode(), "error", "id", frozenset({WRONG_FORMAT[version]}))


def no_answers(version: OcppVersion) -> Iterator[Case]:
    """Answers to nothing that was asked, and frames that only 2.1 knows."""
    frame: list[Any]
    for frame in (
        [3, "never-asked", {}],
        [3, "never-asked", {"status": "Accepted"}],
        [3, "never-asked", {}, "more"],
        [4, "never-asked", "GenericError", "", {}],
        [4, "never-asked", "NoCodeOfOcpp", "", {}],
        [4, "never-asked", 7, [], None],
        [4, "never-asked"],
        [3],
        [4],
        [3, 7, {}],
        [4, None, "GenericError", "", {}],
        [3, "", {}],
        [4, "x" * 37, "GenericError", "", {}],
    ):
        yield _framed(f"{json.dumps(frame)[:60]}", frame, "nothing")
    for frame in ([3, "id"], [3, "id", None], [3, "id", []], [3, "id", "Accepted"]):
        if version == "2.1":
            yield _framed(json.dumps(frame), frame, "result_error", {WRONG_FORMAT[version]}, "id")
        else:
            yield _framed(json.dumps(frame), frame, "nothing")
    complaint, sent = [5, "id", "FormatViolation", "", {}], [6, "id", SEND, {}]
    if version == "2.1":
        for frame in (complaint, [5, "id"], [5], [5, 7, {}], sent, [6, "id", "Frobnicate", {}], [6, "id", SEND]):
            yield _framed(json.dumps(frame), frame, "nothing")
        yield _framed("a SEND without an id", [6], "error", {NO_JSON[version]})
    else:
        for frame in (complaint, sent):
            yield _framed(f"{json.dumps(frame)} of 2.1", frame, "error", {WRONG_TYPE[version]}, "id")


def no_actions(version: OcppVersion) -> Iterator[Case]:
    """Actions that nobody knows, those of other versions, and those that are ours to send."""
    known = ANSWERED[version] | SENT[version]
    others = sorted({action for every in (*ANSWERED.values(), *SENT.values()) for action in every} - known)
    strange = ["heartbeat", "HEARTBEAT", " Heartbeat", "Heartbeat ", "Heart beat", "Frobnicate", "__init__", "../etc"]
    for action in [*strange, "HeartbeatRequest", "Heartbeat.req", "answer", "Ħeartbeat", *others]:
        yield _call(action, {}, "error", {"NotImplemented"})
    for action in sorted(SENT[version] - ANSWERED[version]):
        yield _call(action, least(version, action), "error", {"NotSupported"})


WRONG: tuple[Any, ...] = (None, "", "\x00 1,5", -1, 2**31, 2**63 - 1, -(2**63), 1e300, True, [], {}, [[{}]], "x" * 3000)


def no_payloads(version: OcppVersion) -> Iterator[Case]:
    """Calls whose payload breaks its schema: without a field, with a wrong one, with one more."""
    position = 0
    for action in sorted(ANSWERED[version] - {SEND}):
        whole, needed = full(version, action, depth=2), least(version, action)
        yield _payload(version, action, "with a field that nobody knows", whole | {"noSuchField": {"x": [1]}})
        for field in needed:
            yield _payload(version, action, f"without {field}", {key: needed[key] for key in needed if key != field})
        for field in whole:
            position += 1
            wrong = WRONG[position % len(WRONG)]
            yield _payload(version, action, f"{field} is {json.dumps(wrong)[:12]}", whole | {field: wrong})
            if isinstance(whole[field], str):
                yield _payload(version, action, f"{field} is no word of OCPP", whole | {field: "Frobnicate"})


def _payload(version: OcppVersion, action: str, name: str, payload: Any) -> Case:
    case = _call(action, payload, "answered", WRONG_PAYLOAD[version])
    return Case(f"{action} {name}", case.raw, case.answer, case.message_id, case.codes, action)


def _call(action: str, payload: Any, answer: Literal["error", "answered"], codes: set[str]) -> Case:
    return _framed(f"the call {action}", [2, "id", action, payload], answer, codes, "id")


def _framed(
    name: str,
    frame: Any,
    answer: Literal["error", "result_error", "answered", "nothing"],
    codes: set[str] | None = None,
    message_id: str = NO_ID,
) -> Case:
    return Case(name, json.dumps(frame).encode(), answer, message_id, frozenset(codes or ()))
