"""How often an EVSE is written to."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.dispatch.budget import AT_ONCE, WRITES_A_DAY, WriteBudget

START = datetime(2026, 3, 2, tzinfo=UTC)


@given(waits_s=st.lists(st.integers(1, 3600), min_size=50, max_size=100))
def test_no_day_sees_more_raises_than_the_budget(waits_s: list[int]) -> None:
    budget, now, raised = WriteBudget(), START, []

    for wait_s in waits_s * 5:
        now += timedelta(seconds=wait_s)
        if budget.allows_raising("cs1/1", now):
            budget.spend("cs1/1", now)
            raised.append(now)

    for first, moment in enumerate(raised[:-WRITES_A_DAY]):
        assert raised[first + WRITES_A_DAY] >= moment + timedelta(days=1)


def test_a_refused_raise_waits_for_half_an_hour_at_most() -> None:
    budget = WriteBudget()
    for _ in range(AT_ONCE):
        budget.spend("cs1/1", START)

    assert not budget.allows_raising("cs1/1", START)
    assert budget.allows_raising("cs1/1", START + timedelta(minutes=30))
    assert budget.allows_raising("cs1/2", START)
