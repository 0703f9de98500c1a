"""A plan in words: its comparison with other policies, one line that sums it up, and its reasons."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from rich.table import Table

from app.problem_json.reasons import BindingOut, ReasonsOut, RemedyOut, SlotReasonOut, UnmetWishOut
from optimizer.domain import Problem, Schedule

MOST_LIMITS = 12  # of the site, in words: the dearest
REST_KW = 1e-3


def comparison(schedule: Schedule) -> Table:
    """This plan beside the baselines: money, unmet energy, peak and broken rules."""
    table = Table("Policy", box=None, pad_edge=False)
    for heading in (f"Cost {schedule.currency}", "More", "Unmet kWh", "Peak kW", "Rules broken"):
        table.add_column(heading, justify="right")
    plan = schedule.cost.total
    rows = [("this plan", plan, schedule.unmet_kwh, max(schedule.import_kw, default=0.0), len(schedule.violations))]
    rows += [
        (name.replace("_", " "), base.cost.total, base.unmet_kwh, base.peak_kw, len(base.violations))
        for name, base in schedule.baselines.items()
    ]
    for name, total, unmet_kwh, peak_kw, broken in rows:
        more = "" if name == "this plan" else f"{total - plan:+.2f}"
        table.add_row(name, f"{total:.2f}", more, f"{unmet_kwh:.2f}", f"{peak_kw:.1f}", str(broken))
    return table


def summary(schedule: Schedule) -> str:
    """Status, money, unmet needs and the checker's verdict."""
    unmet = [f"{name} {result.unmet_kwh:.2f} kWh" for name, result in schedule.sessions.items() if result.unmet_kwh]
    needs = f"all {len(schedule.sessions)} sessions in full" if not unmet else f"unmet: {', '.join(unmet)}"
    caused = [str(violation) for violation in schedule.violations if not violation.unavoidable]
    checked = "the checker passes it" if not caused else f"the checker refuses it: {caused[0]}"
    status = f"{schedule.status} ({schedule.reason})" if schedule.reason else schedule.status
    gap = "" if schedule.gap is None else f", gap {schedule.gap:.2%}"
    return f"{status}: {schedule.cost.total:.2f} {schedule.currency}{gap}; {needs}; {checked}."


def reasons_in_words(problem: Problem, reasons: ReasonsOut) -> Iterator[str]:
    """Lines: unmet wishes with what would help, each EVSE through the day, and the limits that cost money."""
    clock = Clock(problem)
    if reasons.unmet:
        yield "Not met"
        yield from (f"  {_unmet(wish, problem.currency)}" for wish in reasons.unmet)
    for evse_id, slots in reasons.evses.items():
        yield evse_id
        for session_id, reason in reasons.sessions.items():
            if reason.evse == evse_id:
                best = reason.next_best
                elsewhere = (
                    "no other slot is left"
                    if best is None
                    else f"next best {clock.at(best.slot)}, up to {best.headroom_kw:.1f} kW, "
                    f"{best.more_per_kwh:.4f} more"
                )
                price = f"{reason.marginal_price_per_kwh:.4f} {problem.currency}"
                yield f"  {session_id}: one more kWh costs {price}; {elsewhere}"
        yield from (f"    {line}" for line in _runs(slots, clock))
    if reasons.binding:
        yield "Limits of the site that cost money, per kWh through them"
        yield from (f"  {line}" for line in _limits(reasons.binding, clock))
    left = reasons.left_out
    if left.evses or left.unmet:
        yield f"Left out: {left.evses} EVSEs, {left.unmet} unmet wishes. --evse ID asks for one by name."


class Clock:
    """Slots in the words of the site's own clock; with the day where the horizon has more than one."""

    def __init__(self, problem: Problem) -> None:
        self._horizon, self._zone = problem.horizon, ZoneInfo(problem.time_zone)
        days = {self._moment(slot).date() for slot in (0, problem.horizon.slots)}
        self._format = "%H:%M" if len(days) == 1 else "%a %H:%M"

    def at(self, slot: int) -> str:
        return f"{self._moment(slot):{self._format}}"

    def _moment(self, slot: int) -> datetime:
        return self._horizon.slot_start(slot).astimezone(self._zone)


def _unmet(wish: UnmetWishOut, currency: str) -> str:
    short = f"{wish.session} goes {wish.unmet_kwh:.2f} kWh short"
    if not wish.sought:
        return f"{short}; --evse with its EVSE says what would help"
    if wish.cheapest is None:
        return f"{short}; no single change was found that would help"
    also = "".join(f"; or {_remedy(one, currency)}" for one in wish.others)
    return f"{short}; what would help: {_remedy(wish.cheapest, currency)}{also}"


def _remedy(remedy: RemedyOut, currency: str) -> str:
    if abs(remedy.money) < 0.005:
        return remedy.text
    return f"{remedy.text} (the plan then costs {abs(remedy.money):.2f} {currency} {_more_or_less(remedy.money)})"


def _more_or_less(money: float) -> str:
    return "more" if money > 0 else "less"


def _runs(slots: Sequence[SlotReasonOut], clock: Clock) -> Iterator[str]:
    """One line for a run of slots in which the same happens for the same rules."""

    def kind(one: SlotReasonOut) -> tuple[str, tuple[str, ...]]:
        does = "charges" if one.power_kw > REST_KW else "gives" if one.power_kw < -REST_KW else "rests"
        return does, tuple(_place(rule) for rule in one.binding)

    numbered = groupby(enumerate(slots), key=lambda pair: (kind(pair[1]), pair[1].slot - pair[0]))
    for ((does, held_by), _), group in numbered:
        run = [one for _, one in group]
        power = "" if does == "rests" else f" {_range([abs(one.power_kw) for one in run], 1)} kW"
        price = _range([one.price_per_kwh for one in run], 4)
        held = f", held back by {' and '.join(held_by)}" if held_by else ""
        span = f"{clock.at(run[0].slot)} to {clock.at(run[-1].slot + 1)}"
        yield f"{span}  {does}{power}{held}: a kWh costs {price}, its last kWh {run[-1].worth_per_kwh:.4f}"


def _limits(binding: Sequence[BindingOut], clock: Clock) -> Iterator[str]:
    """By rule and place, the dearest first."""
    places: dict[str, list[BindingOut]] = {}
    for one in binding:
        places.setdefault(_place(one), []).append(one)
    ranked = sorted(places.items(), key=lambda item: -max(one.shadow_price_per_kwh for one in item[1]))
    for place, rows in ranked[:MOST_LIMITS]:
        slots = [one.slot for one in rows if one.slot is not None]
        when = f", {clock.at(min(slots))} to {clock.at(max(slots) + 1)}" if slots else ""
        count = f" in {len(slots)} slots" if len(slots) > 1 else ""
        yield f"{place}: {_range([one.shadow_price_per_kwh for one in rows], 4)}{count}{when}"
    if len(ranked) > MOST_LIMITS:
        yield f"and {len(ranked) - MOST_LIMITS} more"


def _place(binding: BindingOut) -> str:
    return f"{binding.rule} at {' '.join(filter(None, (binding.where, binding.phase)))}"


def _range(values: Sequence[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"
