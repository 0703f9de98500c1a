"""`smartcharge backtest pv`: power and weather in, scores in daylight out."""

import json
from pathlib import Path

import pandas as pd
import pytest

from app.cli.main import main
from forecasts.irradiance import weather_kw
from tests.forecasts.test_pv_weather import LATITUDE, LONGITUDE, ROOF, a_sky

WHERE = ("--latitude", LATITUDE, "--longitude", LONGITUDE, "--tilt", 30, "--azimuth", 180, "--kwp", 10)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "pv", *(str(argument) for argument in arguments)])
    out, err = capsys.readouterr()
    status = ended.value.code
    return (status if isinstance(status, int) else 0), out, err


def a_roof(**columns: float | list[float]) -> Path:
    """A month of 70 % of what the nameplate promises, in hours."""
    ghi = a_sky().resample("h").mean()
    table = pd.DataFrame({"kw": 0.7 * weather_kw([ROOF], LATITUDE, LONGITUDE, ghi), "ghi": ghi, "temp_air": 20.0})
    for name, values in columns.items():
        table[name] = values
    table.rename_axis("time").to_csv("roof.csv")
    return Path("roof.csv")


def test_the_learned_gain_beats_the_nameplate(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    status, out, _ = run(capsys, a_roof(), *WHERE, "--from", "2026-06-11", "--json", "--html", "roof.html")

    rows = {row["model"]: row for row in json.loads(out)["scores"] if row["horizon"] == "day ahead"}
    assert status == 0
    assert rows["weather, learned"]["nrmse"] < 0.5 * rows["weather, nameplate"]["nrmse"]
    assert "weather, learned" in (here / "roof.html").read_text("utf-8")


def test_a_column_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, a_roof(), *WHERE, "--value-column", "power")

    assert status == 2
    assert "has no column 'power', only ['ghi', 'kw', 'temp_air', 'time']" in err


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ghi": 3000.0}, "ghi: 3000 W/m² at"),
        ({"ghi": [-40.0] + [500.0] * 791}, "ghi: -40 at"),
        ({"kw": [-4.0] + [5.0] * 791}, "kw: -4 at"),
        ({"kw": 4000.0}, "is it W? There is --unit"),
        ({"temp_air": 293.0}, "temp_air: 293 at"),
    ],
)
def test_what_no_sun_and_no_roof_can_do_is_refused(
    capsys: pytest.CaptureFixture[str], columns: dict[str, float | list[float]], said: str
) -> None:
    status, out, err = run(capsys, a_roof(**columns), *WHERE)

    assert (status, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--latitude", 95, "--longitude", 0, "--tilt", 30, "--azimuth", 180, "--kwp", 10), "latitude: 95"),
        (("--latitude", 5, "--longitude", 0, "--tilt", 130, "--azimuth", 180, "--kwp", 10), "tilt_deg: 130"),
        ((*WHERE, "--tilt", 10), "2 tilts, 1 azimuths and 1 peaks"),
        ((*WHERE, "--unit", "MW"), "unit: 'MW' is none of kW, W"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[object, ...], said: str
) -> None:
    status, _, err = run(capsys, a_roof(), *options)

    assert status == 2
    assert said in err
