"""`smartcharge backtest load`: a plain file in, scores and pictures out, and errors that name what is wrong."""

import json
from pathlib import Path

import pytest

from app.cli.main import main
from tests.forecasts.builders import BERLIN, a_site


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "load", *(str(argument) for argument in arguments)])
    out, err = capsys.readouterr()
    status = ended.value.code
    return (status if isinstance(status, int) else 0), out, err


def a_file(rows: str, name: str = "load.csv") -> Path:
    path = Path(name)
    path.write_text("time,kw\n" + rows, "utf-8")
    return path


def an_office(days: float = 40) -> Path:
    load_kw = a_site("2026-06-16 00:00", days=days, minutes=60, noise_kw=3.0)
    load_kw.rename_axis("time").rename("kw").to_csv("office.csv")
    return Path("office.csv")


def test_scores_are_printed_and_the_page_holds_its_own_script(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    status, out, _ = run(capsys, an_office(), "--timezone", BERLIN, "--from", "2026-06-14")

    assert status == 0
    assert "own history" in out
    page = (here / "backtest-load.html").read_text("utf-8")
    assert "own history" in page
    assert "plotly.js v" in page
    assert "https://cdn" not in page.split("<body>")[1]


def test_json_is_one_object_with_a_row_a_model_and_horizon(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    status, out, _ = run(capsys, an_office(), "--timezone", BERLIN, "--from", "2026-06-14", "--json")

    document = json.loads(out)
    assert status == 0
    assert {"same weekday", "own history"} <= {row["model"] for row in document["scores"]}
    assert list(here.glob("*.html")) == []


def test_from_and_to_are_local_days_half_open(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, an_office(), "--timezone", BERLIN, "--from", "2026-06-10", "--to", "2026-06-12", "--json")

    slots = {row["slots"] for row in json.loads(out)["scores"] if row["horizon"] == "day ahead"}
    assert slots == {48}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("2026-01-01T00:00:00,5\n", "line 2: time: '2026-01-01T00:00:00' has no offset: say which clock"),
        ("2026-01-01T00:00:00Z,5\nnoon,5\n", "line 3: time: 'noon' is no ISO 8601 time"),
        ("2026-01-01T00:00:00Z,five\n", "line 2: kw: 'five' is not a number"),
        ("2026-01-01T00:00:00Z,inf\n", "line 2: kw: 'inf' is not a finite number"),
        (
            "2026-01-01T00:00:00Z,5\n2026-01-01T00:00:00Z,6\n",
            "line 3: time: 2026-01-01T00:00:00+00:00 was there before",
        ),
        ("2026-01-01T00:00:00Z,5\n2026-01-01T01:00:00Z,-3\n", "-3 at 2026-01-01T01:00:00+00:00 is negative"),
        ("2026-01-01T00:00:00Z,\n", "holds nothing but gaps"),
        ("", "has no rows"),
        ("2026-01-01T00:00:00Z,1,5\n", "load.csv, line 2: has more values than the first line has columns: ['5']"),
        ("0001-01-01T00:00:00+02:00,5\n", "is not within the years 1970 to 2200"),
        ("1999-01-01T00:00:00Z,5\n2026-01-01T00:00:00Z,5\n", "is 27 years after 1999-01-01T00:00:00+00:00"),
        ("2026-01-01T00:00:00Z,1e300\n", "kw: '1e300' is too large to be meant"),
        ("2026-01-01T00:00:00Z,5\n2026-01-01T00:00:10Z,5\n2026-01-02T00:00:00Z,5\n", "has a step of 10 s"),
        ("2026-01-01T00:00:00Z,5\n2026-01-01T01:00:00Z,6\n", "holds nothing to score"),
    ],
)
def test_input_that_cannot_be_meant_is_named(capsys: pytest.CaptureFixture[str], rows: str, said: str) -> None:
    status, out, err = run(capsys, a_file(rows))

    assert (status, out) == (2, "")
    assert said in err


def test_an_hour_that_comes_a_third_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, a_file("2026-10-25T02:00:00,5\n" * 3), "--timezone", BERLIN)

    assert status == 2
    assert "line 4: time: 2026-10-25T01:00:00+00:00 was there before, in load.csv, line 3" in err


def test_a_part_that_the_country_does_not_have_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, an_office(24), "--timezone", BERLIN, "--country", "DE", "--subdivision", "CA")

    assert status == 2
    assert "subdivision: 'CA' is no part of DE" in err


def test_the_order_of_rows_and_days_far_outside_the_file_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rows = an_office(9).read_text("utf-8").splitlines()
    Path("back.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n", "utf-8")

    found = [
        json.loads(run(capsys, name, "--timezone", BERLIN, *days, "--json")[1])["scores"]
        for name, days in (
            ("office.csv", ("--from", "2026-06-07")),
            ("back.csv", ("--from", "0001-01-01", "--to", "9999-12-31")),
        )
    ]

    assert found[0] == found[1]


def test_a_local_time_that_never_was_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, a_file("2026-03-29T02:30:00,5\n"), "--timezone", BERLIN)

    assert status == 2
    assert "line 2: time: '2026-03-29T02:30:00' does not exist in Europe/Berlin" in err


def test_a_file_without_the_column_says_which_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.csv").write_text("when,power\n2026-01-01T00:00:00Z,5\n", "utf-8")

    status, _, err = run(capsys, "other.csv")

    assert status == 2
    assert "line 2: has no column 'time', only ['power', 'when']" in err
