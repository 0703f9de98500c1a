"""`smartcharge stations notices`, against an API that only remembers."""

import httpx
import pytest

from app.cli.notices import print_notices
from app.errors import InvalidInputError

URL = "http://service"
NOTICE = {"number": 7, "at": "2026-06-01T12:00:00Z", "action": "service:kept_out", "payload": {"reason": "ü"}}


def test_each_notice_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=[NOTICE])

    done = print_notices(URL, "sc_x", "cs 01", limit=5, before=9, transport=httpx.MockTransport(answer))

    assert done
    assert capsys.readouterr().out == '7  2026-06-01T12:00:00Z  service:kept_out  {"reason": "ü"}\n'
    assert str(asked[0].url) == f"{URL}/v1/charging-stations/cs%2001/notices?limit=5&before=9"
    assert asked[0].headers["authorization"] == "Bearer sc_x"


def test_a_problem_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(404, json={"title": "Not found", "detail": "cs01"}))

    assert not print_notices(URL, "k", "cs01", limit=5, transport=transport)
    assert capsys.readouterr().err == "Not found: cs01\n"


def test_a_service_that_does_not_answer_is_said_by_its_address() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(InvalidInputError, match=f"{URL} does not answer"):
        print_notices(URL, "k", "cs01", limit=5, transport=httpx.MockTransport(refuse))
