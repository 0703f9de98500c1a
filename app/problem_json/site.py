"""What a site consists of and who wants to charge there, as JSON: one model per item of the problem."""

from datetime import datetime
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
    KilowattSeries,
    Moment,
    NotNull,
    PositiveAmpere,
    Share,
    SignedKilowattSeries,
    Volt,
)
from app.problem_json.vehicle import ScenarioIn, TaperIn, VehicleToGridIn
from optimizer.domain import (
    Battery,
    Circuit,
    Connection,
    DemandCharge,
    Evse,
    InForce,
    Phase,
    PhaseCurrents,
    Reservation,
    Session,
    Settings,
    SharedPower,
    energy_for_soc,
)
from optimizer.errors import InvalidProblemError


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
    max_base_load_kw: Annotated[Kilowatt | None, NotNull()] = Field(
        default=None, description="kW; the plan does not use it: the certificate of fail-safe limits does"
    )

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

    power_cap_kw: Annotated[KilowattSeries | None, NotNull()] = Field(
        default=None, description="kW, what may be drawn slot by slot, e.g. by a grid operator's limit; left out: all"
    )

    def to_domain(self) -> Circuit:
        return Circuit(
            circuit_id=self.id,
            parent=self.parent,
            max_power_kw=self.max_power_kw,
            max_current_a=self.max_current_a,
            base_load_a=self.base_load_a.to_domain(),
            power_cap_kw=None if self.power_cap_kw is None else tuple(self.power_cap_kw),
        )


class SharedPowerIn(Edge):
    """EVSEs of one station that share its supply; all of a group say the same."""

    group: Id = Field(description="name of the group, e.g. the station")
    max_current_a: Ampere = Field(description="A per phase, for all of the group together")

    def to_domain(self) -> SharedPower:
        return SharedPower(self.group, self.max_current_a)


class InForceIn(Edge):
    """The limit that the EVSE was last given."""

    limit_a: Ampere = Field(description="A per phase")
    verified: bool = Field(
        default=True, description="one that is not verified may still be drawn: safety counts it in the first slot"
    )

    def to_domain(self) -> InForce:
        return InForce(self.limit_a, self.verified)


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
    efficiency: Efficiency = Field(default=1.0, description="kWh that reach the vehicle's battery per kWh metered")
    shared_power: Annotated[SharedPowerIn | None, NotNull()] = Field(
        default=None, description="with whom it shares a supply; left out: nobody"
    )
    in_force: Annotated[InForceIn | None, NotNull()] = Field(
        default=None, description="the limit it was last given; left out: unknown, and nothing is reserved for it"
    )
    planned_kw: Annotated[SignedKilowattSeries | None, NotNull()] = Field(
        default=None,
        description="kW, the plan in force: of plans that cost about the same the closest to it is chosen; "
        "below 0 the vehicle gives; left out: nothing is planned for who is there",
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
            efficiency=self.efficiency,
            shared_power=None if self.shared_power is None else self.shared_power.to_domain(),
            in_force=None if self.in_force is None else self.in_force.to_domain(),
            planned_kw=None if self.planned_kw is None else tuple(self.planned_kw),
        )


class SessionIn(Edge):
    """One vehicle's stay at one EVSE: it may draw power while arrival <= time < departure.

    What it needs is stated in one of three ways: `departure` with `required_energy_kwh`, `departure` with `soc`,
    `target_soc` and `capacity_kwh`, or `scenarios` (a belief).
    """

    id: Id = Field(description="unique among the sessions")
    evse: Id = Field(description="id of the EVSE")
    arrival: Moment = Field(description="with any UTC offset; may lie in the past (plugged in) or the future")
    departure: Annotated[Moment | None, NotNull()] = Field(
        default=None, description="with any UTC offset; after the arrival; not beside scenarios"
    )
    required_energy_kwh: Annotated[KilowattHour | None, NotNull()] = Field(
        default=None, description="kWh still to be delivered from `now`, at the EVSE's meter"
    )
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
    scenarios: list[ScenarioIn] = Field(
        default=[], max_length=100, description="a belief in place of one departure and energy; probabilities sum to 1"
    )
    floor_energy_kwh: KilowattHour = Field(default=0.0, description="kWh of the need that are owed by `floor_by`")
    floor_by: Annotated[Moment | None, NotNull()] = Field(default=None, description="goes with `floor_energy_kwh`")
    max_energy_kwh: Annotated[KilowattHour | None, NotNull()] = Field(
        default=None, description="kWh it may take where that pays; left out: not more than it needs"
    )
    probability: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="that it comes: money weighs its energy by it, safety counts it fully"
    )
    soc: Annotated[Share | None, NotNull()] = Field(default=None, description="0 to 1, state of charge at `now`")
    target_soc: Annotated[Share | None, NotNull()] = Field(
        default=None, description="0 to 1, in place of `required_energy_kwh`"
    )
    capacity_kwh: Annotated[KilowattHour | None, NotNull()] = Field(
        default=None, description="kWh, of the vehicle's battery"
    )
    taper: Annotated[TaperIn | None, NotNull()] = Field(
        default=None, description="how its power falls when it is nearly full; needs soc and capacity_kwh"
    )
    v2g: Annotated[VehicleToGridIn | None, NotNull()] = Field(
        default=None, description="it may give energy back; needs soc and capacity_kwh"
    )

    def to_domain(self, efficiency: float = 1.0) -> Session:
        """`efficiency` of its EVSE turns a target SoC into energy at the meter."""
        return Session(
            session_id=self.id,
            evse_id=self.evse,
            arrival=self.arrival,
            departure=self._departure(),
            required_energy_kwh=self._required_energy_kwh(efficiency),
            max_power_kw=self.max_power_kw,
            vehicle_phases=self.vehicle_phases,
            priority=self.priority,
            min_current_a=self.min_current_a,
            scenarios=tuple(scenario.to_domain() for scenario in self.scenarios),
            floor_energy_kwh=self.floor_energy_kwh,
            floor_by=self.floor_by,
            max_energy_kwh=self.max_energy_kwh,
            probability=self.probability,
            soc=self.soc,
            capacity_kwh=self.capacity_kwh,
            taper=None if self.taper is None else self.taper.to_domain(),
            v2g=None if self.v2g is None else self.v2g.to_domain(),
        )

    def _departure(self) -> datetime:
        if self.scenarios:
            self._refuse_beside_scenarios("departure", self.departure)
            return max(scenario.departure for scenario in self.scenarios)
        if self.departure is None:
            raise InvalidProblemError(f"sessions[{self.id}].departure", "is missing")
        return self.departure

    def _required_energy_kwh(self, efficiency: float) -> float:
        where = f"sessions[{self.id}]"
        if self.scenarios:
            self._refuse_beside_scenarios("required_energy_kwh", self.required_energy_kwh)
            self._refuse_beside_scenarios("target_soc", self.target_soc)
            return max(scenario.required_energy_kwh for scenario in self.scenarios)
        if self.target_soc is None:
            if self.required_energy_kwh is None:
                raise InvalidProblemError(f"{where}.required_energy_kwh", "is missing, and so is target_soc")
            return self.required_energy_kwh
        if self.required_energy_kwh is not None:
            raise InvalidProblemError(f"{where}.target_soc", "and required_energy_kwh: one of them says what it needs")
        if self.soc is None or self.capacity_kwh is None:
            raise InvalidProblemError(f"{where}.target_soc", "needs soc and capacity_kwh")
        return energy_for_soc(self.soc, self.target_soc, self.capacity_kwh, efficiency)

    def _refuse_beside_scenarios(self, name: str, value: object) -> None:
        if value is not None:
            raise InvalidProblemError(f"sessions[{self.id}].{name}", "stands beside scenarios, which say it themselves")


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
    ratchet_kw: Kilowatt = Field(default=0.0, description="kW billed in any case, e.g. a share of last year's peak")

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
