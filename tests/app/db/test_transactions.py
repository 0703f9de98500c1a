"""Transactions and CDRs in the store: what a station repeats has one effect."""

import asyncio

import pytest

from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError
from tests.app.db.builders import NOON, a_cdr, a_site, a_start, at


@pytest.fixture
async def depot(store: Store) -> Store:
    await store.save_site(a_site())
    return store


async def test_a_started_transaction_is_running_and_knows_its_site(depot: Store) -> None:
    transaction, is_new = await depot.start_transaction(**a_start())

    assert is_new
    assert transaction.transaction_id > 0
    assert (transaction.site_id, transaction.is_running) == ("depot", True)
    assert await depot.transaction(transaction.transaction_id) == transaction


async def test_the_same_start_gives_the_same_transaction(depot: Store) -> None:
    first, _ = await depot.start_transaction(**a_start())

    again, is_new = await depot.start_transaction(**a_start())

    assert (again, is_new) == (first, False)
    assert len(await depot.transactions()) == 1


@pytest.mark.parametrize(
    "change", [{"evse_id": 2}, {"id_tag": "van-8"}, {"started_at": at(1)}, {"meter_start_wh": 1001.0}]
)
async def test_any_difference_makes_another_transaction(depot: Store, change: dict[str, object]) -> None:
    first, _ = await depot.start_transaction(**a_start())

    other, is_new = await depot.start_transaction(**a_start(**change))

    assert is_new
    assert other.transaction_id != first.transaction_id


async def test_the_stations_own_name_decides_before_what_the_start_looks_like(depot: Store) -> None:
    first, _ = await depot.start_transaction(**a_start(ocpp_transaction_id="a"))
    second, _ = await depot.start_transaction(**a_start(ocpp_transaction_id="b", started_at=at(5)))

    again, is_new = await depot.start_transaction(**a_start(ocpp_transaction_id="b"))

    assert first.transaction_id != second.transaction_id
    assert (again, is_new) == (second, False)


async def test_two_stations_may_use_one_name(depot: Store) -> None:
    await depot.start_transaction(**a_start(ocpp_transaction_id="1"))

    _, is_new = await depot.start_transaction(**a_start(ocpp_transaction_id="1", station_id="cs02"))

    assert is_new


async def test_many_at_once_give_one_transaction(depot: Store) -> None:
    started = await asyncio.gather(*[depot.start_transaction(**a_start()) for _ in range(20)])

    assert len({transaction.transaction_id for transaction, _ in started}) == 1
    assert sum(is_new for _, is_new in started) == 1


async def test_an_unknown_station_starts_nothing(depot: Store) -> None:
    with pytest.raises(NotFoundError, match="cs99"):
        await depot.start_transaction(**a_start(station_id="cs99"))

    assert await depot.transactions() == []


async def test_refuses_a_meter_start_that_is_no_number(depot: Store) -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        await depot.start_transaction(**a_start(meter_start_wh=float("nan")))


async def test_the_first_stop_wins(depot: Store) -> None:
    transaction, _ = await depot.start_transaction(**a_start())
    number = transaction.transaction_id
    stopped, is_new = await depot.stop_transaction(number, stopped_at=at(60), meter_stop_wh=9000, reason="Local")

    again, again_is_new = await depot.stop_transaction(number, stopped_at=at(61), meter_stop_wh=1, reason="Reboot")

    assert (is_new, again_is_new) == (True, False)
    assert (stopped.stopped_at, stopped.meter_stop_wh, stopped.stop_reason) == (at(60), 9000.0, "Local")
    assert again == stopped == await depot.transaction(number)


@pytest.mark.parametrize("number", [-1, 0, 77, 2**31, 10**30])
async def test_a_number_that_nobody_gave_is_not_found(depot: Store, number: int) -> None:
    with pytest.raises(NotFoundError):
        await depot.transaction(number)
    with pytest.raises(NotFoundError):
        await depot.stop_transaction(number, stopped_at=NOON, meter_stop_wh=0, reason=None)
    with pytest.raises(NotFoundError):
        await depot.save_cdr(a_cdr(number))


async def test_lists_the_newest_first_within_half_open_bounds(depot: Store) -> None:
    for minutes in (0, 60, 120):
        await depot.start_transaction(**a_start(started_at=at(minutes)))
    await depot.start_transaction(**a_start(started_at=at(90), station_id="cs02"))

    def minutes_of(listed: list) -> list[float]:  # type: ignore[type-arg]  # of transactions
        return [(transaction.started_at - NOON).total_seconds() / 60 for transaction in listed]

    assert minutes_of(await depot.transactions()) == [120, 90, 60, 0]
    assert minutes_of(await depot.transactions(start=at(60), end=at(120))) == [90, 60]
    assert minutes_of(await depot.transactions(station_id="cs02")) == [90]
    assert minutes_of(await depot.transactions(site_id="depot", limit=1)) == [120]
    assert minutes_of(await depot.transactions(site_id="yard")) == []


async def test_lists_the_running_or_the_completed(depot: Store) -> None:
    first, _ = await depot.start_transaction(**a_start())
    second, _ = await depot.start_transaction(**a_start(evse_id=2))
    completed, _ = await depot.stop_transaction(
        first.transaction_id, stopped_at=at(60), meter_stop_wh=2000, reason=None
    )

    assert await depot.transactions(running=True) == [second]
    assert await depot.transactions(running=False) == [completed]


async def test_a_completed_transaction_waits_for_its_cdr(depot: Store) -> None:
    transaction, _ = await depot.start_transaction(**a_start())
    assert await depot.transactions_without_cdr() == []

    completed, _ = await depot.stop_transaction(
        transaction.transaction_id, stopped_at=at(90), meter_stop_wh=2000, reason=None
    )
    assert await depot.transactions_without_cdr() == [completed]

    await depot.save_cdr(a_cdr(transaction.transaction_id))
    assert await depot.transactions_without_cdr() == []


async def test_a_cdr_saved_again_replaces_the_first(depot: Store) -> None:
    transaction, _ = await depot.start_transaction(**a_start())
    await depot.save_cdr(a_cdr(transaction.transaction_id, energy_kwh=1.0))
    better = a_cdr(transaction.transaction_id, flags=("register_reset",), peak_power_kw=11.0)

    await depot.save_cdr(better)

    assert await depot.cdrs() == [better]


async def test_lists_cdrs_in_order_of_stop_within_half_open_bounds(depot: Store) -> None:
    cdrs = []
    for minutes, tag in ((0, "van-7"), (30, "van-8"), (60, "van-7")):
        transaction, _ = await depot.start_transaction(**a_start(started_at=at(minutes), id_tag=tag))
        cdrs.append(a_cdr(transaction.transaction_id, start=at(minutes), stop=at(minutes + 10), id_tag=tag))
    for cdr in reversed(cdrs):
        await depot.save_cdr(cdr)

    assert await depot.cdrs(site_id="depot", station_id="cs01") == cdrs
    assert await depot.cdrs(id_tag="van-7") == [cdrs[0], cdrs[2]]
    assert await depot.cdrs(start=at(10), end=at(70)) == cdrs[:2]
    assert await depot.cdrs(site_id="yard") == []
