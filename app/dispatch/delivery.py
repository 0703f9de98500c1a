"""One EVSE's part of a plan on its way to the station: what it is to hold, against what it may be holding."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.csms.composite import end_of
from app.csms.connector import ChargingProfile, Passport, Purpose
from app.csms.profiles import SEND_AHEAD, Compiled, Tail, cautious_steps, compile_steps, profile_to_json
from app.csms.steps import Steps, evaluated, pointwise
from app.db.records import HELD, Delivery, DeliveryState, Transaction
from app.dispatch.in_force import Book, Wiring, remaining
from app.dispatch.ladder import Recipe
from app.site import split_evse_key
from optimizer.domain import CONNECTION, PHASES, Problem, Schedule, Session

PLAN_PROFILE_ID = 100  # plus the EVSE's number: always the same, so that a new plan replaces the last one
SAME_A = 0.05  # what flooring in W or in A may differ


@dataclass(slots=True, eq=False)
class Job:
    """What is to become of one EVSE, and what has become of it so far.

    `plan` is the limit in A per phase; `reserved_a` is what the plan counts this EVSE with whatever it does.
    `transaction` None: the vehicle is only expected. `fallback_a` is the one that the EVSE has confirmed.
    """

    key: str
    transaction: Transaction | None
    wiring: Wiring
    passport: Passport
    vehicle_phases: int | None
    plan: Steps
    recipes: Sequence[Recipe]
    reserved_a: float
    now: datetime
    fallback_a: float | None = None
    state: DeliveryState = "planned"
    detail: str | None = None
    sent: ChargingProfile | None = None
    is_settled: bool = False  # nothing more is sent for it
    wanted: ChargingProfile = field(init=False)

    def __post_init__(self) -> None:
        self.wanted = self.compile(self.plan, self.recipes[0], "end").profile

    def replan(self, plan: Steps) -> None:
        """Another plan in its place, before anything of it was sent."""
        self.plan = plan
        self.wanted = self.compile(plan, self.recipes[0], "end").profile

    @property
    def station_id(self) -> str:
        return split_evse_key(self.key)[0]

    @property
    def evse_id(self) -> int:
        return split_evse_key(self.key)[1]

    def compile(self, steps: Steps, recipe: Recipe, tail: Tail) -> Compiled:
        """In the form of one rung. What takes the fallback's place goes on as the fallback, or as 0."""
        own = None if self.transaction is None else self.transaction.transaction_id
        replaces_fallback = recipe.purpose is Purpose.TX_DEFAULT and recipe.stack_level == 0
        return compile_steps(
            steps,
            passport=recipe.narrowed(self.passport),
            purpose=recipe.purpose,
            stack_level=recipe.stack_level,
            profile_id=PLAN_PROFILE_ID + self.evse_id,
            transaction_id=own if recipe.purpose is Purpose.TX else None,
            electrics=self.wiring.electrics(self.vehicle_phases),
            unit=recipe.unit,
            tail=tail,
            afterwards_a=(self.fallback_a or 0.0) if replaces_fallback else None,
        )

    def lowers(self, book: Book) -> bool:
        """Whether the plan is below what may be in force, at any moment."""
        held, wanted = self._curves(book)
        return held.exceeds(wanted)

    def raises(self, book: Book, *, before: datetime | None = None) -> bool:
        """Whether the plan is above what is in force, at any moment; before `before`, if that is said."""
        held, wanted = self._least_curves(book)
        if before is not None and self.now < before < wanted.end:
            held, wanted = (evaluated(curve.at, curve.moments, curve.start, before) for curve in (held, wanted))
        return wanted.exceeds(held, SAME_A)

    def exceeds_its_share(self, book: Book) -> bool:
        """Whether it may still draw more than the plan counts it with: its own limit, or its reservation."""
        held, wanted = self._curves(book)
        reserved = Steps((wanted.start,), (self.reserved_a,), wanted.end)
        return held.exceeds(pointwise(max, wanted, reserved))

    def lowered(self, book: Book) -> Steps:
        """The lower of old and new at every moment; like every profile it begins in the past."""
        lower = pointwise(min, *self._least_curves(book))
        return Steps((self.plan.start, *lower.moments[1:]), lower.values, lower.end).merged()

    def held_already(self, book: Book) -> ChargingProfile | None:
        """What the EVSE certainly holds, if that has the plan's limits for at least half the plan's time.

        And if what follows it, the fallback, is within the plan too: else it is extended before it is in the way.
        """
        holding, wanted = book.holding(self.key), self.wanted
        held = holding.profile
        if held is None or holding.state not in HELD:
            return None
        if held.transaction_id != wanted.transaction_id or held.unit != wanted.unit or held.purpose != wanted.purpose:
            return None
        left, wished = remaining(held, self.now), remaining(wanted, self.now)
        if left < wished / 2 or left <= SEND_AHEAD < wished or self.exceeds_its_share(book):
            return None
        end = min((end for profile in (held, wanted) if (end := end_of(profile)) is not None), default=self.plan.end)
        old, new = (book.curve_of(self.key, profile, self.wiring, self.now, end) for profile in (held, wanted))
        return None if old.exceeds(new, SAME_A) or new.exceeds(old, SAME_A) else held

    def settle(self, state: DeliveryState, detail: str | None = None) -> None:
        self.state, self.detail, self.is_settled = state, detail, True

    def delivery(self, site_id: str, plan_id: str, at: datetime) -> Delivery:
        tried = self.wanted if self.state in ("rejected", "unknown", "planned") else None
        profile = self.sent or tried
        document = None if profile is None else profile_to_json(profile)
        return Delivery(plan_id, site_id, self.station_id, self.evse_id, self.state, at, document, self.detail)

    def _least_curves(self, book: Book) -> tuple[Steps, Steps]:
        """As `_curves`, with the least that it may hold where nobody knows in which period of its plan it is."""
        held, wanted = self._curves(book)
        least_a = book.least_a(self.key, self.wiring)
        return (held if least_a is None else Steps((held.start,), (least_a,), held.end)), wanted

    def _curves(self, book: Book) -> tuple[Steps, Steps]:
        """What it may hold and what it is to hold, until the last of both ends."""
        wanted = self.wanted
        ends = [end for end in (end_of(wanted) or self.plan.end, book.end(self.key)) if end is not None]
        held = book.curve(self.key, self.wiring, self.now, max(ends))
        return held, book.curve_of(self.key, wanted, self.wiring, self.now, max(ends))


def planned_steps(
    key: str,
    wiring: Wiring,
    problem: Problem,
    schedule: Schedule,
    *,
    now: datetime,
    valid_until: datetime,
) -> Steps:
    """The schedule's limits of one EVSE in A per phase, from the past to the vehicle's departure.

    At least to `valid_until`, at most to the end of the plan. Raises `ValueError` when nothing of the plan is left.
    """
    horizon, session = problem.horizon, _session(problem, key, now)
    currents_a = schedule.current_a.get(key)
    if currents_a is None:  # DC draws evenly from its phases
        currents_a = tuple(power_kw * 1000 / (wiring.voltage_v * wiring.phases) for power_kw in schedule.power_kw[key])
    return cautious_steps(
        currents_a,
        start=horizon.start,
        slot_minutes=horizon.slot_minutes,
        now=now,
        valid_until=valid_until if session is None else max(valid_until, session.departure),
        skew_s=problem.settings.skew_s,
    )


def job_of(
    key: str,
    transaction: Transaction | None,
    wiring: Wiring,
    passport: Passport,
    problem: Problem,
    plan: Steps,
    recipes: Sequence[Recipe],
    *,
    fallback_a: float | None,
    now: datetime,
) -> Job:
    session = _session(problem, key, now)
    return Job(
        key=key,
        transaction=transaction,
        wiring=wiring,
        passport=passport,
        vehicle_phases=None if session is None else session.vehicle_phases,
        plan=plan,
        recipes=recipes,
        reserved_a=_reserved_a(problem, key),
        now=now,
        fallback_a=fallback_a,
    )


def expected_soon(problem: Problem, now: datetime, until: datetime) -> frozenset[str]:
    """EVSEs at which nobody stands yet, and somebody is expected before `until`."""
    sessions = [_session(problem, evse.evse_id, now) for evse in problem.evses]
    return frozenset(one.evse_id for one in sessions if one is not None and now < one.arrival < until)


def share_a_fuse(problem: Problem, one: Job, other: Job) -> bool:
    return bool(_fuses(problem, one) & _fuses(problem, other))


def places_above(problem: Problem, key: str) -> frozenset[str]:
    """Where what an EVSE draws may be too much, as violations name it: connection, circuits, a shared supply."""
    evse = problem.evse(key)
    supply = () if evse.shared_power is None else (f"shared_power[{evse.shared_power.group}]",)
    return frozenset((CONNECTION, *problem.ancestors(evse.circuit_id), *supply))


def _fuses(problem: Problem, job: Job) -> set[str]:
    """The circuits with a rating above the job's EVSE; the connection too, if it has one."""
    rated = {
        circuit.circuit_id
        for circuit in problem.circuits
        if any(limit is not None for limit in (circuit.max_power_kw, circuit.max_current_a, circuit.power_cap_kw))
    }
    if problem.connection.max_import_kw is not None or problem.connection.max_current_a is not None:
        rated.add(CONNECTION)
    return rated & {CONNECTION, *problem.ancestors(problem.evse(job.key).circuit_id)}


def _session(problem: Problem, key: str, now: datetime) -> Session | None:
    """The one that is there, else the next."""
    own = [session for session in problem.sessions if session.evse_id == key and session.departure > now]
    return min(own, key=lambda session: session.arrival, default=None)


def _reserved_a(problem: Problem, key: str) -> float:
    currents_a = [
        max(reservation.current_a[PHASES.index(phase)] for phase in problem.evse(key).phases)
        for reservation in problem.reservations
        if reservation.evse_id == key
    ]
    return sum(currents_a)
