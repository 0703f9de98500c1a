"""Energy-Charts as it replies, over a real socket, on good days and on bad ones."""

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from forecasts.errors import NotPublishedError, SourceError
from forecasts.local_days import day_slots
from forecasts.sources.energy_charts import fetch, parse
from tests.forecasts.builders import BERLIN, at, energy_charts_reply

DAY = date(2026, 4, 26)


def a_reply(prices: list[float | None], start: str = "2026-04-25 22:00", minutes: int = 15) -> dict[str, Any]:
    first = int(at(start).timestamp())
    return {
        "license_info": "CC BY 4.0",
        "unix_seconds": [first + n * minutes * 60 for n in range(len(prices))],
        "price": prices,
        "unit": "EUR / MWh",
        "deprecated": False,
    }


class Provider:
    """Answers every request with `status` and `body`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {"content-type": "application/json"}
        self.asked: list[dict[str, list[str]]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(parse_qs(urlsplit(self.path).query))
                self.send_response(provider.status)
                for name, value in provider.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(provider.body)

            def log_message(self, *_: object) -> None:
                """Not to the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def replies(self, reply: dict[str, Any]) -> None:
        self.body = json.dumps(reply).encode()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
    thread.join()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("day", "slots", "minutes"),
    [
        ("2024-07-14", 24, 60),
        ("2025-03-30", 23, 60),
        ("2025-10-01", 96, 15),
        ("2025-10-26", 100, 15),
        ("2026-03-29", 92, 15),
    ],
)
async def test_a_recorded_day_is_read_whole(
    provider: Provider, client: httpx.AsyncClient, day: str, slots: int, minutes: int
) -> None:
    provider.replies(energy_charts_reply(day))

    result = await fetch(client, "DE-LU", date.fromisoformat(day), base_url=provider.url)

    assert result.slot == timedelta(minutes=minutes)
    assert len(result.price_per_kwh) == slots
    assert result.price_per_kwh.index.equals(day_slots(date.fromisoformat(day), BERLIN, minutes))
    assert result.currency == "EUR"
    assert provider.asked == [{"bzn": ["DE-LU"], "start": [day], "end": [day]}]


def test_prices_per_mwh_become_prices_per_kwh_and_may_be_negative() -> None:
    reply = energy_charts_reply("2026-04-26")

    result = parse(reply)

    assert result.price_per_kwh.min() == pytest.approx(min(reply["price"]) / 1000)
    assert result.price_per_kwh.min() < -0.4


async def test_a_day_that_is_not_out_is_not_published(provider: Provider, client: httpx.AsyncClient) -> None:
    provider.replies(a_reply([None] * 96))

    with pytest.raises(NotPublishedError, match="no price is out"):
        await fetch(client, "DE-LU", DAY, base_url=provider.url)


async def test_half_a_day_is_refused_with_its_end(provider: Provider, client: httpx.AsyncClient) -> None:
    provider.replies(a_reply([50.0] * 48 + [None] * 48))

    with pytest.raises(NotPublishedError, match=r"end at 2026-04-26T10:00:00\+00:00: the day is not whole"):
        await fetch(client, "DE-LU", DAY, base_url=provider.url)


def test_nulls_at_the_end_are_left_off() -> None:
    result = parse(a_reply([50.0, 60.0, None, None]))

    assert result.price_per_kwh.tolist() == [0.05, 0.06]
    assert result.until == at("2026-04-25 22:30")


def test_a_null_between_prices_is_never_filled() -> None:
    with pytest.raises(SourceError, match=r"no price for 2026-04-25T22:15"):
        parse(a_reply([50.0, None, 60.0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "EUR / kWh"}, "not per MWh"),
        ({"unit": None}, "cannot be read"),
        ({"price": [1.0]}, "cannot be read"),
        ({"price": ["cheap", "dear"]}, "cannot be read"),
        ({"unix_seconds": [1777154400, 1777154400]}, "twice"),
        ({"unix_seconds": [1777154400]}, "cannot be read"),
    ],
)
def test_a_reply_that_changed_its_shape_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse(a_reply([50.0, 60.0]) | change)


def test_intervals_of_two_lengths_are_refused() -> None:
    reply = a_reply([50.0, 60.0, 70.0])
    reply["unix_seconds"][2] += 900

    with pytest.raises(SourceError, match=r"not of one length, but of \[900, 1800\] s"):
        parse(reply)


async def test_too_many_requests_say_for_how_long_to_wait(provider: Provider, client: httpx.AsyncClient) -> None:
    provider.status, provider.headers = 429, {"retry-after": "60"}

    with pytest.raises(SourceError, match="energy-charts: status 429, retry after 60 s"):
        await fetch(client, "DE-LU", DAY, base_url=provider.url)


async def test_what_is_no_json_is_refused(provider: Provider, client: httpx.AsyncClient) -> None:
    provider.body = b"<html>maintenance</html>"

    with pytest.raises(SourceError, match="no JSON"):
        await fetch(client, "DE-LU", DAY, base_url=provider.url)


async def test_a_list_where_an_object_was_is_refused(provider: Provider, client: httpx.AsyncClient) -> None:
    provider.body = b"[]"

    with pytest.raises(SourceError, match="cannot be read"):
        await fetch(client, "DE-LU", DAY, base_url=provider.url)


async def test_a_provider_that_is_away_is_named(client: httpx.AsyncClient) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening

        with pytest.raises(SourceError, match="energy-charts: no answer: ConnectError"):
            await fetch(client, "DE-LU", DAY, base_url=f"http://127.0.0.1:{nobody.getsockname()[1]}")
