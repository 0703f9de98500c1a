"""The rules by which a simulated station holds profiles: OCPP 1.6 edition 2, section 3.13."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.demo.profiles_held import Capability, HeldProfile, Limit, ProfilesHeld
from tests.app.demo.builders import MIDNIGHT

NINE = MIDNIGHT + timedelta(hours=9)


def a_profile(limit_a: float = 16.0, **fields: Any) -> HeldProfile:
    return HeldProfile(
        **{
            "profile_id": 1,
            "connector_id": 1,
            "stack_level": 0,
            "purpose": "TxDefaultProfile",
            "start": NINE,
            "periods": ((0, Limit(limit_a, "A")),),
            **fields,
        }
    )


def holding(*profiles: HeldProfile, running: int | None = None) -> ProfilesHeld:
    held = ProfilesHeld(Capability())
    for profile in profiles:
        assert held.install(profile, running)
    return held


def limit_a(held: ProfilesHeld, moment: datetime = NINE, transaction_start: datetime | None = None) -> float | None:
    limit = held.limit_at(1, moment, transaction_start)
    return None if limit is None else limit.value


def test_nothing_held_is_no_limit() -> None:
    assert limit_a(holding()) is None


def test_a_profile_with_the_same_id_replaces() -> None:
    held = holding(a_profile(16, stack_level=1), a_profile(10, stack_level=0))

    assert limit_a(held) == 10
    assert len(list(held)) == 1


def test_a_profile_of_the_same_purpose_stack_level_and_connector_replaces() -> None:
    held = holding(a_profile(16, profile_id=1), a_profile(10, profile_id=2))

    assert [profile.profile_id for profile in held] == [2]


def test_a_profile_that_is_declined_leaves_the_old_one_alone() -> None:
    held = holding(a_profile(16))

    assert not held.install(a_profile(10, periods=((5, Limit(10, "A")),)), None)

    assert limit_a(held) == 16


def test_the_highest_stack_level_speaks_even_when_it_allows_more() -> None:
    held = holding(a_profile(6, profile_id=1, stack_level=0), a_profile(20, profile_id=2, stack_level=3))

    assert limit_a(held) == 20


def test_a_profile_whose_duration_is_over_uncovers_the_one_below() -> None:
    held = holding(
        a_profile(6, profile_id=1, stack_level=0), a_profile(20, profile_id=2, stack_level=1, duration_s=3600)
    )

    assert limit_a(held, NINE + timedelta(seconds=3599)) == 20
    assert limit_a(held, NINE + timedelta(seconds=3600)) == 6


def test_the_last_period_goes_on_without_a_duration() -> None:
    held = holding(a_profile(periods=((0, Limit(6, "A")), (60, Limit(9, "A")))))

    assert limit_a(held, NINE + timedelta(days=9)) == 9


def test_a_profile_counts_only_while_it_is_valid() -> None:
    held = holding(a_profile(10, valid_from=NINE + timedelta(hours=1), valid_to=NINE + timedelta(hours=2)))

    assert [limit_a(held, NINE + timedelta(hours=hours)) for hours in (0.5, 1, 1.99, 2)] == [None, 10, 10, None]


def test_a_schedule_that_has_not_begun_says_nothing() -> None:
    assert limit_a(holding(a_profile(10)), NINE - timedelta(seconds=1)) is None


def test_a_tx_profile_stands_in_for_the_default_even_when_it_allows_more() -> None:
    default = a_profile(6, profile_id=1, stack_level=5)
    held = holding(default, a_profile(16, profile_id=2, purpose="TxProfile", transaction_id=7), running=7)

    assert limit_a(held) == 16
    held.end_transaction(1)
    assert limit_a(held) == 6


@pytest.mark.parametrize(("connector_id", "transaction_id", "running"), [(1, 7, None), (1, 7, 8), (0, None, 7)])
def test_a_tx_profile_needs_its_transaction(connector_id: int, transaction_id: int | None, running: int | None) -> None:
    profile = a_profile(purpose="TxProfile", connector_id=connector_id, transaction_id=transaction_id)

    assert not ProfilesHeld(Capability()).install(profile, running)


def test_the_default_of_a_connector_overrules_the_stations_at_the_same_level() -> None:
    held = holding(a_profile(6, profile_id=1, connector_id=0), a_profile(10, profile_id=2, connector_id=1))

    assert limit_a(held) == 10
    assert held.limit_at(2, NINE, None) == Limit(6, "A")


def test_a_relative_schedule_begins_with_the_transaction() -> None:
    held = holding(a_profile(start=None, periods=((0, Limit(6, "A")), (600, Limit(16, "A")))))

    assert limit_a(held) is None
    assert limit_a(held, NINE, NINE - timedelta(minutes=11)) == 16


def test_a_daily_schedule_comes_again_and_rests_in_between() -> None:
    held = holding(a_profile(10, recurrence=timedelta(days=1), duration_s=3600))

    assert [limit_a(held, NINE + timedelta(hours=hours)) for hours in (0, 2, 24.5, 26)] == [10, None, 10, None]


def test_no_more_profiles_than_it_has_room_for() -> None:
    held = ProfilesHeld(Capability(max_profiles=1))

    assert held.install(a_profile(profile_id=1, stack_level=0), None)
    assert held.install(a_profile(profile_id=1, stack_level=1), None)
    assert not held.install(a_profile(profile_id=2, stack_level=2), None)


def test_clearing_by_id_ignores_everything_else() -> None:
    held = holding(a_profile(profile_id=1), a_profile(profile_id=2, stack_level=1))

    assert held.clear(profile_id=2, stack_level=0)

    assert [profile.profile_id for profile in held] == [1]


def test_clearing_by_criteria_needs_all_of_them() -> None:
    held = holding(a_profile(profile_id=1), a_profile(profile_id=2, stack_level=1))

    assert not held.clear(purpose="TxDefaultProfile", stack_level=2)
    assert held.clear(purpose="TxDefaultProfile", stack_level=1)

    assert [profile.profile_id for profile in held] == [1]


@pytest.mark.parametrize(
    ("limit", "wired", "expected_a"),
    [
        (Limit(6900, "W"), 3, 10),
        (Limit(6900, "W", 3), 1, 30),  # no more phases than there are
        (Limit(2300, "W", 1), 3, 10),
        (Limit(10, "A", 1), 3, 10),
    ],
)
def test_watts_are_the_sum_of_the_phases(limit: Limit, wired: int, expected_a: float) -> None:
    assert limit.current_a(230, wired) == pytest.approx(expected_a)
