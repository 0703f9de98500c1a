"""The same cars, load and PV without a plan: charging uncontrolled, and an equal share of what is left.

Both run on the physics alone, without OCPP. What each policy costs is judged by one function, `judge`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from app.demo.car import MIN_CURRENT_A
from app.demo.physics import Measured, Offer, Outlet, Surroundings, circuit_paths, measure, outlets_of
from app.demo.scenario import Scenario, Visit
from app.site import Site
from optimizer.domain import CONNECTION, PHASES, Phase

LOOK = timedelta(minutes=1)  # how often a load manager looks at its meters
HEADROOM = 0.05  # of the connection's ratings: load and clouds move until it looks again
MET_WITHIN_KWH = 0.25  # a session that lacks less has what it needs


@dataclass(frozen=True, slots=True)
class Look:
    """What a load manager sees at `now`. `present`: outlets with a car, in order of arrival."""

    site: Site
    surroundings: Surroundings
    now: datetime
    present: Sequence[Outlet]


Policy = Callable[[Look], Mapping[str, float]]  # A per phase offered at each outlet; left out is 0


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """What one car got by its true departure. `unmet_kwh`: of what was asked and could have been taken."""

    session_id: str
    asked_kwh: float
    delivered_kwh: float
    unmet_kwh: float

    @property
    def departure_met(self) -> bool:
        return self.unmet_kwh <= MET_WITHIN_KWH


@dataclass(frozen=True, slots=True)
class Outcome:
    """A day under one policy, by the meters. `cost`: energy of the whole site and unmet energy, EUR."""

    sessions: tuple[SessionOutcome, ...]
    cost: float
    measured: Measured

    @property
    def unmet_kwh(self) -> float:
        return sum(session.unmet_kwh for session in self.sessions)


def judge(
    scenario: Scenario, surroundings: Surroundings, outlets: Mapping[str, Outlet], delivered_kwh: Mapping[str, float]
) -> Outcome:
    r"""Cost and violations of a day, the same for every policy.

    .. math:: \sum_q (p_q\, i_q - x\, e_q) / 4 + p_{max} \sum_s u_s

    with import :math:`i` and export :math:`e` the mean kW of each quarter of an hour by the true power, the day's
    import prices :math:`p`, the export price :math:`x`, and the unmet energy :math:`u` of each session: the less of
    what was asked and what the car could have taken by its true departure at a socket of its own, minus what it got.
    """
    measured = measure(scenario.site, surroundings, (trace for outlet in outlets.values() for trace in outlet.traces))
    sessions = tuple(
        _session_outcome(scenario.site, visit, delivered_kwh[visit.session_id]) for visit in scenario.visits
    )
    prices = scenario.import_price_per_kwh()
    energy_cost = sum(
        (price * import_kw - scenario.site.tariff.export_price_per_kwh * export_kw) / 4
        for price, import_kw, export_kw in zip(prices, measured.import_kw, measured.export_kw, strict=True)
    )
    unmet_kwh = sum(session.unmet_kwh for session in sessions)
    return Outcome(sessions, energy_cost + max(prices) * unmet_kwh, measured)


def uncontrolled(look: Look) -> Mapping[str, float]:
    """Every socket offers all it has."""
    return {outlet.key: outlet.max_current_a for outlet in look.present}


def equal_share(look: Look) -> Mapping[str, float]:
    """Static load management: what circuits and connection have left is shared equally among cars that charge.

    Where the share would fall below the minimum current, who came last waits.
    """
    served = [outlet for outlet in look.present if outlet.car is not None and not outlet.car.is_full]
    while served:
        offered_a = _shares_a(look, served)
        if min(offered_a.values()) >= MIN_CURRENT_A:
            return offered_a
        served.pop()
    return {}


def run_policy(scenario: Scenario, surroundings: Surroundings, policy: Policy) -> Outcome:
    """The whole day under `policy`: it is asked every minute, and whenever a car comes or goes."""
    outlets = outlets_of(scenario.site)
    present: dict[str, Outlet] = {}
    before: dict[str, float] = {}
    delivered_kwh: dict[str, float] = {}
    moments = _moments(scenario)
    for now, until in pairwise(moments):
        for visit in scenario.visits:
            if visit.departure == now:
                outlet = present.pop(visit.outlet)
                delivered_kwh[visit.session_id] = outlet.energy_kwh - before[visit.outlet]
                outlet.disconnect()
        for visit in scenario.visits:
            if visit.arrival == now:
                present[visit.outlet] = outlets[visit.outlet]
                before[visit.outlet] = outlets[visit.outlet].energy_kwh
                outlets[visit.outlet].connect(visit.car(), now)
        offered_a = policy(Look(scenario.site, surroundings, now, list(present.values())))
        for outlet in present.values():
            outlet.advance(until, [Offer(now, offered_a.get(outlet.key, 0.0))])
    return judge(scenario, surroundings, outlets, delivered_kwh)


def _moments(scenario: Scenario) -> list[datetime]:
    """Arrivals and departures, every full minute while a car is there, and the end."""
    moments = {scenario.end} | {moment for visit in scenario.visits for moment in (visit.arrival, visit.departure)}
    minute = scenario.start
    while minute < scenario.end:
        if any(visit.arrival <= minute < visit.departure for visit in scenario.visits):
            moments.add(minute)
        minute += LOOK
    return sorted(moments)


def _shares_a(look: Look, served: Sequence[Outlet]) -> dict[str, float]:
    """Each outlet's part of the tightest place above it, A per phase."""
    site, paths = look.site, circuit_paths(look.site)
    left_a = {
        (circuit.id, phase): circuit.max_current_a
        for circuit in site.circuits
        if circuit.max_current_a is not None
        for phase in PHASES
    }
    net_a, net_kw = _measured(look)
    if site.connection.max_current_a is not None:
        rated_a = site.connection.max_current_a * (1 - HEADROOM)
        left_a |= {(CONNECTION, phase): rated_a - net_a[row] for row, phase in enumerate(PHASES)}
    members: dict[tuple[str, Phase], int] = {}
    for outlet in served:
        for place in (*paths[outlet.key], CONNECTION):
            for phase in outlet.phases_in_use:
                members[place, phase] = members.get((place, phase), 0) + 1
    by_power_a = float("inf")
    if site.connection.max_import_kw is not None:
        left_kw = site.connection.max_import_kw * (1 - HEADROOM) - net_kw
        by_power_a = left_kw * 1000 / site.connection.voltage_v / sum(len(outlet.phases_in_use) for outlet in served)
    return {
        outlet.key: min(
            outlet.max_current_a,
            by_power_a,
            *(
                left_a[place, phase] / members[place, phase]
                for place in (*paths[outlet.key], CONNECTION)
                for phase in outlet.phases_in_use
                if (place, phase) in left_a
            ),
        )
        for outlet in served
    }


def _measured(look: Look) -> tuple[tuple[float, ...], float]:
    """Current per phase and power of load less PV, in the second before `now`."""
    surroundings = look.surroundings
    second = max(0, int((look.now - surroundings.start).total_seconds()) - 1)
    base_load_kw, pv_kw = float(surroundings.base_load_kw[second]), float(surroundings.pv_kw[second])
    net_a = tuple(
        (base_load_kw * share - pv_kw / 3) * 1000 / look.site.connection.voltage_v
        for share in surroundings.base_load_phase_share
    )
    return net_a, base_load_kw - pv_kw


def _session_outcome(site: Site, visit: Visit, delivered_kwh: float) -> SessionOutcome:
    possible_kwh = min(visit.asked_kwh, most_kwh(site, visit))
    return SessionOutcome(visit.session_id, visit.asked_kwh, delivered_kwh, max(0.0, possible_kwh - delivered_kwh))


def most_kwh(site: Site, visit: Visit) -> float:
    """What the car takes by its true departure at its socket when nothing else limits it."""
    outlet = outlets_of(site)[visit.outlet]
    outlet.connect(visit.car(), visit.arrival)
    outlet.advance(visit.departure, [Offer(visit.arrival, outlet.max_current_a)])
    return outlet.energy_kwh
