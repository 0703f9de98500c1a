"""A simulated charging station: an OCPP 1.6J client on a real socket, with its own clock, profiles and faults.

It knows the service only by its frames. Everything it sends is sent inside `clock.hold()`: simulated time waits
until the answer is there. Transaction messages keep their order through an outbox that survives lost connections.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from ocpp.v16 import call

from app.clock import Clock
from app.demo.car import MIN_CURRENT_A, Car
from app.demo.line import Line
from app.demo.link import Link
from app.demo.meter import sampled_values
from app.demo.physics import Offer, Outlet
from app.demo.profiles_held import Capability, HeldProfile, ProfilesHeld, Unit, read_profile

QUIET_SAMPLES = 4  # left out between two of a car that draws nothing: stations say less of what does not change


@dataclass(frozen=True, slots=True)
class StationSpec:
    """The model on the wall: identity, password, what it accepts, and how wrong its clock goes."""

    station_id: str
    password: str
    vendor: str = "Demo"
    model: str = "AC-22"
    capability: Capability = field(default_factory=Capability)
    clock_offset_s: float = 0.0
    sample_interval_s: int = 60
    seed: int = 0


@dataclass(slots=True)
class Faults:
    """What is wrong with it. Switch them while it runs."""

    reject_profiles: bool = False
    ignore_profiles: bool = False  # says Accepted, holds nothing
    tamper: Callable[[HeldProfile], HeldProfile] | None = None  # holds something else than it was sent
    answer_delay_s: float = 0.0


@dataclass(slots=True)
class Running:
    """A transaction of this station. `transaction_id` None until the service has named it."""

    id_tag: str
    started_at: datetime  # by the station's clock
    transaction_id: int | None = None
    authorised: bool = True


class SimulatedStation:
    """One station with its EVSEs. `run` keeps it connected until it is cancelled."""

    writable = frozenset({"MeterValueSampleInterval", "HeartbeatInterval"})

    def __init__(self, spec: StationSpec, outlets: Mapping[int, Outlet], clock: Clock) -> None:
        self.spec = spec
        self.outlets = dict(outlets)
        self.faults = Faults()
        self.profiles = ProfilesHeld(spec.capability)
        self.profiles_received = 0
        self.profiles_accepted = 0
        self._clock = clock
        self._running: dict[int, Running] = {}
        self._reported: dict[int, str] = {}
        self._sampling: dict[int, asyncio.Task[None]] = {}
        self._sample_interval_s = spec.sample_interval_s
        self._heartbeat_interval_s = 300
        self._noise = np.random.default_rng(zlib.crc32(f"{spec.seed}/{spec.station_id}".encode()))
        self._line = Line(
            spec.station_id,
            spec.password,
            clock,
            self._noise,
            make_link=lambda connection: Link(self, connection),
            greet=self._greet,
        )

    # --- what it is

    def now(self) -> datetime:
        """The station's own clock."""
        return self._clock.now() + timedelta(seconds=self.spec.clock_offset_s)

    @property
    def is_online(self) -> bool:
        return self._line.is_online

    @property
    def booted(self) -> asyncio.Event:
        """Set once the service has accepted its BootNotification."""
        return self._line.booted

    def transaction(self, connector_id: int) -> Running | None:
        return self._running.get(connector_id)

    def connector_of(self, transaction_id: int) -> int | None:
        return next(
            (number for number, running in self._running.items() if running.transaction_id == transaction_id), None
        )

    def configuration(self) -> dict[str, str]:
        words = {"A": "Current", "W": "Power"}
        capability = self.spec.capability
        return {
            "NumberOfConnectors": str(len(self.outlets)),
            "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
            "HeartbeatInterval": str(self._heartbeat_interval_s),
            "MeterValueSampleInterval": str(self._sample_interval_s),
            "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage",
            "ChargeProfileMaxStackLevel": str(capability.max_stack_level),
            "ChargingScheduleAllowedChargingRateUnit": ",".join(words[unit] for unit in capability.units),
            "ChargingScheduleMaxPeriods": str(capability.max_periods),
            "MaxChargingProfilesInstalled": str(capability.max_profiles),
        }

    def change_configuration(self, key: str, value: str) -> str:
        if key not in self.configuration():
            return "NotSupported"
        if key not in self.writable or not value.isdecimal() or int(value) == 0:
            return "Rejected"
        if key == "HeartbeatInterval":
            self._heartbeat_interval_s = int(value)
        else:
            self._sample_interval_s = int(value)
        return "Accepted"

    # --- profiles, and what they let through

    def take_profile(self, profile: HeldProfile) -> bool:
        """Answer a SetChargingProfile; False is Rejected."""
        self.advance()
        self.profiles_received += 1
        if self.faults.reject_profiles:
            return False
        running = self._running.get(profile.connector_id)
        if self.faults.ignore_profiles:
            self.profiles_accepted += 1
            return True
        if self.faults.tamper is not None:
            profile = self.faults.tamper(profile)
        accepted = self.profiles.install(profile, running.transaction_id if running else None)
        self.profiles_accepted += accepted
        return accepted

    def clear_profiles(self, **criteria: Any) -> bool:
        self.advance()
        return self.profiles.clear(**criteria)

    def advance(self) -> None:
        """Let the outlets charge up to now under the profiles held so far: before anything changes, and to look."""
        for connector_id, outlet in self.outlets.items():
            if outlet.since is not None:
                outlet.advance(self._clock.now(), self._offers(connector_id, outlet.since, self._clock.now()))

    def offered_a(self, connector_id: int) -> float:
        """What the socket offers now, A per phase."""
        running = self._running.get(connector_id)
        return self._allowed_a(connector_id, self.now()) if running is not None and running.authorised else 0.0

    def composite(self, connector_id: int, start: datetime, end: datetime, unit: Unit) -> list[tuple[datetime, float]]:
        """What it will let through in [start, end), by its own clock; connector 0 is the sum of all."""
        connectors = list(self.outlets) if connector_id == 0 else [connector_id]
        moments = sorted({moment for number in connectors for moment in self._boundaries(number, start, end)})
        steps: list[tuple[datetime, float]] = []
        for moment in moments:
            limit = sum(self._allowed(number, moment, unit) for number in connectors)
            if not steps or steps[-1][1] != limit:
                steps.append((moment, limit))
        return steps

    def _offers(self, connector_id: int, begin: datetime, end: datetime) -> list[Offer]:
        running = self._running.get(connector_id)
        if running is None or not running.authorised:
            return [Offer(begin, 0.0)]
        offset = timedelta(seconds=self.spec.clock_offset_s)
        return [
            Offer(moment - offset, self._allowed_a(connector_id, moment))
            for moment in self._boundaries(connector_id, begin + offset, end + offset)
        ]

    def _boundaries(self, connector_id: int, begin: datetime, end: datetime) -> list[datetime]:
        return self.profiles.boundaries(connector_id, begin, end, self._started_at(connector_id))

    def _allowed_a(self, connector_id: int, moment: datetime) -> float:
        return self._allowed(connector_id, moment, "A")

    def _allowed(self, connector_id: int, moment: datetime, unit: Unit) -> float:
        """The least of the hardware, the connector's profile and its share of the station's, in `unit`."""
        outlet = self.outlets[connector_id]
        wired = len(outlet.evse.phases)
        per_ampere = 1.0 if unit == "A" else outlet.voltage_v * wired
        allowed = outlet.max_current_a * per_ampere
        own = self.profiles.limit_at(connector_id, moment, self._started_at(connector_id))
        if own is not None:
            value = own.current_a(outlet.voltage_v, wired) if unit == "A" else own.power_w(outlet.voltage_v, wired)
            allowed = min(allowed, value)
        station = self.profiles.station_limit_at(moment)
        if station is not None:
            value = station.current_a(outlet.voltage_v, 3) if unit == "A" else station.power_w(outlet.voltage_v, 3)
            allowed = min(allowed, value / max(1, len(self._running)))
        return allowed

    def _started_at(self, connector_id: int) -> datetime | None:
        running = self._running.get(connector_id)
        return running.started_at if running else None

    # --- cars

    async def plug_in(self, connector_id: int, car: Car, id_tag: str) -> None:
        """A car comes, its driver shows `id_tag`, and the transaction starts, at once or, offline, in the outbox."""
        self.outlets[connector_id].connect(car, self._clock.now())
        await self._report_status(connector_id)
        reply = await self._line.call(call.Authorize(id_tag=id_tag))
        if reply is None or reply.id_tag_info["status"] == "Accepted":  # offline it starts unseen
            await self.start_transaction(connector_id, id_tag)

    async def unplug(self, connector_id: int) -> None:
        """The car leaves, whether it has what it needs or not."""
        await self.stop_transaction(connector_id, "EVDisconnected")
        self.advance()
        self.outlets[connector_id].disconnect()
        await self._report_status(connector_id)

    def may_start(self, connector_id: int) -> bool:
        outlet = self.outlets.get(connector_id)
        return outlet is not None and outlet.car is not None and connector_id not in self._running

    async def start_transaction(self, connector_id: int, id_tag: str, profile: Mapping[str, Any] | None = None) -> None:
        self.advance()
        running = Running(id_tag, self.now())
        meter_start_wh = self._register_wh(connector_id)

        def named(reply: Any) -> None:
            self.advance()
            running.transaction_id = reply.transaction_id
            running.authorised = reply.id_tag_info["status"] == "Accepted"

        self._running[connector_id] = running
        if profile is not None:
            self.profiles.install(read_profile(connector_id, profile), None)
        message = call.StartTransaction(connector_id, id_tag, meter_start_wh, _stamp(running.started_at))
        await self._line.deliver(lambda: message, named)
        await self._report_status(connector_id)
        self._sampling[connector_id] = asyncio.create_task(self._sample(connector_id, running))

    async def stop_transaction(self, connector_id: int, reason: str) -> None:
        running = self._running.get(connector_id)
        if running is None:
            return
        self.advance()
        del self._running[connector_id]
        self._sampling.pop(connector_id).cancel()
        self.profiles.end_transaction(connector_id)
        meter_stop_wh, stamp = self._register_wh(connector_id), _stamp(self.now())
        await self._line.deliver(
            lambda: call.StopTransaction(
                meter_stop_wh, stamp, running.transaction_id or 0, reason=reason, id_tag=running.id_tag
            )
        )
        await self._report_status(connector_id)

    async def send_on_request(self, message: str, connector_id: int | None) -> None:
        """What TriggerMessage asks for."""
        connectors = list(self.outlets) if connector_id is None else [connector_id]
        if message == "Heartbeat":
            await self._line.call(call.Heartbeat())
        for number in connectors:
            if message == "StatusNotification":
                self._reported.pop(number, None)
                await self._report_status(number)
            elif message == "MeterValues":
                await self._send_meter_values(number, self._running.get(number), "Trigger")

    async def _sample(self, connector_id: int, running: Running) -> None:
        outlet, quiet = self.outlets[connector_id], 0
        while True:
            was_drawing = outlet.current_a > 0
            await self._clock.sleep(self._sample_interval_s)
            self.advance()
            if was_drawing or outlet.current_a > 0 or quiet == QUIET_SAMPLES:
                await self._send_meter_values(connector_id, running, "Sample.Periodic")
                quiet = 0
            else:
                quiet += 1
            await self._report_status(connector_id)

    async def _send_meter_values(self, connector_id: int, running: Running | None, context: str) -> None:
        self.advance()
        values = {
            "timestamp": _stamp(self.now()),
            "sampled_value": sampled_values(self.outlets[connector_id], context, self._noise),
        }
        await self._line.deliver(
            lambda: call.MeterValues(connector_id, [values], running.transaction_id if running else None)
        )

    def _register_wh(self, connector_id: int) -> int:
        return round(self.outlets[connector_id].energy_kwh * 1000)

    def _status(self, connector_id: int) -> str:
        outlet = self.outlets[connector_id]
        if outlet.car is None:
            return "Available"
        if connector_id not in self._running:
            return "Preparing"
        if self.offered_a(connector_id) < MIN_CURRENT_A:
            return "SuspendedEVSE"
        return "SuspendedEV" if outlet.car.is_full else "Charging"

    async def _report_status(self, connector_id: int) -> None:
        status = self._status(connector_id)
        if self.is_online and self._reported.get(connector_id) != status:
            self._reported[connector_id] = status
            await self._line.call(call.StatusNotification(connector_id, "NoError", status, _stamp(self.now())))

    # --- the connection

    async def run(self, url: str) -> None:
        """Stay connected to `url` (the service's endpoint, without the identity) until cancelled."""
        try:
            await self._line.run(url)
        finally:
            for sampling in self._sampling.values():
                sampling.cancel()

    async def drop_connection(self) -> None:
        """Fault switch: the line goes dead; it comes back after the back-off."""
        await self._line.drop()

    async def restart(self) -> None:
        """Reset: boots again, and keeps its profiles (errata 3.37)."""
        self.booted.clear()
        await self.drop_connection()

    async def _greet(self) -> None:
        """Boot where it has not, say how it is, and then keep the heart beating."""
        self._reported.clear()
        while not self.booted.is_set():
            with self._clock.hold():
                reply = await self._line.call(call.BootNotification(self.spec.model, self.spec.vendor))
                accepted = reply is not None and reply.status == "Accepted"
                if reply is not None and reply.interval > 0:
                    self._heartbeat_interval_s = reply.interval
                if accepted:
                    self.booted.set()
            if not accepted:
                await self._clock.sleep(self._heartbeat_interval_s)
        with self._clock.hold():
            for connector_id in self.outlets:
                await self._report_status(connector_id)
        while True:
            await self._clock.sleep(self._heartbeat_interval_s)
            await self._line.call(call.Heartbeat())


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
