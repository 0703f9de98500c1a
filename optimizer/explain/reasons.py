"""The words of an explanation: frozen, plain numbers and text, ready for JSON by `Explanation.as_dict`.

Prices are the problem's currency per kWh at the EVSE's meter. Slots count from the start of the horizon.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from optimizer.domain import Phase


@dataclass(frozen=True, slots=True)
class Binding:
    """A rule that holds somebody back, and what one kWh of room under it would save.

    `rule` is the name of the constraint; `where` the circuit, session, battery or demand charge; `slot` None where
    the rule is not about one slot.
    """

    rule: str
    where: str
    shadow_price_per_kwh: float
    slot: int | None = None
    phase: Phase | None = None

    def __str__(self) -> str:
        slot = None if self.slot is None else f"slot {self.slot}"
        return f"{self.rule} at {' '.join(filter(None, (self.where, self.phase, slot)))}"


@dataclass(frozen=True, slots=True)
class SlotReason:
    """Why an EVSE gets what it gets in one slot.

    `energy_price_per_kwh` is what the site's next kWh costs in this slot, demand charge and import limit included;
    `price_per_kwh` adds what this EVSE displaces under the rules in `binding`. It charges where that is below
    `worth_per_kwh`, the price of its vehicle's last kWh.
    """

    slot: int
    power_kw: float
    max_power_kw: float
    energy_price_per_kwh: float
    price_per_kwh: float
    worth_per_kwh: float
    binding: tuple[Binding, ...]
    why: str


@dataclass(frozen=True, slots=True)
class NextBest:
    """The cheapest slot that the vehicle does not use and could, up to `headroom_kw`; what a kWh costs more there."""

    slot: int
    headroom_kw: float
    price_per_kwh: float
    more_per_kwh: float


@dataclass(frozen=True, slots=True)
class SessionReason:
    """What one more kWh would cost for this session; `next_best` None: no slot is left."""

    session_id: str
    evse_id: str
    marginal_price_per_kwh: float
    next_best: NextBest | None


RepairKind = Literal["leave_later", "take_less", "more_power"]


@dataclass(frozen=True, slots=True)
class Repair:
    """One change that fulfils a wish, the smallest of its kind. It was put into the problem and solved.

    Nobody else goes short of more than in the plan. `amount` is in `unit` (min, kWh, kW), `share` is the amount as a
    part of what it changes: the stay, the need, the limit. `money` is what the plan then costs more, without what
    the change itself costs; `where` the circuit, or the connection.
    """

    kind: RepairKind
    amount: float
    unit: Literal["min", "kWh", "kW"]
    share: float
    money: float
    where: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case "leave_later":
                return f"leave {self.amount:g} minutes later"
            case "take_less":
                return f"take {self.amount:g} kWh less"
            case "more_power":
                return f"{self.amount:g} kW more at {self.where}"


@dataclass(frozen=True, slots=True)
class UnmetWish:
    """A session that goes short, and what would help: at most one repair of each kind, the smallest share first."""

    session_id: str
    unmet_kwh: float
    repairs: tuple[Repair, ...]

    @property
    def cheapest(self) -> Repair | None:
        return self.repairs[0] if self.repairs else None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a schedule is as it is: by EVSE and slot, by session, and by wish that was not met.

    `binding` holds every limit of the site that costs money, with the price of one kWh through it; `sought` the
    sessions whose wishes were looked into: for the others there was no time.
    """

    currency: str
    evses: Mapping[str, tuple[SlotReason, ...]]
    sessions: Mapping[str, SessionReason]
    binding: tuple[Binding, ...]
    unmet: tuple[UnmetWish, ...]
    sought: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and text."""
        return asdict(self)
