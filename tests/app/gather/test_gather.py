"""Store and forecasts become a problem."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import SteppedClock
from app.csms.connector import Passport, PauseMethod
from app.db.records import EvseStatus, MeterValue, Reading, StoredSeries, Wish
from app.db.store import Store
from app.gather import FallbackOnly, Gatherer, WhatIf
from app.site import Site
from forecasts.errors import UnknownPriceError
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 5, tzinfo=UTC)
SLOT = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {
    "id": "depot",
    "name": "Depot",
    "time_zone": "Europe/Berlin",
    "latitude": 52.5,
    "longitude": 13.4,
    "connection": {"max_import_kw": 100, "max_current_a": 160},
    "circuits": [{"id": "row", "max_current_a": 63}],
    "charging_stations": [
        {"id": "cs01", "evses": [{"id": 1, "circuit": "row"}]},
        {"id": "cs02", "evses": [{"id": 1, "circuit": "row", "phases": ["L2", "L3", "L1"]}]},
    ],
    "pv_arrays": [{"id": "roof", "peak_kw": 30}],
    "meters": [{"id": "building", "measures": "base_load"}, {"id": "roof", "measures": "pv"}],
    "base_load": {"annual_energy_kwh": 100_000},
    "tariff": {
        "kind": "fixed",
        "price_per_kwh": 0.3,
        "demand_charges": [{"price_per_kw": 9.5, "interval_minutes": 15}],
    },
}

FIXED: dict[str, Any] = {"kind": "fixed", "price_per_kwh": 0.3}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(Site.model_validate(DOCUMENT))
        yield store


def a_gatherer(
    store: Store, connected: tuple[str, ...] = ("cs01", "cs02"), limits: FallbackOnly | None = None
) -> Gatherer:
    return Gatherer(
        store,
        SteppedClock(NOW),
        limits or FallbackOnly(),
        connected=lambda: frozenset(connected),
        horizon=timedelta(hours=24),
    )


async def a_car(store: Store, station_id: str = "cs01", energy_wh: float = 4_000) -> int:
    transaction, _ = await store.start_transaction(
        station_id=station_id, evse_id=1, id_tag="tag", started_at=NOW - timedelta(hours=1), meter_start_wh=1_000
    )
    at = NOW - timedelta(minutes=1)
    common = (station_id, 1, at)
    await store.add_meter_values(
        [
            MeterValue(
                *common,
                "Energy.Active.Import.Register",
                1_000 + energy_wh,
                "Wh",
                transaction_id=transaction.transaction_id,
            ),
            *(
                MeterValue(*common, "Current.Import", a, "A", transaction_id=transaction.transaction_id, phase=phase)
                for phase, a in (("L1", 16.0), ("L2", 0.0), ("L3", 0.1))
            ),
        ]
    )
    return transaction.transaction_id


async def test_a_running_transaction_with_a_wish_becomes_a_session_less_what_it_got(store: Store) -> None:
    number = await a_car(store)
    wish = Wish("w", "depot", NOW + timedelta(hours=6), 20.0, NOW - timedelta(minutes=30), "cs01", 1)
    await store.save_wish(wish)

    gathered = await a_gatherer(store).gather(await store.site("depot"))

    [session] = gathered.problem.sessions
    assert (session.session_id, session.evse_id) == (f"tx-{number}", "cs01/1")
    assert session.required_energy_kwh == pytest.approx(16.0)
    assert session.vehicle_phases == 1
    assert session.departure == wish.departure - timedelta(hours=1.5)
    assert gathered.transactions["cs01/1"].transaction_id == number


async def test_an_evse_that_is_not_planned_reserves_its_fallback_on_its_phases(store: Store) -> None:
    await a_car(store)

    problem = (await a_gatherer(store).gather(await store.site("depot"))).problem

    [reservation] = problem.reservations
    assert (reservation.evse_id, reservation.current_a) == ("cs02/1", (6.0, 6.0, 6.0))


async def test_a_station_that_cannot_be_reached_is_not_planned_but_reserved(store: Store) -> None:
    await a_car(store)

    gathered = await a_gatherer(store, connected=("cs02",)).gather(await store.site("depot"))

    assert gathered.problem.sessions == ()
    assert {reservation.evse_id for reservation in gathered.problem.reservations} == {"cs01/1", "cs02/1"}


async def test_an_evse_that_disobeys_is_not_planned_but_reserved(store: Store) -> None:
    class Disobeyed(FallbackOnly):
        def worst_case_a(self, site: Site, *_: object) -> float:
            return 17.0

        def uncontrollable(self) -> dict[str, str]:
            return {"cs01/1": "draws 16 A where 6 A are allowed"}

    await a_car(store)
    gatherer = a_gatherer(store, limits=Disobeyed())

    gathered = await gatherer.gather(await store.site("depot"))

    assert gathered.problem.sessions == ()
    assert gathered.problem.reservations[0].current_a == (17.0, 17.0, 17.0)
    assert gathered.provenance["uncontrollable"] == {"cs01/1": "draws 16 A where 6 A are allowed"}


async def test_a_station_that_is_not_connected_is_named_with_what_it_is_counted_at(store: Store) -> None:
    class NeverSeen(FallbackOnly):
        def worst_case_a(self, site: Site, *_: object) -> float:
            return 32.0

    await a_car(store)

    gathered = await a_gatherer(store, ("cs01",), limits=NeverSeen()).gather(await store.site("depot"))

    assert "not under control, so counted at what they may draw: cs02/1 32 A" in gathered.warnings


async def test_a_plan_keeps_to_the_least_limit_and_the_decimals_of_a_station(store: Store) -> None:
    class Particular(FallbackOnly):
        def passport(self, *station_id: object) -> Passport:
            return Passport(min_limit_a=8.0, decimals=0) if station_id == ("cs01",) else Passport()

    gathered = await a_gatherer(store, limits=Particular()).gather(await store.site("depot"))

    assert [evse.min_current_a for evse in gathered.problem.evses] == [8.0, 6.0]
    assert [evse.current_step_a for evse in gathered.problem.evses] == [1.0, 0.1]


async def test_what_a_station_draws_that_cannot_pause_is_reserved_beside_its_plan(store: Store) -> None:
    class Restless(FallbackOnly):
        def passport(self, *_: object) -> Passport:
            return Passport(pause=PauseMethod.MINIMUM, min_limit_a=7.0)

    await a_car(store)

    problem = (await a_gatherer(store, limits=Restless()).gather(await store.site("depot"))).problem

    assert [session.evse_id for session in problem.sessions] == ["cs01/1"]
    assert {one.evse_id: max(one.current_a) for one in problem.reservations} == {"cs01/1": 7.0, "cs02/1": 6.0}


async def test_an_isolated_station_reserves_nothing_until_it_connects(store: Store) -> None:
    stations = [dict(station, isolated=station["id"] == "cs02") for station in DOCUMENT["charging_stations"]]
    site = Site.model_validate(DOCUMENT | {"charging_stations": stations})
    await a_car(store)

    away = (await a_gatherer(store, ("cs01",)).gather(site)).problem
    there = (await a_gatherer(store).gather(site)).problem

    assert away.reservations == ()
    assert [reservation.evse_id for reservation in there.reservations] == ["cs02/1"]


async def test_the_horizon_starts_at_the_slot_and_knows_what_of_it_is_left(store: Store) -> None:
    horizon = (await a_gatherer(store).gather(await store.site("depot"))).problem.horizon

    assert (horizon.start, horizon.now, horizon.slots) == (SLOT, NOW, 96)


async def test_signals_carry_where_they_come_from(store: Store) -> None:
    gathered = await a_gatherer(store).gather(await store.site("depot"))

    assert gathered.provenance["base_load"]["source"] == "bdew-g25"
    assert gathered.provenance["base_load"]["estimated"] is True
    assert set(gathered.provenance) == {"base_load", "pv", "import_price"}
    high, expected = gathered.problem.base_load_high_kw, gathered.problem.base_load_kw
    assert high is not None
    assert all(above > middle for above, middle in zip(high, expected, strict=True))


async def test_the_peak_of_the_month_so_far_is_read_from_the_meters(store: Store) -> None:
    rows = [Reading("depot", "building", SLOT - timedelta(hours=hour), 40.0 + hour) for hour in range(1, 20)]
    await store.add_readings([*rows, *(Reading("depot", "roof", row.at, 2.0) for row in rows)])

    [charge] = (await a_gatherer(store).gather(await store.site("depot"))).problem.demand_charges

    assert charge.peak_so_far_kw == pytest.approx(57.0)
    assert charge.active == (True,) * 96


async def test_a_site_without_any_price_is_not_planned_at_price_zero(store: Store) -> None:
    site = Site.model_validate(DOCUMENT | {"tariff": {"kind": "series"}})

    with pytest.raises(UnknownPriceError):
        await a_gatherer(store).gather(site)


async def test_prices_that_end_early_are_continued_as_estimates(store: Store) -> None:
    site = Site.model_validate(DOCUMENT | {"tariff": {"kind": "series", "surcharge_per_kwh": 0.1}})
    start = datetime(2026, 4, 26, 22, 0, tzinfo=UTC)  # local midnight
    prices = tuple(0.01 * hour for hour in range(24))
    await store.add_series(StoredSeries("depot", "import_price", "auction", NOW, start, 60, "EUR/kWh", prices))

    gathered = await a_gatherer(store).gather(site)

    price = gathered.problem.import_price_per_kwh
    assert price[0] == pytest.approx(0.1 + 0.10)  # 10:00 local
    assert min(price) > 0.09
    assert gathered.provenance["import_price"]["estimated"] is True


async def test_an_uploaded_forecast_overrules_ours_where_it_says_something(store: Store) -> None:
    uploaded = StoredSeries("depot", "base_load", "energy manager", NOW, SLOT, 60, "kW", (77.0, 78.0))
    await store.add_series(uploaded)

    gathered = await a_gatherer(store).gather(await store.site("depot"))

    assert gathered.problem.base_load_kw[:8] == (77.0,) * 4 + (78.0,) * 4
    assert gathered.problem.base_load_kw[8] != 78.0
    assert gathered.provenance["base_load"]["source"] == "energy manager"


async def test_what_if_scales_the_signals_and_replaces_the_sessions(store: Store) -> None:
    await a_car(store)
    site = await store.site("depot")
    plain = (await a_gatherer(store).gather(site)).problem

    changed = (await a_gatherer(store).gather(site, WhatIf(sessions=(), pv_factor=2.0))).problem

    assert changed.sessions == ()
    assert changed.pv_kw == pytest.approx([2 * power for power in plain.pv_kw])


async def said(store: Store, status: str, at: datetime) -> None:
    await store.set_evse_status(EvseStatus("cs01", 1, status, "NoError", at))


async def test_a_car_that_left_without_a_stop_is_not_planned(store: Store) -> None:
    await a_car(store)
    await said(store, "Available", NOW - timedelta(seconds=30))

    gathered = await a_gatherer(store).gather(await store.site("depot"))

    assert gathered.problem.sessions == ()
    assert {reservation.evse_id for reservation in gathered.problem.reservations} == {"cs01/1", "cs02/1"}


@pytest.mark.parametrize(("status", "minutes_ago"), [("Available", 90), ("Available", 2), ("SuspendedEV", 0.5)])
async def test_a_status_of_before_or_another_one_sends_no_car_away(
    store: Store, status: str, minutes_ago: float
) -> None:
    await a_car(store)  # started an hour ago, measured a minute ago
    await said(store, status, NOW - timedelta(minutes=minutes_ago))

    gathered = await a_gatherer(store).gather(await store.site("depot"))

    assert len(gathered.problem.sessions) == 1


async def test_of_two_running_transactions_of_an_evse_the_newer_is_planned(store: Store) -> None:
    await a_car(store)
    newer, _ = await store.start_transaction(
        station_id="cs01", evse_id=1, id_tag="next", started_at=NOW - timedelta(minutes=5), meter_start_wh=9_000
    )

    gathered = await a_gatherer(store).gather(await store.site("depot"))

    assert [session.session_id for session in gathered.problem.sessions] == [f"tx-{newer.transaction_id}"]


async def announce(store: Store) -> None:
    departure, arrival = NOW + timedelta(hours=6), NOW + timedelta(hours=1)
    await store.save_wish(Wish("w", "depot", departure, 20.0, NOW, "cs01", 1, arrival=arrival))


async def test_an_announced_car_is_planned_at_a_station_that_answers(store: Store) -> None:
    await announce(store)

    problem = (await a_gatherer(store).gather(await store.site("depot"))).problem

    assert [session.session_id for session in problem.sessions] == ["wish-w"]


async def test_an_announced_car_does_not_take_the_reservation_off_a_station_that_is_away(store: Store) -> None:
    await announce(store)

    problem = (await a_gatherer(store, connected=("cs02",)).gather(await store.site("depot"))).problem

    assert problem.sessions == ()
    assert {reservation.evse_id for reservation in problem.reservations} == {"cs01/1", "cs02/1"}


async def test_a_wish_asks_for_energy_from_the_moment_in_which_it_is_said(store: Store) -> None:
    number = await a_car(store, energy_wh=9_000)
    before = MeterValue(
        "cs01", 1, NOW - timedelta(minutes=31), "Energy.Active.Import.Register", 1_000 + 5_000, "Wh", number
    )
    await store.add_meter_values([before])
    await store.save_wish(Wish("w", "depot", NOW + timedelta(hours=6), 20.0, NOW - timedelta(minutes=30), "cs01", 1))

    [session] = (await a_gatherer(store).gather(await store.site("depot"))).problem.sessions

    assert session.required_energy_kwh == pytest.approx(20.0 - (9.0 - 5.0))


async def test_a_station_that_sends_no_register_is_believed_by_its_power(store: Store) -> None:
    transaction, _ = await store.start_transaction(
        station_id="cs01", evse_id=1, id_tag="tag", started_at=NOW - timedelta(hours=1), meter_start_wh=0
    )
    number = transaction.transaction_id
    powers = [
        MeterValue("cs01", 1, NOW - timedelta(minutes=minute), "Power.Active.Import", 6_000, "W", number)
        for minute in (60, 30, 0)
    ]
    await store.add_meter_values(powers)
    await store.save_wish(Wish("w", "depot", NOW + timedelta(hours=6), 20.0, transaction.started_at, "cs01", 1))

    [session] = (await a_gatherer(store).gather(await store.site("depot"))).problem.sessions

    assert session.required_energy_kwh == pytest.approx(20.0 - 6.0)


async def test_a_car_that_pauses_is_still_the_one_phase_car_that_it_was(store: Store) -> None:
    number = await a_car(store)
    gatherer, site = a_gatherer(store), await store.site("depot")
    await gatherer.gather(site)
    await store.add_meter_values(
        [MeterValue("cs01", 1, NOW, "Current.Import", 0.0, "A", number, phase) for phase in ("L1", "L2", "L3")]
    )

    [session] = (await gatherer.gather(site)).problem.sessions

    assert session.vehicle_phases == 1


async def test_after_a_restart_a_paused_car_is_known_by_what_it_drew_before(store: Store) -> None:
    number = await a_car(store)
    await store.add_meter_values(
        [MeterValue("cs01", 1, NOW, "Current.Import", 0.0, "A", number, phase) for phase in ("L1", "L2", "L3")]
    )

    [session] = (await a_gatherer(store).gather(await store.site("depot"))).problem.sessions

    assert session.vehicle_phases == 1


async def test_an_hour_slot_begins_with_the_local_hour(store: Store) -> None:
    site = Site.model_validate(DOCUMENT | {"time_zone": "Asia/Kolkata", "slot_minutes": 60, "tariff": FIXED})

    problem = (await a_gatherer(store).gather(site)).problem

    assert problem.horizon.start == SLOT - timedelta(minutes=30)


async def test_slots_of_five_minutes_make_a_problem_too(store: Store) -> None:
    await store.add_readings(
        [Reading("depot", "building", SLOT - timedelta(minutes=15 * n), 30.0) for n in range(1, 30 * 96)]
    )
    site = Site.model_validate(DOCUMENT | {"slot_minutes": 5})

    gathered = await a_gatherer(store).gather(site)

    assert gathered.problem.horizon.start == NOW
    assert gathered.problem.base_load_kw == pytest.approx([30.0] * 288)


async def test_a_shadow_site_plans_as_if_its_fallbacks_were_in_force(store: Store) -> None:
    class Unprepared(FallbackOnly):
        def worst_case_a(self, site: Site, *_: object) -> float:
            return 32.0

    await a_car(store)
    gatherer = a_gatherer(store, limits=Unprepared())

    optimised, shadow = [
        (await gatherer.gather(Site.model_validate(DOCUMENT | {"mode": mode}))).problem.reservations
        for mode in ("optimised", "shadow")
    ]

    assert [reservations[0].current_a[0] for reservations in (optimised, shadow)] == [32.0, 6.0]


async def two_weeks_of_cars(store: Store) -> None:
    """Every workday two cars, from 8 to 16 o'clock, 20 kWh each."""
    for day in range(1, 15):
        at = SLOT - timedelta(days=day)
        if at.weekday() >= 5:
            continue
        for station_id in ("cs01", "cs02"):
            row, _ = await store.start_transaction(
                station_id=station_id, evse_id=1, id_tag=station_id, started_at=at, meter_start_wh=0
            )
            await store.stop_transaction(
                row.transaction_id, stopped_at=at + timedelta(hours=8), meter_stop_wh=20_000, reason=None
            )


async def test_where_wishes_do_not_bind_the_month_s_peak_is_expected_from_the_weeks_before(store: Store) -> None:
    await two_weeks_of_cars(store)
    await a_car(store)
    binding = await store.site("depot")
    defaults = binding.session_defaults.model_copy(update={"wishes_bind": False})

    bound = (await a_gatherer(store).gather(binding)).problem
    believed = (await a_gatherer(store).gather(binding.model_copy(update={"session_defaults": defaults}))).problem

    assert bound.demand_charges[0].expected_peak_kw == 0.0
    assert not bound.sessions[0].scenarios
    # two cars with 20 kWh and 8 hours each would do with 5 kW if nothing were left to chance
    assert 4.0 < believed.demand_charges[0].expected_peak_kw < 44.0
    assert believed.sessions[0].scenarios
    assert believed.unmet_price_per_kwh == defaults.unmet_price_per_kwh
