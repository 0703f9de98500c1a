"""The service ends at every point where something has just become durable, or is about to; then it is started again.

Two cars, one fuse. Each run must end as the undisturbed one: the same transactions, each once and with its own meter's
energy, one charge detail record, every profile settled, and the stations holding what the store says they hold.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import app
from app.crash_points import POINTS, STATUS, VARIABLE, arm
from app.errors import InvalidInputError
from app.imports.archive import write_archive
from tests.app.db.builders import a_meter_value, a_site, a_start
from tests.e2e.builders import as_held, held_as_json, until
from tests.faults.depot import Depot, Json, a_depot, quiet
from tests.faults.serving import Command
from tests.stores import a_store

NOT_IN_A_DAY = {"migration.before_commit", "migration.after_commit", "archive.between_tables"}
IN_A_DAY = [point for point in POINTS if point not in NOT_IN_A_DAY]
GROUPS = 5  # days, each with every fifth point: as many crashes in a third of the time
APP = Path(app.__file__).parent


async def a_day(depot: Depot) -> None:
    """A car, and another one that takes room from it, which the first one's leaving gives back."""
    await depot.arrive("cs01")
    await depot.planned("cs01")
    await depot.arrive("cs02", wants_kwh=25.0, hours=3.0)  # in a hurry: the first one has to lower
    await depot.planned("cs01", "cs02")
    await depot.stations["cs01"].unplug(1)
    await depot.settled_cdr("cs01")


async def picture(depot: Depot) -> Json:
    """What is left, without the times and numbers in which two runs differ."""
    plan = await depot.planned("cs02")
    transactions, cdrs = await depot.get("/v1/transactions"), await depot.get("/v1/cdrs")
    certificates = await depot.get("/v1/sites/depot/certificates")
    profiles = {name: list(station.profiles) for name, station in depot.stations.items()}
    (completed,) = [row for row in transactions if row["stop"] is not None]
    (running,) = [row for row in transactions if row["stop"] is None]
    (delivery,) = [row for row in plan["deliveries"] if row["charging_station_id"] == "cs02"]
    (held,) = [one for one in profiles["cs02"] if one.purpose == "TxProfile"]
    metered_kwh = depot.stations["cs01"].outlets[1].energy_kwh
    return {
        "transactions": [
            (row["charging_station_id"], row["id_tag"], row["stop_reason"]) for row in (completed, running)
        ],
        "cdrs": [(row["charging_station_id"], row["transaction_id"] == completed["id"]) for row in cdrs],
        "the energy is the meter's": completed["energy_kwh"] == pytest.approx(metered_kwh, abs=0.001)
        and cdrs[0]["energy_kwh"] == pytest.approx(metered_kwh, abs=0.001),
        "held": {
            name: sorted((one.purpose, one.stack_level) for one in held_there) for name, held_there in profiles.items()
        },
        "the plan is what is held": held_as_json(held)["periods"] == as_held(delivery["profile"], 1)["periods"],
        "certified": bool(certificates),
    }


async def a_life(directory: Path, crash_at: Sequence[str] = ()) -> tuple[Json, list[int]]:
    """The picture at the end, and how each run of the service before the last had ended."""
    async with a_depot(directory, crash_at=crash_at, SMARTCHARGE_RECONCILE_S="0.3") as depot:
        await a_day(depot)

        async def certified() -> bool:
            is_over = len(depot.service.statuses) == len(crash_at)
            return is_over and bool(await depot.get("/v1/sites/depot/certificates"))

        await until(certified)
        await quiet()
        return await picture(depot), depot.service.statuses


_undisturbed: list[Json] = []  # the same for every point: lived through once a process


async def undisturbed(directory: Path) -> Json:
    if not _undisturbed:
        seen, statuses = await a_life(directory)
        assert statuses == []
        _undisturbed.append(seen)
    return _undisturbed[0]


async def test_an_undisturbed_day_leaves_what_the_others_are_compared_with(tmp_path: Path) -> None:
    assert await undisturbed(tmp_path) == {
        "transactions": [("cs01", "tag-cs01", "EVDisconnected"), ("cs02", "tag-cs02", None)],
        "cdrs": [("cs01", True)],
        "the energy is the meter's": True,
        "held": {"cs01": [("TxDefaultProfile", 0)], "cs02": [("TxDefaultProfile", 0), ("TxProfile", 1)]},
        "the plan is what is held": True,
        "certified": True,
    }


@pytest.mark.parametrize("points", [IN_A_DAY[first::GROUPS] for first in range(GROUPS)], ids=" ".join)
async def test_crashes_on_one_day_leave_what_an_undisturbed_one_does(points: list[str], tmp_path: Path) -> None:
    """Each point is reached, and the service started again after each."""
    expected = await undisturbed(tmp_path / "undisturbed")

    seen, statuses = await a_life(tmp_path / "crashed", points)

    assert statuses == [STATUS] * len(points)
    assert seen == expected


@pytest.mark.chaos
@pytest.mark.parametrize("point", IN_A_DAY)
async def test_a_crash_on_one_day_leaves_what_an_undisturbed_one_does(point: str, tmp_path: Path) -> None:
    expected = await undisturbed(tmp_path / "undisturbed")

    seen, statuses = await a_life(tmp_path / "crashed", [point])

    assert statuses == [STATUS]
    assert seen == expected


@pytest.mark.parametrize("point", ["migration.before_commit", "migration.after_commit"])
async def test_a_migration_that_was_cut_off_is_done_at_the_next_start(point: str, tmp_path: Path) -> None:
    def migrate(**environment: str) -> Command:
        return Command("migrate", log=tmp_path / "log", SMARTCHARGE_DATA_DIR=str(tmp_path), **environment)

    crashed = await migrate(SMARTCHARGE_CRASH_AT=point).ended()
    again = await migrate().ended()

    async with a_store(directory=tmp_path / "by itself") as fresh, a_store(directory=tmp_path) as store:
        assert (crashed, again) == (STATUS, 0)
        assert await store.sites() == await fresh.sites() == []
    assert schema(tmp_path) == schema(tmp_path / "by itself")


async def test_an_archive_that_was_read_in_half_is_read_whole_the_next_time(tmp_path: Path) -> None:
    async with a_store(directory=tmp_path) as store:
        await store.save_site(a_site())
        transaction, _ = await store.start_transaction(**a_start())
        await store.add_meter_values([a_meter_value(minutes) for minutes in range(50)])
        await write_archive(store, transaction.site_id, tmp_path / "archive", "csv")

    def read(**environment: str) -> Command:
        into = {"SMARTCHARGE_DATA_DIR": str(tmp_path / "elsewhere")} | environment
        return Command("import", "archive", str(tmp_path / "archive"), log=tmp_path / "log", **into)

    crashed = await read(SMARTCHARGE_CRASH_AT="archive.between_tables").ended()
    again = await read().ended()

    async with a_store(directory=tmp_path / "elsewhere") as store:
        assert (crashed, again) == (STATUS, 0)
        assert [row.started_at for row in await store.transactions()] == [transaction.started_at]
        assert len(await store.meter_values()) == 50


def test_a_point_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match=r"'plan\.after' is none of"):
        arm({VARIABLE: "plan.after"})


def test_every_point_is_somewhere_in_the_code() -> None:
    code = "\n".join(path.read_text("utf-8") for path in APP.rglob("*.py"))

    assert [point for point in POINTS if f'crash_point("{point}")' not in code] == []


def schema(directory: Path) -> list[str]:
    with closing(sqlite3.connect(directory / "smartcharge.db")) as database:
        return sorted(sql for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
