"""`smartcharge stations call`, against an API that only remembers."""

import json
from collections.abc import Callable

import httpx
import pytest

from app.cli.call import call_station
from app.errors import InvalidInputError

URL = "http://service"
Handler = Callable[[httpx.Request], httpx.Response]


def answering(handler: Handler) -> httpx.MockTransport:
    return httpx.MockTransport(handler)


def test_the_stations_reply_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"status": "Accepted"})

    done = call_station(URL, "sc_x", "cs 01", "Reset", '{"type": "Soft"}', validate=False, transport=answering(answer))

    assert done
    assert json.loads(capsys.readouterr().out) == {"status": "Accepted"}
    assert str(asked[0].url) == f"{URL}/v1/charging-stations/cs%2001/commands/Reset?validate=false"
    assert asked[0].headers["authorization"] == "Bearer sc_x"
    assert json.loads(asked[0].content) == {"type": "Soft"}


def test_a_problem_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(504, json={"title": "Outcome unknown", "detail": "cs01: Reset was not answered"})

    done = call_station(URL, "k", "cs01", "Reset", "{}", transport=answering(answer))

    assert not done
    assert capsys.readouterr().err == "Outcome unknown: cs01: Reset was not answered\n"


@pytest.mark.parametrize("payload", ["", "{", "[]", "7", "soft"])
def test_a_payload_is_a_json_object(payload: str) -> None:
    with pytest.raises(InvalidInputError, match="payload"):
        call_station(URL, "k", "cs01", "Reset", payload)


def test_a_service_that_does_not_answer_is_said_by_its_address() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(InvalidInputError, match=f"{URL} does not answer"):
        call_station(URL, "k", "cs01", "Reset", "{}", transport=answering(refuse))
