"""Sites, stations and EVSE statuses in the store."""

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from app.clock import SteppedClock
from app.db.records import EvseStatus, Station
from app.db.store import Store
from app.errors import ConflictError, InvalidInputError, NotFoundError
from tests.app.db.builders import NOON, a_site, a_start, at


async def test_gives_back_the_document_it_was_given(store: Store) -> None:
    site = a_site(
        circuits=[{"id": "hall", "max_current_a": 63}],
        meters=[{"id": "main", "measures": "grid"}],
        batteries=[{"id": "b1", "capacity_kwh": 100, "max_charge_kw": 50, "max_discharge_kw": 50}],
        holidays=["2026-12-24"],
        nightly_at="21:30",
    )

    await store.save_site(site)

    assert await store.site("depot") == site
    assert await store.sites() == [site]


async def test_a_second_site_of_the_same_id_replaces_the_first(store: Store) -> None:
    await store.save_site(a_site())
    assert (await store.site("depot")).name == "Depot"

    await store.save_site(a_site(name="Bus depot"))

    assert (await store.site("depot")).name == "Bus depot"


async def test_a_document_that_did_not_change_is_parsed_once(store: Store) -> None:
    await store.save_site(a_site())
    first = await store.site("depot")

    assert await store.site("depot") is first
    assert (await store.sites())[0] is first

    await store.save_site(a_site().model_copy(update={"name": "Another"}))
    assert (await store.site("depot")).name == "Another"


async def test_many_stations_are_asked_for_at_once_and_each_has_its_own_answer(store: Store) -> None:
    await store.save_site(a_site())

    known, unknown, again = await asyncio.gather(
        store.station("cs01"), store.station("nobody"), store.station("cs01"), return_exceptions=True
    )

    assert isinstance(unknown, NotFoundError)
    assert isinstance(known, Station)
    assert (known.station_id, again) == ("cs01", known)


async def test_a_site_that_exists_is_kept_when_asked_not_to_replace_it(store: Store) -> None:
    await store.save_site(a_site())

    with pytest.raises(ConflictError, match="depot"):
        await store.save_site(a_site(name="Another"), replace=False)

    assert (await store.site("depot")).name == "Depot"


async def test_a_station_of_another_site_leaves_everything_as_it_was(store: Store) -> None:
    await store.save_site(a_site("depot", stations=("cs01",)))
    await store.save_site(a_site("yard", stations=("cs02",)))

    with pytest.raises(ConflictError, match="cs01"):
        await store.save_site(a_site("yard", stations=("cs01", "cs03"), name="Yard"))

    assert (await store.site("yard")).name == "Depot"
    assert [(station.station_id, station.site_id) for station in await store.stations()] == [
        ("cs01", "depot"),
        ("cs02", "yard"),
    ]


async def test_a_station_that_left_the_document_keeps_its_history_and_comes_back_with_its_password(
    store: Store,
) -> None:
    await store.save_site(a_site())
    await store.set_password_hash("cs02", "hash")
    transaction, _ = await store.start_transaction(**a_start(station_id="cs02"))

    await store.save_site(a_site(stations=("cs01",)))

    assert [station.station_id for station in await store.stations("depot")] == ["cs01"]
    with pytest.raises(NotFoundError):
        await store.station("cs02")
    with pytest.raises(NotFoundError):
        await store.password_hash("cs02")
    with pytest.raises(NotFoundError):
        await store.start_transaction(**a_start(station_id="cs02", started_at=at(60)))
    assert await store.transactions(site_id="depot") == [transaction]
    await store.save_site(a_site())
    assert await store.password_hash("cs02") == "hash"


async def test_a_station_that_left_one_site_may_join_another(store: Store) -> None:
    await store.save_site(a_site("depot", stations=("cs01", "cs02")))
    await store.save_site(a_site("depot", stations=("cs01",)))

    await store.save_site(a_site("yard", stations=("cs02",)))

    assert (await store.station("cs02")).site_id == "yard"


async def test_a_deleted_site_frees_its_stations_and_keeps_its_history(store: Store) -> None:
    await store.save_site(a_site())
    transaction, _ = await store.start_transaction(**a_start())
    await store.stop_transaction(transaction.transaction_id, stopped_at=at(60), meter_stop_wh=2000, reason=None)

    await store.delete_site("depot")

    with pytest.raises(NotFoundError):
        await store.site("depot")
    assert await store.stations() == []
    assert len(await store.transactions(site_id="depot")) == 1


async def test_a_site_with_a_running_transaction_is_not_deleted(store: Store) -> None:
    await store.save_site(a_site())
    await store.start_transaction(**a_start())

    with pytest.raises(ConflictError, match="running"):
        await store.delete_site("depot")

    assert await store.sites() == [a_site()]


async def test_unknown_ids_are_not_found(store: Store) -> None:
    for lookup in (
        store.site("x"),
        store.delete_site("x"),
        store.station("x"),
        store.password_hash("x"),
        store.set_password_hash("x", "hash"),
        store.update_station("x", vendor="ABB"),
        store.update_station("x"),
        store.set_evse_status(EvseStatus("x", 1, "Available", "NoError", NOON)),
    ):
        with pytest.raises(NotFoundError, match="'x'"):
            await lookup


async def test_keeps_what_a_station_said_of_itself(store: Store) -> None:
    await store.save_site(a_site())
    berlin = timezone(timedelta(hours=1))

    await store.update_station(
        "cs01",
        vendor="Alfen",
        firmware="6.1",
        connected=True,
        last_seen_at=datetime(2026, 3, 2, 13, tzinfo=berlin),
        passport={"max_periods": 24},
    )

    station = await store.station("cs01")
    assert (station.vendor, station.firmware, station.connected) == ("Alfen", "6.1", True)
    assert station.last_seen_at == NOON
    assert station.last_seen_at.utcoffset() == timedelta(0)
    assert station.passport == {"max_periods": 24}
    assert station.model is None


async def test_many_stations_are_noted_as_seen_at_once_and_strangers_passed_over(store: Store) -> None:
    await store.save_site(a_site())

    await store.note_last_seen({"cs01": NOON, "nobody": NOON})

    assert (await store.station("cs01")).last_seen_at == NOON


async def test_a_document_saved_again_forgets_nothing_a_station_said(store: Store) -> None:
    await store.save_site(a_site())
    await store.update_station("cs01", vendor="Alfen", connected=True)

    await store.save_site(a_site(name="Renamed"))

    station = await store.station("cs01")
    assert (station.vendor, station.connected) == ("Alfen", True)


@pytest.mark.parametrize("column", ["password_hash", "site_id", "in_document", "colour"])
async def test_refuses_columns_that_are_not_the_stations_to_set(store: Store, column: str) -> None:
    await store.save_site(a_site())

    with pytest.raises(InvalidInputError, match=column):
        await store.update_station("cs01", **{column: "x"})


async def test_refuses_a_naive_time(store: Store) -> None:
    await store.save_site(a_site())

    with pytest.raises(InvalidInputError, match="no time zone"):
        await store.update_station("cs01", last_seen_at=datetime(2026, 3, 2, 13))  # noqa: DTZ001 - the naive time is what is tested


async def test_tells_whether_a_password_was_set_but_not_which(store: Store) -> None:
    await store.save_site(a_site())
    assert await store.password_hash("cs01") is None

    await store.set_password_hash("cs01", "hash")

    assert await store.password_hash("cs01") == "hash"
    assert [station.has_password for station in await store.stations()] == [True, False]


async def test_nobody_is_connected_after_a_restart(store: Store) -> None:
    await store.save_site(a_site())
    await store.update_station("cs01", connected=True)

    await store.mark_all_disconnected()

    assert not (await store.station("cs01")).connected


async def test_a_status_that_arrives_late_changes_nothing(store: Store) -> None:
    await store.save_site(a_site())
    await store.set_evse_status(EvseStatus("cs01", 1, "Charging", "NoError", at(-1)))

    await store.set_evse_status(EvseStatus("cs01", 1, "Preparing", "NoError", at(-2)))

    assert [status.status for status in await store.evse_statuses()] == ["Charging"]


async def test_a_status_from_before_the_clock_was_put_back_gives_way(store: Store, clock: SteppedClock) -> None:
    await store.save_site(a_site())
    await store.set_evse_status(EvseStatus("cs01", 1, "Available", "NoError", clock.now() + timedelta(hours=1)))

    await store.set_evse_status(EvseStatus("cs01", 1, "Occupied", "NoError", clock.now()))

    assert [status.status for status in await store.evse_statuses()] == ["Occupied"]


async def test_of_two_statuses_in_one_second_the_later_call_wins(store: Store) -> None:
    await store.save_site(a_site())
    await store.set_evse_status(EvseStatus("cs01", 1, "Preparing", "NoError", at(10)))

    await store.set_evse_status(EvseStatus("cs01", 1, "Charging", "NoError", at(10)))

    assert [status.status for status in await store.evse_statuses()] == ["Charging"]


async def test_statuses_of_one_site_are_not_those_of_another(store: Store) -> None:
    await store.save_site(a_site("depot", stations=("cs01",)))
    await store.save_site(a_site("yard", stations=("cs02",)))
    for station in ("cs01", "cs02"):
        await store.set_evse_status(EvseStatus(station, 0, "Available", "NoError", NOON))

    assert [status.station_id for status in await store.evse_statuses("yard")] == ["cs02"]
    assert len(await store.evse_statuses()) == 2


@pytest.mark.parametrize("text", ["'; DROP TABLE sites; --", '"', "%", "_", "\\", "ünï", "x" * 3000])
async def test_an_id_is_a_value_never_a_part_of_a_statement(store: Store, text: str) -> None:
    await store.save_site(a_site())

    with pytest.raises(NotFoundError):
        await store.site(text)
    assert await store.readings("depot", text, NOON, at(1)) == []
    assert len(await store.sites()) == 1


async def test_what_a_text_column_cannot_hold_is_wrong_input_or_not_found(store: Store) -> None:
    with pytest.raises((InvalidInputError, NotFoundError)):  # PostgreSQL has no NUL, to SQLite it is a character
        await store.site("a\0b")
