"""What a battery on a real socket holds, slot by slot, and what becomes of it when something fails."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.db.operating_records import GridLimit
from app.dispatch.in_force import Wiring
from app.dispatch.restraint import Standing
from app.errors import StoreUnavailableError
from app.events import ClockJumped
from app.guard import Look
from app.modes import Mode, ModeNow
from app.site import Site
from tests.app.actuators.actuator_world import START, World, a_schedule, a_world, battery_document, site_document
from tests.app.actuators.sunspec_device import a_battery

pytest.importorskip("pymodbus", reason="the extra modbus is not installed")

MINUTE = timedelta(minutes=1)


async def test_a_device_does_what_each_slot_of_the_plan_says() -> None:
    async with a_world() as world:
        await world.plan(5.0, -4.0, 0.0, 3.0)
        seen_kw = [world.device.power_kw]
        for _ in range(3):
            await world.pass_time(minutes=15)
            seen_kw.append(world.device.power_kw)
        states = {row.state for row in await world.commands()}

    assert seen_kw == pytest.approx([5.0, -4.0, 0.0, 3.0], abs=0.01)
    assert states == {"verified"}


async def test_a_command_is_renewed_before_it_has_ended() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        for _ in range(14):
            await world.pass_time(minutes=1)
            assert world.device.power_kw == pytest.approx(5.0)
        count = len(await world.commands())

    assert 10 <= count <= 20  # one a minute, half of the 120 s that each holds


async def test_a_charge_that_the_next_slot_has_not_ends_with_the_slot() -> None:
    async with a_world() as world:
        await world.plan(5.0, 0.0)
        await world.pass_time(minutes=14)
        await world.line.cut()
        before_kw = world.device.power_kw
        await world.pass_time(minutes=1)

        assert before_kw == pytest.approx(5.0)
        assert world.device.power_kw is None  # by its own timer
        last = (await world.commands())[-1]
        assert last.valid_until <= START + 15 * MINUTE or last.power_kw == 0


async def test_a_link_that_is_lost_leaves_the_device_to_itself_and_the_fuse_counts_what_it_may_hold() -> None:
    async with a_world() as world:
        await world.plan(8.0, 8.0)
        await world.line.cut()
        await world.pass_time(seconds=30)
        held = await world.fleet()
        await world.pass_time(minutes=3)
        lapsed = await world.fleet()

        assert world.unit.state == "unknown"
        assert world.device.power_kw is None
        assert held.batteries == lapsed.batteries == ()
        assert "not reached" in held.warnings[0]
        assert max(held.reservations[0].current_a) == pytest.approx(8000 / 230 / 3, rel=0.01)
        assert lapsed.reservations == ()  # the operator's word: alone it is idle
        assert world.replans


async def test_a_link_that_comes_back_has_the_site_planned_anew() -> None:
    async with a_world() as world:
        await world.plan(8.0, 8.0)
        await world.line.cut()
        await world.pass_time(minutes=1)
        asked = len(world.replans)
        await world.line.mend()
        await world.pass_time(minutes=1)
        fleet = await world.fleet()

        assert len(world.replans) > asked
        assert [battery.battery_id for battery in fleet.batteries] == ["store"]
        assert world.device.power_kw == pytest.approx(8.0)


async def test_a_device_that_ignores_its_commands_is_found_out_and_not_planned_for_a_while() -> None:
    async with a_world() as world:
        world.device.ignores = True
        world.device.set_point(124, 13, 120)  # its timer stands where we would write it
        await world.plan(5.0, 5.0, 5.0)
        await world.pass_time(minutes=1)
        fleet = await world.fleet()

        assert world.unit.state == "ignored"
        assert "is on its own, and was to hold 5 kW" in fleet.warnings[0]
        assert fleet.batteries == ()
        assert max(fleet.reservations[0].current_a) == pytest.approx(10_000 / 230 / 3)  # all that it can
        assert "ignored" in world.states()
        assert "depot" in world.replans


async def test_a_device_that_obeys_again_is_planned_again_after_a_quarter_of_an_hour() -> None:
    async with a_world() as world:
        world.device.ignores = True
        world.device.set_point(124, 13, 120)
        await world.plan(5.0, *[5.0] * 8)
        await world.pass_time(minutes=1)
        world.device.ignores = False
        await world.pass_time(minutes=10)
        early = await world.fleet()
        await world.pass_time(minutes=8)
        late = await world.fleet()

        assert early.batteries == ()
        assert early.reservations == ()  # verified idle: nothing has to be kept for it
        assert [battery.battery_id for battery in late.batteries] == ["store"]


async def test_a_device_that_declines_is_not_planned_and_keeps_what_it_held() -> None:
    async with a_world() as world:
        await world.plan(2.0, 2.0)
        world.device.refuses = True
        await world.plan(6.0, 6.0)
        await world.pass_time(seconds=40)  # raising again waits
        fleet = await world.fleet()

        assert world.unit.fault(world.clock.now()) == "refused"
        assert world.states()[-1] == "refused"
        assert fleet.batteries == ()
        assert max(fleet.reservations[0].current_a) == pytest.approx(2000 / 230 / 3)


async def test_a_state_of_charge_that_is_missing_is_never_0() -> None:
    async with a_world(a_battery(soc_percent=None)) as world:
        fleet = await world.fleet()

        assert fleet.batteries == ()
        assert fleet.warnings == ("battery store is not planned: its state of charge is not known",)
        assert fleet.reservations == ()


async def test_a_battery_whose_state_of_charge_goes_stale_is_held_at_its_safe_value() -> None:
    async with a_world(soc_max_age_s=60) as world:
        await world.plan(5.0, 5.0)
        world.device.set_point(124, 6, 0xFFFF)  # not implemented any more
        await world.pass_time(minutes=2)
        fleet = await world.fleet()
        last = (await world.commands())[-1]

        assert world.device.power_kw == 0.0
        assert fleet.batteries == ()
        assert "state of charge is not known" in fleet.warnings[0]
        assert (last.power_kw, last.plan_id) == (0.0, None)
        assert "state of charge" in last.reason


async def test_what_the_battery_holds_is_planned_with_its_limits() -> None:
    async with a_world(a_battery(soc_percent=35), min_soc=0.2, max_soc=0.9, wear_price_per_kwh=0.02) as world:
        [battery] = (await world.fleet()).batteries

    assert battery.energy_kwh == pytest.approx(7.0)
    assert battery.min_energy_kwh == pytest.approx(4.0)
    assert battery.capacity_kwh == pytest.approx(18.0)
    assert battery.wear_price_per_kwh == 0.02


async def test_a_site_in_shadow_mode_is_sent_nothing() -> None:
    async with a_world(site={"mode": "shadow"}) as world:
        await world.plan(5.0, 5.0)
        await world.pass_time(minutes=2)

        assert world.device.writes == []
        assert [battery.battery_id for battery in (await world.fleet()).batteries] == ["store"]


@pytest.mark.parametrize(("mode", "power_kw"), [("failsafe", 0.0), ("manual", 5.0), ("last_plan", 5.0)])
async def test_failsafe_commands_the_safe_value_and_no_other_mode_does(mode: Mode, power_kw: float) -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        world.mode = ModeNow(mode, "for a test", world.clock.now())
        await world.pass_time(seconds=10)

        assert world.device.power_kw == pytest.approx(power_kw)


async def test_a_plan_that_nobody_renewed_for_an_hour_commands_nothing_any_more() -> None:
    async with a_world() as world:
        await world.plan(*[5.0] * 12)
        await world.pass_time(minutes=55)
        before_kw = world.device.power_kw
        await world.pass_time(minutes=7)

        assert before_kw == pytest.approx(5.0)
        assert world.device.power_kw == 0.0
        assert "too old" in (await world.commands())[-1].reason


async def test_a_service_that_ends_leaves_the_safe_value_behind() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        await world.end()

        assert world.device.power_kw == 0.0
        assert (await world.commands())[-1].reason == "the service ends"


async def test_a_battery_with_controls_of_its_own_is_given_back_to_them() -> None:
    async with a_world(actuator={"on_loss": "own_control"}) as world:
        await world.plan(5.0, 5.0)
        before_kw = world.device.power_kw
        await world.end()

        assert before_kw == pytest.approx(5.0)
        assert world.device.power_kw is None


async def test_a_battery_with_controls_of_its_own_is_reserved_with_all_it_can_when_it_is_not_commanded() -> None:
    async with a_world(a_battery(soc_percent=None), actuator={"on_loss": "own_control"}) as world:
        fleet = await world.fleet()

    assert max(fleet.reservations[0].current_a) == pytest.approx(10_000 / 230 / 3)


async def test_after_a_restart_the_fuse_counts_what_the_battery_may_still_hold(tmp_path: Path) -> None:
    async with a_world(directory=tmp_path) as world:
        await world.plan(7.0, 7.0)
        await world.line.cut()
        await world.die()
        await world.start()
        held = await world.fleet()
        await world.pass_time(minutes=3)
        lapsed = await world.fleet()

        assert max(held.reservations[0].current_a) == pytest.approx(7000 / 230 / 3)
        assert lapsed.reservations == ()


async def test_a_service_that_was_restarted_commands_nothing_before_it_has_a_plan(tmp_path: Path) -> None:
    async with a_world(directory=tmp_path) as world:
        await world.plan(7.0, 7.0)
        written = len(world.device.writes)
        await world.die()
        await world.start()
        await world.pass_time(seconds=50)
        held_kw = world.device.power_kw
        await world.pass_time(minutes=2)

        assert held_kw == pytest.approx(7.0)
        assert len(world.device.writes) == written
        assert world.device.power_kw is None
        assert "depot" in world.replans  # so that it has one soon


async def test_a_device_of_which_nothing_was_ever_known_counts_with_its_hardware() -> None:
    async with a_world() as world:
        await world.line.cut()
        await world.end()
        await world.store.drop_actuator_commands(world.clock.now() + timedelta(days=1))
        await world.start()
        fleet = await world.fleet()

        assert max(fleet.reservations[0].current_a) == pytest.approx(10_000 / 230 / 3)


def a_look(world: World, state: Any) -> Look:
    return Look("depot", world.clock.now(), state, None, "measured", 1.0, {}, (), ())


async def test_while_the_guard_holds_evses_back_no_battery_charges_until_the_next_plan() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        world.look = a_look(world, "limiting")
        await world.pass_time(seconds=6)
        limited_kw = world.device.power_kw
        world.look = a_look(world, "watching")
        await world.pass_time(minutes=1)
        still_kw = world.device.power_kw
        await world.plan(5.0, 5.0)
        await world.pass_time(minutes=1)

        assert (limited_kw, still_kw) == (0.0, 0.0)
        assert world.device.power_kw == pytest.approx(5.0)


async def test_a_battery_goes_on_giving_while_the_guard_holds_evses_back() -> None:
    async with a_world() as world:
        await world.plan(-5.0, -5.0)
        world.look = a_look(world, "overloaded")
        await world.pass_time(minutes=1)

        assert world.device.power_kw == pytest.approx(-5.0)


async def test_a_grid_limit_that_the_plan_does_not_know_yet_stops_charging() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        now = world.clock.now()
        world.limits = [GridLimit("l", "depot", "dso", "1", "import", 4.2, now, None, now)]
        await world.pass_time(seconds=6)

        assert world.device.power_kw == 0.0
        assert "grid limit of 4.2 kW" in (await world.commands())[-1].reason


async def test_a_grid_limit_that_came_while_the_plan_was_made_stops_charging() -> None:
    async with a_world() as world:
        problem = world.problem(2)
        await world.pass_time(seconds=5)
        came = world.clock.now()
        world.limits = [GridLimit("l", "depot", "dso", "1", "import", 4.2, came, None, came)]
        await world.pass_time(seconds=5)
        world.actuators.follow(world.site, "p", problem, a_schedule(problem, {"store": (5.0, 5.0)}, (0.0, 0.0)))
        await world.pass_time(seconds=6)

        assert world.device.power_kw == 0.0


async def test_charging_keeps_to_what_evses_and_the_building_leave_of_the_connection() -> None:
    stations = [{"id": "cs01", "evses": [{"id": 1}]}]
    async with a_world(site={"charging_stations": stations}) as world:
        wiring = Wiring(230.0, 3, 32.0, is_dc=False)
        world.standings = [Standing("cs01/1", wiring, 3, 32.0, None, True, 6.0, 0.0, 1)]
        await world.plan(10.0, 10.0, base_load_kw=5.0)
        tight_kw = world.device.power_kw
        world.standings = [replace(world.standings[0], in_force_a=6.0)]
        await world.pass_time(minutes=1)

        # 30 kW, less 5 kW of building, less 22.08 kW that a car may draw
        assert tight_kw == pytest.approx(30 - 5 - 22.08, abs=0.05)
        assert world.device.power_kw == pytest.approx(10.0)


async def test_a_battery_that_does_not_make_room_has_the_plan_not_sent() -> None:
    async with a_world() as world:
        await world.plan(8.0, 8.0)
        await world.line.cut()
        sent = await world.plan(1.0, 1.0)

        assert not sent


async def test_a_battery_makes_room_before_the_plan_goes_on() -> None:
    async with a_world() as world:
        await world.plan(8.0, 8.0)
        problem = world.problem(2)
        schedule = a_schedule(problem, {"store": (1.0, 1.0)}, (0.0, 0.0))
        made = await world.actuators.make_room(world.site, "next", problem, schedule)

        assert made
        assert world.device.power_kw == pytest.approx(1.0)


async def test_a_service_that_another_one_has_overtaken_stands_back() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        own = (await world.commands())[-1]
        newer = replace(own, command_id="other", owner="another service", at=world.clock.now(), power_kw=-1.0)
        await world.store.add_actuator_command(newer)
        written = len(world.device.writes)
        await world.pass_time(minutes=2)

        assert len(world.device.writes) == written


async def test_without_a_database_charging_is_lowered_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("gone")

    async with a_world() as world:
        await world.plan(5.0, 5.0)
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "add_actuator_command", away)
            await world.plan(2.0, 2.0)
            lowered_kw = world.device.power_kw
            await world.plan(9.0, 9.0)
            raised_kw = world.device.power_kw

    assert lowered_kw == pytest.approx(2.0)
    assert raised_kw == pytest.approx(2.0)


async def test_a_battery_that_leaves_the_document_is_left_safe_and_spoken_to_no_more() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        await world.save(Site.model_validate(site_document()))
        written = len(world.device.writes)
        await world.pass_time(minutes=2)

        assert world.device.writes[written - 2][1] == [0, 0]  # OutWRte and InWRte
        assert len(world.device.writes) == written
        assert world.actuators.units("depot") == []


async def test_a_device_that_the_settings_do_not_name_is_not_spoken_to() -> None:
    async with a_world() as world:
        await world.end()
        world.settings.actuator_hosts = ("192.168.0.0/16",)
        world.device.connections.clear()
        await world.start()
        fleet = await world.fleet()

        assert "SMARTCHARGE_ACTUATOR_HOSTS does not name 127.0.0.1" in fleet.warnings[0]


async def test_a_battery_without_an_actuator_is_a_forecast_and_said_to_be_one() -> None:
    async with a_world() as world:
        plain = {key: value for key, value in battery_document(1).items() if key != "actuator"}
        await world.save(Site.model_validate(site_document(plain)))
        fleet = await world.fleet()

    assert fleet.batteries == ()
    assert fleet.reservations == ()
    assert fleet.warnings == (
        "battery store is a forecast, no variable: nobody can command it; what it draws is base load",
    )


async def test_two_services_that_take_turns_find_no_device_that_ignores_them() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        own = (await world.commands())[-1]
        now = world.clock.now()
        newer = replace(own, command_id="other", owner="another service", at=now, power_kw=-1.0)
        await world.store.add_actuator_command(newer)
        for offset, value in ((10, 1000), (11, -1000)):
            world.device.set_point(124, offset, value)  # the other one has told it
        await world.pass_time(seconds=90)

        assert world.device.power_kw == pytest.approx(-1.0)
        assert world.unit.state == "none"
        assert "ignored" not in world.states()


async def test_a_line_that_flaps_is_no_reason_for_a_plan_at_every_turn() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        asked = len(world.replans)
        for _ in range(6):
            await world.line.cut()
            await world.pass_time(seconds=10)
            await world.line.mend()
            await world.pass_time(seconds=10)

        assert len(world.replans) - asked <= 2
        assert (await world.fleet()).batteries == ()


async def test_a_service_that_ends_leaves_alone_what_another_one_commands() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        own = (await world.commands())[-1]
        newer = replace(own, command_id="other", owner="another service", at=world.clock.now(), power_kw=5.0)
        await world.store.add_actuator_command(newer)
        await world.end()

        assert world.device.power_kw == pytest.approx(5.0)


@pytest.mark.parametrize(("soc_percent", "drawn_kw"), [(0, 5.0), (50, 5.0), (95, 0.0)])
async def test_a_battery_without_a_meter_is_believed_to_charge_unless_it_may_be_full(
    soc_percent: float, drawn_kw: float
) -> None:
    async with a_world(a_battery(soc_percent=soc_percent)) as world:
        await world.plan(5.0, 5.0)

        assert (await world.fleet()).drawn_kw == pytest.approx(drawn_kw)


async def test_a_battery_that_nobody_plans_is_reserved_with_what_its_own_meter_shows() -> None:
    async with a_world() as world:
        await world.plan(0.0, 0.0)
        assert world.unit.shown is not None
        world.unit.shown = replace(world.unit.shown, power_kw=6.9)
        world.unit.soc = None
        fleet = await world.fleet()

        assert fleet.drawn_kw == pytest.approx(6.9)  # what is taken off the building
        assert sum(fleet.reservations[0].current_a) * 0.23 == pytest.approx(6.9)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_leaves_the_device_commanded_and_what_it_may_hold_known(hours: int) -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0, 5.0)
        await world.pass_time(seconds=30)
        jump = timedelta(hours=hours)
        world.clock._now += jump  # the machine's clock is set
        world.events.publish(ClockJumped(jump.total_seconds(), world.clock.now()))
        counted_kw = world.unit.holding.most_charge_kw(world.unit.device, world.clock.now(), world.clock.now())
        await world.plan(5.0, 5.0, 5.0)  # the control asks for one
        for _ in range(3):
            await world.pass_time(minutes=1)
            assert world.device.power_kw == pytest.approx(5.0)

        assert counted_kw == pytest.approx(5.0)
        assert world.unit.state == "verified"


async def test_a_battery_that_made_room_does_not_take_it_back_while_evses_are_being_sent_the_plan() -> None:
    async with a_world() as world:
        await world.plan(8.0, 8.0)
        problem = world.problem(2)
        schedule = a_schedule(problem, {"store": (1.0, 1.0)}, (0.0, 0.0))
        await world.actuators.make_room(world.site, "next", problem, schedule)
        await world.pass_time(seconds=40)  # a station is slow to answer
        meanwhile_kw = world.device.power_kw
        world.actuators.let_go(world.site.id, "next")  # it was not sent after all
        await world.pass_time(seconds=40)

        assert meanwhile_kw == pytest.approx(1.0)
        assert world.device.power_kw == pytest.approx(8.0)


async def test_a_battery_that_the_coming_plan_does_not_have_charges_no_more_until_that_is_in_force() -> None:
    async with a_world() as world:
        await world.plan(2.0, 2.0)
        problem = world.problem(2)
        await world.actuators.make_room(world.site, "next", problem, a_schedule(problem, {}, (0.0, 0.0)))
        await world.pass_time(seconds=40)

        assert world.device.power_kw == 0.0


async def test_a_command_that_would_outlast_what_a_new_plan_has_is_cut_short_at_once() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        await world.pass_time(minutes=14)
        await world.plan(5.0, 0.0)
        await world.line.cut()
        await world.pass_time(minutes=1)

        assert world.device.power_kw is None


async def test_a_device_that_answers_with_garbage_is_one_that_was_not_reached() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        world.device.set_point(124, 16, 0x0200)  # WChaMax_SF: ten to the power of 512
        await world.pass_time(seconds=30)
        fleet = await world.fleet()

        assert not fleet.batteries
        assert "scale factor" in " ".join(fleet.warnings)


async def test_a_site_that_another_service_has_put_into_shadow_is_sent_nothing_more() -> None:
    async with a_world() as world:
        await world.plan(5.0, 5.0)
        world.site = world.site.model_copy(update={"mode": "shadow"})
        await world.store.save_site(world.site)  # by another service: no event is heard here
        await world.fleet()
        await world.pass_time(seconds=1)
        written = len(world.device.writes)
        await world.pass_time(minutes=4)

        assert len(world.device.writes) == written
