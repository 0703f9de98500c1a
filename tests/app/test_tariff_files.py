"""Tariffs from files of others become the tariff of a site."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.clock import SystemClock
from app.db.store import Store
from app.errors import InvalidInputError
from app.gather.prices import PriceSource
from app.site import Site
from app.tariff_files import ReadTariff, read_tariff
from forecasts.series import utc_index
from tests.forecasts.builders import sample
from tests.stores import a_store

DAYS = [[0] * 8 + [1] * 12 + [0] * 4 for _ in range(12)]
NIGHTS = [[0] * 24 for _ in range(12)]
URDB: dict[str, Any] = {
    "utility": "Some Utility",
    "name": "EV-1",
    "energyratestructure": [[{"rate": 0.1, "adj": 0.01}], [{"rate": 0.3}]],
    "energyweekdayschedule": DAYS,
    "energyweekendschedule": NIGHTS,
}


def read(tmp_path: Path, document: object) -> ReadTariff:
    file = tmp_path / "tariff.json"
    file.write_text(json.dumps(document), "utf-8")
    return read_tariff(file)


async def hourly(tariff: Any, start: str, hours: int = 24) -> list[float]:
    """By the site that has it, in local hours of New York."""
    document = {
        "id": "s",
        "name": "S",
        "time_zone": "America/New_York",
        "connection": {},
        "tariff": tariff.model_dump(),
    }
    site = Site.model_validate(document)
    async with a_store() as store:
        index = utc_index(datetime.fromisoformat(start).astimezone(UTC), 60, hours)
        priced = await PriceSource(store).of(site, index, datetime(2026, 1, 1, tzinfo=UTC))
    return [round(price, 6) for price in priced.import_price_per_kwh]


async def test_a_urdb_price_is_rate_and_adjustment_by_month_hour_and_kind_of_day(tmp_path: Path) -> None:
    urdb = read(tmp_path, {"items": [URDB]})

    assert urdb.name == "Some Utility EV-1"
    assert await hourly(urdb.tariff, "2026-06-01T00:00-04:00") == [0.11] * 8 + [0.3] * 12 + [0.11] * 4
    assert await hourly(urdb.tariff, "2026-06-06T00:00-04:00") == [0.11] * 24


async def test_urdb_months_that_differ_are_seasons(tmp_path: Path) -> None:
    summer = [[1] * 24 if 5 <= month <= 8 else [0] * 24 for month in range(12)]

    tariff = read(tmp_path, URDB | {"energyweekdayschedule": summer, "energyweekendschedule": summer}).tariff

    assert [(period.first_day, period.last_day) for period in tariff.periods[:3]] == [
        ("01-01", "05-31"), ("06-01", "09-30"), ("10-01", "12-31"),
    ]  # fmt: skip
    assert await hourly(tariff, "2026-09-30T20:00-04:00", 8) == [0.3] * 4 + [0.11] * 4


def test_urdb_demand_charges_have_their_months_and_windows(tmp_path: Path) -> None:
    peaks = [[0] * 12 + [1] * 6 + [0] * 6 if 5 <= month <= 8 else [0] * 24 for month in range(12)]
    demand = {
        "flatdemandstructure": [[{"rate": 5.0}], [{"rate": 7.5, "adj": 0.5}]],
        "flatdemandmonths": [0] * 5 + [1] * 4 + [0] * 3,
        "demandratestructure": [[{"rate": 0}], [{"rate": 12.0}]],
        "demandweekdayschedule": peaks,
        "demandweekendschedule": NIGHTS,
        "fixedchargefirstmeter": 30,
    }

    urdb = read(tmp_path, URDB | demand)

    charges = [
        (one.price_per_kw, one.first_day, one.last_day, one.start.hour, one.end.hour, one.weekdays[-1])
        for one in urdb.tariff.demand_charges
    ]
    assert charges == [
        (5.0, "01-01", "05-31", 0, 0, 6),
        (5.0, "10-01", "12-31", 0, 0, 6),
        (8.0, "06-01", "09-30", 0, 0, 6),
        (12.0, "06-01", "09-30", 12, 18, 4),
    ]
    assert urdb.warnings == ("fixedchargefirstmeter is not in a plan's prices",)


def test_urdb_tiers_become_what_a_kwh_costs_more(tmp_path: Path) -> None:
    low, high = (
        [{"rate": base, "max": 500}, {"rate": base + 0.05, "max": 900}, {"rate": base + 0.12}] for base in (0.1, 0.3)
    )

    tariff = read(tmp_path, URDB | {"energyratestructure": [low, high]}).tariff

    assert [(tier.above_kwh, tier.add_per_kwh) for tier in tariff.tiers] == [(500, 0.05), (900, 0.12)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energyratestructure": [[{"rate": 0.1, "max": 5}, {"rate": 0.2}], [{"rate": 0.3}]]}, "tiers differ"),
        ({"energyweekdayschedule": DAYS[:11]}, "12 months of 24 hours"),
        ({"energyweekdayschedule": [[7] * 24] * 12}, "IndexError"),
        ({"energyratestructure": [[{"adj": 0.1}], [{"rate": 0.3}]]}, "KeyError 'rate'"),
        ({"energyratestructure": [[{"rate": None}], [{"rate": 0.3}]]}, "cannot be read"),
    ],
)
def test_a_urdb_rate_that_cannot_be_said_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read(tmp_path, URDB | change)


@pytest.mark.parametrize("document", [[], "text", {}, {"schedule": [{"id": "x"}]}, {"schedule": 5}])
def test_what_is_no_tariff_is_refused(tmp_path: Path, document: object) -> None:
    with pytest.raises(InvalidInputError):
        read(tmp_path, document)


ACN: dict[str, Any] = {
    "name": "TOU",
    "effective": "2019-03-01",
    "schedule": [
        {
            "id": season,
            "effective_start": start,
            "effective_end": end,
            "dow_mask": mask,
            "times": [0, 8.5],
            "tariffs": [price, price + 0.1],
            "demand_charge": charge,
        }
        for season, start, end, price, charge in (
            ("summer", "06-01", "9-30", 0.2, 15.5),
            ("winter", "10-01", "05-31", 0.1, 0),
        )
        for mask in ("WEEKDAYS", "WEEKENDS")
    ],
}


async def test_an_acnportal_schedule_has_seasons_half_hours_and_a_charge_of_its_season(tmp_path: Path) -> None:
    read_one = read(tmp_path, ACN)

    assert await hourly(read_one.tariff, "2026-07-01T07:00-04:00", 4) == [0.2, 0.25, 0.3, 0.3]
    assert await hourly(read_one.tariff, "2026-01-03T07:00-05:00", 3) == [0.1, 0.15, 0.2]
    [charge] = read_one.tariff.demand_charges
    assert (charge.price_per_kw, charge.first_day, charge.last_day) == (15.5, "06-01", "09-30")


@pytest.mark.parametrize(
    "name",
    [
        "pge_a10_tou_aug_2019", "sce_tou_ev_4_march_2019", "sce_tou_ev_4_march_2019_tou_periods_shifted",
        "sce_tou_ev_8_june_2019", "sce_tou_ev_8_oct_2018",
    ],
)  # fmt: skip
def test_every_sample_of_acnportal_is_read(name: str) -> None:
    tariff = read_tariff(sample(f"tou_acnportal/{name}.json")).tariff

    assert len(tariff.periods) >= 2


def test_the_command_gives_a_site_its_tariff_or_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("SMARTCHARGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMARTCHARGE_DATA_DIR", str(tmp_path))
    site, file = tmp_path / "site.json", tmp_path / "tariff.json"
    fixed = {"kind": "fixed", "price_per_kwh": 0.3}
    site.write_text(json.dumps({"id": "s", "name": "S", "time_zone": "UTC", "connection": {}, "tariff": fixed}))
    file.write_text(json.dumps(ACN))
    for arguments in (["import", "site", site], ["import", "tariff", file, "--site", "s"]):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["import", "tariff", str(file)])
    printed = json.loads(capsys.readouterr().out)

    assert printed["kind"] == "time_of_use"
    assert len(printed["periods"]) == 4
    assert _kinds(tmp_path) == ["time_of_use"]


def _kinds(folder: Path) -> list[str]:
    import asyncio

    async def kinds() -> list[str]:
        async with Store.open(f"sqlite+aiosqlite:///{folder / 'smartcharge.db'}", SystemClock()) as store:
            return [site.tariff.kind for site in await store.sites()]

    return asyncio.run(kinds())
