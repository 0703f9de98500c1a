"""What a site consists of and who wants to charge there, as JSON: one model per item of the problem."""

from typing import Annotated, Literal

from pydantic import Field

from app.problem_json.fields import (
    MAX_SLOTS,
    Ampere,
    CostRate,
    Edge,
    Efficiency,
    Id,
    Kilowatt,
    KilowattHour,
    Moment,
    NotNull,
    PositiveAmpere,
    Share,
    Volt,
)
from optimizer.domain import (
    Battery,
    Circuit,
    Connection,
    DemandCharge,
    Evse,
    Phase,
    PhaseCurrents,
    Reservation,
    Session,
    Settings,
)


class PhaseCurrentsIn(Edge):
    """Current per site phase; a phase that is left out carries nothing."""

    L1: Ampere = Field(default=0.0, description="A on L1")
    L2: Ampere = Field(default=0.0, description="A on L2")
    L3: Ampere = Field(default=0.0, description="A on L3")

    def to_domain(self) -> PhaseCurrents:
        return (self.L1, self.L2, self.L3)


class ConnectionIn(Edge):
    """The grid connection: the root of the circuit tree. A limit that is left out does not exist."""

    max_import_kw: Annotated[Kilowatt | None, NotNull()] = Field(default=None, description="kW, at the meter")
    max_export_kw: Annotated[Kilowatt | None, NotNull()] = Field(default=None, description="kW, at the meter")
    max_current_a: Annotated[Ampere | None, NotNull()] = Field(default=None, description="A per phase")
    voltage_v: Volt = Field(default=230.0, description="V, line to neutral")

    def to_domain(self) -> Connection:
        return Connection(**self.model_dump())


class CircuitIn(Edge):
    """A fuse or feeder below the connection."""

    id: Id = Field(description="unique among the circuits")
    parent: Id | None = Field(default=None, description="id of the circuit above; null hangs on the connection")
    max_power_kw: Annotated[Kilowatt | None, NotNull()] = Field(default=None, description="kW; left out: unlimited")
    max_current_a: Annotated[Ampere | None, NotNull()] = Field(
        default=None, description="A per phase; left out: unlimited"
    )
    base_load_a: PhaseCurrentsIn = Field(
        default=PhaseCurrentsIn(), description="A per phase that something other than EVSEs always draws here"
    )

    def to_domain(self) -> Circuit:
        return Circuit(self.id, self.parent, self.max_power_kw, self.max_current_a, self.base_load_a.to_domain())


class EvseIn(Edge):
    """Charges one vehicle at a time. AC has `max_current_a`; DC has `max_power_kw` alone."""

    id: Id = Field(description="unique among the EVSEs")
    circuit: Id = Field(description='id of the circuit that feeds it, or "connection"')
    max_current_a: Annotated[Ampere | None, NotNull()] = Field(default=None, description="A per phase (AC)")
    max_power_kw: Annotated[Kilowatt | None, NotNull()] = Field(default=None, description="kW, at the EVSE's meter")
    min_current_a: Ampere = Field(
        default=6.0, description="A per phase; charging is 0 or at least this (AC, IEC 61851-1)"
    )
    current_step_a: PositiveAmpere = Field(default=0.1, description="A; limits are multiples of it (AC)")
    phases: list[Phase] = Field(
        default=["L1", "L2", "L3"],
        min_length=1,
        max_length=3,
        description="the site's phase behind the EVSE's own first, second and third: its rotation",
    )

    def to_domain(self) -> Evse:
        return Evse(
            evse_id=self.id,
            circuit_id=self.circuit,
            phases=tuple(self.phases),
            max_current_a=self.max_current_a,
            max_power_kw=self.max_power_kw,
            min_current_a=self.min_current_a,
            current_step_a=self.current_step_a,
        )


class SessionIn(Edge):
    """One vehicle's stay at one EVSE: it may draw power while arrival <= time < departure."""

    id: Id = Field(description="unique among the sessions")
    evse: Id = Field(description="id of the EVSE")
    arrival: Moment = Field(description="with any UTC offset; may lie in the past (plugged in) or the future")
    departure: Moment = Field(description="with any UTC offset; after the arrival")
    required_energy_kwh: KilowattHour = Field(description="kWh still to be delivered from `now`, at the EVSE's meter")
    max_power_kw: Annotated[Kilowatt | None, NotNull()] = Field(
        default=None, description="kW, what the vehicle takes at most"
    )
    vehicle_phases: Literal[1, 2, 3] | None = Field(
        default=None, description="phases the vehicle uses; null is unknown: safety counts every wired one, energy one"
    )
    priority: int = Field(default=1, ge=1, le=1000, description="1 is served first")
    min_current_a: Annotated[Ampere | None, NotNull()] = Field(
        default=None, description="A per phase, the vehicle's own minimum; the larger of it and the EVSE's holds"
    )

    def to_domain(self) -> Session:
        return Session(
            session_id=self.id,
            evse_id=self.evse,
            arrival=self.arrival,
            departure=self.departure,
            required_energy_kwh=self.required_energy_kwh,
            max_power_kw=self.max_power_kw,
            vehicle_phases=self.vehicle_phases,
            priority=self.priority,
            min_current_a=self.min_current_a,
        )


class BatteryIn(Edge):
    """A stationary battery, seen from the AC side."""

    id: Id = Field(description="unique among the batteries")
    circuit: Annotated[Id | None, NotNull()] = Field(
        default=None, description="id of its circuit; left out: the connection"
    )
    capacity_kwh: KilowattHour = Field(description="kWh")
    energy_kwh: KilowattHour = Field(description="kWh it holds at `now`")
    min_energy_kwh: KilowattHour = Field(default=0.0, description="kWh it never goes below")
    final_energy_kwh: Annotated[KilowattHour | None, NotNull()] = Field(
        default=None, description="kWh it holds at least at the end; left out: what it starts with"
    )
    max_charge_kw: Kilowatt = Field(description="kW")
    max_discharge_kw: Kilowatt = Field(description="kW")
    charge_efficiency: Efficiency = Field(default=1.0, description="kWh stored per kWh charged")
    discharge_efficiency: Efficiency = Field(default=1.0, description="kWh delivered per kWh taken out")
    wear_price_per_kwh: CostRate = Field(default=0.0, description="currency per kWh charged")
    controllable: bool = Field(
        default=True, description="one that is not controllable stays at 0: put it into the base load"
    )

    def to_domain(self) -> Battery:
        named = self.model_dump(exclude={"id", "circuit"})
        return Battery(battery_id=self.id, circuit_id=self.circuit, **named)


class DemandChargeIn(Edge):
    """Money per kW of the highest mean import of an interval that is aligned to the local clock."""

    id: Id = Field(description="unique among the demand charges")
    price_per_kw: CostRate = Field(description="currency per kW and billing period")
    interval_minutes: Literal[15, 30, 60] = Field(default=15, description="minutes")
    active: Annotated[list[bool] | None, NotNull()] = Field(
        default=None, max_length=MAX_SLOTS, description="per slot: does it apply? left out: everywhere"
    )
    peak_so_far_kw: Kilowatt = Field(default=0.0, description="kW already reached in this billing period")
    expected_peak_kw: Kilowatt = Field(default=0.0, description="kW that will be reached anyway: free up to there")
    interval_energy_so_far_kwh: KilowattHour = Field(
        default=0.0, description="kWh imported in the interval that is running"
    )

    def to_domain(self) -> DemandCharge:
        named = self.model_dump(exclude={"id", "active"})
        return DemandCharge(charge_id=self.id, active=None if self.active is None else tuple(self.active), **named)


class ReservationIn(Edge):
    """Current that is spoken for in every slot, e.g. by a station that is offline. Exactly one of evse and circuit."""

    evse: Annotated[Id | None, NotNull()] = Field(default=None, description="id of the EVSE that may draw it")
    circuit: Annotated[Id | None, NotNull()] = Field(default=None, description='id of the circuit, or "connection"')
    current_a: PhaseCurrentsIn = Field(description="A per site phase")

    def to_domain(self) -> Reservation:
        return Reservation(self.current_a.to_domain(), self.evse, self.circuit)


class SettingsIn(Edge):
    """How to solve; nothing here changes what is allowed."""

    time_limit_s: float = Field(default=30.0, gt=0, le=3600, description="s")
    preference_budget: Share = Field(default=0.001, description="share of the gross EV money that preferences may cost")
    skew_s: float = Field(default=60.0, ge=0, le=3600, description="s by which chargers' clocks may differ")

    def to_domain(self) -> Settings:
        return Settings(**self.model_dump())
