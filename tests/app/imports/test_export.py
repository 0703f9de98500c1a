"""Charge detail records as a file that somebody opens in a spreadsheet."""

import csv
from pathlib import Path

import pytest

from app.db.records import Cdr
from app.imports.export import write_cdrs
from tests.app.db.builders import NOON


@pytest.mark.parametrize("id_tag", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_a_record_is_a_formula(id_tag: str, tmp_path: Path) -> None:
    cdr = Cdr(
        transaction_id=1, site_id="depot", station_id="=cs01", evse_id=1, id_tag=id_tag,
        start=NOON, stop=NOON, energy_kwh=1.0, total_time_h=1.0, parking_time_h=0.0,
    )  # fmt: skip

    write_cdrs([cdr], tmp_path / "cdrs.csv")

    with (tmp_path / "cdrs.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["charging_station_id"], row["id_tag"]) == ("'=cs01", f"'{id_tag}")
