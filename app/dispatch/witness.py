"""Compares what EVSEs draw with what they hold: a profile is verified by the meter, or it is ignored."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta

import structlog

from app.clock import Clock
from app.csms.connector import CsmsConnector
from app.db.records import REACHED, Delivery, DeliveryState
from app.db.store import Store
from app.dispatch.in_force import Book, Wiring
from app.dispatch.obedience import GRACE_S, REACTION_S, Fault, Obedience
from app.errors import AppError
from app.events import DeliveryChanged, Events, MeterValuesReceived, ObedienceChanged
from app.site import evse_key

log = structlog.get_logger()

IN_DOUBT: tuple[DeliveryState, ...] = ("planned", "sent", "contradicted", "offline", "unknown")
GRACE, REACTION = timedelta(seconds=GRACE_S), timedelta(seconds=REACTION_S)


class Witness:
    """Knows of each EVSE what it was sent last, and whether its meter agrees.

    An EVSE that ignores what it accepted is told once more; what it draws is reserved until it obeys.
    """

    def __init__(
        self,
        connector: CsmsConnector,
        store: Store,
        events: Events,
        clock: Clock,
        book: Book,
        wiring: Callable[[str, int], Wiring | None],
    ) -> None:
        self._connector = connector
        self._store = store
        self._events = events
        self._clock = clock
        self._book = book
        self._wiring = wiring
        self._obedience = Obedience()
        self._latest: dict[str, Delivery] = {}
        self._background: set[asyncio.Task[None]] = set()

    @property
    def faults(self) -> Mapping[str, Fault]:
        """EVSEs that draw more than they may."""
        return self._obedience.faults

    def expect(self, key: str, delivery: Delivery) -> None:
        """From here on the EVSE's meter is compared with this."""
        self._latest[key] = delivery

    def dismiss(self, key: str) -> None:
        """Its transaction is over: nothing is expected of it any more."""
        self._latest.pop(key, None)
        self._obedience.forget(key)

    def in_doubt(self) -> frozenset[str]:
        """EVSEs that do not certainly hold what they were to, and may once they are told again."""
        return frozenset(key for key, delivery in self._latest.items() if delivery.state in IN_DOUBT)

    def contradict(self, key: str, detail: str | None) -> None:
        """It reports something else than what it held."""
        if (delivery := self._latest.get(key)) is not None:
            self._change(key, replace(delivery, state="contradicted", at=self._clock.now(), detail=detail))

    def forget(self, key: str) -> None:
        """Samples so far say nothing about a new limit."""
        self._obedience.forget(key)

    def measured(self, event: MeterValuesReceived) -> None:
        """Take one sample. A vehicle needs seconds to follow, so the first ones after a change accuse nobody.

        A current that flows within the new limit proves it as soon as the vehicle has had the time to follow.
        """
        key, wiring = evse_key(event.station_id, event.evse_id), self._wiring(event.station_id, event.evse_id)
        holding = self._book.holding(key)
        if wiring is None or (holding.since is not None and event.at < holding.since + REACTION):
            return
        drawn_a = drawn_current(event, wiring, holding.vehicle_phases)
        if drawn_a is None:
            return
        allowed_a = self._book.commanded_a(key, wiring, event.at - GRACE, event.at)
        if holding.since is not None and event.at < holding.since + GRACE:
            if key not in self._obedience.faults and self._obedience.agrees(drawn_a, allowed_a):
                self._confirm(key)
            return
        changed = self._obedience.observe(key, drawn_a, allowed_a)
        fault = self._obedience.faults.get(key)
        if changed:
            self._events.publish(ObedienceChanged(event.station_id, event.evse_id, fault is None, self._clock.now()))
        if changed and fault is None:
            self._book.forgive(key)
            log.info("obeys again", evse=key)
        elif changed and fault is not None:
            self._convict(key, event, fault)
        elif fault is None and self._obedience.is_within(key):
            self._confirm(key)

    async def settle(self) -> None:
        """Return once what `measured` found out is in the store."""
        while self._background:
            await asyncio.gather(*self._background)

    def _confirm(self, key: str) -> None:
        delivery, holding = self._latest.get(key), self._book.holding(key)
        if delivery is None or delivery.state not in ("accepted", "applied") or holding.profile is None:
            return
        self._book.put(key, replace(holding, state="verified"))
        self._change(key, replace(delivery, state="verified", at=self._clock.now()))

    def _convict(self, key: str, event: MeterValuesReceived, fault: Fault) -> None:
        self._book.measure(key, fault.reserved_a)
        log.warning("disobeys", evse=key, reason=fault.reason)
        delivery = self._latest.get(key)
        if delivery is None or delivery.state not in REACHED:
            return
        if delivery.state != "ignored":
            self._in_background(self._remind(key, event.station_id, event.evse_id))
        self._change(key, replace(delivery, state="ignored", at=self._clock.now(), detail=fault.reason))

    async def _remind(self, key: str, station_id: str, evse_id: int) -> None:
        """The same profile once more: some stations forget one when a vehicle resumes."""
        profile = self._book.holding(key).profile
        if profile is None:
            return
        try:
            with self._clock.hold():
                await self._connector.set_charging_profile(station_id, evse_id, profile)
        except AppError as error:
            log.info("not reminded", evse=key, error=str(error))

    def _change(self, key: str, delivery: Delivery) -> None:
        self._latest[key] = delivery
        self._in_background(self._record(delivery))

    async def _record(self, delivery: Delivery) -> None:
        try:
            with self._clock.hold():
                await self._store.save_deliveries([delivery])
        except AppError as error:
            log.error("not recorded", plan=delivery.plan_id, error=str(error))
        self._events.publish(DeliveryChanged(delivery.site_id, delivery.plan_id, delivery.at))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def drawn_current(event: MeterValuesReceived, wiring: Wiring, vehicle_phases: int | None) -> float | None:
    """The highest phase current; from the power where the station sends no current; None where it sends neither."""
    currents_a = [current_a for phase, current_a in event.current_a.items() if phase.startswith("L")]
    if currents_a:
        return max(currents_a)
    return None if event.power_w is None else wiring.amperes(event.power_w, vehicle_phases)
