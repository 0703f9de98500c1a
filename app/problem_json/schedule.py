"""The schedule as JSON, version 1: what a caller reads, and back again for a plan that was stored."""

from dataclasses import fields
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from optimizer.domain import (
    Baseline,
    BatteryResult,
    Cost,
    Phase,
    Schedule,
    SessionResult,
    Violation,
)


class Out(BaseModel):
    """Base of what goes out."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class CostOut(Out):
    """Money over the horizon, in the schedule's currency."""

    energy: float = Field(description="import less export")
    demand: float = Field(description="what the demand charges cost beyond the peak known before")
    carbon: float = Field(description="import at the carbon price")
    wear: float = Field(description="of batteries")
    total: float = Field(description="the site's money, base load included")
    ev: float | None = Field(default=None, description="with minus without EVs; null where it was not computed")
    unmet: float = Field(
        default=0.0, description="what beliefs are expected to miss, at unmet_price_per_kwh; not in the total"
    )

    @classmethod
    def of(cls, cost: Cost) -> Self:
        return cls(
            energy=cost.energy,
            demand=cost.demand,
            carbon=cost.carbon,
            wear=cost.wear,
            total=cost.total,
            ev=cost.ev,
            unmet=cost.unmet,
        )

    def to_domain(self) -> Cost:
        return Cost(self.energy, self.demand, self.carbon, self.wear, self.ev, self.unmet)


class ViolationOut(Out):
    """One broken rule. An unavoidable one is there without any EV; only a caused one blocks dispatch."""

    rule: str = Field(description="name of the constraint")
    where: str = Field(description="id of the circuit, EVSE, session, battery or demand charge, or connection")
    excess: float = Field(description="beyond the limit, in `unit`")
    unit: str = Field(description="of `excess`")
    slot: int | None = Field(default=None, description="null: the whole horizon")
    phase: Phase | None = Field(default=None, description="of the site; null where the rule has none")
    unavoidable: bool = Field(default=False, description="is it there without any EV?")

    @classmethod
    def of(cls, violation: Violation) -> Self:
        return cls(
            rule=violation.rule,
            where=violation.where,
            excess=violation.excess,
            unit=violation.unit,
            slot=violation.slot,
            phase=violation.phase,
            unavoidable=violation.unavoidable,
        )

    def to_domain(self) -> Violation:
        return Violation(self.rule, self.where, self.excess, self.unit, self.slot, self.phase, self.unavoidable)


class EvseScheduleOut(Out):
    power_kw: list[float] = Field(description="kW per slot, the limit while a vehicle is present")
    current_a: list[float] | None = Field(description="A per phase in use and slot; null for DC")


class SessionScheduleOut(Out):
    planned_energy_kwh: float = Field(description="kWh")
    unmet_kwh: float = Field(description="kWh of the need that the schedule does not deliver")
    note: str | None = Field(default=None, description="names an unavoidable remainder")
    floor_unmet_kwh: float = Field(default=0.0, description="kWh missing of the floor at `floor_by`")
    expected_unmet_kwh: float = Field(default=0.0, description="kWh that a belief misses on average of its scenarios")
    met_share: float | None = Field(default=None, description="of what is owed, 0 to 1; null where nothing is owed")

    @classmethod
    def of(cls, result: SessionResult) -> Self:
        return cls(**{field.name: getattr(result, field.name) for field in fields(result)})

    def to_domain(self) -> SessionResult:
        return SessionResult(**self.model_dump())


class BatteryScheduleOut(Out):
    power_kw: list[float] = Field(description="kW per slot, positive when charging, at the AC side")
    energy_kwh: list[float] = Field(description="kWh at each slot's end")


class BaselineOut(Out):
    """What would have happened under another policy; batteries do nothing, but with perfect foresight."""

    cost: CostOut = Field(description="by cause")
    unmet_kwh: float = Field(description="kWh over all sessions")
    peak_kw: float = Field(description="kW, the highest import of a slot")
    violations: list[ViolationOut] = Field(description="every broken rule")
    power_kw: dict[str, list[float]] = Field(description="kW per EVSE and slot")

    @classmethod
    def of(cls, baseline: Baseline) -> Self:
        return cls(
            cost=CostOut.of(baseline.cost),
            unmet_kwh=baseline.unmet_kwh,
            peak_kw=baseline.peak_kw,
            violations=[ViolationOut.of(violation) for violation in baseline.violations],
            power_kw={evse_id: list(series) for evse_id, series in baseline.power_kw.items()},
        )

    def to_domain(self) -> Baseline:
        return Baseline(
            cost=self.cost.to_domain(),
            unmet_kwh=self.unmet_kwh,
            peak_kw=self.peak_kw,
            violations=tuple(violation.to_domain() for violation in self.violations),
            power_kw={evse_id: tuple(series) for evse_id, series in self.power_kw.items()},
        )


class ScheduleOut(Out):
    """The answer to a problem, version 1: one power limit per EVSE and slot, and what follows from it."""

    model_config = ConfigDict(title="Schedule")

    version: Literal[1] = Field(default=1, description="of this format")
    currency: str = Field(description="as in the problem")
    status: Literal["optimal", "feasible", "fallback"] = Field(description="feasible: see gap; fallback: see reason")
    gap: float | None = Field(default=None, description="(cost - LP bound at equal unmet energy) / gross EV money")
    reason: str | None = Field(default=None, description="why it is no optimum")
    cost: CostOut = Field(description="by cause")
    evses: dict[str, EvseScheduleOut] = Field(description="by EVSE id")
    sessions: dict[str, SessionScheduleOut] = Field(description="by session id")
    batteries: dict[str, BatteryScheduleOut] = Field(description="by battery id")
    import_kw: list[float] = Field(description="kW per slot, >= 0")
    export_kw: list[float] = Field(description="kW per slot, >= 0")
    curtail_kw: list[float] = Field(description="kW of PV per slot, >= 0")
    peak_kw: dict[str, float] = Field(description="kW by demand charge id, the peak so far included")
    baselines: dict[str, BaselineOut] = Field(
        description="by name: uncontrolled and equal_share unless others were asked for"
    )
    violations: list[ViolationOut] = Field(description="every broken rule")
    warnings: list[str] = Field(description="what was assumed or is overloaded")
    timing_ms: dict[str, float] = Field(description="ms: build, solve, repair, check")
    price_of_fairness_kwh: float = Field(
        default=0.0, description="kWh that are unmet in total so that nobody goes without alone"
    )

    @classmethod
    def of(cls, schedule: Schedule) -> Self:
        return cls(
            currency=schedule.currency,
            status=schedule.status,
            gap=schedule.gap,
            reason=schedule.reason,
            cost=CostOut.of(schedule.cost),
            evses={
                evse_id: EvseScheduleOut(power_kw=list(power_kw), current_a=_list(schedule.current_a.get(evse_id)))
                for evse_id, power_kw in schedule.power_kw.items()
            },
            sessions={session_id: SessionScheduleOut.of(result) for session_id, result in schedule.sessions.items()},
            batteries={
                battery_id: BatteryScheduleOut(power_kw=list(result.power_kw), energy_kwh=list(result.energy_kwh))
                for battery_id, result in schedule.batteries.items()
            },
            import_kw=list(schedule.import_kw),
            export_kw=list(schedule.export_kw),
            curtail_kw=list(schedule.curtail_kw),
            peak_kw=dict(schedule.peak_kw),
            baselines={name: BaselineOut.of(baseline) for name, baseline in schedule.baselines.items()},
            violations=[ViolationOut.of(violation) for violation in schedule.violations],
            warnings=list(schedule.warnings),
            timing_ms=dict(schedule.timing_ms),
            price_of_fairness_kwh=schedule.price_of_fairness_kwh,
        )

    def to_domain(self) -> Schedule:
        return Schedule(
            status=self.status,
            power_kw={evse_id: tuple(evse.power_kw) for evse_id, evse in self.evses.items()},
            current_a={evse_id: _tuple(evse.current_a) for evse_id, evse in self.evses.items()},
            sessions={session_id: result.to_domain() for session_id, result in self.sessions.items()},
            batteries={
                battery_id: BatteryResult(tuple(result.power_kw), tuple(result.energy_kwh))
                for battery_id, result in self.batteries.items()
            },
            import_kw=tuple(self.import_kw),
            export_kw=tuple(self.export_kw),
            curtail_kw=tuple(self.curtail_kw),
            peak_kw=self.peak_kw,
            cost=self.cost.to_domain(),
            gap=self.gap,
            reason=self.reason,
            currency=self.currency,
            baselines={name: baseline.to_domain() for name, baseline in self.baselines.items()},
            violations=tuple(violation.to_domain() for violation in self.violations),
            warnings=tuple(self.warnings),
            timing_ms=self.timing_ms,
            price_of_fairness_kwh=self.price_of_fairness_kwh,
        )


def schedule_to_json(schedule: Schedule) -> dict[str, Any]:
    """The schedule as what `json.dumps` takes: dicts, lists, numbers, text, None."""
    return ScheduleOut.of(schedule).model_dump(mode="json")


def schedule_from_json(document: object) -> Schedule:
    """The inverse of `schedule_to_json`, for plans that were stored. Raises pydantic's `ValidationError`."""
    return ScheduleOut.model_validate(document).to_domain()


def _list(series: tuple[float, ...] | None) -> list[float] | None:
    return None if series is None else list(series)


def _tuple(series: list[float] | None) -> tuple[float, ...] | None:
    return None if series is None else tuple(series)
