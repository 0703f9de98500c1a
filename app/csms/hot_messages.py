"""The two messages that are nearly all of the traffic, read without waiting for anything.

A Heartbeat, and MeterValues without a slip whose transaction is known already: read into structs, queued for the
store, told to whoever listens, and answered as soon as the store has them. Every other frame takes the long way, and
the answers are the same. 1.6 and 2.x differ in the struct alone.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Protocol

import msgspec
import structlog

from app.clock import Clock
from app.csms.frames import MAX_ID
from app.csms.hot_values import Count, Group2x, Group16, live_of, samples_of
from app.csms.lenient import MAX_INTEGER
from app.csms.live_values import LiveValues
from app.csms.session import Answer
from app.csms.timestamps import iso_utc
from app.db.store import Store
from app.errors import StoreUnavailableError

_MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]


class MeterValues16(msgspec.Struct):
    connectorId: Count  # noqa: N815  # OCPP's names
    meterValue: list[Group16]  # noqa: N815
    transactionId: int | None = None  # noqa: N815

    @property
    def evse_id(self) -> int:
        return self.connectorId

    @property
    def transaction_id(self) -> int | None:
        """0, -1 and what no number of ours can be name none, as they do on the long way."""
        said = self.transactionId
        return said if said is not None and 0 < said <= MAX_INTEGER else None


class MeterValues2x(msgspec.Struct):
    """Outside transactions: what belongs to one comes in a TransactionEvent."""

    evseId: Count  # noqa: N815
    meterValue: list[Group2x]  # noqa: N815
    transaction_id: ClassVar[None] = None

    @property
    def evse_id(self) -> int:
        return self.evseId


class Running(Protocol):
    """What a connection's transactions know from memory."""

    @property
    def knows_running(self) -> bool:
        """Whether `running_at` is the truth already."""
        ...

    def running_at(self, evse_id: int, at: datetime) -> int | None: ...

    def is_known_as_own(self, transaction_id: int) -> bool: ...


_HEAD = msgspec.json.Decoder(tuple[Literal[2], _MessageId, Literal["Heartbeat", "MeterValues"], msgspec.Raw])
METER_VALUES_16 = msgspec.json.Decoder(MeterValues16, strict=False)  # values are numbers in texts
METER_VALUES_2X = msgspec.json.Decoder(MeterValues2x)


log = structlog.get_logger(__name__)


class HotMessages:
    """The hot messages of one connection."""

    def __init__(
        self,
        station_id: str,
        store: Store,
        clock: Clock,
        transactions: Running,
        live_values: LiveValues,
        note_time: Callable[[datetime, datetime], None] = lambda _reported, _received: None,
        decoder: "msgspec.json.Decoder[MeterValues16] | msgspec.json.Decoder[MeterValues2x]" = METER_VALUES_16,
    ) -> None:
        self._decoder = decoder
        self._note_time = note_time
        self._station_id = station_id
        self._store = store
        self._clock = clock
        self._transactions = transactions
        self._live_values = live_values

    def answer(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        """The message id and the answer; None for what must take the long way. Never raises, never waits: the
        answer says itself whether it does."""
        try:
            _, message_id, action, payload = _HEAD.decode(raw)
            if action == "Heartbeat":
                if bytes(payload) != b"{}":
                    return None
                return message_id, Answer({"currentTime": iso_utc(self._clock.now())})
            answer = self._meter_values(self._decoder.decode(payload), received_at)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        return None if answer is None else (message_id, answer)

    def _meter_values(self, request: MeterValues16 | MeterValues2x, received_at: datetime) -> Answer | None:
        samples = samples_of(request.meterValue, received_at)
        if samples is None:
            return None
        evse_id, named = request.evse_id, request.transaction_id
        if named is None:
            if not self._transactions.knows_running:
                return None
        elif not self._transactions.is_known_as_own(named):
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
        if live is not None:
            self._note_time(live.at, received_at)
        event = live and self._live_values.event(evse_id, live_transaction, live, received_at)
        return Answer({}, (event,) if event else (), after=self._store.samples_written)
