"""What a device may be executing: the law of the fuse, whatever becomes of the messages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.actuators.actuator import Command, Shown
from app.actuators.devices import devices_of
from app.actuators.holding import Holding, restored
from app.actuators.setpoints import SetPoints
from app.actuators.verdict import contradiction
from app.db.operating_records import ActuatorCommand, CommandState
from app.site import Site
from tests.app.actuators.actuator_world import battery_document, site_document

NOW = datetime(2026, 6, 2, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
[IDLE] = devices_of(Site.model_validate(site_document(battery_document(502))))
OWN = {"on_loss": "own_control"}
[SELFISH] = devices_of(Site.model_validate(site_document(battery_document(502, actuator=OWN))))


def a_command(power_kw: float | None, *, at: datetime = NOW, valid_s: float = 120) -> Command:
    return Command("c", power_kw, at, at + timedelta(seconds=valid_s))


@given(
    st.lists(
        st.tuples(
            st.floats(-10, 10), st.integers(1, 300), st.integers(0, 200), st.sampled_from(["lost", "taken", "unsure"])
        ),
        max_size=12,
    )
)
def test_whatever_arrives_the_device_never_charges_with_more_than_it_counts_with(
    story: list[tuple[float, int, int, str]],
) -> None:
    """A device that takes a command holds it to its end; one that does not hears nothing of it."""
    holding, now = Holding(is_known=True), NOW
    true_kw, true_until = 0.0, NOW
    for power_kw, valid_s, passes_s, what in story:
        command = a_command(power_kw, at=now, valid_s=valid_s)
        holding = holding.sent(command)
        if what != "lost":
            true_kw, true_until = power_kw, command.valid_until
        if what == "taken":
            holding = holding.confirmed(command)
        now += passes_s * SECOND

        charges_kw = max(true_kw, 0.0) if now < true_until else 0.0
        assert holding.most_charge_kw(IDLE, now, now + SECOND) >= charges_kw - 1e-9


def test_while_nobody_knows_which_of_two_holds_the_larger_counts_for_as_long_as_the_longer() -> None:
    holding = Holding().confirmed(a_command(8.0, valid_s=60)).sent(a_command(1.0, valid_s=300))

    assert holding.most_charge_kw(IDLE, NOW + 4 * MINUTE, NOW + 4 * MINUTE) == 8.0
    assert holding.most_charge_kw(IDLE, NOW + 6 * MINUTE, NOW + 7 * MINUTE) == 0.0


def test_a_device_that_declines_may_hold_its_old_power_with_the_new_timer() -> None:
    holding = Holding().confirmed(a_command(8.0, valid_s=60)).refused(a_command(1.0, valid_s=300))

    assert holding.most_charge_kw(IDLE, NOW + 4 * MINUTE, NOW + 4 * MINUTE) == 8.0
    assert holding.most_charge_kw(IDLE, NOW + 6 * MINUTE, NOW + 6 * MINUTE) == 0.0


def test_what_a_device_shows_in_place_of_its_command_counts_beside_it() -> None:
    holding = Holding().confirmed(a_command(2.0, valid_s=60))

    holding = holding.may_hold(6.0, NOW + 10 * MINUTE, NOW).may_hold(6.0, NOW + 20 * MINUTE, NOW)

    assert len(holding.candidates) == 2
    assert holding.most_charge_kw(IDLE, NOW, NOW) == 6.0
    assert holding.most_charge_kw(IDLE, NOW + 15 * MINUTE, NOW + 15 * MINUTE) == 6.0


def test_a_device_with_controls_of_its_own_counts_with_all_it_can_once_its_command_has_ended() -> None:
    holding = Holding().confirmed(a_command(2.0, valid_s=60))

    assert holding.most_charge_kw(SELFISH, NOW, NOW + 30 * SECOND) == 2.0
    assert holding.most_charge_kw(SELFISH, NOW, NOW + 90 * SECOND) == 10.0


def test_one_of_which_nothing_is_known_counts_with_its_hardware() -> None:
    assert Holding().most_charge_kw(IDLE, NOW, NOW) == 10.0
    assert restored([], NOW).most_charge_kw(IDLE, NOW, NOW) == 10.0


def a_row(power_kw: float | None, until: datetime, state: CommandState = "verified") -> ActuatorCommand:
    return ActuatorCommand("c", "depot", "battery/store", "me", None, NOW, until, power_kw, "planned", state)


@pytest.mark.parametrize(
    ("rows", "most_kw"),
    [
        ([a_row(3.0, NOW - SECOND)], 0.0),
        ([a_row(3.0, NOW + MINUTE), a_row(4.0, NOW + SECOND)], 3.0),
        ([a_row(3.0, NOW + MINUTE, "unknown"), a_row(4.0, NOW - SECOND)], 4.0),  # the new timer with the old power
        ([a_row(3.0, NOW + MINUTE, "sent"), a_row(9.0, NOW + MINUTE, "refused"), a_row(1.0, NOW)], 3.0),
        ([a_row(9.0, NOW + MINUTE, "refused")], 10.0),
        ([a_row(9.0, NOW + MINUTE, "refused"), a_row(3.0, NOW)], 3.0),  # it may have taken the timer
    ],
)
def test_after_a_restart_it_counts_with_what_its_commands_leave_open(
    rows: list[ActuatorCommand], most_kw: float
) -> None:
    assert restored(rows, NOW).most_charge_kw(IDLE, NOW, NOW) == most_kw


def set_points(*power_kw: float) -> SetPoints:
    building = (0.0,) * len(power_kw)
    return SetPoints("p", NOW, NOW, 15 * MINUTE, {"battery/store": power_kw}, building, (1 / 3, 1 / 3, 1 / 3), NOW)


@pytest.mark.parametrize(
    ("power_kw", "slots"),
    [((5, 5, 6, 4), 3), ((5, 4, 6), 1), ((5, -1), 1), ((-5, -6, -4), 2), ((-5, 5), 1), ((0, 5, -5), 3), ((5, 5), 2)],
)
def test_a_command_may_last_until_the_plan_has_less_in_its_direction(power_kw: tuple[float, ...], slots: int) -> None:
    assert set_points(*power_kw).falls_at("battery/store", NOW) == NOW + slots * 15 * MINUTE


@pytest.mark.parametrize(
    ("power_kw", "shown", "after_s", "said"),
    [
        (5.0, Shown(5.1), 0, None),
        (5.0, Shown(5.5), 0, "holds 5.5 kW"),
        (5.0, Shown(None), 0, "is on its own"),
        (None, Shown(None), 0, None),
        (None, Shown(1.0), 0, "was to be on its own"),
        (5.0, Shown(5.0, power_kw=2.0), 60, None),  # nearly full
        (5.0, Shown(5.0, power_kw=9.0), 5, None),  # on its way
        (5.0, Shown(5.0, power_kw=9.0), 60, "its meter shows 9 kW"),
        (5.0, Shown(5.0, power_kw=-1.0), 60, "its meter shows -1 kW"),
        (-5.0, Shown(-5.0, power_kw=-6.0), 60, "its meter shows -6 kW"),
        (-5.0, Shown(-5.0, power_kw=0.0), 60, None),  # empty
    ],
)
def test_what_speaks_against_a_command(power_kw: float | None, shown: Shown, after_s: float, said: str | None) -> None:
    found = contradiction(a_command(power_kw), shown, "battery", 0.2, timedelta(seconds=after_s))

    assert found is None if said is None else said in str(found)


def test_an_inverter_that_feeds_more_than_its_limit_speaks_against_it() -> None:
    too_much = contradiction(a_command(4.0), Shown(4.0, power_kw=6.0), "pv", 0.2, MINUTE)
    at_night = contradiction(a_command(4.0), Shown(4.0, power_kw=-0.5), "pv", 0.2, MINUTE)

    assert "its meter shows 6 kW" in str(too_much)
    assert at_night is None
