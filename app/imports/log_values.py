"""The meter values of a log, read by the gateway's own rules: the fast ones where a message is as it should be."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from app.csms.hot_messages import METER_VALUES_16
from app.csms.hot_values import samples_of
from app.csms.meter_values import parse
from app.db.records import Transaction
from app.db.store import Store
from app.db.writer import Row
from app.imports.log_messages import CALL, Message, messages, wire_body, wire_text
from app.imports.rows import Progress, Skipped

BATCH_ROWS = 20_000
Key = tuple[str, str]  # station, the log's transaction id


async def store_meter_values(
    store: Store, path: Path, transactions: Mapping[Key, Transaction], skipped: Skipped, progress: Progress
) -> int:
    """Returns how many were new. One batch is read, in a thread, while the one before it is written."""
    batches = _batches(store, path, transactions, skipped, progress)
    stored = 0
    writing: asyncio.Task[int] | None = None
    try:
        while rows := await asyncio.to_thread(next, batches, None):
            if writing is not None:
                stored += await writing
            writing = asyncio.create_task(store.import_rows(rows))
        if writing is not None:
            stored += await writing
    finally:
        if writing is not None and not writing.done():
            writing.cancel()
    return stored


def _batches(
    store: Store, path: Path, transactions: Mapping[Key, Transaction], skipped: Skipped, progress: Progress
) -> Iterator[list[Row]]:
    unreadable = Skipped()  # rows that are none were counted when the log was read first
    batch: list[Row] = []
    for message in messages(path, unreadable, progress, values=True):
        if message.message_type != CALL:
            continue
        try:
            batch += _rows(store, message, transactions, skipped)
        except RecursionError:
            skipped.add(message.where, message.raw or message.body, "the body is nested too deep")
        except (TypeError, ValueError, OverflowError) as error:
            skipped.add(message.where, message.raw or message.body, str(error))
        if len(batch) >= BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(store: Store, message: Message, transactions: Mapping[Key, Transaction], skipped: Skipped) -> list[Row]:
    said = message.body.get("transactionId")
    transaction = transactions.get((message.station_id, str(said)))
    if message.raw is not None:
        fast = _as_it_should_be(store, message, message.raw, transaction)
        if fast is not None:
            return fast
    body = message.body if message.raw is None else wire_body(message.raw)
    if not {"meterValue", "transactionData"} & set(body):
        return []
    parsed = parse(
        body,
        station_id=message.station_id,
        received_at=message.written_at,
        evse_id=transaction.evse_id if transaction else None,
        transaction_id=transaction.transaction_id if transaction else 0,
    )
    for violation in parsed.violations:
        skipped.add(message.where, body, violation)
    return store.rows_of(parsed.values)


def _as_it_should_be(store: Store, message: Message, raw: str, transaction: Transaction | None) -> list[Row] | None:
    """None: there is a slip in it, which takes forgiving."""
    try:
        request = METER_VALUES_16.decode(wire_text(raw))
        samples = samples_of(request.meterValue, message.written_at)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    if samples is None:
        return None
    rows: list[Row] = []
    for sample in samples:
        rows += store.rows_of_samples(
            sample.values,
            station_id=message.station_id,
            evse_id=transaction.evse_id if transaction else request.evse_id,
            transaction_id=transaction.transaction_id if transaction else None,
            at=sample.at,
            received_at=message.written_at,
        )
    return rows
