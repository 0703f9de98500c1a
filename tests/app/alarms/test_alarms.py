"""What operators are told of by themselves, delivered to a real HTTP receiver and a real mail server."""

import asyncio
import json
import socketserver
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from app.alarms import Alarms, Courier
from app.alarms.mail import MailServer
from app.alarms.settings import AlarmTarget
from app.clock import SteppedClock
from app.csms.remote.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
from app.db.operating_records import Alarm
from app.db.records import Plan, Reading, Wish
from app.db.store import Store
from app.events import ActuatorChanged, Events, ObedienceChanged, PlanMade, TransactionStopped
from app.modes import Modes
from app.site import Site
from tests.app.db.builders import a_site
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SECRET = "a secret of a test that is long enough"


class World:
    """Alarms and courier at work on a stepped clock."""

    def __init__(self, store: Store, clock: SteppedClock, targets: list[AlarmTarget], mail: MailServer | None) -> None:
        self.store, self.clock, self.events = store, clock, Events()
        self.modes = Modes(store, clock, self.events)
        self.alarms = Alarms(store, self.modes, clock, self.events, targets)
        self.courier = Courier(store, clock, self.events, targets, mail)

    async def settle(self, **time: float) -> None:
        await self.clock.run_until(self.clock.now() + timedelta(**time))

    async def told(self) -> list[tuple[str, str, bool]]:
        """(kind, subject, open), oldest first."""
        found = await self.store.alarms("depot")
        return [(alarm.kind, alarm.subject, alarm.resolved_at is None) for alarm in reversed(found)]


@asynccontextmanager
async def a_world(
    directory: Path, *targets: AlarmTarget, mail: MailServer | None = None, site: Site | None = None
) -> AsyncIterator[World]:
    clock = SteppedClock(NOW)
    async with a_store(clock, directory=directory) as store:
        await store.save_site(site or a_site())
        world = World(store, clock, list(targets), mail)
        tasks = [asyncio.create_task(world.alarms.run()), asyncio.create_task(world.courier.run())]
        try:
            await clock.settle()
            yield world
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def a_plan(unmet_kwh: float, *, plan_id: str, session: str = "tx-1", **provenance: Any) -> Plan:
    departure = (NOW + 6 * HOUR).isoformat()
    problem = {"sessions": [{"id": session, "evse": "cs01/1", "required_energy_kwh": 20.0, "departure": departure}]}
    schedule = {"sessions": {session: {"unmet_kwh": unmet_kwh, "planned_energy_kwh": 20 - unmet_kwh}}}
    return Plan(plan_id, "depot", "replan", NOW, NOW, NOW + 12 * HOUR, "optimal", None, problem, schedule, provenance)


async def plan(world: World, unmet_kwh: float, **more: Any) -> None:
    made = a_plan(unmet_kwh, plan_id=f"p{unmet_kwh}-{len(await world.store.plans('depot'))}", **more)
    await world.store.save_plan(made)
    world.events.publish(PlanMade("depot", made.plan_id, world.clock.now()))
    await world.settle(seconds=1)


async def a_car(world: World, *, asks: bool = True) -> None:
    await world.store.start_transaction(
        station_id="cs01", evse_id=1, id_tag="tag", started_at=NOW - MINUTE, meter_start_wh=0
    )
    if asks:
        await world.store.save_wish(Wish("w", "depot", NOW + 6 * HOUR, 20.0, NOW, "cs01", 1))


async def test_a_car_that_will_not_be_ready_is_told_once_and_its_end_too(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await a_car(world)
        for unmet_kwh in (1.0, 3.0, 4.0, 1.0, 0.2):  # at 1 kWh it is neither raised nor over
            await plan(world, unmet_kwh)

        [alarm] = await world.store.alarms("depot")
        assert (alarm.kind, alarm.subject) == ("not_ready", "tx-1")
        assert alarm.detail == "cs01/1 will lack 3.0 of 20.0 kWh at 2026-04-27T14:00:00+00:00"
        assert alarm.raised_at == NOW + timedelta(seconds=1)
        assert alarm.resolved_at == NOW + timedelta(seconds=4)


async def test_nobody_is_told_of_a_need_that_is_only_believed(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await a_car(world, asks=False)
        await plan(world, 9.0)

        assert await world.told() == []


async def test_a_boosted_car_is_judged_after_the_boost(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await a_car(world)
        boosted = {"manual": {"boosted_needs_kwh": {"tx-1": 20.0}}}
        await plan(world, 9.0, **boosted)
        during = await world.told()
        await plan(world, 9.0)

        assert during == []
        assert await world.told() == [("not_ready", "tx-1", True)]


async def test_a_station_that_disobeys_is_told_until_it_obeys_or_its_car_leaves(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for obeys in (False, False, True, False):
            world.events.publish(ObedienceChanged("cs01", 1, obeys, world.clock.now()))
            await world.settle(seconds=1)
        world.events.publish(TransactionStopped("cs01", 1, 1, world.clock.now(), live=True))
        await world.settle(seconds=1)

        assert await world.told() == [("disobedient", "cs01/1", False)] * 2


async def test_a_mode_that_lasts_a_minute_is_told_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        site = a_site()
        optimal = a_plan(0.0, plan_id="p")
        await world.modes.failed(site, "no base load is known")
        await world.settle(seconds=30)
        await world.modes.planned(site, optimal)
        await world.settle(minutes=3)
        soon_over = await world.told()
        await world.modes.failed(site, "no base load is known")
        await world.settle(minutes=3)
        lasting = await world.told()
        await world.modes.planned(site, optimal)
        await world.settle(seconds=1)

        assert soon_over == []
        assert lasting == [("mode", "failsafe", True)]
        assert await world.told() == [("mode", "failsafe", False)]


async def test_a_site_where_nothing_was_planned_yet_alarms_nobody(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.modes.look("depot")
        await world.settle(minutes=5)

        assert await world.told() == []


async def test_a_meter_that_falls_silent_and_prices_that_run_out_are_told(tmp_path: Path) -> None:
    site = a_site(
        meters=[{"id": "building", "measures": "base_load"}, {"id": "roof", "measures": "pv"}],
        tariff={"kind": "series"},
        alarms={"stale_after_minutes": 20},
    )
    async with a_world(tmp_path, site=site) as world:
        await world.store.add_readings([Reading("depot", "building", NOW, 12.0)])
        await world.settle(minutes=10)
        early = await world.told()
        await world.settle(minutes=15)
        late = await world.told()
        await world.store.add_readings([Reading("depot", "building", world.clock.now(), 12.0)])
        await world.settle(minutes=2)

        assert early == [("stale_source", "import_price", True)]
        assert late == [("stale_source", "import_price", True), ("stale_source", "meter building", True)]
        assert ("stale_source", "meter building", False) in await world.told()


async def test_an_alarm_is_deduplicated_over_a_restart(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await a_car(world)
        await plan(world, 3.0)
        again = Alarm("other", "depot", "not_ready", "tx-1", "again", world.clock.now())

        assert not await world.store.raise_alarm(again, [])
        assert len(await world.store.alarms("depot")) == 1


# --- delivery


class Receiver:
    """A webhook's receiver on loopback: answers with `statuses` in turn, then 204."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Message] = []
        self.raw: list[bytes] = []
        self.statuses: list[int] = []
        self.url = ""


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.raw.append(body)
            receiver.bodies.append(json.loads(body))
            receiver.headers.append(self.headers)
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/alarms"
    with _serving(server):
        yield receiver


class Mailbox:
    """What a mail server on loopback was handed."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.recipients: list[str] = []
        self.refuses = 0  # so many connections, before it takes any
        self.port = 0


@contextmanager
def a_mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            if mailbox.refuses > 0:
                mailbox.refuses -= 1
                self.say("421 come back later")
                return
            self.say("220 test")
            while line := self.rfile.readline():
                command = line.decode().strip()
                if command.upper().startswith("RCPT TO:"):
                    mailbox.recipients.append(command[8:])
                if command.upper() == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (part := self.rfile.readline()) != b".\r\n":
                        lines.append(part)
                    mailbox.messages.append(message_from_bytes(b"".join(lines), policy=default))
                self.say("221 bye" if command.upper() == "QUIT" else "250 ok")
                if command.upper() == "QUIT":
                    return

    server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
    mailbox.port = server.server_address[1]
    with _serving(server):
        yield mailbox


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_webhook(receiver: Receiver, **more: Any) -> AlarmTarget:
    return AlarmTarget(name="ops", webhook_url=receiver.url, webhook_secret=SecretStr(SECRET), **more)


async def disobey(world: World, *, obeys: bool = False) -> None:
    world.events.publish(ObedienceChanged("cs01", 1, obeys, world.clock.now()))
    await world.settle(seconds=1)


async def test_a_webhook_is_signed_and_says_when_it_is_over(tmp_path: Path) -> None:
    with a_receiver() as receiver:
        async with a_world(tmp_path, a_webhook(receiver)) as world:
            await disobey(world)
            await disobey(world, obeys=True)

            [alarm] = await world.store.alarms("depot")
            assert [body["event"] for body in receiver.bodies] == ["alarm.raised", "alarm.resolved"]
            assert [body["id"] for body in receiver.bodies] == [f"{alarm.alarm_id}-{x}" for x in ("raised", "resolved")]
            assert receiver.bodies[0]["detail"] == "cs01/1 draws more than it was allowed"
            for raw, headers in zip(receiver.raw, receiver.headers, strict=True):
                now = world.clock.now()
                verify(SECRET.encode(), raw, headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER], now)
            assert [notice.state for notice in await world.store.alarm_notices("depot")] == ["sent", "sent"]


async def test_a_receiver_that_fails_is_tried_again_and_hears_of_the_beginning_first(tmp_path: Path) -> None:
    with a_receiver() as receiver:
        receiver.statuses = [503, 302, 500]
        async with a_world(tmp_path, a_webhook(receiver)) as world:
            await disobey(world)
            await disobey(world, obeys=True)
            at_first = [(notice.state, notice.error) for notice in await world.store.alarm_notices("depot")]
            await world.settle(minutes=10)

            assert ("pending", "the receiver answered with HTTP 503") in at_first
            assert [body["event"] for body in receiver.bodies] == ["alarm.raised"] * 4 + ["alarm.resolved"]
            assert {notice.state for notice in await world.store.alarm_notices("depot")} == {"sent"}


async def test_what_a_restart_finds_undelivered_is_delivered(tmp_path: Path) -> None:
    with a_receiver() as receiver:
        target = a_webhook(receiver)
        clock = SteppedClock(NOW)
        async with a_store(clock, directory=tmp_path) as store:
            await store.save_site(a_site())
            alarm = Alarm("one", "depot", "mode", "failsafe", "mode failsafe", NOW)
            await store.raise_alarm(alarm, target.channels("depot", "mode"))
            await Courier(store, clock, Events(), [target], None).deliver_due()

    assert [body["id"] for body in receiver.bodies] == ["one-raised"]


async def test_after_a_day_it_is_given_up(tmp_path: Path) -> None:
    with a_receiver() as receiver:
        receiver.statuses = [500] * 1000
        target, clock = a_webhook(receiver), SteppedClock(NOW)
        async with a_store(clock, directory=tmp_path) as store:
            await store.save_site(a_site())
            await store.raise_alarm(
                Alarm("one", "depot", "mode", "failsafe", "mode failsafe", NOW), target.channels("depot", "mode")
            )
            courier = Courier(store, clock, Events(), [target], None)
            while (notice := (await store.alarm_notices("depot"))[0]).state == "pending":
                await clock.run_until(notice.next_at)
                await courier.deliver_due()

    assert (notice.state, notice.error) == ("failed", "the receiver answered with HTTP 500")
    assert 20 < notice.attempts < 60
    assert NOW + 23 * HOUR < clock.now() <= NOW + 24 * HOUR


async def test_an_email_goes_to_every_address_once_the_server_takes_it(tmp_path: Path) -> None:
    with a_mailbox() as mailbox:
        mailbox.refuses = 1
        target = AlarmTarget(name="ops", email_to=("a@example.org", "b@example.org"))
        mail = MailServer("127.0.0.1", mailbox.port, "none", "smartcharge@example.org")
        async with a_world(tmp_path, target, mail=mail) as world:
            await disobey(world)
            await world.settle(minutes=1)
            await disobey(world, obeys=True)

            assert [message["Subject"] for message in mailbox.messages] == [
                "Alarm: depot: a charging station disobeys (cs01/1)",
                "Over: depot: a charging station disobeys (cs01/1)",
            ]
            assert mailbox.recipients == ["<a@example.org>", "<b@example.org>"] * 2
            first = mailbox.messages[0].get_payload()
            assert "cs01/1 draws more than it was allowed" in first


async def test_a_target_hears_of_its_own_sites_and_kinds_alone(tmp_path: Path) -> None:
    with a_receiver() as receiver:
        others = a_webhook(receiver, sites=("yard",))
        modes = a_webhook(receiver, kinds=("mode",))
        async with a_world(tmp_path, others, modes) as world:
            await disobey(world)

            assert receiver.bodies == []
            assert len(await world.store.alarms("depot")) == 1
            assert await world.store.alarm_notices("depot") == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "neither webhook_url nor email_to"),
        ({"webhook_url": "http://example.org/x", "webhook_secret": SECRET}, "not encrypted"),
        ({"webhook_url": "https://example.org/x"}, "openssl rand"),
        ({"webhook_url": "https://example.org/x", "webhook_secret": "short"}, "openssl rand"),
        ({"email_to": ["nobody"]}, "is no address"),
        ({"email_to": ["a@b\r\nBcc: c@d"]}, "is no address"),
    ],
)
def test_a_target_that_cannot_be_reached_safely_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AlarmTarget.model_validate({"name": "ops"} | wrong)


async def test_a_battery_that_ignores_its_commands_is_told_of_until_it_follows(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for state, detail in (
            ("sent", None),
            ("unknown", "it was not reached"),
            ("ignored", "holds 3 kW"),
            ("sent", None),
            ("ignored", "holds 3 kW"),
        ):
            world.events.publish(ActuatorChanged("depot", "battery/store", state, detail, world.clock.now()))
        await world.settle(seconds=1)
        raised = await world.told()
        [alarm] = await world.store.alarms("depot")
        world.events.publish(ActuatorChanged("depot", "battery/store", "verified", None, world.clock.now()))
        await world.settle(seconds=1)

        assert raised == [("actuator", "battery/store", True)]
        assert alarm.detail == "battery/store: ignored, holds 3 kW"
        assert await world.told() == [("actuator", "battery/store", False)]
