"""The canonical sites, S to XXL: what every benchmark of the optimiser is measured on. The same seed, the same site.

An EVSE sees two or three stays in the horizon and is taken three fifths of the time. Half of the vehicles charge on
one phase; feeders of 15 EVSEs hold 160 A a phase, and every rotation occurs. Base load, PV, a day of spot prices with
an evening peak, an import limit that binds in the cheap hours, and a demand charge that couples all slots.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from optimizer.domain import PHASES, Circuit, Connection, DemandCharge, Evse, Horizon, Phase, Problem, Session

START = datetime(2026, 3, 2, 11, tzinfo=UTC)
ROTATIONS: tuple[tuple[Phase, ...], ...] = (PHASES, ("L2", "L3", "L1"), ("L3", "L1", "L2"))
EVSES_PER_FEEDER = 15
THIRD_STAY = 0.3  # of the EVSEs; the others see two
TAKEN = 0.6  # of the time, on average
MOST_NEED_KWH = 25.0


@dataclass(frozen=True)
class Size:
    """How many EVSEs, and how many slots of how many minutes."""

    evses: int
    slots: int = 96
    slot_minutes: int = 15

    @property
    def hours(self) -> float:
        return self.slots * self.slot_minutes / 60


SIZES = {"S": Size(10), "M": Size(54, 144, 5), "L": Size(200), "XL": Size(1000), "XXL": Size(2000, 288, 5)}


def canonical(size: Size, *, seed: int = 1, stays: int | None = None) -> Problem:
    """A depot or car park. `stays` is how many each EVSE sees, two or three when it is left out."""
    random = np.random.default_rng(seed)
    count, slots = size.evses, size.slots
    day = np.arange(slots) * 24 / (slots - 1)  # a short horizon sees the whole day's shape, so that it is as hard
    price = 0.25 + 0.10 * np.sin((day - 2) * np.pi / 6) + random.normal(0, 0.01, slots)
    base_kw = count * (0.8 + 0.3 * np.sin((day - 5) * np.pi / 12)) + random.normal(0, 0.02 * count, slots)
    pv_kw = np.maximum(np.sin((day + 5) % 24 * np.pi / 12), 0) * count * 0.6
    feeders = tuple(Circuit(f"feeder-{number}", max_current_a=160.0) for number in range(-(-count // EVSES_PER_FEEDER)))
    evses = tuple(
        Evse(
            f"evse-{number}",
            feeders[number // EVSES_PER_FEEDER].circuit_id,
            phases=ROTATIONS[number % 3],
            max_current_a=32,
        )
        for number in range(count)
    )
    return Problem(
        horizon=Horizon(START, size.slot_minutes, slots),
        connection=Connection(max_import_kw=4.5 * count, max_export_kw=2.0 * count),
        circuits=feeders,
        evses=evses,
        sessions=tuple(session for evse in evses for session in _sessions(evse, size, stays, random)),
        base_load_kw=tuple(np.maximum(base_kw, 0).tolist()),
        base_load_high_kw=tuple(np.maximum(base_kw * 1.2, 0).tolist()),
        import_price_per_kwh=tuple(price.tolist()),
        export_price_per_kwh=tuple((price - 0.12).tolist()),
        pv_kw=tuple(pv_kw.tolist()),
        demand_charges=(DemandCharge("month", 4.5, expected_peak_kw=2.0 * count),),
        time_zone="Europe/Berlin",
    )


def _sessions(evse: Evse, size: Size, stays: int | None, random: np.random.Generator) -> list[Session]:
    """One after the other, with gaps between them; needs that the stay can hold."""
    count = stays or (3 if random.random() < THIRD_STAY else 2)
    taken = random.uniform(TAKEN - 0.15, TAKEN + 0.15)
    stay_h = random.dirichlet(np.full(count, 8.0)) * taken * size.hours
    gap_h = random.dirichlet(np.full(count + 1, 2.0)) * (1 - taken) * size.hours
    arrival_h = np.cumsum(gap_h[:-1]) + np.concatenate([[0.0], np.cumsum(stay_h[:-1])])
    sessions = []
    for number in range(count):
        phases = 1 if random.random() < 0.5 else 3
        max_power_kw = 7.36 if phases == 1 else 11.04  # 32 A on one phase, 16 A on three
        need_kwh = min(random.uniform(0.05, 0.4) * float(stay_h[number]) * max_power_kw, MOST_NEED_KWH)
        arrival = START + timedelta(seconds=round(3600 * float(arrival_h[number])))
        sessions.append(
            Session(
                f"{evse.evse_id}/{number}",
                evse.evse_id,
                arrival,
                arrival + timedelta(seconds=round(3600 * float(stay_h[number]))),
                round(need_kwh, 2),
                max_power_kw=max_power_kw,
                vehicle_phases=phases,
            )
        )
    return sessions
