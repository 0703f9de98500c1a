"""What a nearly full vehicle still accepts, for policies that go through the slots in the order of time."""

from dataclasses import dataclass
from math import inf

import numpy as np

from optimizer.domain import Problem, Session, kw_per_ampere
from optimizer.presence import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Acceptance:
    r"""One entry a session. A slot's power fits the state of charge that it ends with, so that its energy is certain:

    .. math:: p \le P \frac{z - s}{z - f}, \quad s = s_0 + \eta \frac{E + p h}{C}

    P full power kW, f and z where the taper begins and ends, s_0 and C of the vehicle, η of the EVSE, E kWh delivered
    before the slot. `rate` is P / (z - f), 0 where nothing tapers, `per_kwh` is η / C, `left` is z - s_0.
    """

    rate: Floats
    per_kwh: Floats
    left: Floats

    def most_kw(self, session: Ints, delivered_kwh: Floats, hours: Floats) -> Floats:
        """For stays of `session` with `hours` in the slot, after `delivered_kwh` (of each session)."""
        rate, per_kwh = self.rate[session], self.per_kwh[session]
        left = np.maximum(self.left[session] - per_kwh * delivered_kwh[session], 0.0)
        most_kw: Floats = np.where(rate > 0, rate * left / (1 + rate * per_kwh * hours), inf)
        return most_kw


def acceptance_of(problem: Problem) -> Acceptance:
    """From the tapers of all sessions."""
    efficiency = {evse.evse_id: evse.efficiency for evse in problem.evses}
    rows = [_row(problem, session, efficiency[session.evse_id]) for session in problem.sessions]
    rate, per_kwh, left = np.array(rows, dtype=float).reshape(-1, 3).T
    return Acceptance(rate=rate, per_kwh=per_kwh, left=left)


def _row(problem: Problem, session: Session, efficiency: float) -> tuple[float, float, float]:
    taper = session.taper
    if taper is None or session.soc is None or session.capacity_kwh is None:
        return 0.0, 0.0, 0.0
    full_kw = session.max_power_kw
    if full_kw is None:
        evse = problem.evse(session.evse_id)
        full_kw = inf if evse.max_power_kw is None else evse.max_power_kw
        if evse.max_current_a is not None:
            per_ampere = kw_per_ampere(evse, session.vehicle_phases, problem.connection.voltage_v)
            full_kw = min(full_kw, evse.max_current_a * per_ampere)
    return (
        full_kw / (taper.zero_at_soc - taper.from_soc),
        efficiency / session.capacity_kwh,
        taper.zero_at_soc - session.soc,
    )
