"""What the dispatcher sends, in which order, and what it holds back."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.csms.connector import ChargingProfile, Purpose
from app.csms.profiles import profile_from_json
from app.errors import StoreUnavailableError
from app.events import DeliveryChanged, Event, TransactionStopped
from app.site import Site
from optimizer.domain import (
    PHASES,
    Circuit,
    Evse,
    Horizon,
    Reservation,
)
from tests.app.dispatch.world import FUSE_A, SLOTS, START, a_world, limits


async def test_sends_a_tx_profile_and_verifies_it() -> None:
    world = a_world(1)

    deliveries = await world.send({1: [16, 16, 6, 6, 0, 0, 0, 0]})

    assert deliveries[1].state == "applied"
    assert limits(deliveries[1]) == [16, 6, 0]
    (profile,) = world.station(1).profiles[1]
    assert (profile.purpose, profile.transaction_id, profile.profile_id, profile.stack_level) == (Purpose.TX, 1, 101, 1)
    assert world.station(1).limit_a(1, START + timedelta(minutes=40)) == 6
    assert world.store.saved["plan-1", "cs1", 1] == deliveries[1]


async def test_a_plan_that_no_lost_link_turns_into_an_overload_holds_until_the_vehicle_leaves() -> None:
    world = a_world(2, fallback_a=6)

    deliveries = await world.send({1: 20, 2: 12}, horizon=Horizon(START, 60, SLOTS))

    assert {profile_from_json(one.profile or {}).valid_to for one in deliveries.values()} == {
        START + timedelta(hours=SLOTS)
    }
    assert [limits(one) for one in deliveries.values()] == [[20], [12]]


async def test_what_a_lost_link_could_turn_into_an_overload_holds_for_an_hour_at_most() -> None:
    """The other one may draw its fallback of 6 A as soon as another car comes while its link is down."""
    world = a_world(2, fallback_a=6)

    deliveries = await world.send({1: 32, 2: 0}, horizon=Horizon(START, 60, SLOTS))

    profile = profile_from_json(deliveries[1].profile or {})
    assert [period.limit for period in profile.periods] == [32, FUSE_A - 6]
    assert profile.start + timedelta(seconds=profile.periods[1].start_s) == START + timedelta(hours=1)
    assert limits(deliveries[2]) == [0]


async def test_plans_of_the_same_half_hour_are_watched_to_the_same_moment() -> None:
    world = a_world(2, fallback_a=6)
    hours = Horizon(START, 60, SLOTS)
    first = await world.send({1: 26, 2: 0}, horizon=hours)
    world.pass_time(minutes=10)

    second = await world.send({1: 30, 2: 0}, horizon=replace(hours, now=world.clock.now()))

    assert limits(first[1]) == [26]
    profile = profile_from_json(second[1].profile or {})
    assert [period.limit for period in profile.periods] == [30, 26]
    assert profile.start + timedelta(seconds=profile.periods[1].start_s) == START + timedelta(hours=1)


@pytest.mark.parametrize(("max_periods", "slot_minutes"), [(24, 60), (2, 15)])
async def test_who_holds_its_plan_unchanged_never_stands_in_the_way(max_periods: int, slot_minutes: int) -> None:
    """Its profile may end before the others' and leave it to its fallback, above what the new plan counts it with."""
    world = a_world(2, fallback_a=6, max_periods=max_periods)
    for current_a in (6, 10, 20, 24):
        horizon = Horizon(START, slot_minutes, SLOTS, world.clock.now())

        deliveries = await world.send({1: [0, 0, 0, 8, 0, 0, 0, 0], 2: current_a}, horizon=horizon)

        assert {delivery.state for delivery in deliveries.values()} == {"applied"}
        assert world.dispatcher.uncontrollable() == {}
        world.pass_time(minutes=16)


async def test_tells_whoever_listens_and_writes_unknown_before_the_first_message() -> None:
    world = a_world(1)
    heard: list[Event] = []
    world.events.subscribe(heard.append)

    await world.send({1: 16})

    assert heard == [DeliveryChanged("depot", "plan-1", START)]
    assert [delivery.state for delivery in world.store.history] == ["unknown", "applied"]


async def test_a_station_that_is_not_prepared_is_prepared_first() -> None:
    world = a_world(1, fallback_a=6)

    await world.send({1: 16})

    assert [profile.purpose for _, profile in world.station(1).sent] == [Purpose.TX_DEFAULT, Purpose.TX]


async def test_the_same_plan_again_sends_nothing() -> None:
    world = a_world(2)
    await world.send({1: 16, 2: [10] * 4 + [6] * 4})
    before = list(world.connector.calls)

    deliveries = await world.send({1: 16, 2: [10] * 4 + [6] * 4})

    assert world.connector.calls == before
    assert [(delivery.state, delivery.detail) for delivery in deliveries.values()] == [("applied", "unchanged")] * 2
    assert limits(deliveries[2]) == [10, 6]


async def test_the_same_limits_are_refreshed_once_half_their_time_is_over() -> None:
    world = a_world(1)
    await world.send({1: 16})
    world.pass_time(minutes=50)
    await world.send({1: 16})
    assert len(world.station(1).sent) == 2  # the fallback and one plan
    world.pass_time(minutes=15)

    await world.send({1: 16})

    assert len(world.station(1).sent) == 3


async def test_a_new_transaction_gets_its_own_profile_for_the_same_limits() -> None:
    world = a_world(1)
    await world.send({1: 16})
    world.station(1).stop_transaction(1)
    world.events.publish(TransactionStopped("cs1", 1, 1, START, True))
    assert world.dispatcher.in_force("cs1", 1, START).source == "fallback"
    world.station(1).transactions[1] = 9
    world.transactions["cs1/1"] = replace(world.transactions["cs1/1"], transaction_id=9)

    deliveries = await world.send({1: 16})

    assert deliveries[1].state == "applied"
    assert world.station(1).limit_a(1, START) == 16


async def test_an_evse_without_a_transaction_gets_nothing() -> None:
    world = a_world(2)

    deliveries = await world.send({1: 16})

    assert list(deliveries) == [1]
    assert world.station(2).sent == []


async def test_dc_is_sent_as_watts() -> None:
    world = a_world(1)
    document = world.site.model_dump(mode="json")
    document["charging_stations"][0]["evses"][0] |= {"max_current_a": None, "max_power_kw": 50}
    world.site = Site.model_validate(document)
    problem = world.problem(evses=(Evse("cs1/1", "fuse", PHASES, max_power_kw=50),))
    schedule = SimpleNamespace(power_kw={"cs1/1": (50.0,) * SLOTS}, current_a={"cs1/1": None})

    deliveries = await world.dispatcher.send(world.site, "plan", problem, schedule, world.transactions)  # type: ignore[arg-type]  # all it reads

    assert deliveries[0].state == "applied"
    assert limits(deliveries[0])[0] == 50_000


async def test_the_sites_own_number_of_periods_overrules_the_passport() -> None:
    world = a_world(1)
    document = world.site.model_dump(mode="json")
    document["charging_stations"][0]["max_profile_periods"] = 2
    world.site = Site.model_validate(document)

    deliveries = await world.send({1: [16, 6, 10, 12, 0, 0, 0, 0]})

    assert limits(deliveries[1]) == [16, 6]


# --- two waves


async def test_lowers_before_it_raises() -> None:
    world = a_world(2)
    await world.send({1: 16, 2: 16})
    world.connector.calls.clear()

    deliveries = await world.send({1: 26, 2: 6})

    sent = [call for call in world.connector.calls if call.startswith("Set")]
    assert sent == ["SetChargingProfile cs2", "SetChargingProfile cs1"]
    assert [delivery.state for delivery in deliveries.values()] == ["applied", "applied"]


async def test_who_lowers_now_and_raises_later_is_first_sent_the_lower_of_both() -> None:
    world = a_world(2)
    await world.send({1: [16] * 8, 2: [16] * 8})

    await world.send({1: [6] * 4 + [26] * 4, 2: [26] * 4 + [6] * 4})

    plans = [[period.limit for period in profile.periods] for _, profile in world.station(1).sent[2:]]
    assert plans == [[6, 16], [6, 26]]


async def test_one_evse_alone_goes_from_old_to_new_in_one_message() -> None:
    world = a_world(1, fallback_a=6)

    await world.send({1: [0] * 4 + [16] * 4})

    assert len(world.station(1).sent) == 2  # the fallback and the plan


@pytest.mark.parametrize("fault", ["timeout", "late", "ignore", "call_error"])
async def test_a_raise_is_withheld_while_somebody_failed_to_lower(fault: str) -> None:
    world = a_world(2)
    await world.send({1: 16, 2: 16})
    setattr(world.station(2).switches(1), fault, True)
    if fault == "late":
        world.station(2).switches(1).silent = True

    deliveries = await world.send({1: 26, 2: 6})

    assert deliveries[1].state == "withheld"
    assert deliveries[1].detail == "cs2/1 did not verifiably lower"
    assert world.station(1).limit_a(1, START) == 16
    assert world.dispatcher.in_force("cs2", 1, START).current_a == 16


async def test_a_raise_elsewhere_is_not_withheld() -> None:
    world = a_world(3)
    circuits = (Circuit("fuse", max_current_a=FUSE_A), Circuit("other", max_current_a=FUSE_A))
    evses = tuple(Evse(f"cs{n}/1", "other" if n == 3 else "fuse", PHASES, max_current_a=32) for n in (1, 2, 3))
    await world.send({1: 10, 2: 10, 3: 10}, circuits=circuits, evses=evses)
    world.station(2).switches(1).timeout = True

    deliveries = await world.send({1: 16, 2: 6, 3: 16}, circuits=circuits, evses=evses)

    assert {number: delivery.state for number, delivery in deliveries.items()} == {
        1: "withheld",
        2: "unknown",
        3: "applied",
    }


async def test_a_raise_is_not_withheld_for_what_the_plan_has_reserved() -> None:
    world = a_world(2)
    await world.send({1: 10, 2: 10})
    world.station(2).switches(1).timeout = True

    deliveries = await world.send({1: 16, 2: 6}, reservations=(Reservation((10, 10, 10), evse_id="cs2/1"),))

    assert deliveries[1].state == "applied"


async def test_one_stations_trouble_is_not_the_others() -> None:
    world = a_world(2)
    await world.send({1: 16, 2: 16})

    def refuse(profile: ChargingProfile) -> bool:
        raise StoreUnavailableError("does not answer")

    world.station(1).switches(1).reject = refuse

    deliveries = await world.send({1: 10, 2: 10})

    assert {number: delivery.state for number, delivery in deliveries.items()} == {1: "unknown", 2: "applied"}


async def test_a_station_that_went_offline_is_left_alone_and_counts_with_what_it_holds() -> None:
    world = a_world(2)
    await world.send({1: 16, 2: 16})
    world.station(2).offline = True

    deliveries = await world.send({1: 26, 2: 6})

    assert {number: delivery.state for number, delivery in deliveries.items()} == {1: "withheld", 2: "offline"}
    assert world.dispatcher.worst_case_a(world.site, "cs2", 1, START, START + timedelta(hours=1)) == 16


plan_of_two = st.lists(
    st.sampled_from([(16, 16), (0, 32), (32, 0), (6, 26), (26, 6), (0, 0), (10, 6)]), min_size=SLOTS, max_size=SLOTS
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    old=plan_of_two,
    new=plan_of_two,
    faults=st.lists(st.sampled_from(["none", "timeout", "late", "ignore", "silent", "reject"]), min_size=2, max_size=2),
    turns=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    skews_s=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
)
async def test_any_subset_of_the_messages_in_any_order_keeps_the_fuse(
    old: list[tuple[float, float]],
    new: list[tuple[float, float]],
    faults: list[str],
    turns: list[int],
    skews_s: tuple[int, int],
) -> None:
    """Both plans keep the fuse; so does every mix of them that a station and a network can make."""
    world = a_world(2)
    for number, skew_s in enumerate(skews_s, start=1):
        world.station(number).skew = timedelta(seconds=skew_s)
    await world.send({1: [one for one, _ in old], 2: [two for _, two in old]})
    for number, fault in enumerate(faults, start=1):
        switches = world.station(number).switches(1)
        if fault == "reject":
            switches.reject = lambda profile: profile.purpose is Purpose.TX
        elif fault != "none":
            setattr(switches, fault, True)
    delays = iter(turns * 100)
    world.connector.turns = lambda: next(delays)
    seen: list[float] = []
    moments = [
        START + timedelta(minutes=15) * k + timedelta(seconds=s) for k in range(SLOTS) for s in (-30, 0, 30, 400)
    ]
    window = [moment for moment in moments if START <= moment < START + timedelta(minutes=15 * SLOTS - 1)]
    world.connector.on_message = lambda: seen.extend(world.total_a(moment) for moment in window)

    await world.send({1: [one for one, _ in new], 2: [two for _, two in new]})

    assert max([*seen, *(world.total_a(moment) for moment in window)]) <= FUSE_A
    for moment in window:
        for number in (1, 2):
            believed_a = world.dispatcher.in_force(f"cs{number}", 1, moment + world.station(number).skew).current_a
            assert world.station(number).limit_a(1, moment) <= believed_a
