"""The day on which everything goes wrong: what goes wrong, the service that dies, and the yardstick."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import numpy as np
import pytest

from app.clock import Clock, SteppedClock
from app.demo.chaos import ChaosResult, MortalService, PatientClient
from app.demo.mishaps import METER_S, MISHAPS, Mishap, disturbed, jumped, surroundings_of
from app.demo.physics import Excess
from app.demo.policies import equal_share, run_policy
from app.demo.promises import day_in_hindsight, kept, possible, promised
from app.demo.result import DeliveryCount, DemoResult
from app.demo.scenario import build_scenario
from optimizer.check import violations
from optimizer.foresight import perfect_foresight

CALM = build_scenario()


def test_every_kind_of_trouble_happens_and_is_over_before_the_day_is() -> None:
    kinds = {mishap.kind for mishap in MISHAPS}

    assert kinds == {"drop", "offline", "misbehave", "jump", "kill", "prices"}
    assert all(mishap.until(CALM) < CALM.end for mishap in MISHAPS)
    assert all(CALM.site.station(name) for mishap in MISHAPS for name in mishap.stations)
    assert [mishap.hour for mishap in MISHAPS] == sorted(mishap.hour for mishap in MISHAPS)


def test_the_building_stays_below_what_its_operator_says_it_draws_at_most() -> None:
    load_kw = surroundings_of(CALM, MISHAPS).base_load_kw

    assert CALM.site.base_load.max_kw is not None
    assert load_kw.max() < CALM.site.base_load.max_kw


def test_a_jump_is_from_one_second_to_the_next_and_history_hears_of_it_by_the_minute() -> None:
    jump = Mishap(10.0, "jump", 30, kw=20.0)
    calm_kw, load_kw = (surroundings_of(CALM, mishaps).base_load_kw for mishaps in ((), (jump,)))
    world = jumped(CALM, [jump]).world

    added = load_kw - calm_kw
    assert added[36_000 - 1] == 0
    assert added[36_000 : 36_000 + 1800] == pytest.approx(20.0)
    assert added[36_000 + 1800] == 0
    assert (world.base_load_kw - CALM.world.base_load_kw).sum() == pytest.approx(30 * 20.0)


def test_the_guard_has_a_meter_to_go_by() -> None:
    meters = {meter.id: meter.interval_s for meter in disturbed(CALM.site).meters}

    assert meters == {"building": METER_S, "pv": None}


def test_perfect_foresight_keeps_the_fuses_and_most_promises_in_spite_of_the_jumps() -> None:
    surroundings = surroundings_of(CALM, MISHAPS)
    problem = day_in_hindsight(CALM, surroundings)
    schedule = perfect_foresight(problem)

    assert schedule.status != "fallback"
    assert not violations(problem, schedule).caused
    assert max(problem.base_load_kw) == pytest.approx(surroundings.base_load_kw.max())
    assert len(possible(CALM, surroundings)) >= 12


def test_the_yardstick_is_within_reach_of_simulated_cars() -> None:
    """An equal share that no fault hinders keeps as many, and every fuse: nearly full batteries and minima included."""
    day, surroundings = jumped(CALM, MISHAPS), surroundings_of(CALM, MISHAPS)

    outcome = run_policy(day, surroundings, equal_share)

    assert outcome.measured.excesses == ()
    assert kept(day, outcome) == possible(day, surroundings)


def test_who_knows_everything_could_have_told_every_station_before_it_fails() -> None:
    """Else the yardstick, which no fault of a station hinders, would ask for more than anybody can do."""
    for mishap in MISHAPS:
        for visit in CALM.visits:
            failing = visit.station_id in mishap.stations
            assert not (failing and mishap.at(CALM) <= visit.arrival <= mishap.until(CALM))


def test_nobody_is_promised_what_no_fuse_carries() -> None:
    dark = replace(
        CALM,
        site=CALM.site.model_copy(
            update={"connection": CALM.site.connection.model_copy(update={"max_import_kw": 50.0})}
        ),
    )

    assert possible(dark, surroundings_of(dark, ())) < possible(CALM, surroundings_of(CALM, ()))


def a_result(*, is_kept: frozenset[str], could_be: frozenset[str], excesses: tuple[Excess, ...] = ()) -> ChaosResult:
    outcome = run_policy(SHORT, SHORT.world.surroundings(SHORT.start, SHORT.end), equal_share)
    realised = replace(outcome, measured=replace(outcome.measured, excesses=excesses))
    loud = replace(outcome, measured=replace(outcome.measured, excesses=(EXCESS,)))
    day = DemoResult(12, DeliveryCount(3, 2, ("cs04/1 at noon: rejected",)), 1.0, realised, loud, outcome)
    return ChaosResult(day, MISHAPS[:3], is_kept, could_be)


SHORT = CALM.cut(8)
EXCESS = Excess("row-a", "L1", 3, 90.0, 80.0)
TWENTY = frozenset(f"s{number}" for number in range(20))


def test_the_result_is_the_demos_with_what_went_wrong() -> None:
    said = json.loads(json.dumps(a_result(is_kept=TWENTY - {"s0"}, could_be=TWENTY).to_json()))

    assert (said["faults_injected"], said["promises_kept"], said["promises_possible"]) == (3, 19, 20)
    assert said["limit_violations"] == 0
    assert said["stations"] == 12
    assert said["faults"][0] == "07.60 h: the connection of cs02, cs10 is cut"


def test_it_is_good_with_nineteen_of_twenty_promises_and_profiles_that_were_not_verified() -> None:
    assert a_result(is_kept=TWENTY - {"s0"}, could_be=TWENTY).is_good
    assert not a_result(is_kept=TWENTY - {"s0", "s1"}, could_be=TWENTY).is_good


def test_it_is_not_good_when_a_limit_was_exceeded() -> None:
    [failure] = a_result(is_kept=TWENTY, could_be=TWENTY, excesses=(EXCESS,)).failures

    assert failure == "row-a L1: up to 90.0, above 80 for 3 s"


def test_nothing_is_promised_to_who_leaves_hours_before_he_said() -> None:
    by_id = {visit.session_id: visit for visit in CALM.visits}
    left_out = set(by_id) - promised(CALM)

    assert left_out == {"s04"}
    assert by_id["s04"].stated_departure - by_id["s04"].departure > timedelta(hours=2)


def test_kept_are_the_promises_whose_departure_was_met() -> None:
    outcome = run_policy(CALM, CALM.world.surroundings(CALM.start, CALM.end), equal_share)

    assert kept(CALM, outcome) == promised(CALM) & {one.session_id for one in outcome.sessions if one.departure_met}


@dataclass(frozen=True)
class Address:
    http_url: str
    ocpp_url: str = "ws://nowhere"
    api_key: str = "sc_test"


async def test_a_service_that_was_killed_is_asked_again_until_it_is_back() -> None:
    clock, lives, asked = SteppedClock(CALM.start), [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(clock.now())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    @asynccontextmanager
    async def start(_: Clock) -> AsyncIterator[Address]:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        lives.append("up")
        try:
            yield Address(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            lives.append("down")

    service = MortalService(start, clock)
    async with httpx.AsyncClient(trust_env=False) as http:
        client = PatientClient(http, clock, "demo", service)
        await service.start()
        await client._request("GET", "/first")
        await service.kill()
        asking = asyncio.create_task(client._request("GET", "/second"))
        await clock.run_until(CALM.start + timedelta(seconds=12))
        await service.start()
        await clock.run_until(CALM.start + timedelta(seconds=30))
        answer = await asking
        await service.kill()

    assert answer.status_code == 200
    assert asked == [CALM.start, CALM.start + timedelta(seconds=15)]
    assert lives == ["up", "down", "up", "down"]


async def test_a_service_that_does_not_come_up_says_why() -> None:
    @asynccontextmanager
    async def start(_: Clock) -> AsyncIterator[Address]:
        if lives == []:
            raise OSError("the port is in use")
        yield Address("")

    lives: list[str] = []
    with pytest.raises(OSError, match="in use"):
        await MortalService(start, SteppedClock(CALM.start)).start()


def test_surroundings_are_left_alone_without_jumps() -> None:
    calm = CALM.world.surroundings(CALM.start, CALM.end)

    assert np.array_equal(surroundings_of(CALM, ()).base_load_kw, calm.base_load_kw)
