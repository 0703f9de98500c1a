"""What is proven of a site's fuses, whichever links drop."""

from datetime import timedelta

from app.dispatch.certificate import Certificate
from app.site import Site
from optimizer.domain import Horizon
from tests.app.dispatch.world import FUSE_A, SLOTS, START, World, a_world


async def a_prepared_world(stations: int = 2, *, fallback_a: float = 6.0) -> World:
    world = a_world(stations, fallback_a=fallback_a)
    for number in range(1, stations + 1):
        await world.dispatcher.prepare(world.site, f"cs{number}")
    return world


async def certificate_of(world: World) -> Certificate:
    return await world.dispatcher.certificate(world.site)


async def test_fallbacks_that_fit_are_proven() -> None:
    world = await a_prepared_world(5)

    certificate = await certificate_of(world)

    assert certificate.holds
    assert [(fuse.circuit_id, fuse.phase, fuse.charging, fuse.margin) for fuse in certificate.fuses] == [
        ("fuse", phase, 30.0, 2.0) for phase in ("L1", "L2", "L3")
    ]
    assert certificate.fallback_a == {f"cs{number}/1": 6.0 for number in range(1, 6)}


async def test_names_who_gets_nothing_where_the_fallback_does_not_fit_for_all() -> None:
    world = await a_prepared_world(7)

    certificate = await certificate_of(world)

    assert certificate.holds
    assert [key for key, current_a in certificate.fallback_a.items() if current_a == 0] == ["cs6/1", "cs7/1"]
    assert world.station(7).limit_a(1, START) == 0


async def test_a_station_that_was_never_limited_exposes_the_fuse() -> None:
    world = a_world(2, fallback_a=6)
    await world.dispatcher.prepare(world.site, "cs1")

    certificate = await certificate_of(world)

    assert certificate.holds_from is None
    assert certificate.unlimited == ("cs2/1",)
    assert certificate.exposed[0].margin == FUSE_A - 6 - 32


async def test_an_isolated_station_counts_only_while_it_is_connected() -> None:
    world = a_world(2, fallback_a=6)
    await world.dispatcher.prepare(world.site, "cs1")
    document = world.site.model_dump(mode="json")
    document["charging_stations"][1]["isolated"] = True
    world.site = Site.model_validate(document)
    exposed = await certificate_of(world)
    world.station(2).offline = True

    certificate = await certificate_of(world)

    assert not exposed.holds
    assert certificate.holds
    assert certificate.isolated == ("cs2/1",)
    assert "cs2/1" in certificate.assumptions[-1]


async def test_holds_from_the_moment_when_what_is_not_covered_has_run_out() -> None:
    world = await a_prepared_world(2)
    await world.send({1: 32, 2: 0}, horizon=Horizon(START, 60, SLOTS))

    certificate = await certificate_of(world)

    assert certificate.holds_from == START + timedelta(hours=1)
    assert certificate.exposed[0].margin == -6.0
    assert certificate.exposed[0].worst_at == START


async def test_nothing_is_proven_of_a_connection_whose_building_nobody_knows() -> None:
    world = await a_prepared_world(1)
    document = world.site.model_dump(mode="json")
    document["connection"]["max_current_a"] = 63
    world.site = Site.model_validate(document)

    certificate = await certificate_of(world)

    assert certificate.holds_from is None
    assert [fuse.margin for fuse in certificate.exposed] == [None] * 3
    assert "base_load.max_kw" in certificate.assumptions[0]


async def test_the_buildings_maximum_counts_with_a_margin_for_uneven_phases() -> None:
    world = await a_prepared_world(1)
    document = world.site.model_dump(mode="json")
    document["connection"] |= {"max_current_a": 63, "max_import_kw": 40}
    document["base_load"]["max_kw"] = 34.5
    world.site = Site.model_validate(document)

    certificate = await certificate_of(world)

    by_fuse = {(fuse.circuit_id, fuse.phase): fuse for fuse in certificate.fuses}
    assert by_fuse["connection", "L1"].base == 55.0
    assert by_fuse["connection", "L1"].margin == 2.0
    assert by_fuse["connection", None].margin == round(40 - 34.5 - 3 * 0.23 * 6, 3)
    assert certificate.holds


async def test_evses_of_one_station_with_different_fallbacks_hold_them_side_by_side() -> None:
    world = a_world(1, fallback_a=6)
    document = world.site.model_dump(mode="json")
    document["circuits"].append({"id": "narrow", "max_current_a": 4})
    document["charging_stations"][0]["evses"].append(
        document["charging_stations"][0]["evses"][0] | {"id": 2, "circuit": "narrow"}
    )
    world.site = Site.model_validate(document)

    await world.dispatcher.prepare(world.site, "cs1")

    assert [world.station(1).limit_a(evse_id, START) for evse_id in (1, 2)] == [6, 0]
    assert (await certificate_of(world)).fallback_a == {"cs1/1": 6.0, "cs1/2": 0.0}


def with_battery(world: World, on_loss: str) -> Site:
    target = {"kind": "modbus", "host": "inverter.lan"}
    battery = {
        "id": "store",
        "circuit": "fuse",
        "capacity_kwh": 20,
        "max_charge_kw": 6.9,
        "max_discharge_kw": 6.9,
        "actuator": {"target": target, "on_loss": on_loss, "valid_s": 120},
    }
    return Site.model_validate(world.site.model_dump(mode="json") | {"batteries": [battery]})


async def test_a_battery_that_is_idle_when_nobody_commands_it_takes_nothing_from_the_fuse() -> None:
    world = await a_prepared_world(2)
    world.site = with_battery(world, "idle")

    certificate = await certificate_of(world)

    assert certificate.holds
    assert certificate.fuses[0].base == 0.0
    assert "batteries are on their own by their own timers, so long after their last command: store 120 s" in (
        certificate.assumptions
    )


async def test_a_battery_with_controls_of_its_own_counts_with_all_it_can_charge() -> None:
    world = await a_prepared_world(2)
    world.site = with_battery(world, "own_control")

    certificate = await certificate_of(world)

    assert certificate.fuses[0].base == 10.0  # 6.9 kW on three phases
    assert certificate.fuses[0].margin == FUSE_A - 12 - 10
