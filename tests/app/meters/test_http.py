"""A meter that answers GET, over a real socket: what is taken from its document, and what it cannot do to us."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.meters.meters import is_allowed
from app.site import Site
from tests.app.meters.meter_world import DOCUMENT, reading

SHELLY = '{"emeters": [{"power": 1200.5, "current": 5.5}, {"power": "800", "current": 3.5}], "total_power": 2000.5}'


class Meter:
    """Answers everything with `body`, and keeps what it was asked."""

    def __init__(self, body: str, status: str = "200 OK", headers: str = "") -> None:
        self.body, self.status, self.headers = body, status, headers
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = self.body.encode()
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{self.headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def served(meter: Meter) -> AsyncIterator[str]:
    server = await asyncio.start_server(meter.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/status"


def a_source(url: str, **more: Any) -> dict[str, Any]:
    return {"kind": "http", "url": url, "values": {"power": "total_power"}} | more


async def test_takes_power_and_the_current_of_each_phase() -> None:
    values = {"power": "total_power", "current_l1": "emeters.0.current", "current_l2": "emeters.1.current"}
    async with served(Meter(SHELLY)) as url, reading(a_source(url, values=values)) as told:
        measured = await told.first()

    assert (measured.site_id, measured.meter_id) == ("depot", "grid")
    assert measured.power_kw == pytest.approx(2.0005)
    assert measured.current_a == {"L1": 5.5, "L2": 3.5}


async def test_a_number_in_quotes_in_kw_and_counted_the_other_way_round_is_a_number() -> None:
    values = {"power": "emeters.1.power", "power_unit": "kW", "invert": True}
    async with served(Meter(SHELLY)) as url, reading(a_source(url, values=values)) as told:
        measured = await told.first()

    assert measured.power_kw == -800


async def test_is_asked_once_an_interval() -> None:
    meter = Meter(SHELLY)
    async with served(meter) as url, reading(a_source(url)) as told:
        await told.first(after=2)

    assert len(meter.asked) >= 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html>", "no JSON"),
        ('{"total": 1}', "there is no 'total_power'"),
        ('{"total_power": null}', "is no number"),
        ('{"total_power": true}', "is no number"),
        ('{"total_power": NaN}', "power is nan"),
        ('{"total_power": 1e999}', "power is inf"),
        ("[" * 5_000, "no JSON"),
        ('{"total_power": ' + "1" * 70_000 + "}", "more than 65536 bytes"),
    ],
)
async def test_what_is_no_value_is_never_taken_for_one(body: str, reason: str) -> None:
    async with served(Meter(body)) as url, reading(a_source(url)) as told:
        said = await told.reason()

    assert reason in said
    assert told.measured == []


async def test_follows_no_redirect() -> None:
    meter = Meter("", "302 Found", "Location: http://169.254.169.254/latest\r\n")
    async with served(meter) as url, reading(a_source(url)) as told:
        said = await told.reason()

    assert said == "it answered 302"


async def test_only_hosts_that_the_settings_name_are_spoken_to() -> None:
    meter = Meter(SHELLY)
    async with served(meter) as url, reading(a_source(url), hosts=("192.168.0.0/16",)) as told:
        said = await told.reason()

    assert said == "SMARTCHARGE_METER_HOSTS does not name 127.0.0.1"
    assert meter.asked == []


async def test_the_secret_goes_to_the_meter_and_into_no_reason() -> None:
    meter = Meter("nothing", "401 Unauthorized")
    source = {"bearer_secret": "roof"}
    async with served(meter) as url, reading(a_source(url, **source), meter_secrets={"roof": "s3cret-token"}) as told:
        said = await told.reason()

    assert "Bearer s3cret-token" in meter.asked[0]
    assert "s3cret-token" not in said
    assert url not in said


async def test_a_secret_that_is_not_there_is_named() -> None:
    async with served(Meter(SHELLY)) as url, reading(a_source(url, bearer_secret="roof")) as told:
        said = await told.reason()

    assert said == "there is no secret 'roof' in the settings"


async def test_a_meter_that_comes_back_is_read_again() -> None:
    meter = Meter("<html>")
    async with served(meter) as url, reading(a_source(url)) as told:
        await told.reason()
        meter.body = SHELLY
        await told.first()

        assert told.meters.failing == {}


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("meter.lan", True),
        ("METER.lan", True),
        ("other.lan", False),
        ("192.168.10.7", True),
        ("192.168.11.7", False),
        ("fd00::7", True),
        ("192.168.10.7.example.org", False),
    ],
)
def test_a_host_is_allowed_by_its_name_and_an_address_by_its_network(host: str, allowed: bool) -> None:
    assert is_allowed(host, ("meter.lan", "192.168.10.0/24", "fd00::/8")) == allowed


@pytest.mark.parametrize(
    ("meter", "said"),
    [
        ({"measures": "grid", "source": {"kind": "http", "url": "ftp://x", "values": {"power": "p"}}}, "url"),
        ({"measures": "grid", "source": {"kind": "http", "url": "http://x", "values": {}}}, "power or current_l1"),
        ({"measures": "grid", "source": {"kind": "mqtt", "host": "b", "topic": "a/#"}}, "topic"),
        ({"measures": "grid", "source": {"kind": "telepathy"}}, "kind"),
        ({"measures": "circuit"}, "circuit"),
        ({"measures": "circuit", "circuit": "cellar"}, "does not exist"),
        ({"measures": "grid", "interval_s": None, "source": {"kind": "modbus", "host": "m"}}, "interval_s"),
    ],
)
def test_a_meter_that_cannot_be_read_is_refused_with_the_field(meter: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Site.model_validate(DOCUMENT | {"meters": [{"id": "m", "interval_s": 1} | meter]})
