"""The commands that take data out and in, list what is not believed, and forget."""

import asyncio
import json
from pathlib import Path

import pytest

from app.cli.main import main
from app.clock import SystemClock
from app.db.store import Store
from app.plausibility import METER_STUCK, suspect
from tests.app.db.builders import a_cdr, a_site, a_start, at


@pytest.fixture
def database_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A site with one charge and something odd, in the database that the commands use."""
    url = f"sqlite:///{tmp_path / 'smartcharge.db'}"
    monkeypatch.setenv("SMARTCHARGE_DATABASE_URL", url)

    async def fill() -> None:
        async with Store.open(url, SystemClock()) as store:
            await store.save_site(a_site())
            transaction, _ = await store.start_transaction(**a_start())
            await store.stop_transaction(
                transaction.transaction_id, stopped_at=at(60), meter_stop_wh=9_000, reason="Local"
            )
            await store.save_cdr(a_cdr(transaction.transaction_id))
            await store.add_suspects([suspect("depot", METER_STUCK, "5 kW [red]", at=at(0), meter_id="grid")])

    asyncio.run(fill())
    return url


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        main(arguments)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    out, err = capsys.readouterr()
    return status, " ".join(out.split()), err


async def id_tags(url: str) -> list[str]:
    async with Store.open(url, SystemClock()) as store:
        return [cdr.id_tag for cdr in await store.cdrs()]


def test_a_site_goes_out_and_comes_in_elsewhere(
    capsys: pytest.CaptureFixture[str], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "archive"

    status, out, _ = run(capsys, "export", "site", "depot", "-o", str(folder), "--format", "csv")
    assert (status, "cdrs 1" in out) == (0, True)
    assert json.loads((folder / "site.json").read_text(encoding="utf-8"))["id"] == "depot"
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    monkeypatch.setenv("SMARTCHARGE_DATABASE_URL", elsewhere)
    status, out, _ = run(capsys, "import", "archive", str(folder))

    assert (status, "transactions 1, " in out) == (0, True)
    assert asyncio.run(id_tags(elsewhere)) == ["van-7"]


def test_an_archive_in_no_known_format_is_refused(
    capsys: pytest.CaptureFixture[str], database_url: str, tmp_path: Path
) -> None:
    status, _, err = run(capsys, "export", "site", "depot", "-o", str(tmp_path / "x"), "--format", "xlsx")

    assert (status, "'xlsx' is neither csv nor parquet" in err) == (2, True)


def test_what_is_not_believed_is_counted_and_listed(capsys: pytest.CaptureFixture[str], database_url: str) -> None:
    status, out, _ = run(capsys, "quarantine", "depot")

    assert status == 0
    assert "meter_stuck 1" in out
    assert "5 kW [red]" in out
    assert run(capsys, "quarantine", "depot", "--reason", "odd")[0] == 2


def test_a_driver_is_forgotten_by_command(capsys: pytest.CaptureFixture[str], database_url: str) -> None:
    status, out, _ = run(capsys, "forget-driver", "van-7", "--yes")

    [id_tag] = asyncio.run(id_tags(database_url))
    assert (status, f"Now {id_tag}: transactions 1, cdrs 1" in out) == (0, True)


def test_retention_wants_to_be_told_of_what(capsys: pytest.CaptureFixture[str], database_url: str) -> None:
    status, _, err = run(capsys, "retention")
    assert (status, "name at least one" in err) == (2, True)

    status, out, _ = run(capsys, "retention", "--site", "depot", "--quarantine-days", "1", "--id-tags-days", "1")
    assert (status, "quarantine 0, id_tags 1" in out) == (0, True)
    assert asyncio.run(id_tags(database_url))[0].startswith("forgotten-")
