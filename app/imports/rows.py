"""Rows of a file, one dict at a time, with progress: Parquet, CSV or JSON lines by the name's ending.

CSV and JSON lines may be gzipped: `.csv.gz`.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from app.errors import InvalidInputError

Row = dict[str, Any]
Progress = Callable[[int, int], None]  # done, of; in bytes or rows, whichever the format knows
QUOTED = 20  # how many unreadable rows are quoted; all are counted
QUOTE_LENGTH = 200
KEPT = 10_000  # rows that go into the quarantine; a file with more is of another kind than it was said to be
KEPT_LENGTH = 500


def no_progress(done: int, of: int) -> None:
    """For callers that show none."""


@dataclass(slots=True)
class Skipped:
    """Rows that could not be read, or only with a word about it: all counted, the first quoted with the reason.

    `kept` are (where, reason, text) of the first `KEPT`, for the quarantine.
    """

    count: int = 0
    quotes: list[str] = field(default_factory=list)
    kept: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, where: str, row: object, reason: str) -> None:
        self.count += 1
        if len(self.kept) < KEPT:
            text = row if isinstance(row, str) else repr(row)
            self.kept.append((where, reason, text[:KEPT_LENGTH]))
            if len(self.quotes) < QUOTED:
                self.quotes.append(f"{where}: {reason}: {text[:QUOTE_LENGTH]}")


def read_rows(path: Path, skipped: Skipped, progress: Progress = no_progress) -> Iterator[tuple[str, Row]]:
    """(place, row) of each readable row. Raises `InvalidInputError` for a file that is missing or of no known kind."""
    if not path.is_file():
        raise InvalidInputError("file", f"{str(path)!r} does not exist")
    ending = path.suffix.lower()
    match Path(path.stem).suffix.lower() if ending == ".gz" else ending:
        case ".parquet" if ending != ".gz":
            yield from _parquet(path, progress)
        case ".csv":
            yield from _csv(path, progress)
        case ".jsonl" | ".ndjson" | ".json":
            yield from _json_lines(path, skipped, progress)
        case other:
            raise InvalidInputError(
                "file",
                f"{other or path.name!r} is none of .parquet, .csv, .jsonl, .ndjson, nor gzipped .csv.gz, .jsonl.gz",
            )


def _parquet(path: Path, progress: Progress) -> Iterator[tuple[str, Row]]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InvalidInputError("file", "Parquet needs the extra: pip install 'smartcharge[parquet]'") from error
    try:
        file = ParquetFile(path)
    except ArrowInvalid as error:
        raise InvalidInputError("file", f"{str(path)!r} is no Parquet file: {error}") from error
    number = 0
    for batch in file.iter_batches(batch_size=5_000):
        for row in batch.to_pylist():
            number += 1
            yield f"row {number}", row
        progress(number, file.metadata.num_rows)


def _csv(path: Path, progress: Progress) -> Iterator[tuple[str, Row]]:
    with _lines(path, progress, encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        try:
            for row in reader:
                yield f"line {reader.line_num}", row
        except csv.Error as error:
            raise InvalidInputError("file", f"{str(path)!r}: line {reader.line_num + 1} is no CSV: {error}") from error


def _json_lines(path: Path, skipped: Skipped, progress: Progress) -> Iterator[tuple[str, Row]]:
    with _lines(path, progress, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = _json(line)
            except (ValueError, RecursionError) as error:
                skipped.add(f"line {number}", line.rstrip(), f"not JSON ({error})")
                continue
            if isinstance(row, dict):
                yield f"line {number}", row
            else:
                skipped.add(f"line {number}", line.rstrip(), "not an object")


def _json(line: str) -> Any:
    """The fast reader takes what the standard has; the slow one also what Python writes, such as NaN."""
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return json.loads(line)


@contextmanager
def _lines(path: Path, progress: Progress, *, encoding: str) -> Iterator[Iterator[str]]:
    """The lines of a text file. Progress is counted in its bytes as they are on the disk."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        whole = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw
        with io.TextIOWrapper(whole, encoding=encoding, newline="") as text:
            yield _counted(text, raw, path, progress)
    progress(size, size)


def _counted(lines: Iterable[str], raw: IO[bytes], path: Path, progress: Progress) -> Iterator[str]:
    size = path.stat().st_size
    try:
        for number, line in enumerate(lines):
            if number % 1_000 == 0:
                progress(min(raw.tell(), size), size)
            yield line
    except UnicodeDecodeError as error:
        raise InvalidInputError("file", f"{str(path)!r} is not UTF-8: {error}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInputError("file", f"{str(path)!r} is no whole gzip file: {error}") from error
