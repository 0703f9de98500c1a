"""Stations that take no limit of 0 pause all the same where their passport says how."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.demo.faults import Fault
from tests.e2e.builders import MORNING, Json
from tests.e2e.stepped import Model, a_stepped_depot

TARIFF: Json = {
    "kind": "time_of_use",
    "periods": [
        {
            "steps": [
                {"start": "00:00", "price_per_kwh": 0.10},
                {"start": "10:30", "price_per_kwh": 0.60},
                {"start": "11:30", "price_per_kwh": 0.10},
            ]
        }
    ],
}
DEAR_FROM, DEAR_FOR = MORNING + timedelta(minutes=27), timedelta(hours=1)


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_a_transaction_that_is_stopped_for_a_pause_goes_on_when_energy_is_cheap_again(
    version: Any, tmp_path: Path
) -> None:
    station = {
        "id": "cs01",
        "evses": [{"id": 1, "circuit": "garage"}],
        "profile": {"pause": "remote_stop", "min_limit_a": 6},
    }
    models = {"cs01": Model(version, [Fault.REJECTS_ZERO])}
    async with a_stepped_depot(tmp_path, models, tariff=TARIFF, charging_stations=[station]) as depot:
        await depot.arrive("cs01", wants_kwh=9.0, hours=6)
        await depot.pass_time(minutes=30)
        before_kwh = depot.outlets["cs01/1"].energy_kwh
        assert before_kwh > 3
        await depot.pass_time(minutes=50)
        depot.stations["cs01"].advance()
        during_kwh = depot.outlets["cs01/1"].energy_kwh - before_kwh
        await depot.pass_time(minutes=95)
        measured = depot.measured()
        transactions = await depot.get("/v1/transactions?site_id=depot")

    assert measured.violations == 0
    assert during_kwh < 0.3  # 6 A for fifty minutes would be 3.4
    assert depot.outlets["cs01/1"].energy_kwh >= 8.9
    assert len(transactions["items"] if isinstance(transactions, dict) else transactions) == 2
