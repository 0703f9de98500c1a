"""The answer: one power limit per EVSE and slot, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from optimizer.domain.quantities import Phase, Series

Status = Literal["optimal", "feasible", "fallback"]


@dataclass(frozen=True, slots=True)
class Cost:
    """The site's money over the horizon, base load included. `ev` is with minus without EVs."""

    energy: float = 0.0
    demand: float = 0.0
    carbon: float = 0.0
    wear: float = 0.0
    ev: float | None = None
    unmet: float = 0.0  # what beliefs are expected to miss, at the site's price; nobody pays it: not in `total`

    @property
    def total(self) -> float:
        return self.energy + self.demand + self.carbon + self.wear

    @property
    def minimised(self) -> float:
        """What the plan minimises: money that is paid, and the price of what beliefs are expected to miss."""
        return self.total + self.unmet


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What one session gets. `note` names an unavoidable remainder, e.g. one below the minimum current.

    `unmet_kwh` is missing of a promise, `floor_unmet_kwh` of its floor, `expected_unmet_kwh` of a belief on average of
    its scenarios. `met_share` is the part of what is owed that is planned; None where nothing is owed.
    """

    planned_energy_kwh: float
    unmet_kwh: float
    note: str | None = None
    floor_unmet_kwh: float = 0.0
    expected_unmet_kwh: float = 0.0
    met_share: float | None = None


@dataclass(frozen=True, slots=True)
class BatteryResult:
    """`power_kw` positive when charging, at the AC side; `energy_kwh` at each slot's end."""

    power_kw: Series
    energy_kwh: Series


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule. `unavoidable` is present without any EV; only a caused one blocks dispatch.

    `rule` is the name of the constraint, `where` the circuit, EVSE, session or battery, `slot` None for the whole
    horizon, `excess` the amount in `unit` beyond the limit.
    """

    rule: str
    where: str
    excess: float
    unit: str
    slot: int | None = None
    phase: Phase | None = None
    unavoidable: bool = False

    def __str__(self) -> str:
        place = " ".join(filter(None, (self.where, self.phase, None if self.slot is None else f"slot {self.slot}")))
        return f"{self.rule} at {place}: {self.excess:.3f} {self.unit} too much"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What would have happened under a simpler policy, on the same needs and limits."""

    cost: Cost
    unmet_kwh: float
    peak_kw: float
    violations: tuple[Violation, ...]
    power_kw: Mapping[str, Series]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The answer: one power limit per EVSE and slot, and what follows from it.

    `power_kw` and `current_a` map EVSE id to a series; the limit holds while a vehicle is present, a slot shared by
    presence and absence still carries the full limit. `current_a` is per phase in use, None for DC. An EVSE without
    any session in the horizon has zeros. `peak_kw` maps a demand charge's id to the highest mean import of its
    intervals within the horizon or the peak so far, whichever is larger.
    """

    status: Status
    power_kw: Mapping[str, Series]
    current_a: Mapping[str, Series | None]
    sessions: Mapping[str, SessionResult]
    batteries: Mapping[str, BatteryResult]
    import_kw: Series
    export_kw: Series
    curtail_kw: Series
    peak_kw: Mapping[str, float]
    cost: Cost
    gap: float | None = None  # (cost - LP bound at equal unmet energy) / gross EV money
    reason: str | None = None  # why it is no optimum
    currency: str = "EUR"
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    price_of_fairness_kwh: float = 0.0  # more is unmet in total, because nobody was to go without alone

    @property
    def unmet_kwh(self) -> float:
        return sum(result.unmet_kwh for result in self.sessions.values())
