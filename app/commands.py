"""An operator's hand: plain OCPP to one charging station, guarded, recorded, and followed up in the plans."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from app.clock import Clock
from app.csms.commands import ANSWERED, SENT, check_sendable, moves_limits, redacted, scope_of
from app.csms.connector import OcppVersion
from app.csms.frames import Json
from app.csms.ocpp_schemas import SchemaError, check_call
from app.csms.reservations import end_reservation, is_reservation, reservation_id_of
from app.db.records import ApiKey, StationNotice
from app.db.store import Store
from app.errors import (
    AppError,
    CallFailedError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StoreUnavailableError,
)
from app.events import Event, Events, PriorityChargingChanged, TransactionStarted, WishChanged
from app.gather.reservations import reservation_wish
from app.keys import allows
from app.site import Site

RECORDED_AS = "operator:"  # what the action of a notice begins with that no station sent

log = structlog.get_logger(__name__)


class SpeaksOcpp(Protocol):
    """The gateway, or the connector of another CSMS, as far as it sends plain OCPP."""

    def version(self, station_id: str) -> OcppVersion: ...

    async def call(self, station_id: str, action: str, payload: Json, *, timeout_s: float | None = None) -> Json: ...


class KeepsTheBook(Protocol):
    def by_hand(self, site: Site, station_id: str) -> AbstractAsyncContextManager[tuple[str, ...]]: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What a station answered, in which version; `in_doubt` are the EVSEs whose limits nobody knows for now."""

    payload: Json
    version: OcppVersion
    in_doubt: tuple[str, ...] = ()


class Commands:
    """Sends what an operator asks for. `csms_of` names who reaches a station; `close` ends its listening to events."""

    def __init__(
        self, csms_of: Callable[[str], SpeaksOcpp], book: KeepsTheBook, store: Store, events: Events, clock: Clock
    ) -> None:
        self._csms_of = csms_of
        self._book = book
        self._store = store
        self._events = events
        self._clock = clock
        self._background: set[asyncio.Task[None]] = set()
        self._deaf = events.subscribe(self._hear)

    async def close(self) -> None:
        self._deaf()
        await asyncio.gather(*self._background, return_exceptions=True)

    def version(self, station_id: str) -> OcppVersion:
        """The version that the station speaks now. Raises `StationOfflineError`."""
        return self._csms_of(station_id).version(station_id)

    async def call(
        self,
        key: ApiKey,
        station_id: str,
        action: str,
        payload: Json,
        *,
        validate: bool = True,
        timeout_s: float | None = None,
    ) -> Reply:
        """Send `payload` as it is and return the station's reply as it came.

        Raises `InvalidInputError` for what is not OCPP of the station's version (unless told not to look),
        `ForbiddenError`, `NotFoundError`, `StationOfflineError`, `CallFailedError` and `OutcomeUnknownError`.
        """
        await self._store.station(station_id)
        version = self._csms_of(station_id).version(station_id)
        if validate:
            await self._check(action, payload, version)
        check_sendable(action, payload, version)
        scope = scope_of(action, payload) if validate else "admin"
        if not allows(key, scope):
            raise ForbiddenError(f"this key may {', '.join(key.scopes)}; {scope} is needed for {action}")
        outcome = "unknown: the service was interrupted"
        try:
            async with self._guarded(station_id, action, payload) as in_doubt:
                reply = await self._csms_of(station_id).call(station_id, action, payload, timeout_s=timeout_s)
            outcome = str(reply.get("status", "answered"))[:40]
        except CallFailedError as error:
            outcome = f"error {error.code}"
            raise
        except AppError as error:
            outcome = type(error).__name__
            raise
        finally:
            await self._record(key, station_id, action, payload, outcome, in_doubt=moves_limits(action, payload))
        await self._follow(station_id, action, payload, reply)
        return Reply(reply, version, in_doubt)

    async def _check(self, action: str, payload: Json, version: OcppVersion) -> None:
        if action not in SENT[version]:
            whose = "what a station says" if action in ANSWERED[version] else "unknown"
            raise InvalidInputError("action", f"{action} is {whose} in OCPP {version}; a CSMS sends other things")
        try:
            with self._clock.hold():
                await check_call(action, payload, version)
        except SchemaError as error:
            raise InvalidInputError(error.field or "payload", error.message) from error

    @asynccontextmanager
    async def _guarded(self, station_id: str, action: str, payload: Json) -> AsyncIterator[tuple[str, ...]]:
        """The dispatcher is told before anything is sent: whatever fails, its book is never too low."""
        if not moves_limits(action, payload):
            yield ()
            return
        site = await self._store.site((await self._store.station(station_id)).site_id)
        async with self._book.by_hand(site, station_id) as in_doubt:
            yield in_doubt

    async def _record(
        self, key: ApiKey, station_id: str, action: str, payload: Json, outcome: str, *, in_doubt: bool
    ) -> None:
        """Who sent what, and how it ended; without passwords."""
        log.info(
            "commands.sent",
            station=station_id,
            action=action,
            key=key.key_id,
            key_name=key.name,
            outcome=outcome,
            limits_in_doubt=in_doubt,
        )
        record: Json = {"key": key.key_id, "key_name": key.name, "outcome": outcome, "payload": redacted(payload)}
        notice = StationNotice(station_id, self._clock.now(), f"{RECORDED_AS}{action}", record)
        try:
            await self._store.add_notice(notice)
        except (StoreUnavailableError, NotFoundError) as error:
            log.error("commands.not_recorded", station=station_id, action=action, reason=str(error))

    async def _follow(self, station_id: str, action: str, payload: Json, reply: Json) -> None:
        """A reservation that the station has accepted is an expected session; one that it has cancelled is none.

        And who was given priority is not planned any more.
        """
        if str(reply.get("status")).lower() != "accepted":
            return
        changed: Event | None = None
        try:
            if action in ("ReserveNow", "CancelReservation"):
                changed = await self._reservation(station_id, action, payload)
            elif action == "UsePriorityCharging":
                changed = await self._priority(station_id, payload)
        except (StoreUnavailableError, NotFoundError) as error:  # what the station answered is no less true
            log.error("commands.not_followed_up", station=station_id, action=action, reason=str(error))
            return
        if changed is not None:
            self._events.publish(changed)

    async def _priority(self, station_id: str, payload: Json) -> PriorityChargingChanged | None:
        """A station need not tell by NotifyPriorityCharging what it was asked for."""
        running = await self._store.transaction_named(station_id, str(payload.get("transactionId")))
        if running is None:
            return None
        return PriorityChargingChanged(
            station_id, running.evse_id, running.transaction_id, payload.get("activate") is True, self._clock.now()
        )

    async def _reservation(self, station_id: str, action: str, payload: Json) -> WishChanged | None:
        now = self._clock.now()
        if action == "CancelReservation":
            reservation_id = reservation_id_of(payload)
            if reservation_id is None:
                return None
            return await end_reservation(self._store, station_id, reservation_id, now)
        site = await self._store.site((await self._store.station(station_id)).site_id)
        wish = reservation_wish(site, station_id, payload, now)
        if wish is None:
            return None
        await self._store.save_wish(wish)
        return WishChanged(site.id, now)

    def _hear(self, event: Event) -> None:
        if isinstance(event, TransactionStarted) and event.live:
            task = asyncio.get_running_loop().create_task(self._use_reservations(event))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _use_reservations(self, started: TransactionStarted) -> None:
        """The EVSE is taken: by whom it was reserved for, or a reservation means nothing any more."""
        with self._clock.hold():
            try:
                site_id = (await self._store.station(started.station_id)).site_id
                place = (started.station_id, started.evse_id)
                for wish in await self._store.wishes(site_id, active_at=self._clock.now()):
                    if is_reservation(wish) and (wish.station_id, wish.evse_id) == place:
                        await self._store.delete_wish(wish.wish_id)
                        self._events.publish(WishChanged(site_id, self._clock.now()))
            except (StoreUnavailableError, NotFoundError) as error:
                log.warning("commands.reservation_kept", station=started.station_id, reason=str(error))
