"""CDRs as a file: CSV or Parquet by the name's ending."""

import csv
from collections.abc import Sequence
from pathlib import Path

from app.db.records import Cdr
from app.errors import InvalidInputError
from app.imports.cells import FORMULA_STARTS

COLUMNS = (
    "transaction_id",
    "charging_station_id",
    "evse_id",
    "id_tag",
    "start",
    "stop",
    "energy_kwh",
    "total_time_h",
    "parking_time_h",
    "flags",
    "charging_time_h",
    "peak_power_kw",
    "cost",
    "currency",
    "uncontrolled_cost",
    "co2_kg",
    "pv_share",
)


def write_cdrs(cdrs: Sequence[Cdr], path: Path) -> None:
    """Write one row a CDR. CSV: times in ISO 8601 UTC, flags joined by blanks, cells safe to open in a spreadsheet.

    Raises `InvalidInputError` for another ending.
    """
    match path.suffix.lower():
        case ".csv":
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows([_safe(cell) for cell in _texts(cdr)] for cdr in cdrs)
        case ".parquet":
            _write_parquet(cdrs, path)
        case other:
            raise InvalidInputError("output", f"{other or path.name!r} is none of .csv, .parquet")


def _values(cdr: Cdr) -> tuple[object, ...]:
    return (
        cdr.transaction_id,
        cdr.station_id,
        cdr.evse_id,
        cdr.id_tag,
        cdr.start,
        cdr.stop,
        cdr.energy_kwh,
        cdr.total_time_h,
        cdr.parking_time_h,
        cdr.flags,
        cdr.charging_time_h,
        cdr.peak_power_kw,
        cdr.cost,
        cdr.currency,
        cdr.uncontrolled_cost,
        cdr.co2_kg,
        cdr.pv_share,
    )


def _texts(cdr: Cdr) -> list[object]:
    values: list[object] = list(_values(cdr))
    values[4], values[5], values[9] = cdr.start.isoformat(), cdr.stop.isoformat(), " ".join(cdr.flags)
    return values


def _safe(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _write_parquet(cdrs: Sequence[Cdr], path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidInputError("output", "Parquet needs the extra: pip install 'smartcharge[parquet]'") from error
    moment = pa.timestamp("us", tz="UTC")
    types = (
        pa.int64(), pa.string(), pa.int64(), pa.string(), moment, moment, *(pa.float64(),) * 3, pa.list_(pa.string()),
        *(pa.float64(),) * 3, pa.string(), *(pa.float64(),) * 3,
    )  # fmt: skip
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    rows = [dict(zip(COLUMNS, _values(cdr), strict=True)) for cdr in cdrs]
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)
