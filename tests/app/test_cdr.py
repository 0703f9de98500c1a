"""Charge detail records from transactions and meter values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cdr import DISAGREES, NO_METER_VALUES, cdr_of, register_factor, total_power_w
from app.db.records import MeterValue, Transaction

START = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_transaction(hours: float = 2.0, energy_wh: float = 11_000) -> Transaction:
    return Transaction(
        1, "depot", "cs01", 1, "tag", START, 5_000, stopped_at=START + timedelta(hours=hours),
        meter_stop_wh=5_000 + energy_wh,
    )  # fmt: skip


def power(at: datetime, value: float, phase: str = "") -> MeterValue:
    return MeterValue("cs01", 1, at, "Power.Active.Import", value, "W", 1, phase)


def test_energy_is_the_register_and_agrees_with_the_power() -> None:
    cdr = cdr_of(a_transaction(), [power(START, 11_000), power(START + 60 * MINUTE, 0)])

    assert cdr.energy_kwh == pytest.approx(11)
    assert cdr.integrated_energy_kwh == pytest.approx(11)
    assert (cdr.total_time_h, cdr.peak_power_kw, cdr.flags) == (2.0, 11.0, ())


def test_parking_is_the_time_in_which_the_power_held_is_below_50_w() -> None:
    values = [power(START, 11_000), power(START + 60 * MINUTE, 49.9), power(START + 90 * MINUTE, 50.0)]

    assert cdr_of(a_transaction(), values).parking_time_h == pytest.approx(0.5)


def test_before_the_first_reading_nothing_is_held() -> None:
    assert cdr_of(a_transaction(), [power(START + 90 * MINUTE, 0)]).parking_time_h == pytest.approx(0.5)


def test_the_total_is_integrated_and_its_phases_are_not_added_to_it() -> None:
    values = [power(START, 6_000), *(power(START, 2_000, phase) for phase in ("L1", "L2", "L3"))]

    assert total_power_w(values) == [(START, 6_000)]
    assert total_power_w(values[1:]) == [(START, 6_000)]


def test_a_register_that_reads_twelve_times_too_high_is_flagged_not_corrected() -> None:
    cdr = cdr_of(a_transaction(energy_wh=132_000), [power(START, 11_000), power(START + 60 * MINUTE, 0)])

    assert cdr.energy_kwh == pytest.approx(132)
    assert cdr.flags == (DISAGREES,)
    assert register_factor(cdr) == pytest.approx(12)


def test_without_meter_values_the_record_says_so() -> None:
    cdr = cdr_of(a_transaction(), [])

    assert (cdr.flags, cdr.integrated_energy_kwh, cdr.peak_power_kw) == ((NO_METER_VALUES,), None, None)


def test_a_running_transaction_has_no_record() -> None:
    with pytest.raises(ValueError, match="still running"):
        cdr_of(Transaction(1, "depot", "cs01", 1, "tag", START, 0), [])


@given(
    st.lists(st.tuples(st.integers(-30, 200), st.floats(0, 22_000)), unique_by=lambda sample: sample[0]), st.randoms()
)
def test_the_order_of_the_meter_values_does_not_matter(samples: list[tuple[int, float]], random: object) -> None:
    values = [power(START + minute * MINUTE, watt) for minute, watt in samples]
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types its Random as an object

    cdr = cdr_of(a_transaction(), shuffled)

    assert cdr == cdr_of(a_transaction(), values)
    assert 0 <= cdr.parking_time_h <= cdr.total_time_h + 1e-9
