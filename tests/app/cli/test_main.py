import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.api.optimize import EXAMPLE as PROBLEM
from app.api.sites import EXAMPLE as SITE
from app.cli.main import main

ROOT = Path(__file__).parents[3]
SLOW_TO_IMPORT = (
    "pandas",
    "numpy",
    "pvlib",
    "alembic",
    "sqlalchemy",
    "fastapi",
    "plotly",
    "highspy",
    "ocpp",
    "pydantic",
)


@pytest.fixture(autouse=True)
def _own_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SMARTCHARGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMARTCHARGE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    status = ended.value.code
    return (status if isinstance(status, int) else 0), out, err


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from app.cli.main import main
try:
    main(["--help"])
except SystemExit as ended:
    heavy = [name for name in {SLOW_TO_IMPORT!r} if name in sys.modules]
    sys.exit(f"imported {{heavy}}" if heavy or ended.code else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)

    assert result.returncode == 0, result.stderr
    assert "serve" in result.stdout


def test_a_plan_goes_to_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    problem, schedule = write(tmp_path / "problem.json", json.dumps(PROBLEM)), tmp_path / "schedule.json"

    status, out, err = run(capsys, "plan", problem, "-o", schedule)

    assert (status, out) == (0, "")
    assert json.loads(schedule.read_text())["sessions"]["van"]["unmet_kwh"] == 0
    assert "all 1 sessions in full" in err
    assert "the checker passes it" in err


def test_a_plan_goes_to_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    problem = write(tmp_path / "problem.json", json.dumps(PROBLEM))

    status, out, _ = run(capsys, "plan", problem)

    assert status == 0
    assert json.loads(out)["sessions"]["van"]["unmet_kwh"] == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "problem"),
        (json.dumps(PROBLEM | {"pv_kw": [1, 2]}), "pv_kw has 2 values, the horizon has 4 slots"),
        (json.dumps(PROBLEM | {"pv_kw": float("nan")}), "pv_kw[0] 'NaN'"),
        (json.dumps(PROBLEM | {"colour": "blue"}), "problem.json: colour 'blue': is not a known key"),
    ],
)
def test_a_problem_that_is_wrong_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str
) -> None:
    status, out, err = run(capsys, "plan", write(tmp_path / "problem.json", text))

    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(capsys, "plan", tmp_path / "nowhere.json")

    assert status == 2
    assert "nowhere.json: No such file" in err


def test_without_its_solver_a_plan_is_the_fallback_and_says_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    problem = write(tmp_path / "problem.json", json.dumps(PROBLEM))

    status, _, err = run(capsys, "plan", problem, "--solver", "abacus")

    assert status == 1
    assert "abacus" in err
    assert "fallback" in err


def test_openapi_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "openapi")

    assert status == 0
    assert "/v1/sites/{site_id}/schedules" in json.loads(out)["paths"]


def test_a_key_is_created_listed_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    status, token, _ = run(capsys, "keys", "create", "fleet", "--scope", "read", "--scope", "write")
    key_id = token.split("_")[1]
    assert status == 0
    assert token.startswith("sc_")

    _, listed, _ = run(capsys, "keys", "list")
    assert "fleet" in listed
    assert token.strip() not in listed

    assert run(capsys, "keys", "revoke", key_id)[0] == 0
    status, _, err = run(capsys, "keys", "revoke", "nobody")
    assert (status, err) == (2, "Error: API key 'nobody' does not exist\n")


def test_a_scope_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "keys", "create", "fleet", "--scope", "root")

    assert status == 2
    assert "'root' is none of read, write, admin" in err


def test_the_example_site_is_imported(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "import", "site", ROOT / "docs" / "site.yaml")

    assert status == 0, err
    assert "is saved" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: [", "is no YAML at line 1"),
        ("just text", "holds a str, not a site"),
        ("", "holds a NoneType, not a site"),
        (json.dumps(SITE | {"time_zone": "Mars"}), "time_zone 'Mars': 'Mars' is no IANA time zone"),
        (json.dumps(SITE | {"colour": "blue"}), "colour 'blue': is not a known key"),
        (json.dumps(SITE | {"circuits": [{"id": "garage", "parent": "garage"}]}), "circuits[garage].parent 'garage'"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
    ],
)
def test_a_site_that_is_wrong_is_refused_with_the_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str
) -> None:
    file = write(tmp_path / "site.yaml", text)

    status, _, err = run(capsys, "import", "site", file)

    assert status == 2
    assert said in err
    assert str(file) in err
    assert err.count("\n") == 1


def test_every_error_of_a_site_is_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = SITE | {"colour": "blue", "slot_minutes": 7, "currency": "euro"}
    file = write(tmp_path / "site.json", json.dumps(wrong))

    status, _, err = run(capsys, "import", "site", file)

    first, *lines = err.splitlines()
    assert (status, first) == (2, f"Error: {file}: more than one error")
    assert {line.split(":")[0].strip() for line in lines} == {"colour 'blue'", "slot_minutes 7", "currency 'euro'"}


def test_yaml_times_and_norway_stay_what_they_say(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (
        json.dumps({key: SITE[key] for key in SITE if key != "country"})[:-1] + ', "country": NO, "nightly_at": 21:30}'
    )

    status, _, err = run(capsys, "import", "site", write(tmp_path / "site.yaml", text))

    assert status == 0, err


def test_a_stations_password_is_made_and_printed_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(capsys, "import", "site", write(tmp_path / "site.json", json.dumps(SITE)))

    status, password, err = run(capsys, "stations", "password", "cs01", "--generate")

    assert status == 0
    assert len(password.strip()) == 40
    assert password.strip() not in err


def test_a_password_for_an_unknown_station_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "stations", "password", "cs99", "--generate")

    assert (status, out) == (2, "")
    assert "cs99" in err


def test_migrate_says_where(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(capsys, "migrate")

    assert status == 0
    assert str(tmp_path / "data" / "smartcharge.db") in err.replace("\n", "")


def test_doctor_finds_a_healthy_machine_and_a_port_that_is_taken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTCHARGE_HTTP_PORT", "0")
    monkeypatch.setenv("SMARTCHARGE_OCPP_PORT", "0")
    status, out, _ = run(capsys, "doctor")
    assert status == 0, out
    assert out.count("ok ") == 4

    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        monkeypatch.setenv("SMARTCHARGE_OCPP_PORT", str(taken.getsockname()[1]))
        status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "bad OCPP port" in out


def test_a_setting_that_is_wrong_is_named_as_its_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTCHARGE_HTTP_PORT", "eighty")

    status, _, err = run(capsys, "migrate")

    assert status == 2
    assert "SMARTCHARGE_HTTP_PORT 'eighty'" in err


def test_a_database_that_does_not_answer_is_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("SMARTCHARGE_DATABASE_URL", f"postgresql+asyncpg://user:hunter2@127.0.0.1:{port}/db")

    status, _, err = run(capsys, "keys", "list")

    assert status == 1
    assert err.count("\n") == 1
    assert "hunter2" not in err


def test_nightly_plans_every_site_and_one_sites_error_stops_no_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    priceless = SITE | {"id": "priceless", "charging_stations": [], "tariff": {"kind": "series"}}
    run(capsys, "import", "site", write(tmp_path / "a.json", json.dumps(priceless)))
    run(capsys, "import", "site", write(tmp_path / "b.json", json.dumps(SITE)))

    status, every, _ = run(capsys, "nightly")
    one_status, one, _ = run(capsys, "nightly", "depot")

    assert status == 1
    assert any("priceless" in line and "failed" in line for line in every.splitlines())
    assert any("depot" in line and "optimal" in line for line in every.splitlines())
    assert one_status == 0
    assert "priceless" not in one


def test_json_of_a_demo_that_stays_up_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "demo", "--json")

    assert status == 2
    assert "--once" in err
