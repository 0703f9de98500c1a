"""Meter values in the store: in any order, any number of times, with the same result."""

from datetime import datetime
from math import inf, nan

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db.records import MeterValue
from app.db.store import Store
from app.errors import InvalidInputError
from tests.app.db.builders import ENERGY, NOON, POWER, a_meter_value, a_site, at
from tests.stores import a_store


async def test_gives_back_each_value_with_its_key_and_its_unit(store: Store) -> None:
    values = [
        a_meter_value(0, 7400, received_at=at(0.1)),
        a_meter_value(0, 16.1, measurand="Current.Import", unit="A", phase="L1"),
        a_meter_value(1, 80, measurand="SoC", unit="%", transaction_id=None, context="Trigger"),
    ]

    await store.add_meter_values(values)

    assert sorted(await store.meter_values(), key=str) == sorted(values, key=str)


async def test_a_repeated_row_changes_nothing_with_or_without_a_transaction(store: Store) -> None:
    values = [a_meter_value(0, 7400), a_meter_value(0, 50, transaction_id=None)]
    await store.add_meter_values(values + values)
    await store.flush()

    await store.add_meter_values(values)

    assert len(await store.meter_values()) == 2


async def test_finds_by_transaction_station_measurand_and_half_open_time(store: Store) -> None:
    await store.add_meter_values(
        [a_meter_value(minutes, minutes, transaction_id=1) for minutes in range(5)]
        + [a_meter_value(2, 99, transaction_id=2, station_id="cs02"), a_meter_value(2, 5, measurand=ENERGY, unit="Wh")]
    )

    async def numbers(**wanted: object) -> list[float]:
        return [value.value for value in await store.meter_values(**wanted)]  # type: ignore[arg-type]  # each test names its own

    assert await numbers(transaction_id=1, measurands=(POWER,)) == [0, 1, 2, 3, 4]
    assert await numbers(station_id="cs02") == [99]
    assert await numbers(station_id="cs01", start=at(1), end=at(3), measurands=(POWER,)) == [1, 2]
    assert await numbers(measurands=(ENERGY,)) == [5]
    assert await numbers(transaction_id=3) == []


@pytest.mark.parametrize("number", [nan, inf, -inf])
async def test_refuses_what_is_no_number(store: Store, number: float) -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        await store.add_meter_values([a_meter_value(0, 7400), a_meter_value(1, number)])

    assert await store.meter_values() == []


async def test_refuses_a_naive_time(store: Store) -> None:
    naive = MeterValue("cs01", 1, datetime(2026, 3, 2), POWER, 7400, "W")  # noqa: DTZ001 - the naive time is what is tested

    with pytest.raises(InvalidInputError, match="no time zone"):
        await store.add_meter_values([naive])


async def test_an_import_counts_what_was_new(store: Store) -> None:
    history = [a_meter_value(minutes, minutes) for minutes in range(4500)]  # more than two transactions' worth

    assert await store.import_meter_values(iter(history)) == 4500
    assert await store.import_meter_values([*history[4000:], a_meter_value(9999)]) == 1
    assert await store.import_meter_values([]) == 0
    assert len(await store.meter_values()) == 4501


async def test_an_import_counts_a_row_that_it_holds_twice_once(store: Store) -> None:
    assert await store.import_meter_values([a_meter_value(0), a_meter_value(0)]) == 1


async def test_tells_the_last_energy_register_of_each_transaction(store: Store) -> None:
    def register(minutes: float, wh: float, **changes: object) -> MeterValue:
        return a_meter_value(minutes, wh, measurand=ENERGY, unit="Wh", **changes)

    await store.add_meter_values(
        [
            register(0, 1000),
            register(30, 4000),
            register(15, 2500),
            register(31, 1333, phase="L1"),
            register(30, 4010, context="Transaction.End"),
            register(10, 500, transaction_id=2, station_id="cs02"),
            a_meter_value(40, 7400, transaction_id=3),
        ]
    )

    assert await store.latest_energy_wh([1, 2, 3, 4]) == {1: (at(30), 4010.0), 2: (at(10), 500.0)}
    assert await store.latest_energy_wh([]) == {}


async def test_tells_the_newest_values_of_each_evse_of_a_site(store: Store) -> None:
    await store.save_site(a_site(stations=("cs01", "cs02")))
    newest = [
        a_meter_value(5, 16, measurand="Current.Import", unit="A", phase="L1"),
        a_meter_value(5, 7400),
    ]
    other_evse = a_meter_value(1, 3700, evse_id=2, transaction_id=None)
    elsewhere = a_meter_value(9, 11000, station_id="cs77")

    await store.add_meter_values([a_meter_value(4, 7000), *newest, other_evse, elsewhere])

    assert await store.latest_meter_values("depot") == {("cs01", 1): newest, ("cs01", 2): [other_evse]}
    assert await store.latest_meter_values("yard") == {}


async def test_charging_power_is_the_total_power_of_the_sites_evses(store: Store) -> None:
    await store.save_site(a_site(stations=("cs01", "cs02")))
    await store.add_meter_values(
        [
            a_meter_value(0, 7400),
            a_meter_value(1, 3700, station_id="cs02", evse_id=2, transaction_id=None),
            a_meter_value(1, 2400, phase="L1"),
            a_meter_value(1, 5000, measurand=ENERGY, unit="Wh"),
            a_meter_value(2, 7300),
            a_meter_value(1, 11000, station_id="cs77"),
        ]
    )

    assert await store.charging_power("depot", NOON, at(2)) == {
        ("cs01", 1): [(NOON, 7400.0)],
        ("cs02", 2): [(at(1), 3700.0)],
    }


async def test_charging_power_remembers_a_station_that_has_left(store: Store) -> None:
    await store.save_site(a_site(stations=("cs01", "cs02")))
    await store.add_meter_values([a_meter_value(0, 3700, station_id="cs02")])

    await store.save_site(a_site(stations=("cs01",)))

    assert await store.charging_power("depot", NOON, at(1)) == {("cs02", 1): [(NOON, 3700.0)]}


KEYS = st.builds(
    a_meter_value,
    st.integers(0, 6),
    evse_id=st.integers(1, 2),
    measurand=st.sampled_from([POWER, ENERGY]),
    transaction_id=st.sampled_from([None, 1]),
    phase=st.sampled_from(["", "L1"]),
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[MeterValue], list[list[MeterValue]]]:
    """A log, and how it arrives: shuffled, with repetitions, in parts."""
    log = draw(st.lists(KEYS, unique=True, min_size=1, max_size=12))
    arrival = draw(st.permutations(log + draw(st.lists(st.sampled_from(log), max_size=6))))
    cuts = sorted(draw(st.lists(st.integers(0, len(arrival)), max_size=3)))
    return log, [arrival[a:b] for a, b in zip([0, *cuts], [*cuts, len(arrival)], strict=True)]


@given(logs())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_a_shuffled_log_with_repetitions_ends_as_the_sorted_one(
    log_and_arrival: tuple[list[MeterValue], list[list[MeterValue]]],
) -> None:
    log, parts = log_and_arrival
    in_order = sorted(log, key=lambda value: (value.at, value.evse_id, value.measurand, value.phase))
    registers = [value for value in in_order if (value.measurand, value.phase, value.transaction_id) == (ENERGY, "", 1)]
    newest_at = {("cs01", value.evse_id): value.at for value in in_order}
    async with a_store() as store:
        await store.save_site(a_site())
        for part in parts:
            await store.add_meter_values(part)
            await store.flush()

        assert sorted(await store.meter_values(), key=str) == sorted(log, key=str)
        assert [value.at for value in await store.meter_values()] == [value.at for value in in_order]
        assert await store.latest_energy_wh([1]) == ({1: (registers[-1].at, 7400.0)} if registers else {})
        latest = await store.latest_meter_values("depot")
        assert {evse: values[0].at for evse, values in latest.items()} == newest_at
        assert sorted((value for values in latest.values() for value in values), key=str) == sorted(
            (value for value in log if value.at == newest_at["cs01", value.evse_id]), key=str
        )
