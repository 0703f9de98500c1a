"""A site with all its history as a folder of files, one a table, CSV or Parquet; and back in, into any database.

Read back twice is as good as once. Numbers of transactions stay as they are where they are free.
"""

import csv
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import Table

from app.crash_points import crash_point
from app.db.archive_rows import ARCHIVED, CHUNK, Row
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError
from app.imports.cells import from_cell, from_parquet, kind_of, to_cell, to_parquet
from app.site import Site

SITE = "site.json"
Format = Literal["csv", "parquet"]
Counts = dict[str, int]


async def write_archive(store: Store, site_id: str, folder: Path, form: Format) -> Counts:
    """Rows written, by table. Raises `InvalidInputError` for a folder that holds something already."""
    site = await store.site(site_id)
    await store.flush()
    _begin(folder, site)
    write = _write_csv if form == "csv" else _write_parquet
    return {
        name: await write(folder / f"{name}.{form}", table, store.archived(table, site_id))
        for name, table in ARCHIVED.items()
    }


async def read_archive(store: Store, folder: Path) -> Counts:
    """New rows, by table. A site that is there keeps its document; else that of the archive is saved.

    Raises `InvalidInputError` with file and value for what is no archive.
    """
    site = _site(folder / SITE)
    try:
        await store.site(site.id)
    except NotFoundError:
        await store.save_site(site)
    numbers: dict[int, int] = {}
    counts = {}
    for name, table in ARCHIVED.items():
        new = 0
        for rows in _chunks(_rows(folder, name, table)):
            if name == "transactions":
                given = await store.restore_transactions(rows)
                numbers |= given
                new += len(given)
                continue
            renumbered = [_renumbered(row, numbers) for row in rows]
            new += await store.restore(table, renumbered)
        counts[name] = new
        crash_point("archive.between_tables")
    return counts


def _begin(folder: Path, site: Site) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInputError("output", f"{str(folder)!r} is there and not empty")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SITE).write_text(site.model_dump_json(indent=2), encoding="utf-8")


def _renumbered(row: Row, numbers: dict[int, int]) -> Row:
    known = row.get("transaction_id")
    return row if known is None else row | {"transaction_id": numbers.get(known, known)}


def _site(path: Path) -> Site:
    if not path.is_file():
        raise InvalidInputError("folder", f"{str(path.parent)!r} holds no {SITE}: it is no archive")
    try:
        return Site.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidInputError("folder", f"{str(path)!r} is no site: {error.errors()[0]['msg']}") from error


def _rows(folder: Path, name: str, table: Table) -> Iterator[Row]:
    for form, read in (("csv", _read_csv), ("parquet", _read_parquet)):
        path = folder / f"{name}.{form}"
        if path.is_file():
            return read(path, table)
    raise InvalidInputError("folder", f"{str(folder)!r} holds neither {name}.csv nor {name}.parquet")


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _write_csv(path: Path, table: Table, chunks: AsyncIterator[list[Row]]) -> int:
    kinds = {column.name: kind_of(column) for column in table.columns}
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(kinds)
        async for chunk in chunks:
            writer.writerows([to_cell(kind, row[name]) for name, kind in kinds.items()] for row in chunk)
            count += len(chunk)
    return count


def _read_csv(path: Path, table: Table) -> Iterator[Row]:
    kinds = {column.name: kind_of(column) for column in table.columns}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        _require_columns(path, list(kinds), reader.fieldnames or [])
        for cells in reader:
            try:
                yield {name: from_cell(kind, cells[name]) for name, kind in kinds.items()}
            except (TypeError, ValueError) as error:
                raise InvalidInputError("folder", f"{path.name} line {reader.line_num}: {error}") from error


async def _write_parquet(path: Path, table: Table, chunks: AsyncIterator[list[Row]]) -> int:
    pa, parquet = _pyarrow()
    kinds = {column.name: kind_of(column) for column in table.columns}
    types = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "moment": pa.timestamp("us", tz="UTC"),
        "yes_or_no": pa.bool_(),
        "document": pa.string(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        async for chunk in chunks:
            rows = [{name: to_parquet(kind, row[name]) for name, kind in kinds.items()} for row in chunk]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(chunk)
    return count


def _read_parquet(path: Path, table: Table) -> Iterator[Row]:
    pa, parquet = _pyarrow()
    kinds = {column.name: kind_of(column) for column in table.columns}
    try:
        file = parquet.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InvalidInputError("folder", f"{path.name} is no Parquet file: {error}") from error
    _require_columns(path, list(kinds), file.schema_arrow.names)
    for batch in file.iter_batches(batch_size=CHUNK):
        for row in batch.to_pylist():
            yield {name: from_parquet(kind, row[name]) for name, kind in kinds.items()}


def _require_columns(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise InvalidInputError("folder", f"{path.name} has no column {missing[0]!r}")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidInputError("format", "Parquet needs the extra: pip install 'smartcharge[parquet]'") from error
    return pyarrow, parquet
