"""What operators have set by hand, as bounds of the problem: pauses, limits and boosts. Pure.

Whatever is set here, the program's rules and the checker's stay: nobody gets above a fuse by hand. Where several
overrides mean one EVSE the lowest counts: a pause before a limit, a limit within a boost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.db.operating_records import Override
from app.db.records import Json
from app.site import split_evse_key
from optimizer.domain import (
    CONNECTION,
    Circuit,
    Connection,
    Evse,
    Problem,
    Session,
    SharedPower,
    kw_per_ampere,
    room_in_vehicle_kwh,
)

WHOLE_SITE = "manual:site"  # a circuit above all EVSEs; no circuit of a site's document has a colon in its name
NEARLY = 0.999  # of a boost's energy is asked for: the rest is steps of current
SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ByHand:
    """The overrides that hold at a site now."""

    overrides: Sequence[Override]

    def applied(self, problem: Problem, now: datetime) -> tuple[Problem, Json]:
        """The problem within what was set by hand; and for the plan's provenance what that was.

        A limit stands for the whole horizon, as those of others do: when it ends a new plan is made. A pause is over
        when it ends: what is still missing then is planned for the time after it.
        """
        if not self.overrides:
            return problem, {}
        sessions, boosted = [], {}
        for session in problem.sessions:
            evse = problem.evse(session.evse_id)
            paused, boost = self._until("pause", evse.evse_id), self._until("boost", evse.evse_id)
            limited = self._limited(session, evse)
            if paused is not None and paused > now:
                limited = _paused(limited, paused)
            elif boost is not None and boost > now:
                limited = _boosted(limited, evse, problem.connection, now, boost)
                boosted[session.session_id] = session.required_energy_kwh
            sessions.append(limited)
        if boosted:  # they are served before the others
            sessions = [replace(one, priority=1 if one.session_id in boosted else one.priority + 1) for one in sessions]
        voltage_v = problem.connection.voltage_v
        problem = replace(
            problem,
            sessions=tuple(sessions),
            evses=tuple(self._narrowed(evse, voltage_v) for evse in problem.evses),
        )
        said = {"overrides": [str(override) for override in self.overrides], "boosted_needs_kwh": boosted}
        return self._under_the_sites_limit(problem), {"manual": said}

    def _of(self, kind: str, evse_id: str) -> list[Override]:
        return [one for one in self.overrides if one.kind == kind and one.means(*split_evse_key(evse_id))]

    def _until(self, kind: str, evse_id: str) -> datetime | None:
        return max((one.until for one in self._of(kind, evse_id)), default=None)

    def _limited(self, session: Session, evse: Evse) -> Session:
        """Within the limits in kW of its EVSE alone."""
        limits_kw = [
            one.max_power_kw
            for one in self._of("limit", evse.evse_id)
            if one.evse_id is not None and one.max_power_kw is not None
        ]
        if not limits_kw:
            return session
        most_kw = min(limits_kw)
        return replace(
            session, max_power_kw=most_kw if session.max_power_kw is None else min(most_kw, session.max_power_kw)
        )

    def _narrowed(self, evse: Evse, voltage_v: float) -> Evse:
        """Within the limits in A of the EVSE, and those of its station, whose EVSEs share them."""
        station_id, _ = split_evse_key(evse.evse_id)
        for one in self._of("limit", evse.evse_id):
            if one.station_id is None:
                continue
            if one.evse_id is not None:
                evse = _at_most(evse, one.max_current_a, voltage_v)
            else:
                most_a = _per_phase_a(one, voltage_v)
                if evse.shared_power is not None:
                    most_a = min(most_a, evse.shared_power.max_current_a)
                evse = replace(evse, shared_power=SharedPower(station_id, most_a))
        return evse

    def _under_the_sites_limit(self, problem: Problem) -> Problem:
        """All EVSEs together below one more circuit, which has no other load."""
        limits = [one for one in self.overrides if one.kind == "limit" and one.station_id is None]
        if not limits:
            return problem
        most = Circuit(
            WHOLE_SITE,
            max_power_kw=min((one.max_power_kw for one in limits if one.max_power_kw is not None), default=None),
            max_current_a=min((one.max_current_a for one in limits if one.max_current_a is not None), default=None),
        )
        return replace(
            problem,
            circuits=(most, *(_below(circuit) for circuit in problem.circuits)),
            evses=tuple(
                replace(evse, circuit_id=WHOLE_SITE) if evse.circuit_id == CONNECTION else evse
                for evse in problem.evses
            ),
        )


def _below(circuit: Circuit) -> Circuit:
    return replace(circuit, parent=WHOLE_SITE) if circuit.parent in (None, CONNECTION) else circuit


def _paused(session: Session, until: datetime) -> Session:
    """It is as if it came when the pause ends; if it leaves before that, it gets nothing."""
    first_to_leave = min([one.departure for one in session.scenarios], default=session.departure)
    if until >= first_to_leave or (session.floor_by is not None and until >= session.floor_by):
        return replace(session, max_power_kw=0.0)
    return replace(session, arrival=max(session.arrival, until))


def _boosted(session: Session, evse: Evse, connection: Connection, now: datetime, until: datetime) -> Session:
    """All that its EVSE and its vehicle can until the boost ends, whatever it costs.

    It is planned as if it left then. What it needs beside that is planned when the boost is over.
    """
    begin, end = max(session.arrival, now), min(until, session.departure)
    if end - begin < SHORTEST:
        return session
    most_kw = evse.max_power_kw if evse.max_current_a is None else None
    if most_kw is None:
        most_kw = (evse.max_current_a or 0.0) * kw_per_ampere(evse, session.vehicle_phases, connection.voltage_v)
    if session.max_power_kw is not None:
        most_kw = min(most_kw, session.max_power_kw)
    hours = (end - begin) / timedelta(hours=1)
    return replace(
        session,
        departure=end,
        scenarios=(),  # what is asked for by hand is a promise
        required_energy_kwh=NEARLY * min(most_kw * hours, room_in_vehicle_kwh(session, evse)),
        max_energy_kwh=None,
        floor_energy_kwh=0.0,
        floor_by=None,
    )


def _at_most(evse: Evse, most_a: float | None, voltage_v: float) -> Evse:
    if most_a is None:
        return evse
    if evse.max_current_a is not None:
        return replace(evse, max_current_a=min(evse.max_current_a, most_a))
    most_kw = most_a * len(evse.phases) * voltage_v / 1000
    return replace(evse, max_power_kw=min(evse.max_power_kw or most_kw, most_kw))


def _per_phase_a(limit: Override, voltage_v: float) -> float:
    """A limit of a station in kW is shared out as of a three-phase supply."""
    if limit.max_current_a is not None:
        return limit.max_current_a
    return (limit.max_power_kw or 0.0) * 1000 / (3 * voltage_v)
