"""What becomes of a profile that a station declines, ignores or does not answer."""

from dataclasses import replace

import pytest

from app.csms.connector import ChargingProfile, Passport, Period, Purpose, RateUnit
from app.errors import InvalidInputError
from tests.app.dispatch.world import START, a_world, limits


async def test_climbs_down_the_ladder_until_the_station_accepts() -> None:
    world = a_world(1)
    world.station(1).switches(1).reject = lambda profile: profile.stack_level > 0 or len(profile.periods) > 1

    deliveries = await world.send({1: [16] * 4 + [6] * 4})

    tried = [
        (one.unit, one.purpose.value, one.kind.value, one.stack_level, len(one.periods))
        for _, one in world.station(1).sent[1:]
    ]
    assert tried == [
        (RateUnit.A, "TxProfile", "Absolute", 1, 2),
        (RateUnit.W, "TxProfile", "Absolute", 1, 2),
        (RateUnit.A, "TxProfile", "Absolute", 0, 2),
        (RateUnit.A, "TxProfile", "Relative", 1, 1),
        (RateUnit.A, "TxDefaultProfile", "Absolute", 1, 2),
        (RateUnit.W, "TxDefaultProfile", "Absolute", 1, 2),
        (RateUnit.A, "TxProfile", "Absolute", 1, 1),
        (RateUnit.A, "TxProfile", "Absolute", 0, 1),
    ]
    assert deliveries[1].state == "applied"
    assert limits(deliveries[1]) == [16]


async def test_starts_the_ladder_where_it_ended_last_time() -> None:
    world = a_world(1)
    world.station(1).switches(1).reject = lambda profile: profile.unit is RateUnit.A and profile.purpose is Purpose.TX
    await world.send({1: 16})
    world.station(1).sent.clear()

    await world.send({1: 10})

    assert [profile.unit for _, profile in world.station(1).sent] == [RateUnit.W]


async def test_a_station_that_declines_everything_is_rejected_and_keeps_what_it_had() -> None:
    world = a_world(1, fallback_a=6)
    await world.dispatcher.prepare(world.site, "cs1")
    world.station(1).switches(1).reject = lambda profile: True

    deliveries = await world.send({1: 16})

    assert (deliveries[1].state, deliveries[1].detail) == ("rejected", "cs1: answered Rejected")
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6
    assert world.dispatcher.uncontrollable() == {"cs1/1": "declines every profile: cs1: answered Rejected"}


@pytest.mark.parametrize("fault", ["silent", "empty"])
async def test_a_station_that_will_not_tell_is_believed(fault: str) -> None:
    world = a_world(1)
    setattr(world.station(1).switches(1), fault, True)

    deliveries = await world.send({1: 16})

    assert deliveries[1].state == "accepted"
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 16


async def test_a_contradiction_is_sent_once_more_and_then_counts_with_what_was_reported() -> None:
    world = a_world(1)
    await world.dispatcher.prepare(world.site, "cs1")
    world.station(1).switches(1).reports = lambda report: replace(report, periods=(Period(0, 20.0),))

    deliveries = await world.send({1: 10})

    assert deliveries[1].state == "contradicted"
    assert deliveries[1].detail == "it reports 20 instead of 10 at 08:00:00 UTC"
    assert len(world.station(1).sent) == 3  # the fallback, and the plan twice
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 20


async def test_no_answer_leaves_the_larger_of_old_and_new_until_the_next_plan_verifies() -> None:
    world = a_world(1)
    await world.send({1: 6})
    world.station(1).switches(1).timeout = True
    deliveries = await world.send({1: 16})
    assert deliveries[1].state == "unknown"
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 16
    world.station(1).switches(1).timeout = False

    deliveries = await world.send({1: 10})

    assert deliveries[1].state == "applied"
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 10


async def test_no_answer_but_a_matching_report_is_verified() -> None:
    world = a_world(1)
    await world.dispatcher.prepare(world.site, "cs1")
    world.station(1).switches(1).late = True

    deliveries = await world.send({1: 16})

    assert deliveries[1].state == "applied"


async def test_who_fails_three_times_in_a_row_is_no_longer_counted_on() -> None:
    world = a_world(1)
    await world.send({1: 16})
    world.station(1).switches(1).timeout = True

    for _ in range(3):
        assert world.dispatcher.uncontrollable() == {}
        await world.send({1: 6})

    assert list(world.dispatcher.uncontrollable()) == ["cs1/1"]


async def test_an_unknown_passport_gets_single_periods_in_amperes() -> None:
    world = a_world(1)
    world.station(1).passport = Passport()

    deliveries = await world.send({1: [16] * 4 + [6] * 4})

    assert deliveries[1].state == "applied"
    assert limits(deliveries[1]) == [16]


async def test_a_form_that_its_protocol_cannot_express_is_passed_over() -> None:
    world = a_world(1)

    def inexpressible(profile: ChargingProfile) -> bool:
        if profile.unit is RateUnit.A and profile.purpose is Purpose.TX:
            raise InvalidInputError("chargingProfile.chargingSchedule", "is nothing that this version can say")
        return False

    world.station(1).switches(1).reject = inexpressible

    deliveries = await world.send({1: 16})

    assert deliveries[1].state == "applied"
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 16
