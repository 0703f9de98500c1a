import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.frames import (
    Call,
    Error,
    Kind,
    Malformed,
    Result,
    ResultError,
    Send,
    call_frame,
    error_frame,
    read_frame,
    result_frame,
)
from app.csms.wire import WIRE_16, WIRE_21, WIRE_201, Wire

CODES = {"FormationViolation", "ProtocolError", None}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(max_size=10), children, max_size=5),
    max_leaves=20,
)


def test_reads_the_three_kinds_of_frames() -> None:
    assert read_frame(b'[2,"a","Heartbeat",{}]') == Call("a", "Heartbeat", {})
    assert read_frame(b'[3,"a",{"status":"Accepted"}]') == Result("a", {"status": "Accepted"})
    assert read_frame(b'[4,"a","NotSupported","no",{}]') == Error("a", "NotSupported", "no")


def test_forgives_a_byte_order_mark_and_more_elements_than_there_should_be() -> None:
    assert read_frame(b'\xef\xbb\xbf[2,"a","Heartbeat",{},null]') == Call("a", "Heartbeat", {})


def test_an_error_without_a_code_is_a_generic_one() -> None:
    assert read_frame(b'[4,"a"]') == Error("a", "GenericError", "")


@pytest.mark.parametrize(
    ("raw", "message_id", "code"),
    [
        (b"", "-1", "FormationViolation"),
        (b"hello", "-1", "FormationViolation"),
        (b"\xff\xfe", "-1", "FormationViolation"),
        (b"[NaN]", "-1", "FormationViolation"),
        (b"[" * 30_000, "-1", "FormationViolation"),
        (b"[" * 30_000 + b"]" * 30_000, "-1", "FormationViolation"),
        (b'[2,"a","A",{"x":' + b"9" * 5_000 + b"}]", "-1", "FormationViolation"),
        (b'[2,"a","A",' + b'{"x":' * 20 + b"1" + b"}" * 20 + b"]", "a", "FormationViolation"),
        (b"{}", "-1", "ProtocolError"),
        (b"[]", "-1", "ProtocolError"),
        (b'"text"', "-1", "ProtocolError"),
        (b"[2]", "-1", "FormationViolation"),
        (b'[2,7,"Heartbeat",{}]', "-1", "FormationViolation"),
        (b'[2,null,"Heartbeat",{}]', "-1", "FormationViolation"),
        (b'[2,"","Heartbeat",{}]', "-1", "FormationViolation"),
        (b'[2,"' + b"x" * 37 + b'","Heartbeat",{}]', "-1", "FormationViolation"),
        (b'[true,"a","Heartbeat",{}]', "-1", "FormationViolation"),
        (b'["2","a","Heartbeat",{}]', "-1", "FormationViolation"),
        (b'[2,"a"]', "a", "ProtocolError"),
        (b'[2,"a","Heartbeat"]', "a", "ProtocolError"),
        (b'[2,"a","Heartbeat",null]', "a", "FormationViolation"),
        (b'[2,"a","Heartbeat",[]]', "a", "FormationViolation"),
        (b'[2,"a",["Heartbeat"],{}]', "a", "FormationViolation"),
        (b'[2,"a",{},{}]', "a", "FormationViolation"),
        (b'[2,"a","",{}]', "a", "FormationViolation"),
        (b'[5,"a",{}]', "a", "ProtocolError"),
        (b'[6,"a","SEND",{}]', "a", "ProtocolError"),
        (b"[3]", "-1", None),
        (b'[3,"a"]', "a", None),
        (b'[3,"a",7]', "a", None),
        (b"[4]", "-1", None),
        (b"[4,7]", "-1", None),
    ],
)
def test_says_what_is_wrong_with_a_malformed_frame(raw: bytes, message_id: str, code: str | None) -> None:
    frame = read_frame(raw)

    assert isinstance(frame, Malformed)
    assert (frame.message_id, frame.code) == (message_id, code)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_one_of_four_frames(raw: bytes) -> None:
    frame = read_frame(raw)

    assert isinstance(frame, Call | Result | Error | Malformed)
    assert not isinstance(frame, Malformed) or frame.code in CODES


@given(st.lists(st.sampled_from([2, 3, 4, 5, "a", "Heartbeat", {}, {"x": 1}, [], None, True]), max_size=6))
def test_any_shuffled_frame_is_one_of_four_frames(parts: list[object]) -> None:
    frame = read_frame(json.dumps(parts).encode())

    assert isinstance(frame, Call | Result | Error | Malformed)


def test_writes_what_it_reads() -> None:
    assert read_frame(call_frame("a", "Reset", {"type": "Soft"}).encode()) == Call("a", "Reset", {"type": "Soft"})
    assert read_frame(result_frame("a", {}).encode()) == Result("a", {})
    assert read_frame(error_frame("a", "NotImplemented", "x" * 300).encode()) == Error("a", "NotImplemented", "x" * 255)


@pytest.mark.parametrize("wire", [WIRE_201, WIRE_21])
@pytest.mark.parametrize(
    ("raw", "message_id", "code"),
    [
        (b"hello", "-1", "RpcFrameworkError"),
        (b"{}", "-1", "RpcFrameworkError"),
        (b'[2,7,"Heartbeat",{}]', "-1", "RpcFrameworkError"),
        (b'[2,"a","Heartbeat"]', "a", "RpcFrameworkError"),
        (b'[2,"a","Heartbeat",[]]', "a", "FormatViolation"),
        (b'[9,"a",{}]', "a", "MessageTypeNotSupported"),
    ],
)
def test_errors_are_spelled_as_the_version_does(wire: Wire, raw: bytes, message_id: str, code: str) -> None:
    frame = read_frame(raw, wire)

    assert isinstance(frame, Malformed)
    assert (frame.message_id, frame.code) == (message_id, code)


def test_only_2_1_knows_result_errors_and_sends() -> None:
    complaint, sent = b'[5,"a","FormatViolation","no",{}]', b'[6,"a","NotifyPeriodicEventStream",{}]'

    assert read_frame(complaint, WIRE_21) == ResultError("a", "FormatViolation", "no")
    assert read_frame(sent, WIRE_21) == Send("a", "NotifyPeriodicEventStream", {})
    for wire in (WIRE_16, WIRE_201):
        for raw in (complaint, sent):
            assert isinstance(read_frame(raw, wire), Malformed)


def test_a_result_that_is_no_good_is_said_so_in_2_1_and_ignored_before() -> None:
    told = read_frame(b'[3,"a"]', WIRE_21)
    ignored = read_frame(b'[3,"a"]', WIRE_201)

    assert isinstance(told, Malformed)
    assert (told.code, told.kind) == ("FormatViolation", Kind.RESULT_ERROR)
    assert isinstance(ignored, Malformed)
    assert ignored.code is None


def test_a_2_x_report_may_nest_deeper_than_any_message_of_1_6() -> None:
    raw = b'[2,"a","A",' + b'{"x":' * 15 + b"1" + b"}" * 15 + b"]"

    assert isinstance(read_frame(raw, WIRE_16), Malformed)
    assert isinstance(read_frame(raw, WIRE_201), Call)
