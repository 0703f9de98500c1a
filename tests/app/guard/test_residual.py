"""What the planner is told of a building, and when it is asked for another plan."""

from datetime import UTC, datetime, timedelta

from app.guard.residual import Persisting

NOON = datetime(2026, 6, 2, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def watched(*stretches: tuple[float, int]) -> Persisting:
    """Looks every two seconds from noon on: so many kW for so many seconds."""
    persisting, second = Persisting(), 0
    for kw, seconds in stretches:
        for _ in range(0, seconds, 2):
            persisting.note(kw, after(second))
            second += 2
    return persisting


def test_an_inrush_is_not_planned_for() -> None:
    assert watched((5, 30), (80, 6), (12, 2)).tell(after(38)) == 5


def test_what_lasts_is_planned_for() -> None:
    assert watched((5, 30), (40, 24)).tell(after(54)) == 40


def test_what_is_not_measured_is_not_told() -> None:
    persisting = watched((5, 30))
    persisting.note(None, after(30))

    assert persisting.tell(after(30)) is None


def test_a_plan_is_asked_for_once_when_cars_have_been_held_down_for_a_while() -> None:
    persisting = watched((5, 30), (40, 30))
    persisting.lowered(after(30))

    asked = [persisting.is_news(after(second), is_limiting=True) for second in (40, 49, 51, 53, 60)]

    assert asked == [False, False, True, False, False]


def test_no_plan_is_asked_for_when_what_was_lowered_is_given_back_by_then() -> None:
    persisting = watched((5, 30))
    persisting.lowered(after(2))

    assert not persisting.is_news(after(30), is_limiting=False)


def test_a_plan_is_asked_for_once_when_what_it_was_made_for_is_gone() -> None:
    persisting = watched((40, 30))
    persisting.tell(after(28))
    asked = []
    for second in range(30, 200, 2):
        persisting.note(10, after(second))
        asked.append(persisting.is_news(after(second), is_limiting=False))

    assert asked.count(True) == 1
    assert asked.index(True) * 2 + 30 >= 60


def test_a_building_that_breathes_asks_for_no_plan() -> None:
    persisting = watched((40, 30))
    persisting.tell(after(28))

    for second in range(30, 600, 2):
        persisting.note(36 if second % 10 else 40, after(second))
        assert not persisting.is_news(after(second), is_limiting=False)
