"""`smartcharge plan`: words and JSON, the comparison, reasons, and problems that took too long."""

import io
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from app.api.optimize import EXAMPLE
from app.cli.main import main
from app.planning.solving import BASELINE_NAMES


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMARTCHARGE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    """Two vans behind a connection that is too small for both."""
    document = deepcopy(EXAMPLE)
    document["connection"]["max_import_kw"] = 17
    document["evses"].append(document["evses"][0] | {"id": "cs02/1"})
    document["sessions"].append(document["sessions"][0] | {"id": "other", "evse": "cs02/1", "required_energy_kwh": 30})
    return write(tmp_path / "problem.json", document)


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document), "utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    with pytest.raises(SystemExit) as ended:
        main(["plan", *(str(argument) for argument in arguments)])
    out, err = capsys.readouterr()
    status = ended.value.code
    return (status if isinstance(status, int) else 0), out, err


def test_the_comparison_is_a_table_beside_the_schedule(capsys: pytest.CaptureFixture[str], problem: Path) -> None:
    status, out, err = run(capsys, problem)

    assert status == 0
    assert json.loads(out)["status"] in ("optimal", "feasible")
    rows = [
        line for line in err.splitlines() if line.startswith(("Policy", "this plan", "uncontrolled", "equal share"))
    ]
    assert [row.split("  ")[0] for row in rows] == ["Policy", "this plan", "uncontrolled", "equal share"]
    assert "Rules broken" in rows[0]
    assert rows[2].split()[-1] != "0"  # full power on arrival breaks the connection's limit
    assert rows[1].split()[-1] == rows[3].split()[-1] == "0"


def test_every_baseline_can_be_asked_for_by_name(capsys: pytest.CaptureFixture[str], problem: Path) -> None:
    chosen = [argument for name in BASELINE_NAMES for argument in ("--baseline", name)]

    status, out, err = run(capsys, problem, *chosen)

    assert status == 0
    assert set(json.loads(out)["baselines"]) == set(BASELINE_NAMES)
    assert all(name.replace("_", " ") in err for name in BASELINE_NAMES)


def test_a_baseline_that_nobody_knows_is_refused_by_name(capsys: pytest.CaptureFixture[str], problem: Path) -> None:
    status, out, err = run(capsys, problem, "--baseline", "magic")

    assert (status, out) == (2, "")
    assert "baselines 'magic' is none of uncontrolled" in err


def test_reasons_are_words(capsys: pytest.CaptureFixture[str], problem: Path) -> None:
    status, out, _ = run(capsys, problem, "--explain")

    assert status == 0
    assert out.startswith("Not met\n  other goes 6.82 kWh short; what would help: 1.7 kW more at connection")
    assert "cs01/1\n  van: one more kWh costs " in out
    assert "Limits of the site that cost money" in out


def test_reasons_for_one_evse_are_for_no_other(capsys: pytest.CaptureFixture[str], problem: Path) -> None:
    _, out, _ = run(capsys, problem, "--evse", "cs02/1")

    assert "cs02/1\n" in out
    assert "cs01/1\n" not in out


def test_reasons_are_json_where_that_is_asked_for(capsys: pytest.CaptureFixture[str], problem: Path) -> None:
    _, out, _ = run(capsys, problem, "--explain", "--json")

    answer = json.loads(out)
    assert set(answer["reasons"]["evses"]) == {"cs01/1", "cs02/1"}
    assert answer["reasons"]["unmet"][0]["cheapest"]["kind"] == "more_power"


def test_with_a_file_for_the_schedule_the_words_still_come(
    capsys: pytest.CaptureFixture[str], problem: Path, tmp_path: Path
) -> None:
    _, out, err = run(capsys, problem, "--explain", "-o", tmp_path / "schedule.json")

    assert "one more kWh costs" in out
    assert json.loads((tmp_path / "schedule.json").read_text())["reasons"]["sessions"].keys() == {"van", "other"}
    assert "Schedule written to" in err


def test_an_evse_that_is_not_there_is_refused_by_name(capsys: pytest.CaptureFixture[str], problem: Path) -> None:
    status, out, err = run(capsys, problem, "--evse", "cs09/1")

    assert (status, out) == (2, "")
    assert "evse: 'cs09/1' is no EVSE of the problem" in err


def test_words_with_brackets_are_printed_as_they_are(
    capsys: pytest.CaptureFixture[str], problem: Path, tmp_path: Path
) -> None:
    document = json.loads(problem.read_text())
    document["sessions"][0]["id"] = "[red]van[/]"

    status, out, _ = run(capsys, write(tmp_path / "marked.json", document), "--explain")

    assert status == 0
    assert "[red]van[/]: one more kWh" in out


def test_a_problem_from_standard_input_that_took_too_long_is_kept_and_solved_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, problem: Path, data_dir: Path
) -> None:
    hurried = json.loads(problem.read_text()) | {"settings": {"time_limit_s": 1e-6}}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(hurried).encode())))

    status, out, err = run(capsys, "-", "--explain", "--json")

    [file] = (data_dir / "timed-out" / "requests").iterdir()
    answer = json.loads(out)
    assert status == (1 if answer["status"] == "fallback" else 0)
    assert sum(sum(evse["power_kw"]) for evse in answer["evses"].values()) > 0  # never empty-handed
    command = f"plan {file} --time-limit 60"
    assert f"Warning: the time limit of 1e-06 s was used up: smartcharge {command} solves the problem again" in err

    again, _, err = run(capsys, *command.split()[1:])
    assert again == 0
    assert "the checker passes it" in err


def test_a_file_that_took_too_long_is_not_kept_twice(
    capsys: pytest.CaptureFixture[str], problem: Path, data_dir: Path
) -> None:
    _, _, err = run(capsys, problem, "--time-limit", "0.001")

    assert f"smartcharge plan {problem} --time-limit 60 solves the problem again" in err
    assert not data_dir.exists()


def test_what_is_wrong_on_standard_input_is_named_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))

    status, _, err = run(capsys, "-")

    assert status == 2
    assert err.startswith("Error: standard input: more than one error\n  version: is missing\n")
