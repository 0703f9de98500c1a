"""A simulated charging station: an OCPP client on a real socket, with its own clock, profiles and faults.

It knows the service only by its frames. Everything it sends is sent inside `clock.hold()`: simulated time waits
until the answer is there. Transaction messages keep their order through an outbox that survives lost connections.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from app.clock import Clock
from app.demo.car import MIN_CURRENT_A, Car
from app.demo.dialect import Dialect
from app.demo.faults import Fault, Faults
from app.demo.gate import Gate
from app.demo.intake import Intake, Taken
from app.demo.line import Line, Login
from app.demo.link import Json, Link, Reply
from app.demo.meter import Meter
from app.demo.physics import Outlet
from app.demo.profiles_held import Capability, HeldProfile, ProfilesHeld, TransactionId, Unit, Version
from app.demo.transaction import Running
from app.demo.v2 import V2
from app.demo.v16 import V16

QUIET_SAMPLES = 4  # left out between two of a car that draws nothing: stations say less of what does not change
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIALECTS: dict[Version, Callable[["SimulatedStation"], Dialect]] = {"1.6": V16, "2.0.1": V2, "2.1": V2}


@dataclass(frozen=True, slots=True)
class StationSpec:
    """The model on the wall: identity, password, what it speaks and accepts, and how wrong its clock goes."""

    station_id: str
    password: str | None
    vendor: str = "Demo"
    model: str = "AC-22"
    capability: Capability = field(default_factory=Capability)
    clock_offset_s: float = 0.0
    sample_interval_s: int = 60
    seed: int = 0
    version: Version = "1.6"


@dataclass(frozen=True, slots=True)
class Composite:
    """A schedule as it is reported: limits in `unit` from when on."""

    unit: Unit
    steps: list[tuple[datetime, float]]


class SimulatedStation:
    """One station with its EVSEs. `run` keeps it connected until it is cancelled.

    `tell` is handed a line of text for everything that somebody who watches would like to know.
    """

    def __init__(
        self, spec: StationSpec, outlets: Mapping[int, Outlet], clock: Clock, tell: Callable[[str], None] | None = None
    ) -> None:
        self.spec = spec
        self.outlets = dict(outlets)
        self.faults = Faults()
        self.profiles = ProfilesHeld(spec.capability, spec.version)
        self.sample_interval_s = spec.sample_interval_s
        self.heartbeat_interval_s = 300
        self.clock = clock
        self.tell = tell or (lambda _: None)
        self._running: dict[int, Running] = {}
        self._reported: dict[int, str] = {}
        self._sampling: dict[int, asyncio.Task[None]] = {}
        self._switched_on_at = clock.now()
        noise = np.random.default_rng(zlib.crc32(f"{spec.seed}/{spec.station_id}".encode()))
        self.meters = {number: Meter(outlet, self.faults, noise) for number, outlet in self.outlets.items()}
        self._gate = Gate(self.outlets, self.profiles, self.faults, self._running, self._offset)
        self.dialect = DIALECTS[spec.version](self)
        self.line = Line(
            Login(spec.station_id, spec.password, self.dialect.subprotocol),
            clock,
            noise,
            self.faults,
            make_link=lambda connection: Link(connection, spec.version, clock, self._answer),
            greet=self._greet,
            lost=self._lost_its_line,
            tell=self.tell,
        )
        self._intake = Intake(
            self.profiles, self._gate, self.faults, self._running, hang_up=self.line.abort, tell=self.tell
        )

    # --- what it is

    def now(self) -> datetime:
        """The station's own clock."""
        return self.clock.now() + self._offset()

    def _offset(self) -> timedelta:
        if Fault.CLOCK_1970 in self.faults:
            return EPOCH - self._switched_on_at
        skew_s = self.faults.skew_s if Fault.CLOCK_SKEW in self.faults else 0.0
        return timedelta(seconds=self.spec.clock_offset_s + skew_s)

    @property
    def is_online(self) -> bool:
        return self.line.is_online

    @property
    def booted(self) -> asyncio.Event:
        """Set once the service has accepted its BootNotification."""
        return self.line.booted

    @property
    def profiles_received(self) -> int:
        return self._intake.received

    @property
    def profiles_accepted(self) -> int:
        return self._intake.accepted

    def transaction(self, connector_id: int) -> Running | None:
        return self._running.get(connector_id)

    def connector_of(self, transaction_id: TransactionId) -> int | None:
        return next(
            (number for number, running in self._running.items() if running.transaction_id == transaction_id), None
        )

    # --- profiles, and what they let through

    def take_profile(self, profile: HeldProfile) -> Taken:
        """Answer a SetChargingProfile."""
        self.advance()
        return self._intake.take(profile)

    def clear_profiles(self, **criteria: Any) -> bool:
        self.advance()
        if Fault.KEEPS_PROFILES in self.faults:
            return False
        return self.profiles.clear(**criteria)

    async def constrain(self, profile: HeldProfile | None) -> None:
        """Somebody at the site, an energy manager say, sets or (None) ends an external constraint."""
        self.advance()
        if profile is None:
            self.profiles.release()
        else:
            self.profiles.constrain(profile)
        if isinstance(self.dialect, V2):  # 1.6 has no word for it
            await self.dialect.tell_limit(profile)

    async def tell_needs(self, connector_id: int, energy_kwh: float, departure: datetime) -> None:
        """What the vehicle says it needs, by ISO 15118; 1.6 has no word for it."""
        if isinstance(self.dialect, V2):
            await self.dialect.tell_needs(connector_id, energy_kwh, departure)

    def advance(self) -> None:
        """Let the outlets charge up to now under the profiles held so far: before anything changes, and to look."""
        for connector_id, outlet in self.outlets.items():
            if outlet.since is not None:
                outlet.advance(self.clock.now(), self._gate.offers(connector_id, outlet.since, self.clock.now()))

    def offered_a(self, connector_id: int) -> float:
        """What the socket offers now, A per phase."""
        return self._gate.offered_a(connector_id, self.now())

    def composite(self, connector_id: int, start: datetime, end: datetime, unit: Unit | None) -> Composite | None:
        """What it will let through in [start, end), by its own clock and word; None: it declines to say."""
        units = self.spec.capability.units
        if unit not in (None, *units) or Fault.NO_COMPOSITE in self.faults:
            return None
        answered = unit or units[0]
        if Fault.OTHER_UNIT in self.faults:
            answered = "W" if answered == "A" else "A"
        if Fault.EMPTY_COMPOSITE in self.faults:
            return Composite(answered, [])
        return Composite(answered, self._gate.composite(connector_id, start, end, answered))

    # --- cars

    async def plug_in(self, connector_id: int, car: Car, id_tag: str) -> None:
        """A car comes, its driver shows `id_tag`, and the transaction starts, at once or, offline, in the outbox."""
        self.outlets[connector_id].connect(car, self.clock.now())
        self.tell(f"a {car.vehicle.name} is plugged in at {connector_id}")
        await self._report_status(connector_id)
        if await self.dialect.is_authorised(id_tag):
            await self.start_transaction(connector_id, id_tag)

    async def unplug(self, connector_id: int) -> None:
        """The car leaves, whether it has what it needs or not."""
        await self.stop_transaction(connector_id, "EVDisconnected")
        self.advance()
        self.outlets[connector_id].disconnect()
        self.tell(f"the car at {connector_id} has left")
        await self._report_status(connector_id)

    def may_start(self, connector_id: int) -> bool:
        outlet = self.outlets.get(connector_id)
        return outlet is not None and outlet.car is not None and connector_id not in self._running

    async def start_transaction(
        self,
        connector_id: int,
        id_tag: str,
        profile: HeldProfile | None = None,
        remote_start_id: int | None = None,
    ) -> None:
        self.advance()
        running = Running(id_tag, self.now(), remote_start_id=remote_start_id)
        self._running[connector_id] = running
        self._intake.transaction_begins()
        await self.dialect.tell_start(connector_id, running)
        if profile is not None:
            self.profiles.install(profile, running.transaction_id)
        self.tell(f"transaction {running.transaction_id} starts at {connector_id} for {id_tag}")
        await self._report_status(connector_id)
        if self._running.get(connector_id) is running:  # else it was stopped while it was being told
            self._begin_sampling(connector_id, running)

    async def stop_transaction(self, connector_id: int, reason: str) -> None:
        running = self._running.get(connector_id)
        if running is None:
            return
        self.advance()
        del self._running[connector_id]
        sampling = self._sampling.pop(connector_id, None)
        if sampling is not None:
            sampling.cancel()
        if Fault.KEEPS_PROFILES not in self.faults:
            self.profiles.end_transaction(connector_id)
        self._gate.forget(connector_id)
        self.tell(f"transaction {running.transaction_id} ends at {connector_id}: {reason}")
        await self.dialect.tell_stop(connector_id, running, reason)
        await self._report_status(connector_id)

    async def send_on_request(self, message: str, connector_id: int | None) -> None:
        """What TriggerMessage asks for."""
        connectors = list(self.outlets) if connector_id is None else [connector_id]
        if message == "Heartbeat":
            await self.dialect.heartbeat()
        for number in connectors:
            if message == "StatusNotification":
                self._reported.pop(number, None)
                await self._report_status(number)
            elif message == "MeterValues":
                await self._tell_values(number, self._running.get(number), "Trigger")

    def _begin_sampling(self, connector_id: int, running: Running) -> None:
        self._sampling[connector_id] = asyncio.create_task(self._sample(connector_id, running))

    async def _sample(self, connector_id: int, running: Running) -> None:
        outlet, quiet = self.outlets[connector_id], 0
        while True:
            was_drawing = outlet.current_a > 0
            await self.clock.sleep(self.sample_interval_s)
            self.advance()
            if was_drawing or outlet.current_a > 0 or quiet == QUIET_SAMPLES:
                await self._tell_values(connector_id, running, "Sample.Periodic")
                quiet = 0
            else:
                quiet += 1
            await self._report_status(connector_id)

    async def _tell_values(self, connector_id: int, running: Running | None, context: str) -> None:
        self.advance()
        outlet = self.outlets[connector_id]
        self.tell(f"draws {outlet.power_kw:.2f} kW ({outlet.current_a:.1f} A) at {connector_id}")
        if Fault.METER_SILENT not in self.faults:
            await self.dialect.tell_values(connector_id, running, context)

    def connector_status(self, connector_id: int) -> str:
        """In 2.x's words."""
        return "Available" if self.outlets[connector_id].car is None else "Occupied"

    def status(self, connector_id: int) -> str:
        """In 1.6's words."""
        outlet = self.outlets[connector_id]
        if outlet.car is None:
            return "Available"
        if connector_id not in self._running:
            return "Preparing"
        if self.offered_a(connector_id) < MIN_CURRENT_A:
            return "SuspendedEVSE"
        return "SuspendedEV" if outlet.car.is_full else "Charging"

    async def _report_status(self, connector_id: int) -> None:
        status = self.status(connector_id)
        if self._reported.get(connector_id) == status:
            return
        if self.is_online:
            self._reported[connector_id] = status
        await self.dialect.tell_status(connector_id, status, self._running.get(connector_id))

    # --- the connection

    async def run(self, url: str) -> None:
        """Stay connected to `url` (the service's endpoint, without the identity) until cancelled.

        Whoever was charging when it was cancelled went on, and its meter is told of again.
        """
        for connector_id, running in self._running.items():
            self._begin_sampling(connector_id, running)
        try:
            await self.line.run(url)
        finally:
            for sampling in self._sampling.values():
                sampling.cancel()

    async def drop_connection(self) -> None:
        """The line goes dead; it comes back after the back-off."""
        await self.line.drop()

    async def restart(self) -> None:
        """Reset: boots again, and keeps its profiles (errata 3.37)."""
        self.booted.clear()
        await self.drop_connection()

    def _lost_its_line(self) -> None:
        self.advance()
        self.profiles.offline_since = self.now()
        self.tell("has no connection")

    async def _answer(self, action: str, payload: Json) -> Reply:
        if action != "SetChargingProfile":  # which says more itself
            self.tell(f"is told {action}")
        reply = await self.dialect.answer(action, payload)
        delay_s = reply.delay_s + self.faults.answer_delay_s
        return Reply(reply.payload, reply.then, delay_s)

    async def _greet(self) -> None:
        """Boot where it has not, say how it is, and then keep the heart beating."""
        self.advance()
        self.profiles.offline_since = None
        if Fault.FORGETS_PROFILES in self.faults:
            self.profiles.forget_all()
        self._reported.clear()
        self.tell(f"is connected with {self.dialect.subprotocol}")
        while not self.booted.is_set():
            with self.clock.hold():
                welcome = await self.dialect.boot()
                accepted = welcome is not None and welcome.accepted
                if welcome is not None and welcome.interval_s > 0:
                    self.heartbeat_interval_s = welcome.interval_s
                if accepted:
                    self.booted.set()
            self.tell("is accepted" if accepted else "is not accepted yet")
            if not accepted:
                await self.clock.sleep(self.heartbeat_interval_s)
        with self.clock.hold():
            for connector_id in self.outlets:
                await self._report_status(connector_id)
        while True:
            await self.clock.sleep(self.heartbeat_interval_s)
            await self.dialect.heartbeat()
