"""The service as its users meet it: HTTP on one side, stations on real WebSockets on the other."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from app.main import service
from tests.e2e.builders import (
    FUSE_A,
    MORNING,
    PASSWORD,
    SAMPLE_S,
    Depot,
    Json,
    a_client,
    a_depot,
    as_held,
    connected,
    drawn_a,
    held_as_json,
    settings,
    transaction_id,
    until,
)


async def test_two_wishes_become_verified_profiles_that_keep_both_cars_under_one_fuse(tmp_path: Path) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        await depot.arrive("cs02")

        plan = await depot.verified_plan("cs01", "cs02")

        async def drawing() -> datetime | None:
            """A moment before which both cars together drew for two seconds."""
            await asyncio.sleep(3)
            for station in depot.stations.values():
                station.advance()
            seconds = depot.running.clock.now() - timedelta(seconds=1)
            try:
                is_drawn = all(
                    sum(drawn_a(station, seconds - timedelta(seconds=back)) for station in depot.stations.values()) >= 6
                    for back in (1, 2)
                )
            except LookupError:
                return None
            return seconds if is_drawn else None

        drawing_at = await until(drawing)

        assert plan["status"] in ("optimal", "feasible")
        for delivery in plan["deliveries"]:
            held = depot.plan_profile(delivery["charging_station_id"])
            assert held_as_json(held) == as_held(delivery["profile"], delivery["evse_id"])
        for second in (drawing_at - timedelta(seconds=count) for count in (1, 2)):
            currents_a = {name: drawn_a(station, second) for name, station in depot.stations.items()}
            for name, current_a in currents_a.items():
                limit = depot.plan_profile(name).limit_at(second, None)
                assert limit is not None
                assert current_a <= limit.value + 1e-3
            assert 6 <= sum(currents_a.values()) <= FUSE_A + 1e-3


async def test_a_wish_is_met_in_the_plan_within_the_cheap_hours(tmp_path: Path) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01", wants_kwh=8)

        plan = await depot.verified_plan("cs01")

        slots = plan["problem"]["slots"]
        cheap = [price == pytest.approx(0.15) for price in plan["problem"]["import_price_per_kwh"]]
        power_kw = plan["schedule"]["evses"]["cs01/1"]["power_kw"]
        assert len(cheap) == len(power_kw) == slots
        assert sum(power_kw) > 0
        assert all(is_cheap for is_cheap, power in zip(cheap, power_kw, strict=True) if power > 0)
        assert [session["unmet_kwh"] for session in plan["schedule"]["sessions"].values()] == pytest.approx([0])


async def test_a_running_transaction_shows_its_energy_and_every_station_when_it_spoke(tmp_path: Path) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")

        async def has_drawn() -> Json | None:
            (row,) = await depot.get("/v1/transactions?running=true")
            return row if row["energy_kwh"] else None

        transaction = await until(has_drawn)
        stations = {row["id"]: row for row in await depot.get("/v1/charging-stations")}

        station = depot.stations["cs01"]
        assert transaction["id"] == transaction_id(station)
        assert 0 < transaction["energy_kwh"] <= station.outlets[1].energy_kwh + 5e-4  # the register is in whole Wh
        assert {name: row["active"] for name, row in stations.items()} == {"cs01": True, "cs02": False}
        assert all(row["connected"] for row in stations.values())
        assert stations["cs01"]["silent_s"] < 5 * SAMPLE_S
        assert stations["cs01"]["evses"][0]["status"] in ("Charging", "SuspendedEVSE")
        assert stations["cs01"]["evses"][0]["transaction"]["id"] == transaction["id"]
        assert stations["cs02"]["evses"][0]["status"] == "Available"


async def test_unplugging_completes_the_transaction_and_leaves_a_charge_detail_record(tmp_path: Path) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        await depot.verified_plan("cs01")

        await depot.stations["cs01"].unplug(1)
        (transaction,) = await depot.get("/v1/transactions?running=false")

        async def settled() -> list[Json]:
            cdrs: list[Json] = await depot.get("/v1/cdrs")
            return cdrs

        (cdr,) = await until(settled)
        assert transaction["stop_reason"] == "EVDisconnected"
        assert transaction["energy_kwh"] == pytest.approx(depot.stations["cs01"].outlets[1].energy_kwh, abs=5e-4)
        assert cdr["transaction_id"] == transaction["id"]
        assert cdr["energy_kwh"] == pytest.approx(transaction["energy_kwh"])
        assert cdr["id_tag"] == "tag-cs01"
        assert (cdr["start"], cdr["stop"]) == (transaction["start"], transaction["stop"])
        assert 0 <= cdr["parking_time_h"] <= cdr["total_time_h"]


async def test_an_evse_without_a_car_draws_nothing_now(tmp_path: Path) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")

        async def draws() -> Json | None:
            now: Json = await depot.get(f"{depot.path}/now")
            return now if (now["charging"]["kw"] or 0) > 1 else None

        await until(draws)
        await depot.stations["cs01"].unplug(1)
        now = await depot.get(f"{depot.path}/now")

        assert now["charging"]["kw"] == 0
        assert {evse["power"]["kw"] for evse in now["evses"]} == {0}


async def test_an_idempotency_key_makes_one_plan_of_two_requests(tmp_path: Path) -> None:
    async with a_depot(tmp_path, connect=()) as depot:
        await depot.is_quiet()
        before = await depot.get(f"{depot.path}/schedules")

        first = await depot.post(f"{depot.path}/schedules", {}, **{"Idempotency-Key": "once"})
        second = await depot.post(f"{depot.path}/schedules", {}, **{"Idempotency-Key": "once"})

        assert first["id"] == second["id"]
        assert len(await depot.get(f"{depot.path}/schedules")) == len(before) + 1


async def test_planning_without_dispatch_and_simulating_send_nothing(tmp_path: Path) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        await depot.verified_plan("cs01")
        received = depot.profiles_received()
        held = depot.plan_profile("cs01")

        plan = await depot.post(f"{depot.path}/schedules", {"dispatch": False})
        fixed = {"name": "a dear day", "site": {"tariff": {"kind": "fixed", "price_per_kwh": 0.9}}}
        answer = await depot.post(f"{depot.path}/simulations", {"scenarios": [{"name": "as it is"}, fixed]})

        as_it_is, dear = (scenario["schedule"]["cost"]["total"] for scenario in answer["scenarios"])
        assert dear > as_it_is > 0
        assert plan["deliveries"] == []
        assert await depot.is_quiet()
        assert depot.profiles_received() == received > 0
        assert depot.plan_profile("cs01") == held


async def test_a_site_in_shadow_mode_plans_and_sends_nothing(tmp_path: Path) -> None:
    async with a_depot(tmp_path, mode="shadow") as depot:
        await depot.arrive("cs01")
        asked = await depot.post(f"{depot.path}/schedules", {"dispatch": True})

        followed = await until(depot.replanned_with_a_session)

        assert await depot.is_quiet()
        assert (asked["deliveries"], followed["deliveries"]) == ([], [])
        assert depot.profiles_received() == 0


async def test_a_site_in_shadow_mode_shows_what_it_would_send(tmp_path: Path) -> None:
    async with a_depot(tmp_path, mode="shadow") as depot:
        await depot.arrive("cs01", wants_kwh=8)

        plan = await depot.post(f"{depot.path}/schedules", {"dispatch": True})

        [session] = plan["schedule"]["sessions"].values()
        assert session["planned_energy_kwh"] == pytest.approx(8, rel=0.01)


async def test_a_station_that_obeys_stays_in_the_plan_however_often_it_is_planned(tmp_path: Path) -> None:
    async with a_depot(tmp_path) as depot:
        await depot.arrive("cs01")
        await depot.verified_plan("cs01")

        for _ in range(4):
            plan = await depot.post(f"{depot.path}/schedules", {"dispatch": True})
            await asyncio.sleep(0.5)

        assert "uncontrollable" not in plan["provenance"]
        assert [row["evse"] for row in plan["problem"]["sessions"]] == ["cs01/1"]
        assert [row["state"] for row in plan["deliveries"]] == ["applied"]


async def test_a_restart_keeps_the_transaction_and_the_station_goes_on(tmp_path: Path) -> None:
    async with AsyncExitStack() as lines:  # the stations outlive the first service
        async with a_depot(tmp_path, connect=()) as depot:
            stations, clock, site = depot.stations, depot.running.clock, depot.site
            station = stations["cs01"]
            await lines.enter_async_context(connected(*stations.values(), url=depot.running.ocpp_url))
            await depot.arrive("cs01")
            await depot.verified_plan("cs01")
            id_before = transaction_id(station)
            ocpp_port = depot.running.gateway.port
        energy_before_kwh = station.outlets[1].energy_kwh

        async with service(settings(tmp_path, ocpp_port=ocpp_port), clock) as running, a_client(running) as client:
            depot = Depot(running, client, stations, site)
            restarted_at = clock.now()

            async def has_drawn_more() -> Json | None:
                row = await depot.get(f"/v1/transactions/{id_before}")
                return row if (row["energy_kwh"] or 0) > energy_before_kwh + 2e-3 else None

            transaction = await until(has_drawn_more)
            plan = await depot.verified_plan("cs01")

            assert transaction["stop"] is None
            assert datetime.fromisoformat(transaction["energy_at"]) > restarted_at
            assert transaction_id(station) == id_before
            assert datetime.fromisoformat(plan["created_at"]) > restarted_at
            assert [row["profile"]["transaction_id"] for row in plan["deliveries"]] == [id_before]
            assert depot.plan_profile("cs01").transaction_id == id_before


@pytest.mark.parametrize(
    ("frame", "answered_id", "code"),
    [
        ('[2,"17","Heartbeat"', "-1", "FormationViolation"),
        ('[2,"17","BootNotification",["no object"]]', "17", "FormationViolation"),
        ('[2,"17","MakeCoffee",{}]', "17", "NotImplemented"),
    ],
    ids=["no JSON", "no payload", "unknown action"],
)
async def test_a_malformed_frame_gets_a_callerror_and_the_connection_lives_on(
    depot_of_one: Depot, frame: str, answered_id: str, code: str
) -> None:
    async with a_socket(depot_of_one, "cs01") as socket:
        await socket.send(frame)
        refused = json.loads(await socket.recv())
        await socket.send('[2,"18","Heartbeat",{}]')
        answered = json.loads(await socket.recv())

    assert refused[:3] == [4, answered_id, code]
    assert answered[:2] == [3, "18"]
    assert datetime.fromisoformat(answered[2]["currentTime"]) >= MORNING


@pytest.mark.parametrize(
    ("station_id", "password", "status"),
    [("cs01", "not-the-password-", 401), ("cs01", None, 401), ("stranger", PASSWORD, 404)],
    ids=["wrong password", "no password", "unknown station"],
)
async def test_who_does_not_belong_here_is_not_let_in(
    depot_of_one: Depot, station_id: str, password: str | None, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with a_socket(depot_of_one, station_id, password):
            pytest.fail("it was let in")

    assert refused.value.response.status_code == status


@pytest.fixture
async def depot_of_one(tmp_path: Path) -> AsyncIterator[Depot]:
    async with a_depot(tmp_path, connect=()) as depot:
        yield depot


def a_socket(depot: Depot, station_id: str, password: str | None = PASSWORD) -> connect:
    """A station's bare WebSocket, without any OCPP behind it."""
    login = (
        {}
        if password is None
        else {"Authorization": f"Basic {b64encode(f'{station_id}:{password}'.encode()).decode()}"}
    )
    return connect(
        f"{depot.running.ocpp_url}/{station_id}",
        subprotocols=[Subprotocol("ocpp1.6")],
        additional_headers=login,
        compression=None,
        proxy=None,
    )
