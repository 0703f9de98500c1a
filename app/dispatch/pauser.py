"""Pauses of stations that take no limit of 0: the transaction is stopped and started again, or the EVSE is set aside.

For the sake of money and of promises, never of fuses: the plan counts such an EVSE with its least limit the whole
time (`app.gather`), so whatever becomes of a pause is safe.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.csms.connector import CsmsConnector, PauseMethod
from app.csms.paused_stays import is_paused_stay, paused_stay, wish_id_of
from app.db.records import Transaction
from app.db.store import Store
from app.dispatch.passports import Passports
from app.dispatch.patience import Patience
from app.errors import AppError, NotFoundError, OutcomeUnknownError
from app.events import Event, Events, StatusChanged, TransactionStarted, TransactionStopped, WishChanged
from app.site import Site, evse_key, split_evse_key
from optimizer.domain import Problem, Schedule, Session

log = structlog.get_logger()

LEAST_PAUSE = timedelta(minutes=15)  # a shorter one is not worth a transaction of its own
SELDOM = timedelta(hours=1)  # between the beginnings of two pauses: each tells on contactors, and on the driver's bill
ASIDE = "set_aside"  # beside the passport in the store: the EVSEs that were made inoperative
BY_ENDING = (PauseMethod.REMOTE_STOP, PauseMethod.AVAILABILITY)
NOTHING_KW = 1e-6


@dataclass(frozen=True, slots=True)
class _Stay:
    """What a plan says of one EVSE. `transaction` None: the vehicle waits for the end of its pause, by its wish."""

    site_id: str
    method: PauseMethod
    start: datetime
    slot: timedelta
    power_kw: tuple[float, ...]
    session: Session
    transaction: Transaction | None

    def resumes_at(self, now: datetime) -> datetime | None:
        """When the plan next gives it power: `now`, if it does; None within this plan."""
        current = max(0, (now - self.start) // self.slot)
        for slot in range(current, len(self.power_kw)):
            if self.power_kw[slot] > NOTHING_KW:
                return max(now, self.start + slot * self.slot)
        return None

    def is_over(self, now: datetime) -> bool:
        return now >= min(self.session.departure, self.start + self.slot * len(self.power_kw))


class Pauser:
    """Told of every plan; `look` does what is due. Knows nothing that the store does not know after a restart."""

    def __init__(
        self, connector: CsmsConnector, store: Store, events: Events, clock: Clock, passports: Passports
    ) -> None:
        self._connector = connector
        self._store = store
        self._events = events
        self._clock = clock
        self._passports = passports
        self._stays: dict[str, _Stay] = {}
        self._patience = Patience()
        self._paused_at: dict[str, datetime] = {}
        self._stopped: dict[str, int] = {}  # by EVSE key: the transaction that has agreed to end
        self._left: set[str] = set()  # EVSEs whose vehicle went away during its pause
        self._only_later: set[str] = set()  # stations that are set aside only when a transaction has ended
        events.subscribe(self._hear)

    def learn(self, site: Site, problem: Problem, schedule: Schedule, transactions: Mapping[str, Transaction]) -> None:
        """What a new plan says of the EVSEs that pause in such a way."""
        sessions = {session.evse_id: session for session in reversed(problem.sessions)}
        for station in site.charging_stations:
            passport = self._passports[station.id]
            for evse in station.evses:
                key = evse_key(station.id, evse.id)
                session, power_kw = sessions.get(key), schedule.power_kw.get(key)
                self._stays.pop(key, None)
                if passport.pause not in BY_ENDING or session is None or power_kw is None:
                    continue
                if key in transactions or is_paused_stay(_wish_id(session)):
                    self._stays[key] = _Stay(
                        site.id,
                        passport.pause,
                        problem.horizon.start,
                        timedelta(minutes=problem.horizon.slot_minutes),
                        power_kw,
                        session,
                        transactions.get(key),
                    )

    async def look(self, site: Site) -> None:
        """Begin the pauses that are due at the site, and end those that are over. Raises nothing but bugs."""
        for station in site.charging_stations:
            if station.id not in self._connector.connected() or not self._ends_to_pause(station.id):
                continue
            try:
                await self._forget_who_left(site, station.id)
                aside = await self._set_aside(station.id)
                for evse in station.evses:
                    await self._look_at(evse_key(station.id, evse.id), evse.id in aside)
            except AppError as error:
                log.warning("not paused or resumed", station=station.id, error=str(error))

    async def _look_at(self, key: str, is_aside: bool) -> None:
        now, stay = self._clock.now(), self._stays.get(key)
        resumes_at = None if stay is None or stay.is_over(now) else stay.resumes_at(now)
        if stay is None or stay.is_over(now) or resumes_at == now:
            if is_aside and self._patience.is_due(key, now):
                await self._bring_back(key)
            elif stay is not None and not stay.is_over(now) and stay.transaction is None:
                await self._resume(key, stay)
            return
        if stay.transaction is None or is_aside:
            return  # it pauses
        if (resumes_at or stay.session.departure) - now < LEAST_PAUSE:
            return
        if now - self._paused_at.get(key, now - SELDOM) < SELDOM:
            return
        if stay.method is PauseMethod.AVAILABILITY:
            await self._put_aside(key, stay, stay.transaction)
        elif resumes_at is not None:  # who gets nothing more keeps its transaction until it leaves
            await self._stop(key, stay, stay.transaction)

    # --- how a pause begins

    async def _stop(self, key: str, stay: _Stay, transaction: Transaction) -> None:
        if not transaction.id_tag or self._stopped.get(key) == transaction.transaction_id:
            return  # nobody could start it again, or it is ending
        if not self._patience.is_due(key, self._clock.now()):
            return
        wish = await self._remember(stay, transaction)
        try:
            status = await self._connector.remote_stop(transaction.station_id, transaction.transaction_id)
        except OutcomeUnknownError:
            return  # the wish means nothing while the transaction runs, and everything if it does not
        except AppError:
            await self._store.delete_wish(wish)
            raise
        if status.lower() != "accepted":
            await self._store.delete_wish(wish)
            log.info("does not stop for a pause", evse=key, status=status)
            return
        self._stopped[key] = transaction.transaction_id
        self._patience.forget(key)
        log.info("paused", evse=key, until=str(stay.resumes_at(self._clock.now())))
        self._events.publish(WishChanged(stay.site_id, self._clock.now()))

    async def _put_aside(self, key: str, stay: _Stay, transaction: Transaction) -> None:
        station_id, evse_id = split_evse_key(key)
        if station_id in self._only_later or not self._patience.is_due(key, self._clock.now()):
            return
        await self._remember(stay, transaction)
        await self._note_aside(station_id, evse_id, is_aside=True)
        status = await self._connector.change_availability(station_id, evse_id, is_operative=False)
        if status.lower() == "accepted":
            log.info("set aside", evse=key)
            return
        if status.lower() == "scheduled":  # by the protocol: when its transaction ends, which is of no use
            self._only_later.add(station_id)
        log.info("is not set aside for a pause", evse=key, status=status)
        await self._bring_back(key)

    async def _remember(self, stay: _Stay, transaction: Transaction) -> str:
        """Before anything is sent: whatever happens next, the vehicle is still expected."""
        session = stay.session
        wish = paused_stay(transaction, self._clock.now(), session.departure, session.required_energy_kwh)
        wish = replace(
            wish,
            max_power_kw=session.max_power_kw,
            vehicle_phases=session.vehicle_phases,
            priority=session.priority,
        )
        await self._store.save_wish(wish)
        self._paused_at[session.evse_id] = self._clock.now()
        return wish.wish_id

    # --- and how it ends

    async def _bring_back(self, key: str) -> None:
        station_id, evse_id = split_evse_key(key)
        status = await self._connector.change_availability(station_id, evse_id, is_operative=True)
        if status.lower() in ("accepted", "scheduled"):
            await self._note_aside(station_id, evse_id, is_aside=False)
            self._patience.forget(key)
            stay = self._stays.get(key)
            if stay is not None and stay.transaction is not None:  # it has outlived the pause
                with suppress(NotFoundError):
                    await self._store.delete_wish(wish_id_of(stay.transaction))

    async def _resume(self, key: str, stay: _Stay) -> None:
        """A vehicle that was stopped for its pause is started again, by the token that it began with."""
        station_id, evse_id = split_evse_key(key)
        if not self._patience.is_due(key, self._clock.now()):
            return
        try:
            wish = await self._store.wish(_wish_id(stay.session))
        except NotFoundError:  # somebody has withdrawn it
            self._stays.pop(key, None)
            return
        status = await self._connector.remote_start(station_id, evse_id, str(wish.id_tag))
        log.info("resumed", evse=key, status=status)

    async def _forget_who_left(self, site: Site, station_id: str) -> None:
        """Nobody stands there any more: nobody is expected back."""
        gone = {key for key in self._left if split_evse_key(key)[0] == station_id}
        if not gone:
            return
        for wish in await self._store.wishes(site.id, active_at=self._clock.now()):
            if is_paused_stay(wish.wish_id) and evse_key(str(wish.station_id), wish.evse_id or 0) in gone:
                await self._store.delete_wish(wish.wish_id)
                self._events.publish(WishChanged(site.id, self._clock.now()))
        for key in gone:
            self._left.discard(key)
            self._stays.pop(key, None)

    # --- what is known

    def _ends_to_pause(self, station_id: str) -> bool:
        return self._passports[station_id].pause in BY_ENDING

    async def _set_aside(self, station_id: str) -> frozenset[int]:
        stored = (await self._store.station(station_id)).passport.get(ASIDE)
        return frozenset(stored) if isinstance(stored, list) else frozenset()

    async def _note_aside(self, station_id: str, evse_id: int, *, is_aside: bool) -> None:
        passport = (await self._store.station(station_id)).passport
        before = passport.get(ASIDE)
        rest = {one for one in (before if isinstance(before, list) else []) if one != evse_id}
        aside = sorted(rest | {evse_id}) if is_aside else sorted(rest)
        await self._store.update_station(station_id, passport=passport | {ASIDE: aside})

    def _hear(self, event: Event) -> None:
        match event:
            case TransactionStarted(live=True):
                key = evse_key(event.station_id, event.evse_id)
                self._stays.pop(key, None)  # it is planned anew
                self._left.discard(key)
                self._patience.forget(key)
            case TransactionStopped(transaction_id=transaction_id):
                key = evse_key(event.station_id, event.evse_id)
                stay = self._stays.get(key)
                if stay is not None and stay.transaction and stay.transaction.transaction_id == transaction_id:
                    self._stays[key] = replace(stay, transaction=None)
            case StatusChanged(status="Available"):
                if self._ends_to_pause(event.station_id):
                    self._left.add(evse_key(event.station_id, event.evse_id))
            case _:
                pass


def _wish_id(session: Session) -> str:
    return session.session_id.removeprefix("wish-")
