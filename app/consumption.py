"""What was charged in a month, by a driver, a fleet or a site, and what control has saved of its cost. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.accounting import COST_ESTIMATED
from app.db.records import Cdr


@dataclass(frozen=True, slots=True)
class Consumption:
    """Sums over charge detail records. Money by currency; what is not known of a record is in none of the sums.

    `priced_kwh`, `weighed_kwh` and `traced_kwh` say how much of the energy the cost, the CO2 and the PV are known of.
    """

    sessions: int
    energy_kwh: float
    total_time_h: float
    charging_time_h: float
    parking_time_h: float
    peak_power_kw: float | None  # the highest of one charge
    cost: Mapping[str, float]
    uncontrolled_cost: Mapping[str, float]
    priced_kwh: float
    estimated_kwh: float
    co2_kg: float | None
    weighed_kwh: float
    pv_kwh: float | None
    traced_kwh: float
    flags: Mapping[str, int]

    @property
    def saved(self) -> dict[str, float]:
        """What the same energy would have cost more, drawn at full power from the arrival on; negative: less."""
        return {currency: self.uncontrolled_cost[currency] - cost for currency, cost in self.cost.items()}


def consumption_of(cdrs: Iterable[Cdr]) -> Consumption:
    """The sums of these records, in whatever order."""
    rows = sorted(cdrs, key=lambda row: row.transaction_id)  # sums of floats depend on their order
    priced = [row for row in rows if row.cost is not None and row.uncontrolled_cost is not None and row.currency]
    weighed = [row for row in rows if row.co2_kg is not None]
    traced = [row for row in rows if row.pv_share is not None]
    cost: dict[str, float] = {}
    uncontrolled: dict[str, float] = {}
    for row in priced:
        currency = row.currency or ""
        cost[currency] = cost.get(currency, 0.0) + (row.cost or 0.0)
        uncontrolled[currency] = uncontrolled.get(currency, 0.0) + (row.uncontrolled_cost or 0.0)
    return Consumption(
        sessions=len(rows),
        energy_kwh=sum(row.energy_kwh for row in rows),
        total_time_h=sum(row.total_time_h for row in rows),
        charging_time_h=sum(row.charging_time_h or 0.0 for row in rows),
        parking_time_h=sum(row.parking_time_h for row in rows),
        peak_power_kw=max((row.peak_power_kw for row in rows if row.peak_power_kw is not None), default=None),
        cost=cost,
        uncontrolled_cost=uncontrolled,
        priced_kwh=sum(row.energy_kwh for row in priced),
        estimated_kwh=sum(row.energy_kwh for row in priced if COST_ESTIMATED in row.flags),
        co2_kg=sum(row.co2_kg or 0.0 for row in weighed) if weighed else None,
        weighed_kwh=sum(row.energy_kwh for row in weighed),
        pv_kwh=sum((row.pv_share or 0.0) * row.energy_kwh for row in traced) if traced else None,
        traced_kwh=sum(row.energy_kwh for row in traced),
        flags=dict(sorted(Counter(flag for row in rows for flag in row.flags).items())),
    )


def by_driver(cdrs: Iterable[Cdr]) -> dict[str, Consumption]:
    """The same for each id tag, by name."""
    rows: dict[str, list[Cdr]] = {}
    for cdr in cdrs:
        rows.setdefault(cdr.id_tag, []).append(cdr)
    return {id_tag: consumption_of(rows[id_tag]) for id_tag in sorted(rows)}
