"""OCPP 1.6-J: the two messages that are nearly all of the traffic, answered without waiting for anything.

A Heartbeat, and MeterValues without a slip whose transaction is known already: read into structs, queued for the
store, answered in one go. Every other frame takes the long way, and the answers are the same.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
import structlog

from app.clock import Clock
from app.csms.frames import MAX_ID
from app.csms.hot_values import Count, Group16, live_of, samples_of
from app.csms.lenient import MAX_INTEGER
from app.csms.live_values import LiveValues
from app.csms.session import Answer
from app.csms.timestamps import iso_utc
from app.csms.v16_transactions import Transactions
from app.db.store import Store
from app.errors import StoreUnavailableError

_MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]


class _MeterValues(msgspec.Struct):
    connectorId: Count  # noqa: N815  # OCPP's names
    meterValue: list[Group16]  # noqa: N815
    transactionId: int | None = None  # noqa: N815


_HEAD = msgspec.json.Decoder(tuple[Literal[2], _MessageId, Literal["Heartbeat", "MeterValues"], msgspec.Raw])
_METER_VALUES = msgspec.json.Decoder(_MeterValues, strict=False)  # values are numbers in texts


log = structlog.get_logger(__name__)


class HotMessages:
    """The hot messages of one connection."""

    def __init__(
        self, station_id: str, store: Store, clock: Clock, transactions: Transactions, live_values: LiveValues
    ) -> None:
        self._station_id = station_id
        self._store = store
        self._clock = clock
        self._transactions = transactions
        self._live_values = live_values

    def answer(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        """The message id and the answer; None for what must take the long way. Never raises, never waits."""
        try:
            _, message_id, action, payload = _HEAD.decode(raw)
            if action == "Heartbeat":
                if bytes(payload) != b"{}":
                    return None
                return message_id, Answer({"currentTime": iso_utc(self._clock.now())})
            answer = self._meter_values(_METER_VALUES.decode(payload), received_at)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        return None if answer is None else (message_id, answer)

    def _meter_values(self, request: _MeterValues, received_at: datetime) -> Answer | None:
        samples = samples_of(request.meterValue, received_at)
        if samples is None:
            return None
        evse_id, said = request.connectorId, request.transactionId
        named: int | None = None
        if said is not None and 0 < said <= MAX_INTEGER:
            if not self._transactions.is_known_as_own(said):
                return None
            named = said
        elif not self._transactions.knows_running:
            return None
        live = live_of(samples)
        live_transaction: int | None = None
        try:
            for sample in samples:
                transaction_id = named or self._transactions.running_at(evse_id, sample.at)
                if live is not None and sample.at == live.at:
                    live_transaction = transaction_id
                self._store.add_samples(
                    sample.values,
                    station_id=self._station_id,
                    evse_id=evse_id,
                    transaction_id=transaction_id,
                    at=sample.at,
                    received_at=received_at,
                )
        except StoreUnavailableError as error:
            # Samples may be lost, live values not: the guard goes on from memory.
            log.error("ocpp.meter_values_not_stored", station=self._station_id, reason=str(error))
        event = live and self._live_values.event(evse_id, live_transaction, live, received_at)
        return Answer({}, (event,) if event else (), after=self._store.catch_up if self._store.is_behind else None)
