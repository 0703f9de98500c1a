"""What the guard tells the planner: load that no forecast knew of, and that the next plan must leave room for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.dispatch.fuses import Fuses
from app.guard.burden import Burden
from optimizer.domain import CONNECTION, PHASES, PhaseCurrents, Reservation


@dataclass(frozen=True, slots=True)
class Residual:
    """`building_kw` is measured, None where it is not; `unexplained` is A by circuit and phase."""

    building_kw: float | None = None
    unexplained: Mapping[str, PhaseCurrents] = field(default_factory=dict)

    def reservations(self) -> tuple[Reservation, ...]:
        return tuple(
            Reservation(current_a, circuit_id=circuit_id) for circuit_id, current_a in self.unexplained.items()
        )


def residual_of(fuses: Fuses, burden: Burden) -> Residual:
    unexplained: dict[str, list[float]] = {}
    for row, other, is_measured in zip(fuses.rows, burden.other, burden.measured, strict=True):
        if is_measured and row.circuit_id != CONNECTION and row.phase is not None and other > 0:
            unexplained.setdefault(row.circuit_id, [0.0, 0.0, 0.0])[PHASES.index(row.phase)] = float(other)
    return Residual(
        burden.building_kw if burden.source == "measured" else None,
        {circuit_id: (one[0], one[1], one[2]) for circuit_id, one in unexplained.items()},
    )
