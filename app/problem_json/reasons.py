"""Why a schedule is as it is, as JSON: bounded, so that a large site answers with what matters most.

Prices are the problem's currency per kWh at the EVSE's meter; slots count from 0 at the start of the horizon.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Literal, Self

from pydantic import Field

from app.problem_json.schedule import Out, ScheduleOut
from optimizer.domain import Phase, Problem
from optimizer.explain import Binding, Explanation, NextBest, Repair, RepairKind, SessionReason, SlotReason, UnmetWish

MOST_SLOTS = 4_000  # EVSEs × slots that are explained at once: about 1.5 MB
MOST_BINDING = 500  # limits of the site, the dearest
MOST_UNMET = 1_000
DIGITS = 6  # of prices, powers and shares: behind it lies the noise of the solver


class BindingOut(Out):
    """A rule that holds somebody back, and what one kWh of room under it would save."""

    rule: str = Field(description="name of the constraint, e.g. circuit_current, demand_peak, max_import_kw")
    where: str = Field(description="id of the circuit, session, battery or demand charge, or connection")
    shadow_price_per_kwh: float = Field(description="currency per kWh; above 0")
    slot: int | None = Field(default=None, description="null: the rule is not about one slot")
    phase: Phase | None = Field(default=None, description="of the site; null where the rule has none")

    @classmethod
    def of(cls, binding: Binding) -> Self:
        price = round(binding.shadow_price_per_kwh, DIGITS)
        return cls(
            rule=binding.rule, where=binding.where, shadow_price_per_kwh=price, slot=binding.slot, phase=binding.phase
        )


class NextBestOut(Out):
    """The cheapest slot that the vehicle does not use and could."""

    slot: int = Field(description="in which it would charge instead, or more")
    headroom_kw: float = Field(description="kW that are still free there for it")
    price_per_kwh: float = Field(description="currency per kWh there")
    more_per_kwh: float = Field(description="currency per kWh beyond its marginal price; at least 0")

    @classmethod
    def of(cls, best: NextBest) -> Self:
        return cls(
            slot=best.slot,
            headroom_kw=round(best.headroom_kw, DIGITS),
            price_per_kwh=round(best.price_per_kwh, DIGITS),
            more_per_kwh=round(best.more_per_kwh, DIGITS),
        )


class SlotReasonOut(Out):
    """Why an EVSE gets what it gets in one slot: it charges where `price_per_kwh` is below `worth_per_kwh`."""

    slot: int = Field(description="of the horizon")
    power_kw: float = Field(description="kW, as planned")
    max_power_kw: float = Field(description="kW that EVSE and vehicle take at most")
    energy_price_per_kwh: float = Field(description="of the site's next kWh: demand charge and import limit included")
    price_per_kwh: float = Field(description="the same with what this EVSE displaces under the rules in `binding`")
    worth_per_kwh: float = Field(description="price of the vehicle's last kWh")
    next_best_slot: int | None = Field(description="where its energy would go next; null: nowhere, or nothing to move")
    binding: list[BindingOut] = Field(description="rules that hold it back here, with their shadow prices")
    why: str = Field(description="the same as a sentence")

    @classmethod
    def of(cls, reason: SlotReason, next_best_slot: int | None) -> Self:
        return cls(
            slot=reason.slot,
            power_kw=round(reason.power_kw, DIGITS),
            max_power_kw=round(reason.max_power_kw, DIGITS),
            energy_price_per_kwh=round(reason.energy_price_per_kwh, DIGITS),
            price_per_kwh=round(reason.price_per_kwh, DIGITS),
            worth_per_kwh=round(reason.worth_per_kwh, DIGITS),
            next_best_slot=next_best_slot,
            binding=[BindingOut.of(one) for one in reason.binding],
            why=reason.why,
        )


class SessionReasonOut(Out):
    """What one more kWh would cost for a session."""

    evse: str = Field(description="id of its EVSE")
    marginal_price_per_kwh: float = Field(description="currency per kWh, in time for all that it is needed for")
    next_best: NextBestOut | None = Field(description="null: no slot is left for it")

    @classmethod
    def of(cls, reason: SessionReason) -> Self:
        return cls(
            evse=reason.evse_id,
            marginal_price_per_kwh=round(reason.marginal_price_per_kwh, DIGITS),
            next_best=None if reason.next_best is None else NextBestOut.of(reason.next_best),
        )


class RemedyOut(Out):
    """One change that fulfils a wish, the smallest of its kind, verified by solving the changed problem.

    Nobody else goes shorter than in the plan.
    """

    kind: RepairKind = Field(description="what changes: the stay, the need, or a limit")
    amount: float = Field(description="in `unit`")
    unit: Literal["min", "kWh", "kW"] = Field(description="of `amount`")
    share: float = Field(description="`amount` as a part of what it changes: the stay, the need, the limit")
    money: float = Field(description="what the plan then costs more, without what the change itself costs")
    where: str | None = Field(default=None, description="circuit or connection that gets more power; else null")
    text: str = Field(description="the same in words")

    @classmethod
    def of(cls, repair: Repair) -> Self:
        named = {field.name: getattr(repair, field.name) for field in fields(repair)}
        return cls(
            **named | {"share": round(repair.share, DIGITS), "money": round(repair.money, DIGITS)}, text=str(repair)
        )


class UnmetWishOut(Out):
    """A session that goes short, and what would help."""

    session: str = Field(description="id")
    unmet_kwh: float = Field(description="kWh of its need that the plan does not deliver")
    sought: bool = Field(description="was a remedy sought? not for all of many; ask for the EVSE by name")
    cheapest: RemedyOut | None = Field(description="the smallest share of what it changes; null: none was found")
    others: list[RemedyOut] = Field(description="of the other kinds, the smaller share first")

    @classmethod
    def of(cls, wish: UnmetWish, *, sought: bool) -> Self:
        remedies = [RemedyOut.of(repair) for repair in wish.repairs]
        return cls(
            session=wish.session_id,
            unmet_kwh=round(wish.unmet_kwh, DIGITS),
            sought=sought,
            cheapest=remedies[0] if remedies else None,
            others=remedies[1:],
        )


class LeftOutOut(Out):
    """How much was left out to keep the answer short. Ask for EVSEs by name."""

    evses: int = Field(default=0, description="EVSEs with a session, and their sessions")
    binding: int = Field(default=0, description="limits of the site, the cheapest")
    unmet: int = Field(default=0, description="unmet wishes, the smallest")


class ReasonsOut(Out):
    """Why the schedule is as it is. Duals are prices at the margin: where plans cost the same, one set of several."""

    evses: dict[str, list[SlotReasonOut]] = Field(description="by EVSE id: the slots in which somebody is there")
    sessions: dict[str, SessionReasonOut] = Field(description="by session id, of those EVSEs")
    binding: list[BindingOut] = Field(description="limits of the whole site that cost money, per kWh through them")
    unmet: list[UnmetWishOut] = Field(description="wishes that were not met, the largest first")
    left_out: LeftOutOut = Field(description="zeros: nothing")

    @classmethod
    def of(
        cls,
        problem: Problem,
        explanation: Explanation,
        *,
        not_sought: Collection[str] = (),
    ) -> Self:
        """At most `MOST_SLOTS` slots, of EVSEs with unmet wishes first.

        `not_sought` are sessions for which no remedy was looked for.
        """
        shown, evses_left_out = _within(problem, explanation)
        binding = sorted(explanation.binding, key=lambda one: -one.shadow_price_per_kwh)
        next_best = _next_best_slots(problem, explanation)
        return cls(
            evses={
                evse_id: [
                    SlotReasonOut.of(reason, next_best.get((evse_id, reason.slot)))
                    for reason in explanation.evses[evse_id]
                ]
                for evse_id in shown
            },
            sessions={
                session_id: SessionReasonOut.of(reason)
                for session_id, reason in explanation.sessions.items()
                if reason.evse_id in shown
            },
            binding=[BindingOut.of(one) for one in binding[:MOST_BINDING]],
            unmet=[
                UnmetWishOut.of(wish, sought=wish.session_id not in not_sought)
                for wish in explanation.unmet[:MOST_UNMET]
            ],
            left_out=LeftOutOut(
                evses=evses_left_out,
                binding=max(len(binding) - MOST_BINDING, 0),
                unmet=max(len(explanation.unmet) - MOST_UNMET, 0),
            ),
        )


class AnswerOut(ScheduleOut):
    """A schedule, with its reasons where they were asked for."""

    reasons: ReasonsOut | None = Field(default=None, description="null: not to be had, and a warning says why")

    @classmethod
    def answer(cls, schedule: ScheduleOut, reasons: ReasonsOut | None) -> Self:
        return cls(**{name: getattr(schedule, name) for name in ScheduleOut.model_fields}, reasons=reasons)


def _within(problem: Problem, explanation: Explanation) -> tuple[list[str], int]:
    """The EVSEs that fit, in the problem's order, and how many do not; those with the largest unmet wish go first."""
    at = {session.session_id: session.evse_id for session in problem.sessions}
    ranked = dict.fromkeys([at[wish.session_id] for wish in explanation.unmet] + list(explanation.evses))
    chosen, room, left_out = set[str](), MOST_SLOTS, 0
    for evse_id in ranked:
        slots = len(explanation.evses.get(evse_id, ()))
        if slots > room:
            left_out += 1
        else:
            chosen.add(evse_id)
            room -= slots
    return [evse_id for evse_id in explanation.evses if evse_id in chosen], left_out


def _next_best_slots(problem: Problem, explanation: Explanation) -> Mapping[tuple[str, int], int]:
    """By EVSE and slot in which it charges: where that energy would go. Of two stays in a slot, the cheaper move."""
    found: dict[tuple[str, int], tuple[float, int]] = {}
    start, width = problem.horizon.start, problem.horizon.slot_minutes * 60
    stays = {session.session_id: session for session in problem.sessions}
    charging = {
        evse_id: [one.slot for one in reasons if one.power_kw > 0] for evse_id, reasons in explanation.evses.items()
    }
    for reason in explanation.sessions.values():
        stay, best = stays[reason.session_id], reason.next_best
        if best is None:
            continue
        arrival_s = (stay.arrival - start).total_seconds()
        departure_s = (stay.departure - start).total_seconds()
        for slot in charging.get(reason.evse_id, ()):
            if slot != best.slot and arrival_s < (slot + 1) * width and departure_s > slot * width:
                here = (reason.evse_id, slot)
                found[here] = min(found.get(here, (best.price_per_kwh, best.slot)), (best.price_per_kwh, best.slot))
    return {here: slot for here, (_, slot) in found.items()}
