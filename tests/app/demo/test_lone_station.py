"""A simulated station by itself, as `smartcharge simulate station` runs it."""

import asyncio
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from app.clock import SystemClock
from app.demo.faults import Fault, faults_named
from app.demo.lone_station import CarWish, read_car
from tests.app.demo.small_csms import SmallCsms

NOW = datetime(2026, 6, 2, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("40kWh", CarWish(40, None, 3, 16)),
        ("7.5 kWh by 23:00", CarWish(7.5, NOW + timedelta(minutes=30), 3, 16)),
        ("40kWh by 07:00 1x32A", CarWish(40, NOW + timedelta(hours=8, minutes=30), 1, 32)),
    ],
)
def test_reads_a_car(text: str, expected: CarWish) -> None:
    assert read_car(text, NOW, UTC) == expected


@pytest.mark.parametrize("text", ["", "40", "0kWh", "40kWh by 7", "40kWh by 24:00", "40kWh by 07:00 4x16A", "-3kWh"])
def test_what_is_no_car_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        read_car(text, NOW, UTC)


def test_a_fault_that_is_none_is_named_beside_those_that_are() -> None:
    assert faults_named(["no-composite"]) == [Fault.NO_COMPOSITE]
    with pytest.raises(ValueError, match=r"'no-such' is no fault; there are forgets-profiles, .*meter-silent"):
        faults_named(["no-such"])


async def test_the_command_charges_a_car_and_ends_its_transaction_on_ctrl_c() -> None:
    async with SmallCsms.open(SystemClock()) as csms:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app", "simulate", "station", "--id", "cs07", "--url", csms.url, "--sample-s", "1"),
            *("--car", "5kWh 1x16A", "--fault", "no-composite"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(40):
            while not csms.all("MeterValues", "cs07"):  # noqa: ASYNC110 -- what is waited for is another process
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 20)

    said = out.decode()
    assert process.returncode == 0, err.decode()
    assert err.decode() == ""
    assert csms.actions("cs07")[-3:] == ["StopTransaction", "StatusNotification", "StatusNotification"]
    for words in ("cs07 is accepted", "a 1×16 A car is plugged in at 1", "draws", "transaction 1 ends at 1"):
        assert words in said
