"""`smartcharge backup` and `restore`, as an operator types them."""

import os
from pathlib import Path

import pytest

from app.cli.main import main


@pytest.fixture(autouse=True)
def _own_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SMARTCHARGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMARTCHARGE_DATA_DIR", str(tmp_path / "data"))


def run(*arguments: object) -> int | str | None:
    """The exit status."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_a_database_goes_out_and_comes_in_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("keys", "create", "operator") == 0
    assert run("backup", tmp_path / "copy") == 0
    again = run("backup", tmp_path / "copy")
    refused = capsys.readouterr().err
    monkeypatch.setenv("SMARTCHARGE_DATA_DIR", str(tmp_path / "elsewhere"))

    restored = run("restore", tmp_path / "copy")
    run("keys", "list")

    assert (again, restored) == (1, 0)
    assert "is there already: it is not overwritten" in refused.replace("\n", " ")
    assert "operator" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("restore", tmp_path / "nothing") == 2
    assert "nothing" in capsys.readouterr().err
