"""docs/ocpp.md says of every message of the three versions what becomes of it: driven over sockets, and found true."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import ocpp
import pytest

from app.clock import SystemClock
from app.commands import Commands
from app.csms.connector import OcppVersion
from app.csms.gateway import Gateway
from app.csms.ocpp_schemas import check_call, check_result
from app.db.records import ApiKey
from app.db.store import Store
from app.dispatch import Dispatcher
from app.events import Events
from tests.app.csms.negative_frames import SUBPROTOCOLS, VERSIONS
from tests.app.csms.schema_messages import least
from tests.app.csms.stations import STATION, Station, a_gateway, connected

DOCUMENT = Path(__file__).parents[3] / "docs" / "ocpp.md"
TABLE = DOCUMENT.read_text("utf-8").partition("## Every message")[2].partition("|---")[2]
ROW = re.compile(r"^\| (?P<action>[A-Z]\w+) \| (?P<cells>[^|]+ \| [^|]+ \| [^|]+) \| (?P<text>[^|]+) \|$", re.MULTILINE)
ADMIN = ApiKey("k1", "test", "", ("admin",), SystemClock().now())
ABSENT = "–"
WORDS = {ABSENT, "answered", "sent", "answered, sent", "taken"}


def rows() -> dict[str, dict[OcppVersion, str]]:
    """What the document says: by action and version."""
    return {
        row["action"]: dict(zip(VERSIONS, (cell.strip() for cell in row["cells"].split("|")), strict=True))
        for row in ROW.finditer(TABLE)
    }


def said(version: OcppVersion, word: str) -> list[str]:
    """The actions of which the document says `word`."""
    return sorted(action for action, cells in rows().items() if word in cells[version].split(", "))


def in_schemas(version: OcppVersion) -> set[str]:
    folder = Path(ocpp.__file__).parent / f"v{version.replace('.', '')}" / "schemas"
    return {file.stem.removesuffix("Response").removesuffix("Request") for file in folder.glob("*.json")}


@pytest.fixture
async def events() -> Events:
    return Events()


@pytest.fixture
async def gateway(store: Store, events: Events) -> AsyncIterator[Gateway]:
    async with a_gateway(store, events=events) as running:
        yield running


@pytest.mark.parametrize("version", VERSIONS)
def test_it_names_every_message_of_the_version_and_no_other(version: OcppVersion) -> None:
    named = {action for action, cells in rows().items() if cells[version] != ABSENT}

    assert named == in_schemas(version)


def test_it_has_a_word_for_each_and_each_once() -> None:
    assert {cell for cells in rows().values() for cell in cells.values()} <= WORDS
    listed = [row["action"] for row in ROW.finditer(TABLE)]
    assert listed == sorted(set(listed), key=str.lower)


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_it_calls_answered_is(gateway: Gateway, version: OcppVersion) -> None:
    async with connected(gateway, subprotocols=(SUBPROTOCOLS[version],)) as station:
        for action in said(version, "answered"):
            payload = least(version, action)
            await check_call(action, payload, version)

            answer = await station.call(action, payload)

            await check_result(action, answer, version)
        assert station.frames.empty()


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_it_does_not_call_answered_is_refused(gateway: Gateway, version: OcppVersion) -> None:
    async with connected(gateway, subprotocols=(SUBPROTOCOLS[version],)) as station:
        for action, cells in rows().items():
            if not {"answered", "taken"} & set(cells[version].split(", ")):
                kind, _, code, *_ = await station.request(action, {})
                assert (kind, code) == (4, "NotImplemented" if cells[version] == ABSENT else "NotSupported"), action


async def test_what_it_calls_taken_is_never_answered(gateway: Gateway) -> None:
    async with connected(gateway, subprotocols=("ocpp2.1",)) as station:
        for action in said("2.1", "taken"):
            await station.send([6, "id", action, least("2.1", action)])

            assert "currentTime" in await station.call("Heartbeat", {})
        assert station.frames.empty()


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_it_calls_sent_an_operator_can_send(
    gateway: Gateway, store: Store, events: Events, version: OcppVersion
) -> None:
    clock = SystemClock()
    dispatcher = Dispatcher(gateway, store, events, clock)
    commands = Commands(lambda _: gateway, dispatcher, store, events, clock)
    async with connected(gateway, subprotocols=(SUBPROTOCOLS[version],)) as station:
        for action in said(version, "sent"):
            await _is_sent(commands, station, version, action)

    assert [notice.action for notice in await store.notices(STATION)][::-1] == [
        f"operator:{action}" for action in said(version, "sent")
    ]
    await commands.close()


async def _is_sent(commands: Commands, station: Station, version: OcppVersion, action: str) -> None:
    payload, reply = least(version, action), least(version, action, "Response")
    station.answers[action] = reply

    answer = await commands.call(ADMIN, STATION, action, payload)

    assert (answer.payload, answer.version) == (reply, version)
    assert station.asked[-1] == (action, payload)
