"""When the room that a lower limit frees counts: the meter's word, or its silence for long enough."""

from datetime import UTC, datetime, timedelta

import pytest

from app.dispatch.lowerings import GRACE, Lowerings

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def measured(*currents_a: float) -> Lowerings:
    """One sample a minute, the last of them at `NOW`."""
    lowerings = Lowerings()
    for position, current_a in enumerate(currents_a, start=1):
        lowerings.take("cs1/1", current_a, NOW - (len(currents_a) - position) * MINUTE)
    return lowerings


def lowered(lowerings: Lowerings, to_a: float, *, was_read_back: bool = True) -> Lowerings:
    lowerings.begin("cs1/1", from_a=16, to_a=to_a, was_read_back=was_read_back, now=NOW)
    return lowerings


def test_who_drew_more_counts_with_that_until_the_meter_shows_less() -> None:
    lowerings = lowered(measured(15.5, 15.5), 6)
    assert lowerings.open_a("cs1/1", NOW) == 15.5

    has_closed = lowerings.take("cs1/1", 6.1, NOW + MINUTE)

    assert has_closed
    assert lowerings.open_a("cs1/1", NOW + MINUTE) is None


def test_who_drew_no_more_than_its_new_limit_is_not_waited_for() -> None:
    assert lowered(measured(6, 6), 6).open_a("cs1/1", NOW) is None


@pytest.mark.parametrize("samples_a", [(), (16,)])
def test_a_meter_whose_pace_is_not_known_is_not_waited_for(samples_a: tuple[float, ...]) -> None:
    assert lowered(measured(*samples_a), 6).open_a("cs1/1", NOW) is None


def test_a_meter_that_speaks_every_quarter_of_an_hour_is_not_waited_for() -> None:
    lowerings = Lowerings()
    lowerings.take("cs1/1", 16, NOW - timedelta(minutes=15))
    lowerings.take("cs1/1", 16, NOW)

    assert lowered(lowerings, 6).open_a("cs1/1", NOW) is None


def test_a_limit_that_was_read_back_counts_after_one_interval_without_another_word() -> None:
    lowerings = lowered(measured(16, 16), 6)

    assert lowerings.open_a("cs1/1", NOW + GRACE + MINUTE - timedelta(seconds=1)) == 16
    assert lowerings.open_a("cs1/1", NOW + GRACE + MINUTE) is None


def test_one_that_was_only_accepted_is_given_three_intervals() -> None:
    lowerings = lowered(measured(16, 16), 6, was_read_back=False)

    assert lowerings.open_a("cs1/1", NOW + GRACE + 2 * MINUTE) == 16
    assert lowerings.open_a("cs1/1", NOW + GRACE + 3 * MINUTE) is None


def test_who_is_seen_to_draw_on_counts_with_it_for_as_long_as_that_lasts() -> None:
    lowerings = lowered(measured(16, 16), 6)

    has_closed = lowerings.take("cs1/1", 14, NOW + MINUTE)

    assert not has_closed
    assert lowerings.open_a("cs1/1", NOW + timedelta(hours=1)) == 14


def test_a_sample_from_the_first_seconds_proves_nothing() -> None:
    lowerings = lowered(measured(16, 16), 6)

    assert not lowerings.take("cs1/1", 6, NOW + GRACE - timedelta(seconds=1))
    assert lowerings.open_a("cs1/1", NOW + GRACE) == 16


def test_a_sample_that_comes_late_is_not_taken_for_a_new_one() -> None:
    lowerings = lowered(measured(16, 16), 6)
    lowerings.take("cs1/1", 14, NOW + 2 * MINUTE)

    assert not lowerings.take("cs1/1", 6, NOW + MINUTE)
    assert lowerings.open_a("cs1/1", NOW + 2 * MINUTE) == 14


def test_a_meter_that_fell_silent_before_leaves_the_whole_old_limit_open() -> None:
    lowerings = measured(3, 3)
    lowerings.begin("cs1/1", from_a=16, to_a=6, was_read_back=True, now=NOW + 4 * MINUTE)

    assert lowerings.open_a("cs1/1", NOW + 4 * MINUTE) == 16


def test_the_vehicle_that_leaves_takes_it_with_it() -> None:
    lowerings = lowered(measured(16, 16), 6)

    lowerings.forget("cs1/1")

    assert lowerings.open_a("cs1/1", NOW) is None
