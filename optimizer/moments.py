"""What the milestones of one session miss while its steps are moved about."""

from collections.abc import Iterator

import numpy as np

from optimizer.arrays import Floats, Ints
from optimizer.fill import ENERGY_NOISE_KWH
from optimizer.objectives import unmet_price
from optimizer.program import Site


class Moments:
    """The milestones, session by session. `floors_kwh` is what each floor shall get; scenarios keep what they want."""

    def __init__(self, site: Site, floors_kwh: Floats) -> None:
        milestones = site.milestones
        self._step_kw = site.charge.step_kw
        self._floors: dict[int, list[tuple[float, Ints, Floats]]] = {}
        self._priced: dict[int, list[tuple[float, float, Ints, Floats]]] = {}  # price per kWh, kWh, columns, hours
        order = np.argsort(milestones.milestone, kind="stable")
        first = np.searchsorted(milestones.milestone[order], np.arange(milestones.count + 1))
        for number in range(milestones.count):
            entries = order[first[number] : first[number + 1]]
            column, hours = milestones.column[entries], milestones.hours[entries]
            session, owed_kwh = int(milestones.session[number]), float(milestones.owed_kwh[number])
            price = float(milestones.probability[number]) * (site.problem.unmet_price_per_kwh or 0.0)
            if milestones.is_floor[number]:
                price, owed_kwh = unmet_price(site), float(floors_kwh[number])
                self._floors.setdefault(session, []).append((owed_kwh, column, hours))
            self._priced.setdefault(session, []).append((price, owed_kwh, column, hours))

    def with_floor(self, service_class: Ints, number: int) -> list[int]:
        """The sessions of a service class that have a floor."""
        return [session for session in self._floors if service_class[session] == number]

    def floors_missing(self, session: int, steps: Ints) -> Iterator[tuple[float, dict[int, float]]]:
        """For each floor that misses something: how much, and the hours of each column before its moment."""
        for owed_kwh, column, hours in self._floors.get(session, []):
            missing_kwh = owed_kwh - self._got_kwh(column, hours, steps)
            if missing_kwh > ENERGY_NOISE_KWH:
                yield missing_kwh, dict(zip(column.tolist(), hours.tolist(), strict=True))

    def money(self, session: int, steps: Ints) -> float:
        """What the session's milestones miss, at its price; a floor's is dearer than any energy."""
        return sum(
            price * max(owed_kwh - self._got_kwh(column, hours, steps), 0.0)
            for price, owed_kwh, column, hours in self._priced.get(session, [])
        )

    def _got_kwh(self, column: Ints, hours: Floats, steps: Ints) -> float:
        return float(np.sum(steps[column] * self._step_kw[column] * hours))
