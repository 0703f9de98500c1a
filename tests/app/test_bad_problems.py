"""Each kind of bad input is refused at both doors by the name of the field and the value, and never by a traceback."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.cli.main import main
from app.errors import InvalidInputError
from app.problem_file import read_problem
from app.problem_json import problem_from_json
from optimizer.optimise import optimise
from tests.app.api.builders import Api, an_api, wrong
from tests.app.bad_problems import WRONG, Change, rich

JSON = {"content-type": "application/json"}
NAMES = [name for name, *_ in WRONG]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with an_api() as api:
        yield api


def the_body(change: Change) -> str:
    document = rich()
    change(document)
    return json.dumps(document)  # writes NaN and Infinity as Python does: not valid JSON


def test_the_problem_that_is_changed_is_a_good_one() -> None:
    schedule = optimise(problem_from_json(rich()))

    assert schedule.status != "fallback"
    assert schedule.sessions["van"].unmet_kwh == 0


def test_there_are_many_kinds_of_bad_input() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 60


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("change", "field", "shown"), [case[1:] for case in WRONG], ids=NAMES)
async def test_the_api_names_field_and_value(api: Api, change: Change, field: str, shown: str) -> None:
    response = await api.client.post("/v1/optimize", content=the_body(change), headers=JSON)

    error = wrong(response)
    assert error["field"].startswith(field)
    assert shown in f"{error['message']} {_as_written(error)}"
    assert field in response.json()["detail"]
    assert "Traceback" not in response.text


def _as_written(error: dict[str, object]) -> str:
    value = error.get("value", "")
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize(("change", "field", "shown"), [case[1:] for case in WRONG], ids=NAMES)
def test_the_command_names_file_field_and_value(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: Change, field: str, shown: str
) -> None:
    file = tmp_path / "problem.json"
    file.write_text(the_body(change), "utf-8")

    with pytest.raises(SystemExit) as ended:
        main(["plan", str(file)])

    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert f"{file}: " in err
    assert field in err
    assert shown in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is not JSON: Expecting value at line 1, column 1"),
        (b'{"version": 1,\n "slots": }', "is not JSON: Expecting value at line 2, column 11"),
        (b"\xff\xfe", "is not UTF-8 at byte 0"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"slots": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"slots": 4, "slots": 5}', "the key 'slots' stands more than once"),
        (b"[]", "problem '[]': "),
        (b"null", "problem null: "),
        (b'{"connection": {"max_import_kw": 1e999}}', "connection.max_import_kw 'Infinity'"),
    ],
)
def test_what_is_no_problem_at_all_is_refused_with_the_files_name(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "problem.json"
    file.write_bytes(text)

    with pytest.raises(InvalidInputError) as refused:
        read_problem(file)

    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)


def test_every_error_of_a_file_is_listed(tmp_path: Path) -> None:
    document = rich() | {"colour": "blue", "slot_minutes": 7}
    document["sessions"][2]["priority"] = 0
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(document), "utf-8")

    with pytest.raises(InvalidInputError) as refused:
        read_problem(file)

    lines = str(refused.value).splitlines()
    assert lines[0] == f"{file}: more than one error"
    assert {line.split()[0] for line in lines[1:]} == {"colour", "slot_minutes", "sessions[2].priority"}


def test_a_series_of_nothing_hides_no_other_error(tmp_path: Path) -> None:
    document = rich() | {"slots": 96, "pv_kw": [None] * 96, "colour": "blue"}
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(document), "utf-8")

    with pytest.raises(InvalidInputError) as refused:
        read_problem(file)

    assert "pv_kw[0] null: Input should be a valid number (and 95 more there)" in str(refused.value)
    assert "colour 'blue': is not a known key" in str(refused.value)


def test_of_very_many_errors_the_first_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(rich() | {f"key_{number}": number for number in range(500)}), "utf-8")

    with pytest.raises(InvalidInputError) as refused:
        read_problem(file)

    assert str(refused.value).endswith("and 480 more")
    assert len(str(refused.value)) < 3_000
