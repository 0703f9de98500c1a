"""A car draws what it is offered, what it can, and what its battery still takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demo.car import FULL_WITHIN_KWH
from tests.app.demo.builders import a_car


def test_draws_no_more_than_it_can_and_no_more_than_it_is_offered() -> None:
    assert set(a_car(max_current_a=16).draw(32, 10, 230)) == {16.0}
    assert set(a_car(max_current_a=16).draw(9, 10, 230)) == {9.0}


@pytest.mark.parametrize(("offered_a", "drawn_a"), [(5.9, 0.0), (6.0, 6.0), (0.0, 0.0)])
def test_charges_with_six_amperes_or_not_at_all(offered_a: float, drawn_a: float) -> None:
    assert set(a_car().draw(offered_a, 5, 230)) == {drawn_a}


@pytest.mark.parametrize("phases", [1, 2, 3])
def test_takes_energy_on_its_own_phases(phases: int) -> None:
    car = a_car(phases=phases, room_kwh=30)

    car.draw(10, 3600, 230)

    assert 30 - car.room_kwh == pytest.approx(phases * 2.3)


def test_slows_down_when_it_is_nearly_full() -> None:
    car = a_car(room_kwh=12, capacity_kwh=60, taper_from_soc=0.9, max_current_a=32)

    drawn_a = car.draw(32, 3600, 230)

    assert drawn_a[0] == 32
    assert np.all(np.diff(drawn_a) <= 0)
    assert drawn_a[-1] < 8


def test_stops_when_it_is_full() -> None:
    car = a_car(room_kwh=1)

    drawn_a = car.draw(16, 7200, 230)

    assert car.is_full
    assert drawn_a[-1] == 0


def test_more_than_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        a_car(room_kwh=61, capacity_kwh=60)


@given(
    room_kwh=st.floats(0, 60),
    phases=st.integers(1, 3),
    offers=st.lists(st.tuples(st.floats(0, 40), st.integers(1, 3000)), max_size=8),
)
def test_what_flows_is_what_the_battery_takes(room_kwh: float, phases: int, offers: list[tuple[float, int]]) -> None:
    car = a_car(room_kwh=room_kwh, phases=phases)

    drawn = [car.draw(offered_a, seconds, 230).sum(dtype=np.float64) for offered_a, seconds in offers]

    assert sum(drawn) * phases * 230 / 3_600_000 == pytest.approx(room_kwh - car.room_kwh, abs=1e-4)
    assert car.room_kwh >= -FULL_WITHIN_KWH
