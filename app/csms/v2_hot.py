"""The hot messages of OCPP 2.x: Heartbeat, MeterValues, and TransactionEvents that say nothing but what was measured.

An update that is the next of a running transaction, in order, with values without a slip and the charging state that
is known: read into structs, and answered once the store has it. Every other event takes the long way, and
both make the same rows.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

import msgspec

from app.clock import Clock
from app.csms.frames import MAX_ID
from app.csms.hot_messages import METER_VALUES_2X, HotMessages
from app.csms.hot_values import Count, Group2x, Sample, live_of, plausible_time, samples_of, total_energy_wh
from app.csms.live_values import LiveValues
from app.csms.session import Answer
from app.csms.timestamps import MAX_LIVE_AGE
from app.csms.v2_statuses import CHARGING_STATES
from app.csms.v2_transactions import MAX_TRANSACTION_ID, Transactions
from app.db.records import TransactionEvent
from app.db.store import Store
from app.events import MeterValuesReceived


class _Info(msgspec.Struct):
    transactionId: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TRANSACTION_ID)]  # noqa: N815  # OCPP's names
    chargingState: str | None = None  # noqa: N815


class _Evse(msgspec.Struct):
    id: Count


class _Update(msgspec.Struct):
    eventType: Literal["Updated"]  # noqa: N815
    timestamp: str
    triggerReason: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]  # noqa: N815
    seqNo: Count  # noqa: N815
    transactionInfo: _Info  # noqa: N815
    offline: bool = False
    evse: _Evse | None = None
    idToken: msgspec.Raw | None = None  # noqa: N815  # its answer says more
    meterValue: list[Group2x] = []  # noqa: N815


_FRAME = msgspec.json.Decoder(
    tuple[
        Literal[2],
        Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)],
        Literal["TransactionEvent"],
        _Update,
    ]
)


class HotMessages2x:
    """The hot messages of one connection."""

    def __init__(
        self,
        station_id: str,
        store: Store,
        clock: Clock,
        transactions: Transactions,
        live_values: LiveValues,
        note_time: Callable[[datetime, datetime], None],
    ) -> None:
        self._note_time = note_time
        self._station_id = station_id
        self._store = store
        self._transactions = transactions
        self._live_values = live_values
        self._plain = HotMessages(station_id, store, clock, transactions.now, live_values, note_time, METER_VALUES_2X)

    def answer(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        """The message id and the answer; None for what must take the long way. Never raises, never waits."""
        if b'"TransactionEvent"' not in raw:
            return self._plain.answer(raw, received_at)
        try:
            _, message_id, _, update = _FRAME.decode(raw)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        answer = self._update(update, received_at)
        return None if answer is None else (message_id, answer)

    def _update(self, update: _Update, received_at: datetime) -> Answer | None:
        at = plausible_time(update.timestamp, received_at)
        samples = samples_of(update.meterValue, received_at)
        if at is None or samples is None or update.idToken is not None or received_at - at > MAX_LIVE_AGE:
            return None
        if update.offline or update.triggerReason != update.triggerReason.strip():
            return None
        state = update.transactionInfo.chargingState
        if state is not None and state not in CHARGING_STATES:
            return None
        registers_wh = [wh for sample in sorted(samples, key=_when) if (wh := total_energy_wh(sample)) is not None]
        event = TransactionEvent(
            station_id=self._station_id,
            ocpp_transaction_id=update.transactionInfo.transactionId,
            seq_no=update.seqNo,
            event_type="Updated",
            at=at,
            received_at=received_at,
            trigger_reason=update.triggerReason,
            evse_id=update.evse.id or None if update.evse else None,
            charging_state=state,
            first_register_wh=registers_wh[0] if registers_wh else None,
            last_register_wh=registers_wh[-1] if registers_wh else None,
        )
        known = self._transactions.running_by_name(event)
        if known is None:
            return None
        evse_id, transaction_id = known.transaction.evse_id, known.transaction.transaction_id
        heard = self._live_event(samples, evse_id, transaction_id, received_at)
        known.last_number = event.seq_no
        self._note_time(at, received_at)
        stored = partial(self._stored, event, samples, evse_id, transaction_id)
        return Answer({}, (heard,) if heard else (), after=stored)

    def _live_event(
        self, samples: list[Sample], evse_id: int, transaction_id: int, received_at: datetime
    ) -> MeterValuesReceived | None:
        live = live_of(samples)
        return None if live is None else self._live_values.event(evse_id, transaction_id, live, received_at)

    async def _stored(self, event: TransactionEvent, samples: list[Sample], evse_id: int, transaction_id: int) -> None:
        """Raises `StoreUnavailableError`: unanswered, the station will send it again."""
        await self._store.add_transaction_update(event)
        for sample in samples:
            self._store.add_samples(
                sample.values,
                station_id=self._station_id,
                evse_id=evse_id,
                transaction_id=transaction_id,
                at=sample.at,
                received_at=event.received_at,
            )
        await self._store.samples_written()


def _when(sample: Sample) -> datetime:
    return sample.at
