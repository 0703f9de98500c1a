"""The truth at sockets and fuses, second by second."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demo.physics import Measured, Offer, Outlet, Surroundings, Trace, measure
from app.site import Site
from optimizer.domain import Phase
from tests.app.demo.builders import MIDNIGHT, a_car, an_outlet


def a_site(**connection: Any) -> Site:
    evse = {"id": 1, "circuit": "row", "phases": ["L2", "L3", "L1"]}
    return Site.model_validate(
        {
            "id": "s",
            "name": "s",
            "time_zone": "UTC",
            "connection": connection,
            "circuits": [{"id": "main", "max_power_kw": 30}, {"id": "row", "parent": "main", "max_current_a": 20}],
            "charging_stations": [{"id": name, "evses": [evse]} for name in ("cs01", "cs02")],
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        }
    )


def an_hour(base_load_kw: float = 0.0, pv_kw: float = 0.0) -> Surroundings:
    return Surroundings(MIDNIGHT, np.full(3600, base_load_kw), np.full(3600, pv_kw), (0.5, 0.3, 0.2))


def drawing(current_a: float, seconds: int, *, key: str = "cs01/1", phases: tuple[Phase, ...] = ("L2",)) -> Trace:
    return Trace(key, MIDNIGHT + timedelta(minutes=10), phases, np.full(seconds, current_a, np.float32))


def seconds_above(measured: Measured) -> dict[tuple[str, str], int]:
    return {(excess.place, excess.measure): excess.seconds for excess in measured.excesses}


class TestOutlet:
    def test_a_car_is_on_the_first_phases_of_the_rotation(self) -> None:
        outlet = an_outlet(phases=("L2", "L3", "L1"))

        outlet.connect(a_car(phases=2), MIDNIGHT)

        assert outlet.phases_in_use == ("L2", "L3")

    def test_offers_hold_from_their_own_moment(self) -> None:
        outlet = an_outlet()
        outlet.connect(a_car(), MIDNIGHT)

        outlet.advance(
            MIDNIGHT + timedelta(seconds=10), [Offer(MIDNIGHT, 10.0), Offer(MIDNIGHT + timedelta(seconds=4), 6.0)]
        )

        assert np.concatenate([trace.current_a for trace in outlet.traces]).tolist() == [10.0] * 4 + [6.0] * 6

    def test_never_offers_more_than_it_is_built_for(self) -> None:
        outlet = an_outlet(max_current_a=13)
        outlet.connect(a_car(max_current_a=32), MIDNIGHT)

        outlet.advance(MIDNIGHT + timedelta(seconds=1), [Offer(MIDNIGHT, 32.0)])

        assert outlet.current_a == 13

    def test_holds_one_car(self) -> None:
        outlet = an_outlet()
        outlet.connect(a_car(), MIDNIGHT)

        with pytest.raises(ValueError, match="is taken"):
            outlet.connect(a_car(), MIDNIGHT)

    @given(steps=st.lists(st.tuples(st.floats(0.5, 4000), st.floats(0, 40)), min_size=1, max_size=6))
    def test_the_register_counts_what_the_car_took(self, steps: list[tuple[float, float]]) -> None:
        outlet, now = an_outlet(), MIDNIGHT
        car = a_car(room_kwh=20, phases=2)
        outlet.connect(car, now)

        for seconds, offered_a in steps:
            before = now
            now += timedelta(seconds=seconds)
            outlet.advance(now, [Offer(before, offered_a)])

        assert outlet.energy_kwh == pytest.approx(20 - car.room_kwh, abs=1e-4)
        assert sum(len(trace.current_a) for trace in outlet.traces) == int((now - MIDNIGHT).total_seconds())


class TestMeasure:
    def test_one_second_above_a_fuse_is_one_violation(self) -> None:
        measured = measure(a_site(), an_hour(), [drawing(20.3, 1)])

        assert seconds_above(measured) == {("row", "L2"): 1}
        assert measured.violations == 1

    def test_one_percent_is_forgiven(self) -> None:
        assert measure(a_site(), an_hour(), [drawing(20.15, 60)]).violations == 0

    def test_two_cars_add_up_on_the_phase_they_share(self) -> None:
        traces = [drawing(16, 30, phases=("L2", "L3")), drawing(16, 20, key="cs02/1", phases=("L3",))]

        assert seconds_above(measure(a_site(), an_hour(), traces)) == {("row", "L3"): 20}

    def test_a_circuit_above_counts_its_power(self) -> None:
        traces = [drawing(20, 5, key=key, phases=("L1", "L2", "L3")) for key in ("cs01/1", "cs02/1", "cs01/1")]

        assert ("main", "kW") in seconds_above(measure(a_site(), an_hour(), traces))

    def test_the_connection_carries_load_cars_and_pv_together(self) -> None:
        # L1 carries half of 20 kW less a third of 6 kW: 34.8 A
        quiet = measure(a_site(max_current_a=40), an_hour(20, 6), [])
        loaded = measure(a_site(max_current_a=40), an_hour(20, 6), [drawing(10, 7, phases=("L1",))])

        assert quiet.violations == 0
        assert seconds_above(loaded) == {("connection", "L1"): 7}

    def test_import_and_export_are_means_of_quarters(self) -> None:
        measured = measure(a_site(max_export_kw=1), an_hour(4, 6), [drawing(20, 900, phases=("L2",))])

        assert measured.export_kw[0] == pytest.approx(2 - 4.6 * 300 / 900)
        assert measured.import_kw[1] == pytest.approx(4.6 * 600 / 900 - 2)
        assert ("connection", "export_kw") in seconds_above(measured)


def test_traces_can_be_left_out_where_it_runs_for_ever() -> None:
    outlet = Outlet("cs01/1", an_outlet().evse, 230.0, keep_traces=False)
    outlet.connect(a_car(), MIDNIGHT)

    outlet.advance(MIDNIGHT + timedelta(seconds=5), [Offer(MIDNIGHT, 16.0)])

    assert outlet.traces == []
    assert outlet.energy_kwh > 0
