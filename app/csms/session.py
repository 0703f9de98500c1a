"""One connection of one charging station: frames in and out, whatever the OCPP version.

Two tasks share it. The reader takes frames off the socket and settles our pending call at once; the worker answers
the station's calls in the order in which they came. So an answer that waits for the database never delays a reply,
and a handler could not dead-lock even if it called back.
"""

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from app.clock import Clock
from app.csms.connector import ChargingProfile, CompositeSchedule, Passport, Purpose, RateUnit
from app.csms.frames import (
    Call,
    Error,
    Json,
    Malformed,
    Result,
    ResultError,
    Send,
    call_frame,
    error_frame,
    read_frame,
    result_frame,
)
from app.csms.key_changes import KeyChanges, new_key_of
from app.csms.ocpp_schemas import SchemaError, check_call
from app.csms.outbox import Outbox
from app.csms.station_clock import StationClock, told_at
from app.csms.tls import SecurityProfile
from app.csms.wire import WIRE_16, Wire
from app.errors import AppError, CallFailedError, OutcomeUnknownError, StationOfflineError, StoreUnavailableError
from app.events import Event, StationClockChanged, StationMisread

MAX_WAITING_CALLS = 64  # OCPP allows one; beyond this the socket is read no further
MAX_MALFORMED = 30  # in MALFORMED_WINDOW; then the connection is closed with 1008, policy violation
MALFORMED_WINDOW = timedelta(seconds=60)
MAX_LOGGED_VIOLATIONS = 100  # different ones a connection; all are counted
MAX_SCHEMA_CHECKS = 20  # of each action a connection: a station writes its messages in one way
POLICY_VIOLATION = 1008

log = structlog.get_logger(__name__)


class CallRefusedError(AppError):
    """A call of the station that is answered with a CALLERROR; `code` as OCPP spells it."""

    def __init__(self, code: str, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(f"{code}: {description}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a station is answered, and what the service is told once the answer is on its way.

    In that order: a listener that sends a profile at once must not overtake the transaction id it is for.
    """

    payload: Json
    events: tuple[Event, ...] = ()
    after: Callable[[], Awaitable[None]] | None = None  # what the station alone waits for: its samples on disk


class Dialect(Protocol):
    """One version of OCPP: what its messages mean, in both directions. One instance a connection."""

    async def answer(self, call: Call, received_at: datetime) -> Answer:
        """Raises `CallRefusedError`; any other error becomes InternalError. The answer to a SEND goes nowhere."""
        ...

    async def set_charging_profile(self, evse_id: int, profile: ChargingProfile) -> None: ...

    async def clear_charging_profile(
        self, profile_id: int | None, evse_id: int | None, purpose: Purpose | None, stack_level: int | None
    ) -> bool: ...

    async def composite_schedule(self, evse_id: int, duration_s: int, unit: RateUnit | None) -> CompositeSchedule: ...

    async def passport(self) -> Passport: ...

    async def get_configuration(self, keys: tuple[str, ...]) -> dict[str, str | None]: ...

    async def change_configuration(self, key: str, value: str) -> str: ...

    async def remote_start(self, evse_id: int, id_tag: str, profile: ChargingProfile | None) -> str: ...

    async def remote_stop(self, transaction_id: int) -> str: ...

    async def change_availability(self, evse_id: int, *, is_operative: bool) -> str: ...

    async def trigger(self, message: str, evse_id: int | None) -> str: ...


@runtime_checkable
class AnswersAtOnce(Protocol):
    """A dialect that answers some calls without waiting for anything: what is hot, and as it should be."""

    def answer_now(self, raw: bytes, received_at: datetime) -> tuple[str, Answer] | None:
        """The message id and the answer to a frame; None for one that takes the long way. Never raises."""
        ...


class Session:
    """The connection of `station_id` from its handshake to its close."""

    def __init__(
        self,
        station_id: str,
        connection: ServerConnection,
        *,
        clock: Clock,
        call_timeout_s: float,
        publish: Callable[[Event], None],
        seen: Callable[[str, datetime], None],
        wire: Wire = WIRE_16,
        key_changes: KeyChanges | None = None,
        security_profile: SecurityProfile | None = None,
        station_clock: StationClock | None = None,
    ) -> None:
        self.station_id = station_id
        self.wire = wire
        self.security_profile = security_profile or SecurityProfile.NONE
        self.station_clock = station_clock or StationClock()
        self.violations = 0
        self._connection = connection
        self._clock = clock
        self._call_timeout_s = call_timeout_s
        self._publish = publish
        self._seen = seen
        self._key_changes = key_changes
        self._outbox = Outbox(station_id)
        self._pending: tuple[str, asyncio.Future[Json]] | None = None
        self._at_end: list[Callable[[], None]] = []
        self._calls: asyncio.Queue[tuple[Call | Send | tuple[str, Answer], datetime]] = asyncio.Queue(MAX_WAITING_CALLS)
        self._unanswered = 0  # calls in the queue, and the one in work
        self._malformed_at: deque[datetime] = deque(maxlen=MAX_MALFORMED)
        self._logged: set[str] = set()
        self._schema_checks: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        return self._connection.state is State.OPEN

    async def run(self, dialect: Dialect) -> None:
        """Serve the connection until it closes; then the call that waits for an answer fails at once."""
        worker = asyncio.create_task(self._answer_calls(dialect), name=f"ocpp-answers-{self.station_id}")
        at_once = dialect.answer_now if isinstance(dialect, AnswersAtOnce) else None
        try:
            while True:
                # Bytes: what is no UTF-8 is a malformed frame like any other and costs nobody the connection.
                raw = await self._connection.recv(decode=False)
                now = self._clock.now()
                self._seen(self.station_id, now)
                # Only while no earlier call waits for its answer: they are answered in order.
                answered = at_once(raw, now) if at_once is not None and self._unanswered == 0 else None
                if answered is None:
                    await self._take(raw, now)
                elif answered[1].after is None:
                    await self._deliver(result_frame(answered[0], answered[1].payload), answered[1].events)
                else:
                    await self._queue(answered, now)
        except ConnectionClosed:
            pass
        finally:
            self._fail_pending()
            # A message that was received is handled even if nobody is left to hear the answer.
            drained = asyncio.ensure_future(self._calls.join())
            await asyncio.wait({drained, worker}, return_when=asyncio.FIRST_COMPLETED)
            drained.cancel()
            worker.cancel()

    def at_end(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once the connection is closing: for whoever waits for more than one answer."""
        self._at_end.append(tell)

    async def close(self, code: int, reason: str) -> None:
        self._fail_pending()
        await self._connection.close(code, reason)

    async def call(self, action: str, payload: Json, *, timeout_s: float | None = None) -> Json:
        """Send a call and return the payload of its result, within `timeout_s` or the settings' time-out.

        It waits for its turn first, as `outbox` has it. Raises `StationOfflineError`, `CallFailedError` or
        `OutcomeUnknownError` (`SupersededError`: a newer profile was sent instead). The clock is held throughout: a
        stepped one stands still while a frame is unanswered, which is why the time-out is the machine's own.
        """
        new_key = new_key_of(action, payload)
        if new_key is not None and self._key_changes is not None:
            with self._clock.hold():
                return await self._key_changes.during(
                    self.station_id, new_key, lambda: self._call(action, payload, timeout_s)
                )
        return await self._call(action, payload, timeout_s)

    async def _call(self, action: str, payload: Json, timeout_s: float | None) -> Json:
        patience_s = self._call_timeout_s if timeout_s is None else timeout_s
        with self._clock.hold():
            async with self._outbox.turn(action, payload):
                if not self.is_open:
                    raise StationOfflineError(self.station_id)
                message_id = str(uuid.uuid4())
                reply: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
                self._pending = (message_id, reply)
                try:
                    async with asyncio.timeout(patience_s):
                        await self._connection.send(call_frame(message_id, action, payload))
                        return await reply
                except TimeoutError as error:
                    text = f"{action} was not answered within {patience_s:g} s"
                    raise OutcomeUnknownError(self.station_id, text) from error
                except ConnectionClosed as error:
                    text = f"the connection closed while {action} was being sent"
                    raise OutcomeUnknownError(self.station_id, text) from error
                finally:
                    self._pending = None
                    if reply.done() and not reply.cancelled():
                        reply.exception()  # seen, even if the send failed first

    def note_time(self, reported: datetime, received: datetime) -> None:
        """A live message was sent at `reported`, by the station's clock."""
        if self.station_clock.note(reported, received):
            ahead_s = self.station_clock.ahead.total_seconds()
            log.warning("ocpp.clock", station=self.station_id, ahead_s=ahead_s)
            self._publish(StationClockChanged(self.station_id, ahead_s, received))

    def note_violations(self, violations: list[str], action: str) -> None:
        """Count what a station got wrong and was forgiven; each text is logged once a connection."""
        self.violations += len(violations)
        for violation in violations:
            if violation not in self._logged and len(self._logged) < MAX_LOGGED_VIOLATIONS:
                self._logged.add(violation)
                log.warning("ocpp.violation", station=self.station_id, action=action, violation=violation)
                self._publish(StationMisread(self.station_id, action, violation, self._clock.now()))

    async def _take(self, raw: bytes, now: datetime) -> None:
        match read_frame(raw, self.wire):
            case Call() | Send() as call:
                await self._queue(call, now)
            case Result(message_id, payload):
                self._settle(message_id, payload)
            case Error(message_id, code, description):
                self._settle(message_id, CallFailedError(self.station_id, code, description))
            case ResultError(_, code, _):
                self.note_violations([f"could make nothing of an answer of ours: {code}"], "CallResultError")
            case Malformed(message_id, code, reason, kind):
                if code is not None:
                    await self._send(error_frame(message_id, code, reason, kind))
                await self._note_malformed(reason)

    async def _queue(self, work: Call | Send | tuple[str, Answer], now: datetime) -> None:
        self._unanswered += 1
        await self._calls.put((work, now))

    def _settle(self, message_id: str, outcome: Json | CallFailedError) -> None:
        """Hand a reply to the call that waits for it; a late or invented one is dropped."""
        if self._pending is None or self._pending[0] != message_id or self._pending[1].done():
            self.note_violations(["an answer to no call of ours, or a late one"], "CallResult")
            return
        reply = self._pending[1]
        if isinstance(outcome, CallFailedError):
            reply.set_exception(outcome)
        else:
            reply.set_result(outcome)

    async def _note_malformed(self, reason: str) -> None:
        now = self._clock.now()
        self.note_violations([reason], "frame")
        self._malformed_at.append(now)
        if len(self._malformed_at) == MAX_MALFORMED and now - self._malformed_at[0] <= MALFORMED_WINDOW:
            log.warning("ocpp.too_many_malformed_frames", station=self.station_id)
            await self._connection.close(POLICY_VIOLATION, "too many malformed frames")

    async def _answer_calls(self, dialect: Dialect) -> None:
        while True:
            work, received_at = await self._calls.get()
            try:
                with self._clock.hold():
                    if isinstance(work, tuple):
                        await self._answer_later(*work)
                    else:
                        await self._answer(dialect, work, received_at)
            finally:
                self._unanswered -= 1
                self._calls.task_done()

    async def _answer_later(self, message_id: str, answer: Answer) -> None:
        """An answer that is known already, and what has to be done before it is true.

        What was measured is news before it is on disk.
        """
        await self._deliver(None, answer.events)
        try:
            if answer.after is not None:
                await answer.after()
        except StoreUnavailableError as error:
            log.error("ocpp.message_not_stored", station=self.station_id, reason=str(error))
            refusal = error_frame(message_id, "InternalError", "the database does not answer; send it again")
            await self._send(refusal)
        except Exception:  # a station must never wait for an answer that does not come
            log.exception("ocpp.handler_failed", station=self.station_id)
            await self._send(error_frame(message_id, "InternalError", "the message could not be processed"))
        else:
            await self._send(result_frame(message_id, answer.payload))

    async def _answer(self, dialect: Dialect, call: Call | Send, received_at: datetime) -> None:
        answer = Answer({})
        if (reported := told_at(call.payload)) is not None:
            self.note_time(reported, received_at)
        is_send, noted = isinstance(call, Send), self.violations
        request = Call(call.message_id, call.action, call.payload) if isinstance(call, Send) else call
        try:
            answer = await dialect.answer(request, received_at)
            frame = result_frame(call.message_id, answer.payload)
        except CallRefusedError as refusal:
            self.note_violations([f"refused: {refusal}"], call.action)
            frame = error_frame(call.message_id, self.wire.code(refusal.code), refusal.description)
        except StoreUnavailableError as error:
            log.error("ocpp.message_not_stored", station=self.station_id, action=call.action, reason=str(error))
            frame = error_frame(call.message_id, "InternalError", "the database does not answer; send it again")
        except Exception:  # a station must never wait for an answer that does not come
            log.exception("ocpp.handler_failed", station=self.station_id, action=call.action)
            frame = error_frame(call.message_id, "InternalError", "the message could not be processed")
        await self._deliver(None if is_send else frame, answer.events)
        if self.violations == noted:
            await self._note_schema(request)

    async def _note_schema(self, call: Call) -> None:
        """Record what was forgiven without a word: the answer is on its way, and nobody waits for this."""
        if self._schema_checks[call.action] >= MAX_SCHEMA_CHECKS:
            return
        self._schema_checks[call.action] += 1
        try:
            await check_call(call.action, call.payload, self.wire.version)
        except SchemaError as error:
            self.note_violations([f"{error.field or 'payload'}: {error.message}"], call.action)

    async def _deliver(self, frame: str | None, events: tuple[Event, ...]) -> None:
        if frame is not None:
            await self._send(frame)
        for event in events:
            self._publish(event)

    async def _send(self, frame: str) -> None:
        try:
            await self._connection.send(frame)
        except ConnectionClosed:
            log.info("ocpp.answer_not_delivered", station=self.station_id)

    def _fail_pending(self) -> None:
        self._outbox.close()
        for tell in self._at_end:
            tell()
        if self._pending is not None and not self._pending[1].done():
            text = "the connection closed before the call was answered"
            self._pending[1].set_exception(OutcomeUnknownError(self.station_id, text))
