"""Why an EVSE charges, or does not, at one moment of a plan: in words and numbers, from what the ledger has of it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from app.db.records import Delivery, Plan
from app.db.store import Store
from app.errors import InvalidInputError
from app.planning.explained import reasons_of
from app.problem_json import problem_from_json, schedule_from_json
from app.problem_json.reasons import BindingOut, ReasonsOut, RemedyOut, SlotReasonOut, UnmetWishOut
from app.problem_json.schedule import Out
from app.site import evse_key
from optimizer.domain import Problem, Schedule, Session
from optimizer.errors import SolverError
from optimizer.explain import RepairKind

PATIENCE_S = 8.0  # for remedies; whoever asks waits
SOLVE_S = 10.0  # for the duals
RECENT = timedelta(minutes=15)  # what was measured longer ago says nothing
REST_KW = 1e-3
SAME_PRICE = 5e-5  # currency per kWh: what is closer is the same to a reader

ASKED = ThreadPoolExecutor(2, thread_name_prefix="asked")  # of questions: planning has threads of its own
Changed = Literal["price", "limit", "stay", "need", "control"]
CHANGED: Mapping[RepairKind, Changed] = {"leave_later": "stay", "take_less": "need", "more_power": "limit"}
Does = Literal["charges", "gives", "rests", "nobody_there", "not_controlled"]


class StayOut(Out):
    """The vehicle that is there."""

    session: str = Field(description="id")
    arrival: datetime
    departure: datetime
    required_energy_kwh: float
    planned_energy_kwh: float
    unmet_kwh: float


class ElsewhereOut(Out):
    """The cheapest slot that the vehicle does not use and could."""

    start: datetime
    headroom_kw: float = Field(description="kW that are still free there for it")
    price_per_kwh: float
    more_per_kwh: float = Field(description="beyond the price of its next kWh; at least 0")


class ChangeOut(Out):
    """Something that would change what the EVSE does at this moment."""

    what: Changed
    text: str
    amount: float | None = Field(default=None, description="in `unit`; null: it is no matter of an amount")
    unit: str | None = Field(default=None, description="currency per kWh, kW, kWh or min")


class WhyOut(Out):
    """One EVSE at one moment of one plan."""

    schedule: str = Field(description="id of the plan")
    site: str
    evse: str
    at: datetime
    slot_start: datetime
    slot_end: datetime
    does: Does = Field(description="as planned")
    power_kw: float = Field(description="kW, as planned; below 0 it gives")
    text: str = Field(description="the answer in words")
    price_per_kwh: float | None = Field(description="what a kWh costs here and now, with whom it would displace")
    energy_price_per_kwh: float | None = Field(description="of it, the site's energy: demand charge included")
    worth_per_kwh: float | None = Field(description="price of the vehicle's last kWh: below it, it charges")
    binding: list[BindingOut] = Field(description="rules that hold it back in this slot, the dearest first")
    next_best: ElsewhereOut | None
    stay: StayOut | None = Field(description="null: no vehicle is there")
    changes: list[ChangeOut] = Field(description="what would change it")
    delivery: str | None = Field(description="what became of the plan at the station: state and detail")
    drawn_kw: float | None = Field(description="kW, as last measured before that moment; null: nothing was")


def why(
    plan: Plan, evse_id: str, at: datetime, deliveries: Sequence[Delivery] = (), *, drawn_kw: float | None = None
) -> WhyOut:
    """Solves once more for the duals, and a few times where a wish is not met; bounded by seconds.

    Raises `InvalidInputError` for an EVSE that the plan does not have and a moment that it does not cover.
    """
    problem, schedule = problem_from_json(plan.problem), schedule_from_json(plan.schedule)
    if evse_id not in schedule.power_kw:
        raise InvalidInputError("evse", f"{evse_id!r} is no EVSE of plan {plan.plan_id}")
    start, end = problem.horizon.start, problem.horizon.end
    if not start <= at < end:
        within = f"{start.isoformat()} to {end.isoformat()}"
        raise InvalidInputError("at", f"{at.isoformat()} is not within the plan's {within}")
    return _Answer(plan, problem, schedule, evse_id, at.astimezone(UTC), deliveries, drawn_kw).out()


async def answer(store: Store, plan: Plan, evse_id: str, at: datetime) -> WhyOut:
    """`why`, with what the store knows of station and meter, beside everything else that runs. Raises as `why`."""
    drawn = await store.charging_power(plan.site_id, at - RECENT, at)
    samples = {evse_key(*key): of_evse for key, of_evse in drawn.items()}.get(evse_id)
    drawn_kw = samples[-1][1] / 1000 if samples else None
    deliveries = await store.deliveries(plan.plan_id)
    work = partial(why, plan, evse_id, at, deliveries, drawn_kw=drawn_kw)
    return await asyncio.get_running_loop().run_in_executor(ASKED, work)


class _Answer:
    """The parts of one answer, put together."""

    def __init__(
        self,
        plan: Plan,
        problem: Problem,
        schedule: Schedule,
        evse_id: str,
        at: datetime,
        deliveries: Sequence[Delivery],
        drawn_kw: float | None,
    ) -> None:
        self._plan, self._problem, self._schedule = plan, problem, schedule
        self._evse_id, self._at, self._drawn_kw = evse_id, at, drawn_kw
        self._slot = (at - problem.horizon.start) // timedelta(minutes=problem.horizon.slot_minutes)
        self._zone = ZoneInfo(problem.time_zone)
        self._power_kw = float(schedule.power_kw[evse_id][self._slot])
        self._stay = self._session()
        self._reserved_a = max(
            (max(one.current_a) for one in problem.reservations if one.evse_id == evse_id), default=0.0
        )
        self._delivery = next(
            (one for one in deliveries if evse_key(one.station_id, one.evse_id) == evse_id),
            None,
        )
        self._no_prices: str | None = None
        self._reasons = self._explained()
        self._reason = self._of_slot()

    def out(self) -> WhyOut:
        reason, stay = self._reason, self._stay
        result = None if stay is None else self._schedule.sessions[stay.session_id]
        start = self._problem.horizon.slot_start(self._slot)
        return WhyOut(
            schedule=self._plan.plan_id,
            site=self._plan.site_id,
            evse=self._evse_id,
            at=self._at,
            slot_start=start,
            slot_end=start + timedelta(minutes=self._problem.horizon.slot_minutes),
            does=self._does(),
            power_kw=round(self._power_kw, 6),
            text=" ".join(self._sentences()),
            price_per_kwh=None if reason is None else reason.price_per_kwh,
            energy_price_per_kwh=None if reason is None else reason.energy_price_per_kwh,
            worth_per_kwh=None if reason is None else reason.worth_per_kwh,
            binding=self._binding(),
            next_best=self._next_best(),
            stay=None
            if stay is None or result is None
            else StayOut(
                session=stay.session_id,
                arrival=stay.arrival,
                departure=stay.departure,
                required_energy_kwh=stay.required_energy_kwh,
                planned_energy_kwh=round(result.planned_energy_kwh, 6),
                unmet_kwh=round(result.unmet_kwh, 6),
            ),
            changes=list(self._changes()),
            delivery=None
            if self._delivery is None
            else ": ".join(filter(None, (self._delivery.state, self._delivery.detail))),
            drawn_kw=self._drawn_kw,
        )

    def _does(self) -> Does:
        if self._stay is None:
            return "not_controlled" if self._reserved_a > 0 else "nobody_there"
        if abs(self._power_kw) <= REST_KW:
            return "rests"
        return "charges" if self._power_kw > 0 else "gives"

    def _session(self) -> Session | None:
        return next(
            (
                one
                for one in self._problem.sessions
                if one.evse_id == self._evse_id and one.arrival <= self._at < one.departure
            ),
            None,
        )

    def _explained(self) -> ReasonsOut | None:
        if self._stay is None or self._schedule.status == "fallback":
            return None
        hasty = replace(self._problem.settings, time_limit_s=min(SOLVE_S, self._problem.settings.time_limit_s))
        try:
            return reasons_of(
                replace(self._problem, settings=hasty), self._schedule, [self._evse_id], patience_s=PATIENCE_S
            )
        except SolverError as failure:
            self._no_prices = str(failure)
            return None

    def _of_slot(self) -> SlotReasonOut | None:
        if self._reasons is None:
            return None
        slots = self._reasons.evses.get(self._evse_id, [])
        return next((one for one in slots if one.slot == self._slot), None)

    def _binding(self) -> list[BindingOut]:
        if self._reason is None or self._reasons is None:
            return []
        at_site = [
            one
            for one in self._reasons.binding
            if one.slot == self._slot and one.rule in ("demand_peak", "max_import_kw", "max_export_kw")
        ]
        return sorted([*self._reason.binding, *at_site], key=lambda one: -one.shadow_price_per_kwh)

    def _next_best(self) -> ElsewhereOut | None:
        if self._reasons is None or self._stay is None:
            return None
        reason = self._reasons.sessions.get(self._stay.session_id)
        if reason is None or reason.next_best is None:
            return None
        best = reason.next_best
        return ElsewhereOut(
            start=self._problem.horizon.slot_start(best.slot),
            headroom_kw=best.headroom_kw,
            price_per_kwh=best.price_per_kwh,
            more_per_kwh=best.more_per_kwh,
        )

    def _unmet(self) -> UnmetWishOut | None:
        if self._reasons is None or self._stay is None:
            return None
        return next((one for one in self._reasons.unmet if one.session == self._stay.session_id), None)

    # --- in words

    def _sentences(self) -> Iterator[str]:
        moment, name = self._clock(self._at), self._evse_id
        match self._does():
            case "nobody_there":
                yield f"At {moment} no vehicle was expected at {name}."
                following = [one for one in self._problem.sessions if one.evse_id == name and one.arrival > self._at]
                if following:
                    yield f"The next one was expected at {self._clock(min(one.arrival for one in following))}."
                return
            case "not_controlled":
                yield (
                    f"{name} was not under control when the plan was made{self._out_of_control()}: it is counted with "
                    f"up to {self._reserved_a:g} A, and not planned."
                )
                return
        if self._schedule.status == "fallback":
            does = "charges" if self._power_kw > REST_KW else "does not charge"
            yield f"At {moment} {name} {does} ({self._power_kw:.3f} kW) by rules: {self._schedule.reason}."
        elif self._reason is None:
            does = f"charges {self._power_kw:.3f} kW" if self._power_kw > REST_KW else "does not charge"
            yield f"At {moment} {name} {does}; prices cannot be had: {self._no_prices or 'nothing is left to deliver'}."
        else:
            yield f"At {moment} {name} {self._reason.why}."
        if (unmet := self._unmet()) is not None:
            yield f"Its vehicle goes {unmet.unmet_kwh:.2f} kWh short."
        if (best := self._next_best()) is not None:
            yield (
                f"The next best slot begins at {self._clock(best.start)}: a kWh costs {best.price_per_kwh:.4f} there, "
                f"{best.headroom_kw:.1f} kW are free."
            )
        if self._delivery is not None and self._delivery.state in ("withheld", "rejected", "offline", "contradicted"):
            yield f"The station does not hold this: {self._delivery.state}, {self._delivery.detail}."

    def _out_of_control(self) -> str:
        lost = self._plan.provenance.get("uncontrollable", {})
        return f", for {lost[self._evse_id]}" if self._evse_id in lost else ", for its station was not connected"

    def _changes(self) -> Iterator[ChangeOut]:
        reason, currency = self._reason, self._schedule.currency
        if self._does() == "not_controlled":
            yield ChangeOut(what="control", text="It is planned again as soon as its station is connected and obeys.")
        if reason is not None:
            unit = f"{currency}/kWh"
            dearer = reason.price_per_kwh - reason.worth_per_kwh
            if self._does() == "rests" and dearer > SAME_PRICE:
                text = f"It would charge here if a kWh were {dearer:.4f} {currency} cheaper in this slot."
                yield ChangeOut(what="price", text=text, amount=round(dearer, 6), unit=unit)
            best = self._next_best()
            if self._does() == "charges" and best is not None:
                margin = max(best.price_per_kwh - reason.price_per_kwh, 0.0)
                there = self._clock(best.start)
                text = (
                    f"It would charge at {there} instead if a kWh here were more than {margin:.4f} {currency} dearer."
                    if margin > SAME_PRICE
                    else f"It might as well charge at {there}: a kWh costs the same there."
                )
                yield ChangeOut(what="price", text=text, amount=round(margin, 6), unit=unit)
            for one in self._binding():
                place = " ".join(filter(None, (one.where, one.phase)))
                text = (
                    f"A kWh of room under {one.rule} at {place} would save {one.shadow_price_per_kwh:.4f} {currency}."
                )
                yield ChangeOut(what="limit", text=text, amount=one.shadow_price_per_kwh, unit=unit)
        unmet = self._unmet()
        if unmet is not None and unmet.cheapest is not None:
            for remedy in (unmet.cheapest, *unmet.others):
                yield _remedy(remedy)

    def _clock(self, moment: datetime) -> str:
        return f"{moment.astimezone(self._zone):%a %d %b %H:%M}"


def _remedy(remedy: RemedyOut) -> ChangeOut:
    text = f"The wish would be met by this: {remedy.text}."
    return ChangeOut(what=CHANGED[remedy.kind], text=text, amount=remedy.amount, unit=remedy.unit)
