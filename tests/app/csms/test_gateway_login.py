"""Who gets a connection, and who does not."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.csms.gateway import Gateway
from app.csms.passwords import hash_password
from app.db.store import Store
from tests.app.csms.stations import PASSWORD, STATION, Station, a_gateway, a_site, connected, eventually

BOOT = {"chargePointVendor": "Vendor", "chargePointModel": "Model"}


async def status_of(attempt: AbstractAsyncContextManager[Station]) -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with attempt:
            pass
    return refused.value.response.status_code


@pytest.fixture
async def gateway(store: Store):  # type: ignore[no-untyped-def]  # an async generator of pytest's
    async with a_gateway(store) as running:
        yield running


async def test_the_right_password_opens(gateway: Gateway) -> None:
    async with connected(gateway) as station:
        assert (await station.call("BootNotification", BOOT))["status"] == "Accepted"


async def test_the_bytes_of_a_hex_key_open_although_they_are_no_text(gateway: Gateway) -> None:
    async with connected(gateway, password=bytes.fromhex(PASSWORD)) as station:
        assert "currentTime" in await station.call("Heartbeat", {})


async def test_a_chosen_password_opens(gateway: Gateway, store: Store) -> None:
    await store.set_password_hash(STATION, hash_password("correct horse"))

    async with connected(gateway, password="correct horse") as station:
        assert "currentTime" in await station.call("Heartbeat", {})


@pytest.mark.parametrize("password", ["wrong", "", None, b"\xff\xfe"])
async def test_a_wrong_password_is_401(gateway: Gateway, password: str | bytes | None) -> None:
    assert await status_of(connected(gateway, password=password)) == 401


async def test_another_stations_name_is_401(gateway: Gateway, store: Store) -> None:
    assert await status_of(connected(gateway, user="cs02")) == 401
    assert await status_of(connected(gateway, user=STATION.upper())) == 401


async def test_an_unknown_station_is_404_and_takes_the_time_of_a_wrong_password(gateway: Gateway) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    assert await status_of(connected(gateway, password="wrong")) == 401
    wrong_s = clock() - began

    began = clock()
    assert await status_of(connected(gateway, "cs99")) == 404

    assert min(clock() - began, wrong_s) >= 0.1  # the floor under both


@pytest.mark.parametrize(
    "path", ["/", "/ocpp/cs01%0d%0a", "/ocpp/cs01%00", "/ocpp/" + "x" * 3000, "/ocpp/%3Cscript%3E"]
)
async def test_what_is_no_identity_is_400(gateway: Gateway, path: str) -> None:
    assert await status_of(connected(gateway, path=path)) == 400


async def test_a_station_without_a_password_is_refused_and_the_log_names_the_command(
    gateway: Gateway, store: Store
) -> None:
    await store.save_site(a_site(STATION, "cs02"))

    with capture_logs() as logs:
        assert await status_of(connected(gateway, "cs02")) == 401

    assert any("smartcharge stations password cs02" in entry.get("hint", "") for entry in logs)


async def test_a_password_never_reaches_the_log(gateway: Gateway) -> None:
    with capture_logs() as logs:
        async with connected(gateway) as station:
            await station.call("BootNotification", BOOT)
        await status_of(connected(gateway, password="hunter2-hunter2"))

    assert "hunter2" not in repr(logs)
    assert PASSWORD not in repr(logs)


async def test_with_authentication_off_a_known_station_needs_no_password_and_an_unknown_one_stays_out(
    store: Store,
) -> None:
    async with a_gateway(store, ocpp_auth="none") as gateway:
        async with connected(gateway, password=None) as station:
            assert "currentTime" in await station.call("Heartbeat", {})
        assert await status_of(connected(gateway, "cs99", password=None)) == 404


async def test_a_station_that_names_no_subprotocol_is_taken_as_one_of_1_6(gateway: Gateway) -> None:
    with capture_logs() as logs:
        async with connected(gateway, subprotocols=None) as station:
            assert "currentTime" in await station.call("Heartbeat", {})
            assert station.connection.subprotocol is None

    assert "ocpp.subprotocol_missing" in {entry["event"] for entry in logs}


async def test_without_a_common_subprotocol_the_handshake_completes_and_the_connection_closes(gateway: Gateway) -> None:
    async with connected(gateway, subprotocols=("ocpp1.5",)) as station:
        with pytest.raises(ConnectionClosed):
            await station.request("Heartbeat", {})

        assert station.connection.subprotocol is None
        assert station.connection.close_code == 1002
    assert gateway.connected() == frozenset()


async def test_an_oversized_frame_closes_with_1009(gateway: Gateway) -> None:
    async with connected(gateway) as station:
        await station.send('[2,"1","DataTransfer",{"vendorId":"' + "x" * 70_000 + '"}]')
        await station.connection.wait_closed()

        assert station.connection.close_code == 1009
    await eventually(lambda: not gateway.connected())


async def test_a_handshake_that_never_ends_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.csms.gateway.OPEN_TIMEOUT_S", 0.1)
    async with a_gateway(store) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /ocpp/cs01 HTTP/1.1\r\n")

        async with asyncio.timeout(3):
            await reader.read()
        writer.close()
        await writer.wait_closed()
