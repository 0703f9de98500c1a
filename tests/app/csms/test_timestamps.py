from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.timestamps import iso_utc, message_time, read_timestamp

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-06-01T12:00:00Z",
        "2026-06-01T12:00:00z",
        "2026-06-01T12:00Z",
        "2026-06-01T12:00:00.000Z",
        "2026-06-01T12:00:00.000000000Z",
        "2026-06-01T14:00:00+02:00",
        "2026-06-01T14:00:00+0200",
        "2026-06-01T14:00:00+02",
        " 2026-06-01 12:00:00Z ",
    ],
)
def test_reads_every_spelling_of_a_time(text: str) -> None:
    assert read_timestamp(text) == (NOON, None)


def test_a_time_without_a_zone_is_taken_as_utc_and_flagged() -> None:
    moment, violation = read_timestamp("2026-06-01T12:00:00")

    assert moment == NOON
    assert violation is not None
    assert "no zone" in violation


@pytest.mark.parametrize(
    "value", [None, "", "AnyString", 1780315200, True, [], {}, "2026-06-01", "2026-13-01T00:00:00Z"]
)
def test_what_is_no_time_is_none_with_a_reason(value: Any) -> None:
    moment, violation = read_timestamp(value)

    assert moment is None
    assert violation is not None


@given(st.text() | st.integers() | st.none() | st.datetimes().map(str) | st.datetimes().map(lambda t: f"{t}+14:00"))
def test_reading_never_raises(value: Any) -> None:
    time, _ = message_time(value, NOON)

    assert time.at.tzinfo is UTC
    assert time.at <= NOON + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("reported", "at", "live_at", "is_live"),
    [
        ("2026-06-01T11:59:30Z", "2026-06-01T11:59:30Z", "2026-06-01T11:59:30Z", True),
        ("2026-06-01T12:00:50Z", "2026-06-01T12:00:50Z", "2026-06-01T12:00:50Z", True),
        ("2026-06-01T14:00:00", "2026-06-01T12:00:00Z", "2026-06-01T12:00:00Z", True),  # local time, unsaid
        ("2106-02-07T06:28:15Z", "2026-06-01T12:00:00Z", "2026-06-01T12:00:00Z", True),
        ("1970-01-01T00:00:10Z", "2026-06-01T12:00:00Z", "2026-06-01T12:00:00Z", True),
        ("0001-01-01T00:00:00Z", "2026-06-01T12:00:00Z", "2026-06-01T12:00:00Z", True),
        ("2026-06-01T11:57:00Z", "2026-06-01T11:57:00Z", "2026-06-01T12:00:00Z", True),
        ("2026-06-01T08:00:00Z", "2026-06-01T08:00:00Z", "2026-06-01T12:00:00Z", False),  # from an offline queue
    ],
)
def test_history_keeps_what_was_reported_and_live_state_what_was_received(
    reported: str, at: str, live_at: str, is_live: bool
) -> None:
    time, _ = message_time(reported, NOON)

    assert (iso_utc(time.at), iso_utc(time.live_at), time.is_live) == (at, live_at, is_live)
    assert time.received == NOON


def test_an_implausible_time_is_a_violation_and_still_kept() -> None:
    time, violations = message_time("1970-01-01T00:00:10Z", NOON)

    assert time.reported == datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC)
    assert "implausible" in violations[0]
