"""A site's own sessions scored: with what its stations recorded, and what was said and measured by each moment."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.backtest.site import backtest_site
from app.backtest.site_sessions import sessions_of
from app.clock import SteppedClock
from app.db.records import MeterValue, Transaction, Wish
from app.db.store import Store
from app.gather.charged import POWER, REGISTER
from app.site import Site
from tests.app.api.builders import NOW, SITE, an_api
from tests.stores import a_store

DEPOT = Site.model_validate(SITE)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = NOW - 10 * DAY


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(DEPOT)
        yield store


async def a_stay(
    store: Store, started_at: datetime, hours: float, kwh: float, *, user: str = "ada", evse: str = "cs01"
) -> Transaction:
    row, _ = await store.start_transaction(
        station_id=evse, evse_id=1, id_tag=user, started_at=started_at, meter_start_wh=1000.0
    )
    row, _ = await store.stop_transaction(
        row.transaction_id, stopped_at=started_at + hours * HOUR, meter_stop_wh=1000 + 1000 * kwh, reason="Local"
    )
    return row


async def habits(store: Store, days: int = 30) -> None:
    """Two drivers who come at the same hour: one stays for long and takes much, the other neither."""
    midnight = NOW.replace(hour=0)
    for day in range(1, days + 1):
        await a_stay(store, midnight - day * DAY + 6 * HOUR, 9.0 + 0.1 * (day % 3), 30.0 + day % 4)
        await a_stay(store, midnight - day * DAY + 6 * HOUR, 2.0 + 0.1 * (day % 3), 8.0, user="ben", evse="cs02")


def by_model(rows: list[Any]) -> dict[tuple[int, str], dict[str, Any]]:
    return {(row["hour"], row["model"]): row for row in rows}


async def test_sessions_of_drivers_with_habits_are_foreseen(store: Store) -> None:
    await habits(store)

    result = await backtest_site(store, DEPOT, NOW, first_day=date(2026, 5, 25), with_trees=False)

    [table] = result.more
    rows = by_model(list(table.rows))
    own, hour = rows[0, "similar sessions"], rows[0, "median of the hour"]
    assert own["sessions"] == 14  # seven days, two drivers; today is not over
    assert own["stay_smape"] < 0.1 < hour["stay_smape"]
    assert own["energy_smape"] < 0.1 < hour["energy_smape"]
    assert own["energy_below_p90"] > 0.8
    assert rows[4, "similar sessions"]["sessions"] == 7  # ben has left
    assert "sessions: how the belief sharpens while a car stays" in {picture.title for picture in result.pictures}
    assert "energy_below_p90" in result.as_text()
    assert "Below its P90" in result.as_page()


async def test_a_wish_is_known_from_the_moment_on_at_which_it_was_said(store: Store) -> None:
    row = await a_stay(store, START, 8.0, 20.0)
    said_at = START + timedelta(minutes=90)
    await store.save_wish(Wish("w", "depot", START + 9 * HOUR, 25.0, said_at, id_tag="ada"))

    known = await sessions_of(store, DEPOT, START - DAY, NOW)

    assert known.transactions == [row]
    assert [known.seen(0, hour)[0].requested_kwh for hour in (0, 1, 2, 4)] == [None, None, 25.0, 25.0]


async def test_a_wish_that_the_car_before_claimed_is_not_that_of_the_next(store: Store) -> None:
    await store.save_wish(Wish("w", "depot", START + 20 * HOUR, 25.0, START - HOUR, station_id="cs01", evse_id=1))
    await a_stay(store, START, 2.0, 10.0)
    await a_stay(store, START + 3 * HOUR, 2.0, 10.0, user="ben")

    known = await sessions_of(store, DEPOT, START - DAY, NOW)

    assert [known.seen(position, 0)[0].requested_kwh for position in (0, 1)] == [25.0, None]


@pytest.mark.parametrize(
    ("measurand", "unit", "values", "taken"),
    [
        (REGISTER, "Wh", [1000.0, 4000.0, 9000.0], (3.0, 8.0)),
        (POWER, "W", [6000.0, 2000.0, 0.0], (6.0, 8.0)),
    ],
)
async def test_energy_by_a_moment_is_what_had_been_measured_by_then(
    store: Store, measurand: str, unit: str, values: list[float], taken: tuple[float, float]
) -> None:
    row = await a_stay(store, START, 5.0, 20.0)
    await store.add_meter_values(
        [
            MeterValue("cs01", 1, START + n * HOUR, measurand, value, unit, row.transaction_id)
            for n, value in enumerate(values)
        ]
    )

    known = await sessions_of(store, DEPOT, START - DAY, NOW)

    assert [known.seen(0, hour)[1] for hour in (1, 2)] == pytest.approx(taken)


async def test_a_stay_of_which_nothing_was_measured_had_taken_nothing_that_is_known(store: Store) -> None:
    await a_stay(store, START, 5.0, 20.0)

    known = await sessions_of(store, DEPOT, START - DAY, NOW)

    assert known.seen(0, 4)[1] == 0.0


async def test_who_took_next_to_nothing_is_not_scored(store: Store) -> None:
    await a_stay(store, START, 5.0, 0.1)

    known = await sessions_of(store, DEPOT, START - DAY, NOW)

    assert known.scores([START.date()], "UTC") == []
    assert len(known.frame) == 1


async def test_the_api_answers_with_a_site_s_sessions() -> None:
    async with an_api() as api:
        await habits(api.store, days=20)

        reply = await api.client.get("/v1/sites/depot/forecast-quality", params={"days": 3})

    assert reply.status_code == 200, reply.text
    rows = by_model(reply.json()["sessions"])
    assert rows[0, "driver's last ten"]["sessions"] == 6
    assert 0 <= rows[0, "similar sessions"]["stay_smape"] < 0.2
