"""Reasons at the edge: bounded in size and time, filtered by EVSE, each wish with its remedy."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.planning import explained
from app.planning.explained import AT_ONCE, MOST_NAMED, PATIENCE_S, UNASKED, reasons_of, reasons_or_warning
from app.planning.plan_words import reasons_in_words
from app.problem_json import ScheduleOut, problem_from_json
from app.problem_json import reasons as edge
from app.problem_json.reasons import AnswerOut, BindingOut, ReasonsOut
from optimizer.domain import Circuit, Connection, Problem, Schedule
from optimizer.explain import Binding, explain
from optimizer.optimise import optimise
from tests.app.bad_problems import rich
from tests.optimizer.builders import a_problem, a_session, an_evse


def a_row(cars: int = 2, *, fuse_a: float = 16, need_kwh: float = 11.04, hours: float = 3) -> Problem:
    """Cars of 11 kW behind one fuse, three hours of which the second is the cheapest."""
    return a_problem(
        prices=[0.30, 0.10, 0.20],
        connection=Connection(max_import_kw=1000),
        circuits=[Circuit("row", max_current_a=fuse_a)],
        evses=[an_evse(f"e{n}", circuit_id="row") for n in range(cars)],
        sessions=[a_session(f"s{n}", evse_id=f"e{n}", required_energy_kwh=need_kwh, hours=hours) for n in range(cars)],
        base_load_kw=1.0,
    )


@cache
def of_row() -> tuple[Problem, Schedule, ReasonsOut]:
    problem = a_row()
    schedule = optimise(problem)
    return problem, schedule, reasons_of(problem, schedule)


def test_each_evse_and_slot_has_its_binding_rules_by_name_with_shadow_prices() -> None:
    _, _, reasons = of_row()

    cheap = [slots[1] for slots in reasons.evses.values()]
    assert all(
        [(one.rule, one.where, one.slot) for one in reason.binding if one.rule == "circuit_current"]
        == [("circuit_current", "row", 1)]
        for reason in cheap
    )
    assert all(
        sum(one.shadow_price_per_kwh for one in reason.binding) == pytest.approx(0.10, abs=1e-4) for reason in cheap
    )


def test_each_slot_that_charges_names_the_slot_that_is_next_best() -> None:
    _, schedule, reasons = of_row()

    for evse_id, slots in reasons.evses.items():
        for one in slots:
            charges = schedule.power_kw[evse_id][one.slot] > 0
            best = next(session.next_best for session in reasons.sessions.values() if session.evse == evse_id)
            assert one.next_best_slot == (best.slot if best is not None and charges else None)


def test_prices_are_the_optimizers_without_its_noise() -> None:
    problem, schedule, reasons = of_row()

    exact = explain(problem, schedule)

    for evse_id, slots in exact.evses.items():
        for one, shown in zip(slots, reasons.evses[evse_id], strict=True):
            assert shown.price_per_kwh == pytest.approx(one.price_per_kwh, abs=1e-6)
            assert shown.why == one.why
    assert len(reasons.binding) == len(exact.binding)


def test_a_wish_that_is_not_met_comes_with_the_cheapest_remedy_that_was_verified() -> None:
    problem = a_row(need_kwh=22.08)
    schedule = optimise(problem)

    reasons = reasons_of(problem, schedule)

    wish = reasons.unmet[0]
    assert wish.cheapest is not None
    assert all(wish.cheapest.share <= other.share for other in wish.others)
    assert {wish.cheapest.kind, *(other.kind for other in wish.others)} <= {"leave_later", "take_less", "more_power"}
    assert wish.unmet_kwh == pytest.approx(max(result.unmet_kwh for result in schedule.sessions.values()))


def test_a_remedy_does_what_it_says() -> None:
    problem = a_row(need_kwh=22.08)
    wish = reasons_of(problem, optimise(problem)).unmet[0]
    [remedy] = [one for one in (wish.cheapest, *wish.others) if one is not None and one.kind == "more_power"]
    assert remedy.where == "row"

    more_a = remedy.amount / (3 * 0.23)
    mended = optimise(replace(problem, circuits=(Circuit("row", max_current_a=16 + more_a),)))

    assert mended.unmet_kwh < optimise(problem).unmet_kwh - wish.unmet_kwh + 0.1


def test_evses_that_are_named_are_the_only_ones_explained() -> None:
    problem = a_row(3)
    schedule = optimise(problem)

    reasons = reasons_of(problem, schedule, ["e2", "e0", "e2"])

    assert set(reasons.evses) == {"e0", "e2"}
    assert set(reasons.sessions) == {"s0", "s2"}
    assert reasons.left_out.evses == 0


@pytest.mark.parametrize("evse_ids", [["e9"], ["e0", "' OR 1"]])
def test_an_evse_that_is_not_there_is_refused_by_name(evse_ids: list[str]) -> None:
    problem, schedule, _ = of_row()

    with pytest.raises(InvalidInputError, match=f"evse: {evse_ids[-1]!r} is no EVSE of the problem"):
        reasons_of(problem, schedule, evse_ids)


def test_too_many_evses_are_refused() -> None:
    problem = a_row(MOST_NAMED + 1)

    with pytest.raises(InvalidInputError, match=f"{MOST_NAMED + 1} are named"):
        reasons_of(problem, optimise(problem), [evse.evse_id for evse in problem.evses])


def test_a_large_site_answers_with_those_who_go_short_first_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edge, "MOST_SLOTS", 7)
    problem = a_row(4)
    short = replace(problem.sessions[3], required_energy_kwh=33.12, priority=2)
    problem = replace(problem, sessions=(*problem.sessions[:3], short))

    reasons = reasons_of(problem, optimise(problem))

    assert "e3" in reasons.evses
    assert sum(len(slots) for slots in reasons.evses.values()) <= 7
    assert reasons.left_out.evses == 4 - len(reasons.evses) > 0
    assert {one.evse for one in reasons.sessions.values()} == set(reasons.evses)


def test_of_many_binding_limits_the_dearest_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "MOST_BINDING", 2)
    problem, schedule, _ = of_row()
    whole = explain(problem, schedule)
    many = tuple(Binding("circuit_current", "row", price, 1, "L1") for price in (0.1, 0.4, 0.2, 0.3))

    reasons = ReasonsOut.of(problem, replace(whole, binding=many))

    assert [one.shadow_price_per_kwh for one in reasons.binding] == [0.4, 0.3]
    assert reasons.left_out.binding == 2


def test_on_a_large_site_remedies_are_sought_for_the_shortest_until_the_time_is_used_up() -> None:
    problem = a_row(61, fuse_a=160, need_kwh=20)
    schedule = optimise(problem, baselines=False)

    reasons = reasons_of(problem, schedule, patience_s=0.0)

    assert len(reasons.evses) == 61
    assert [wish.sought for wish in reasons.unmet] == [True] + [False] * (len(reasons.unmet) - 1)
    assert reasons.unmet[0].unmet_kwh == pytest.approx(max(one.unmet_kwh for one in schedule.sessions.values()))
    assert reasons.unmet[0].cheapest is not None


def test_on_a_very_large_site_remedies_are_sought_for_those_who_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explained, "AT_ONCE", 2)
    monkeypatch.setattr(explained, "UNASKED", 3)
    problem = a_row(4, need_kwh=22.08)
    schedule = optimise(problem)
    short = next(session for session in problem.sessions if schedule.sessions[session.session_id].unmet_kwh > 1)

    unasked, asked = reasons_of(problem, schedule), reasons_of(problem, schedule, [short.evse_id])

    assert len(unasked.unmet) > 1
    assert not any(wish.sought for wish in unasked.unmet)
    assert [(wish.session, wish.sought) for wish in asked.unmet] == [(short.session_id, True)]
    assert asked.unmet[0].cheapest is not None


@pytest.mark.parametrize("cars", [2, 5])
@pytest.mark.parametrize("need_kwh", [11.04, 22.08, 40])
def test_in_parts_the_reasons_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, cars: int, need_kwh: float
) -> None:
    row = a_row(cars, need_kwh=need_kwh)
    last = replace(row.sessions[0], priority=2)
    # in kW: of three phases that limit alike, any one may carry the price
    problem = replace(row, circuits=(Circuit("row", max_power_kw=13.8),), sessions=(last, *row.sessions[1:]))
    schedule = optimise(problem)
    whole = reasons_of(problem, schedule)

    monkeypatch.setattr(explained, "AT_ONCE", 0)
    in_parts = reasons_of(problem, schedule)

    assert in_parts.evses == whole.evses
    assert in_parts.sessions == whole.sessions
    assert in_parts.binding == whole.binding
    assert in_parts.unmet == whole.unmet


def test_beyond_the_wishes_that_are_looked_into_it_is_said_that_nothing_was_sought() -> None:
    problem = a_row(12, fuse_a=60, need_kwh=20)
    schedule = optimise(problem, baselines=False)

    reasons = reasons_of(problem, schedule)

    assert [wish.sought for wish in reasons.unmet] == [True] * 10 + [False] * (len(reasons.unmet) - 10)
    assert len(reasons.unmet) > 10
    assert any("--evse with its EVSE says" in line for line in reasons_in_words(problem, reasons))


def test_a_schedule_without_reasons_is_still_a_schedule_and_says_why() -> None:
    problem = a_row()
    schedule = optimise(problem)
    hurried = replace(problem, settings=replace(problem.settings, time_limit_s=1e-9))

    answered, reasons = reasons_or_warning(hurried, schedule)

    assert reasons is None
    assert answered.power_kw == schedule.power_kw
    assert answered.warnings[-1].startswith("no reasons: ")


def test_an_answer_is_the_schedule_with_its_reasons() -> None:
    _, schedule, reasons = of_row()

    written = AnswerOut.answer(ScheduleOut.of(schedule), reasons).model_dump(mode="json")

    assert written.pop("reasons") == reasons.model_dump(mode="json")
    assert written == ScheduleOut.of(schedule).model_dump(mode="json")
    assert ReasonsOut.model_validate_json(json.dumps(reasons.model_dump(mode="json"))) == reasons


def test_every_kind_of_item_can_be_explained() -> None:
    problem = problem_from_json(rich())

    reasons = reasons_of(problem, optimise(problem))

    assert {"ac1", "ac2", "dc"} <= set(reasons.evses)
    assert set(reasons.sessions) == {"van", "guest", "taxi"}


def test_the_words_say_who_goes_short_when_who_charges_and_what_limits() -> None:
    problem = a_row(need_kwh=22.08)
    text = "\n".join(reasons_in_words(problem, reasons_of(problem, optimise(problem))))

    assert "goes 5.52 kWh short; what would help: " in text
    assert "kW more at row" in text
    assert "01:00 to 02:00  charges 5.5 kW, held back by circuit_current at row L1: a kWh costs 0.3000" in text
    assert "circuit_current at row" in text


def test_the_words_run_together_slots_in_which_the_same_happens() -> None:
    problem = a_problem(
        prices=[0.4, 0.3, 0.1, 0.1, 0.2],
        sessions=[a_session(required_energy_kwh=22.08, hours=5)],
        time_zone="Asia/Tokyo",
    )

    lines = list(reasons_in_words(problem, reasons_of(problem, optimise(problem))))

    assert lines == [
        "evse-1",
        "  tx-1: one more kWh costs 0.2000 EUR; next best 13:00, up to 11.0 kW, 0.0000 more",
        "    09:00 to 11:00  rests: a kWh costs 0.3000 to 0.4000, its last kWh 0.2000",
        "    11:00 to 13:00  charges 11.0 kW: a kWh costs 0.1000, its last kWh 0.2000",
        "    13:00 to 14:00  rests: a kWh costs 0.2000, its last kWh 0.2000",
    ]


def test_a_binding_rule_of_no_slot_and_no_phase_has_neither() -> None:
    shown = BindingOut.of(Binding("demand_peak", "month", 0.1234567891))

    assert shown.model_dump() == {
        "rule": "demand_peak", "where": "month", "shadow_price_per_kwh": 0.123457, "slot": None, "phase": None,
    }  # fmt: skip


def test_the_documentation_knows_every_key_and_bound() -> None:
    text = (Path(__file__).parents[3] / "docs" / "model.md").read_text("utf-8")
    section = text.partition("## Reasons")[2].partition("\n## ")[0]

    models = (edge.SlotReasonOut, edge.NextBestOut, BindingOut, edge.RemedyOut, edge.UnmetWishOut, edge.LeftOutOut)
    keys = {key for model in models for key in model.model_fields}
    assert {key for key in keys if f"{key}`" not in section} == set()
    bounds = (
        f"{edge.MOST_SLOTS:,} slots",
        f"{edge.MOST_BINDING} dearest",
        f"up to {MOST_NAMED}",
        "20 s",
        "above 60",
        "above 300",
    )
    assert [bound for bound in bounds if bound not in section.replace("\n", " ")] == []
    assert (PATIENCE_S, AT_ONCE, UNASKED) == (20, 60, 300)
