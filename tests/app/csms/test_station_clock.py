"""A station's clock is measured by what it says of now, and what it is sent is in its own time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.connector import ChargingProfile, CompositeSchedule, Period, Purpose, RateUnit
from app.csms.station_clock import StationClock, told_at

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
PROFILE = ChargingProfile(
    profile_id=101,
    stack_level=1,
    purpose=Purpose.TX,
    unit=RateUnit.A,
    start=NOW,
    periods=(Period(0, 16.0),),
    valid_from=NOW,
    valid_to=NOW + timedelta(hours=1),
    transaction_id=1,
)


def heard(*offsets_s: float, every: timedelta = timedelta(seconds=30), late_s: float = 0.0) -> StationClock:
    clock = StationClock()
    for number, offset_s in enumerate(offsets_s):
        received = NOW + number * every
        clock.note(received + timedelta(seconds=offset_s - late_s), received)
    return clock


@pytest.mark.parametrize("ahead_s", [-300, -120, -11, 11, 120, 300])
def test_a_clock_that_is_fast_or_slow_is_known_after_a_few_messages(ahead_s: float) -> None:
    assert heard(*[ahead_s] * 4).ahead == timedelta(seconds=ahead_s)


@pytest.mark.parametrize("ahead_s", [-9, 0, 9, 311, -311, -86_400, -1.7e9])
def test_what_is_slight_or_no_skew_at_all_is_not_allowed_for(ahead_s: float) -> None:
    assert heard(*[ahead_s] * 4).ahead == timedelta(0)


def test_one_message_proves_nothing() -> None:
    assert heard(120, 120, 120).ahead == timedelta(0)


def test_a_backlog_that_is_sent_at_once_is_not_taken_for_a_slow_clock() -> None:
    assert heard(-240, -180, -120, -60, every=timedelta(seconds=1)).ahead == timedelta(0)


def test_messages_that_are_late_do_not_hide_that_the_clock_is_fast() -> None:
    assert heard(118, 20, 120, -40).ahead == timedelta(seconds=120)


def test_a_clock_that_is_set_right_is_right_again() -> None:
    clock = heard(*[120] * 4)

    told = [
        clock.note(at, at)
        for at in (NOW + timedelta(minutes=5) + timedelta(seconds=30 * number) for number in range(4))
    ]

    assert told == [False, False, False, True]
    assert clock.ahead == timedelta(0)


def test_what_changes_little_is_no_news() -> None:
    clock = heard(*[120] * 4)

    assert not clock.note(NOW + timedelta(minutes=5, seconds=125), NOW + timedelta(minutes=5))
    assert clock.ahead == timedelta(seconds=120)


@given(ahead_s=st.integers(-300, 300), late_s=st.floats(0, 5))
def test_a_profile_begins_and_ends_when_it_should_by_any_clock_that_it_may_meet(ahead_s: int, late_s: float) -> None:
    """Up to the slight skew, and what the line takes, that profiles allow for anyhow."""
    clock = heard(*[ahead_s] * 4, late_s=late_s)

    written = clock.of_station(PROFILE)

    ahead = timedelta(seconds=ahead_s)
    for is_told, is_meant in ((written.start, PROFILE.start), (written.valid_to, PROFILE.valid_to)):
        assert is_told is not None
        assert is_meant is not None
        assert abs(is_told - ahead - is_meant) <= timedelta(seconds=15.5)
    assert written.periods == PROFILE.periods


def test_what_it_reports_comes_back_in_our_time() -> None:
    clock = heard(*[120] * 4)
    reported = CompositeSchedule(NOW + timedelta(seconds=120), 600, RateUnit.A, (Period(0, 16.0),))

    assert clock.of_ours(reported).start == NOW


@pytest.mark.parametrize(
    ("payload", "moment"),
    [
        ({"timestamp": "2026-03-02T08:00:00Z"}, NOW),
        ({"meterValue": [{"timestamp": "2026-03-02T07:59:00Z"}, {"timestamp": "2026-03-02T08:00:00Z"}]}, NOW),
        ({"timestamp": "2026-03-02T08:00:00Z", "offline": True}, None),
        ({"timestamp": "yesterday", "meterValue": "?"}, None),
        ({"meterValue": [None, {"timestamp": 7}]}, None),
        ({}, None),
    ],
)
def test_a_message_says_when_it_was_sent(payload: dict[str, object], moment: datetime | None) -> None:
    assert told_at(payload) == moment
