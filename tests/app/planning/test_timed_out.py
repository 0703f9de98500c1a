"""Problems that used up their time limit are kept, few of them, under names that mean nothing to a file system."""

import json
import re
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest

from app.api.optimize import EXAMPLE
from app.api.sites import EXAMPLE as SITE
from app.main import service
from app.planning.timed_out import MOST_KEPT, MOST_OF_A_MOMENT, OF_REQUESTS, OF_SITES, TimedOut, safe_name
from app.problem_json import problem_from_json
from app.settings import Settings
from tests.optimizer.builders import a_problem, a_session

AT = datetime(2026, 6, 1, 12, 30, 15, 250_000, tzinfo=UTC)
PROBLEM = a_problem(prices=[0.3, 0.1], sessions=[a_session(required_energy_kwh=5, hours=2)])


def test_the_file_holds_the_problem_and_its_name_says_site_and_time(tmp_path: Path) -> None:
    file = TimedOut(tmp_path / "data" / "timed-out").keep(PROBLEM, name="depot", at=AT)

    assert file.name == "20260601T123015.250000Z-depot.json"
    assert problem_from_json(json.loads(file.read_text("utf-8"))) == PROBLEM


def test_a_moment_of_any_offset_is_written_in_utc(tmp_path: Path) -> None:
    file = TimedOut(tmp_path).keep(PROBLEM, name="depot", at=AT.astimezone(timezone(timedelta(hours=9))))

    assert file.name.startswith("20260601T123015.250000Z")


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    file = TimedOut(tmp_path / "timed-out").keep(PROBLEM, name="depot", at=AT)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "", "a\0b", "x" * 5000, "naïve site", "CON:", "-rf", "\n", "a/b"]
)
def test_no_name_leaves_the_directory_or_breaks_it(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "timed-out"

    file = TimedOut(directory).keep(PROBLEM, name=name, at=AT)

    assert file.parent == directory
    assert list(directory.iterdir()) == [file]
    assert re.fullmatch(r"[0-9TZ.]+-[A-Za-z0-9_-]{1,40}\.json", file.name)


def test_a_name_of_letters_and_digits_stays_as_it_is() -> None:
    assert safe_name("depot-north_2") == "depot-north_2"
    assert safe_name("Dépôt 7/8") == "D_p_t_7_8"


def test_two_of_one_moment_are_both_kept(tmp_path: Path) -> None:
    timed_out = TimedOut(tmp_path)

    files = [timed_out.keep(PROBLEM, name="depot", at=AT) for _ in range(3)]

    assert len(set(files)) == 3
    assert set(tmp_path.iterdir()) == set(files)


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    taken = [f"20260601T123015.250000Z-depot{suffix}.json" for suffix in ("", *(f"-{n}" for n in range(1, 100)))]
    for name in taken:
        (tmp_path / name).write_text("mine")

    with pytest.raises(FileExistsError):
        TimedOut(tmp_path).keep(PROBLEM, name="depot", at=AT)

    assert len(taken) == MOST_OF_A_MOMENT
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys(taken, "mine")


def test_the_newest_are_kept_and_what_others_wrote_stays(tmp_path: Path) -> None:
    timed_out = TimedOut(tmp_path)
    (tmp_path / "notes.json").write_text("{}")

    files = [timed_out.keep(PROBLEM, name=f"site{n % 3}", at=AT + timedelta(hours=n)) for n in range(MOST_KEPT + 5)]

    left = set(tmp_path.iterdir())
    assert left == {*files[-MOST_KEPT:], tmp_path / "notes.json"}


def test_one_from_a_clock_that_is_behind_is_not_the_first_to_go(tmp_path: Path) -> None:
    timed_out = TimedOut(tmp_path)
    for hour in range(MOST_KEPT):
        timed_out.keep(PROBLEM, name="depot", at=AT + timedelta(hours=hour))

    late = timed_out.keep(PROBLEM, name="demo", at=AT - timedelta(days=365))

    assert late.exists()
    assert len(list(tmp_path.iterdir())) == MOST_KEPT


def test_what_was_asked_in_passing_never_pushes_out_what_a_site_met(tmp_path: Path) -> None:
    of_site = TimedOut(tmp_path / OF_SITES).keep(PROBLEM, name="depot", at=AT)
    requests = TimedOut(tmp_path / OF_REQUESTS)

    for hour in range(MOST_KEPT + 5):
        requests.keep(PROBLEM, name="optimize", at=AT + timedelta(hours=hour))

    assert of_site.exists()
    assert len(list(requests.directory.iterdir())) == MOST_KEPT


async def test_a_service_keeps_what_its_sites_meet_and_what_is_asked_below_its_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimizer.optimise.USED_UP", 0.0)  # every solve is too slow
    async with service(Settings(http_port=0, ocpp_port=0, data_dir=tmp_path)) as running:
        headers = {"Authorization": f"Bearer {await running.create_key('test')}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=60) as client:
            await client.post("/v1/sites", json=SITE)
            planned = await client.post("/v1/sites/depot/schedules", json={"dispatch": False})
            await client.post("/v1/sites/depot/simulations", json={"scenarios": [{"name": "as it is"}]})
            await client.post("/v1/optimize", json=EXAMPLE)

    of_sites = list((tmp_path / OF_SITES).glob("*.json"))  # the control loop may have planned the new site too
    warning = planned.json()["schedule"]["warnings"][-1]
    [of_site] = [file for file in of_sites if str(file) in warning]
    assert all(file.stem.endswith("Z-depot") for file in of_sites)
    assert problem_from_json(json.loads(of_site.read_text())) == problem_from_json(planned.json()["problem"])
    of_requests = [file.stem.partition("Z-")[2] for file in (tmp_path / OF_REQUESTS).glob("*.json")]
    assert sorted(of_requests) == ["depot", "optimize"]
