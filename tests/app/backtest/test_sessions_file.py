"""`smartcharge backtest sessions`: a plain file in, scores by model and hour out, errors that name what is wrong."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main

HEAD = "session_id,evse_id,user_id,arrival,departure,energy_kwh,max_kw,requested_kwh,stated_departure\n"
SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "acn_jpl_2019-09_4weeks.csv"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "sessions", *(str(argument) for argument in arguments)])
    out, err = capsys.readouterr()
    status = ended.value.code
    return (status if isinstance(status, int) else 0), out, err


def a_home(days: int = 40) -> Path:
    """Two drivers with habits: one stays for a night and takes much, the other for an evening."""
    rng, lines = np.random.default_rng(3), []
    for day in range(days):
        for user, hour, stay_h, kwh in (("ada", 18, 13.0, 30.0), ("ben", 18, 3.0, 8.0)):
            arrival = datetime(2026, 3, 1, hour, tzinfo=UTC) + timedelta(days=day, minutes=float(rng.uniform(0, 60)))
            departure = arrival + timedelta(hours=stay_h + float(rng.normal(0, 0.3)))
            energy_kwh = kwh * float(rng.uniform(0.8, 1.2))
            lines.append(f"{day}-{user},home,{user},{arrival},{departure},{energy_kwh},11,,\n")
    path = Path("home.csv")
    path.write_text(HEAD + "".join(lines), "utf-8")
    return path


def scores(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[tuple[int, str], dict[str, float]]:
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    return {(row["hour"], row["model"]): row for row in json.loads(out)["scores"]}


def test_a_driver_s_own_history_beats_that_of_the_hour(capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(capsys, a_home(), "--timezone", "Europe/Berlin")

    for model in ("similar sessions", "driver's last ten"):
        assert found[0, model]["stay_smape"] < 0.25 * found[0, "median of the hour"]["stay_smape"]
        assert found[0, model]["energy_smape"] < 0.1
    assert (0, "driver's own input") not in found  # nobody stated anything


def test_who_is_still_there_is_known_better(capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(capsys, a_home(), "--timezone", "Europe/Berlin", "--from", "2026-03-30", "--to", "2026-04-03")

    assert found[0, "similar sessions"]["sessions"] == 8
    assert found[4, "similar sessions"]["sessions"] == 4  # ben has left


def test_the_page_shows_how_the_belief_sharpens(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, a_home(30), "--timezone", "Europe/Berlin", "--html", "page.html")

    assert status == 0
    assert "similar sessions" in out
    assert "hours after plug-in" in Path("page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("1,e,,2026-03-01 08:00,2026-03-01 07:00,5,,,", "departure"),
        ("1,e,,2026-03-01 08:00,2026-03-01 17:00,much,,,", "energy_kwh"),
        ("1,e,,2026-03-01 08:00,2026-03-01 17:00,-5,,,", "energy_kwh"),
        ("1,e,,,2026-03-01 17:00,5,,,", "arrival"),
        ("1,e,,today,2026-03-01 17:00,5,,,", "today"),
        ("1,e,,0001-01-01 00:00+05:00,2026-03-01 17:00,5,,,", "is not within the years 1970 to 2200"),
        ("1,e,,2020-03-01 08:00,2026-03-01 17:00,5,,,", "2191 days after the arrival"),
        ("1,e,,2026-03-01 08:00,2026-03-01 17:00,12000,,,", "is it Wh?"),
        ("1,e,,2026-03-01 08:00,2026-03-01 17:00,5,5,,,", "more values than the first line has columns"),
        ("1,e,,2026-03-01 08:00", "departure"),
    ],
)
def test_a_row_that_cannot_be_meant_is_named(capsys: pytest.CaptureFixture[str], row: str, named: str) -> None:
    Path("wrong.csv").write_text(HEAD + row + "\n", "utf-8")

    status, _, err = run(capsys, "wrong.csv", "--timezone", "UTC")

    assert status == 2
    assert named in err
    assert "wrong.csv, line 2" in err


def test_a_moment_that_the_clock_never_showed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("spring.csv").write_text(HEAD + "1,e,,2026-03-29 02:30,2026-03-29 12:00,5,,,\n", "utf-8")

    status, _, err = run(capsys, "spring.csv", "--timezone", "Europe/Berlin")

    assert status == 2
    assert "'2026-03-29 02:30' does not exist in Europe/Berlin" in err


def test_days_far_outside_the_file_are_no_work(capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(capsys, a_home(12), "--timezone", "UTC", "--from", "0001-01-01", "--to", "9999-12-31")

    assert found[0, "similar sessions"]["sessions"] == 24


def test_a_part_that_the_country_does_not_have_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, a_home(12), "--timezone", "UTC", "--country", "DE", "--subdivision", "CA")

    assert status == 2
    assert "subdivision: 'CA' is no part of DE" in err


def test_a_clock_that_nobody_named_and_a_session_said_twice_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    row = "1,e,,2026-03-01 08:00,2026-03-01 17:00,5,,,\n"
    Path("twice.csv").write_text(HEAD + row + row, "utf-8")

    assert "--timezone" in run(capsys, "twice.csv")[2]
    assert "was there before" in run(capsys, "twice.csv", "--timezone", "UTC")[2]


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of workplace sessions is not beside this repository")
def test_the_sample_of_a_workplace_is_scored_within_the_marks(capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(capsys, SAMPLE, "--timezone", "America/Los_Angeles", "--from", "2019-09-23", "--to", "2019-09-30")

    own = found[0, "similar sessions"]
    assert own["stay_smape"] <= 0.135
    assert own["energy_smape"] <= 0.18
    assert 0.85 <= own["energy_below_p90"] <= 0.95
