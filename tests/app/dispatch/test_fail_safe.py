"""Who gets a fallback, and what of a plan stays safe when every link may drop."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.steps import Steps
from app.dispatch.fail_safe import covered, fallback_currents, guarded
from app.dispatch.fuses import Fuses, fuses_of
from app.site import Site

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_site(evses: int, *, fuse_a: float = 32.0, base_kw: float | None = 0.0, connection_a: float | None = None) -> Site:
    return Site.model_validate(
        {
            "id": "depot",
            "name": "Depot",
            "time_zone": "UTC",
            "connection": {"max_current_a": connection_a},
            "circuits": [{"id": "hall"}, {"id": "fuse", "parent": "hall", "max_current_a": fuse_a}],
            "charging_stations": [
                {"id": f"cs{number}", "evses": [{"id": 1, "circuit": "fuse"}]} for number in range(1, evses + 1)
            ],
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
            "base_load": {"max_kw": base_kw} if base_kw else {},
        }
    )


def flat(current_a: float, hours: int = 4) -> Steps:
    return Steps((START,), (current_a,), START + hours * HOUR)


def test_everyone_gets_the_fallback_that_fits() -> None:
    fuses = fuses_of(a_site(5, fuse_a=30), 0.0)

    assert fallback_currents(fuses, 6.0) == {f"cs{number}/1": 6.0 for number in range(1, 6)}


def test_who_finds_no_room_gets_nothing_and_is_always_the_same() -> None:
    fuses = fuses_of(a_site(5, fuse_a=20), 0.0)

    currents_a = fallback_currents(fuses, 6.0)

    assert list(currents_a.values()) == [6, 6, 6, 0, 0]


def test_an_evse_that_holds_no_fallback_counts_with_its_hardware_before_anyone_gets_any() -> None:
    fuses = fuses_of(a_site(3, fuse_a=44), 0.0)

    assert fallback_currents(fuses, 6.0, unable={"cs3/1"}) == {"cs1/1": 6.0, "cs2/1": 6.0}
    assert fallback_currents(fuses, 6.0, unable={"cs2/1", "cs3/1"}) == {"cs1/1": 0.0}


def test_the_building_at_its_maximum_comes_first() -> None:
    building_kw = 3 * 0.23 * 20 / 1.1  # 20 A on each phase, with the margin for uneven phases
    fuses = fuses_of(a_site(3, fuse_a=100, connection_a=32), building_kw)

    assert list(fallback_currents(fuses, 6.0).values()) == [6, 6, 0]


def test_where_nobody_knows_the_building_the_operators_wish_stands() -> None:
    fuses = fuses_of(a_site(3, fuse_a=100, connection_a=32), None)

    assert list(fallback_currents(fuses, 6.0).values()) == [6, 6, 6]


def test_nothing_above_the_fallback_is_covered_where_nobody_knows_the_building() -> None:
    fuses = fuses_of(a_site(2, fuse_a=100, connection_a=80), None)
    plans = {"cs1/1": flat(16), "cs2/1": flat(0)}

    safe = covered(fuses, plans, {"cs1/1": 6, "cs2/1": 6}, {}, {"cs1/1": 6, "cs2/1": 6})

    assert safe == {"cs1/1": flat(6), "cs2/1": flat(0)}


def test_a_plan_below_the_fallback_stays_below_it() -> None:
    fuses = fuses_of(a_site(2), 0.0)

    safe = covered(fuses, {"cs1/1": flat(0)}, {"cs1/1": 6}, {"cs2/1": flat(32)}, {"cs1/1": 6})

    assert safe == {"cs1/1": flat(0)}


def test_what_is_below_the_minimum_current_becomes_the_fallback() -> None:
    fuses = fuses_of(a_site(2, fuse_a=16), 0.0)
    plans = {"cs1/1": flat(16), "cs2/1": flat(16)}

    safe = covered(fuses, plans, {"cs1/1": 0, "cs2/1": 0}, {}, {"cs1/1": 10, "cs2/1": 6})

    assert safe == {"cs1/1": flat(0), "cs2/1": flat(8)}


def test_until_the_service_has_had_time_to_say_otherwise_the_plan_holds_whole() -> None:
    fuses = fuses_of(a_site(2), 0.0)
    plans = {"cs1/1": flat(32)}

    safe = guarded(fuses, plans, {"cs1/1": 6}, {"cs2/1": flat(12)}, {"cs1/1": 6}, START + HOUR)

    assert safe["cs1/1"] == Steps((START, START + HOUR), (32.0, 20.0), START + 4 * HOUR)


def steps(*values_a: float) -> Steps:
    """One value an hour."""
    return Steps(tuple(START + hour * HOUR for hour in range(len(values_a))), values_a, START + len(values_a) * HOUR)


def test_who_holds_the_plan_keeps_what_follows_it_and_a_car_that_comes_gets_the_rest() -> None:
    fuses = fuses_of(a_site(2), 0.0)
    plans, fallbacks_a = {"cs1/1": flat(32), "cs2/1": flat(16)}, {"cs1/1": 6.0, "cs2/1": 6.0}
    held = {"cs1/1": steps(32, 20, 20, 20)}

    anew = guarded(fuses, plans, fallbacks_a, {}, {"cs1/1": 6, "cs2/1": 6}, START + HOUR)
    safe = guarded(fuses, plans, fallbacks_a, {}, {"cs1/1": 6, "cs2/1": 6}, START + HOUR, held)

    assert anew["cs1/1"].at(START + HOUR) < 21
    assert safe["cs1/1"] == steps(32, 20, 20, 20).merged()
    assert safe["cs2/1"] == steps(16, 12, 12, 12).merged()


def test_who_is_to_draw_less_before_then_keeps_nothing() -> None:
    fuses = fuses_of(a_site(1), 0.0)

    safe = guarded(fuses, {"cs1/1": flat(10)}, {"cs1/1": 6.0}, {}, {"cs1/1": 6}, START + HOUR, {"cs1/1": flat(16)})

    assert safe == {"cs1/1": flat(10)}


def test_what_is_held_is_given_up_where_the_fuse_does_not_carry_it_any_more() -> None:
    fuses = fuses_of(a_site(2), 0.0)
    held = {"cs1/1": steps(16, 30, 30, 30)}

    safe = guarded(fuses, {"cs1/1": flat(16)}, {"cs1/1": 6.0}, {"cs2/1": flat(10)}, {"cs1/1": 6}, START + HOUR, held)

    assert safe == {"cs1/1": flat(16)}


AMPERES = st.sampled_from([0.0, 6.0, 8.5, 16.0, 32.0])


@given(
    plans=st.lists(st.lists(AMPERES, min_size=4, max_size=4), min_size=1, max_size=5),
    ends=st.lists(st.integers(1, 4), min_size=5, max_size=5),
    fuse_a=st.sampled_from([16.0, 32.0, 63.0]),
    fallback_a=st.sampled_from([0.0, 6.0]),
    idle=st.integers(0, 2),
    lost=st.lists(st.booleans(), min_size=7, max_size=7),
    holds=st.lists(st.none() | st.lists(AMPERES, min_size=3, max_size=3), min_size=5, max_size=5),
)
def test_whichever_links_are_lost_no_fuse_carries_more_than_its_rating(
    plans: Sequence[Sequence[float]],
    ends: Sequence[int],
    fuse_a: float,
    fallback_a: float,
    idle: int,
    lost: list[bool],
    holds: Sequence[Sequence[float] | None],
) -> None:
    fuses = fuses_of(a_site(len(plans) + idle, fuse_a=fuse_a), 0.0)
    fallbacks_a = fallback_currents(fuses, fallback_a)
    keys = list(fuses.evses)
    wanted = {key: steps(*series[:last]) for key, series, last in zip(keys, plans, ends, strict=False)}
    held = {
        key: steps(*[plan.at(START), *tail][: len(plan.moments)])  # the plan's first hour, and then anything
        for (key, plan), tail in zip(wanted.items(), holds, strict=False)
        if tail is not None
    }
    others = {key: flat(fallbacks_a[key]) for key in keys if key not in wanted}

    safe = guarded(fuses, wanted, fallbacks_a, others, dict.fromkeys(keys, 6.0), START + HOUR, held)

    for hour in range(1, 4):
        moment = START + hour * HOUR
        drawn_a = [
            safe[key].at(moment)
            if key in safe and moment < safe[key].end and not is_lost
            else max(fallbacks_a[key], safe[key].at(moment) if key in safe and moment < safe[key].end else 0.0)
            for key, is_lost in zip(keys, lost, strict=False)
        ]
        assert np.all(loads(fuses, drawn_a) <= fuses.ratings + 1e-6)
        for key in safe:
            assert safe[key].at(moment) <= max(wanted[key].at(moment), held.get(key, wanted[key]).at(moment)) + 1e-9


def loads(fuses: Fuses, drawn_a: Sequence[float]) -> np.ndarray:
    total: np.ndarray = fuses.load @ np.array(drawn_a)
    return total


def test_a_one_phase_evse_loads_its_own_phase_alone() -> None:
    document = a_site(2, fuse_a=12).model_dump(mode="json")
    document["charging_stations"][0]["evses"][0]["phases"] = ["L2"]
    fuses = fuses_of(Site.model_validate(document), 0.0)

    assert [row.phase for row, load in zip(fuses.rows, fuses.load[:, 0], strict=True) if load] == ["L2"]
    assert fallback_currents(fuses, 6.0) == pytest.approx({"cs1/1": 6.0, "cs2/1": 6.0})
