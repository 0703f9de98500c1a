"""OCPP's security profiles over real sockets, and what happens to keys that change."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from app.clock import SystemClock
from app.csms.gateway import Gateway
from app.csms.passwords import hash_password
from app.csms.tls import RevocationLists, server_context
from app.db.store import Store
from app.errors import CallFailedError, InvalidInputError, OutcomeUnknownError
from app.events import Events, SiteChanged, StationFlapping
from app.settings import Settings
from app.site import Site
from tests.app.csms.certificates import Authority, needs_openssl
from tests.app.csms.stations import (
    PASSWORD,
    STATION,
    Station,
    a_gateway,
    a_site,
    connected,
    eventually,
    of_kind,
    recorded,
)

NEW_KEY = "00112233445566778899aabbccddeeff00112233"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_settings(authority: Authority) -> dict[str, Any]:
    server = authority.sign("localhost", "IP:127.0.0.1")
    return {
        "ocpp_tls_port": 0,
        "ocpp_tls_certificate": server.certificate,
        "ocpp_tls_key": server.key,
        "ocpp_tls_client_ca": authority.certificate,
    }


async def refused(gateway: Gateway, station_id: str = STATION, **login: Any) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        async with connected(gateway, station_id, **login):
            pass
    return refusal.value.response.status_code


async def opens(gateway: Gateway, station_id: str = STATION, **login: Any) -> bool:
    async with connected(gateway, station_id, **login) as station:
        return "currentTime" in await station.call("Heartbeat", {})


async def require(store: Store, events: Events, **fields: Any) -> None:
    """Put `fields` into the station's part of the document."""
    document = a_site().model_dump(mode="json")
    document["charging_stations"][0] |= fields
    await store.save_site(Site.model_validate(document))
    events.publish(SiteChanged("depot", datetime.now(UTC)))


@needs_openssl
async def test_the_same_station_may_come_with_tls_or_without_where_profile_1_is_enough(
    store: Store, authority: Authority, tls_settings: dict[str, Any]
) -> None:
    async with a_gateway(store, **tls_settings) as gateway:
        assert await opens(gateway)
        assert await opens(gateway, tls=authority.client_context())
        assert await refused(gateway, tls=authority.client_context(), password="wrong-wrong-wrong") == 401


@needs_openssl
async def test_from_profile_2_on_nothing_listens_without_tls(
    store: Store, authority: Authority, tls_settings: dict[str, Any]
) -> None:
    async with a_gateway(store, ocpp_security_profile=2, **tls_settings) as gateway:
        assert await opens(gateway, tls=authority.client_context())
        assert (gateway.scheme, gateway.port) == ("wss", gateway.tls_port)
        with pytest.raises((OSError, InvalidHandshake)):
            await opens(gateway)


@needs_openssl
async def test_tls_1_1_is_no_tls(store: Store, authority: Authority, tls_settings: dict[str, Any]) -> None:
    old = authority.client_context()
    async with a_gateway(store, **tls_settings) as gateway:
        with pytest.deprecated_call():
            old.minimum_version = ssl.TLSVersion.TLSv1_1
        with pytest.deprecated_call():
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            async with connected(gateway, tls=old):
                pass


@needs_openssl
@pytest.mark.parametrize(("common_name", "alternative"), [(STATION, "DNS:x.invalid"), ("serial-7", f"DNS:{STATION}")])
async def test_a_certificate_in_the_stations_name_opens_without_a_password(
    store: Store, authority: Authority, tls_settings: dict[str, Any], common_name: str, alternative: str
) -> None:
    shown = authority.sign(common_name, alternative)

    async with a_gateway(store, ocpp_security_profile=3, **tls_settings) as gateway:
        assert await opens(gateway, tls=authority.client_context(shown), password=None)


@needs_openssl
async def test_under_profile_3_a_password_is_not_enough_and_a_certificate_of_another_is_none(
    store: Store, authority: Authority, tls_settings: dict[str, Any]
) -> None:
    async with a_gateway(store, ocpp_security_profile=3, **tls_settings) as gateway:
        assert await refused(gateway, tls=authority.client_context()) == 403
        assert await refused(gateway, tls=authority.client_context(authority.sign("cs02"))) == 401


@needs_openssl
async def test_a_certificate_that_nobody_we_know_signed_does_not_get_through_the_handshake(
    store: Store, authority: Authority, tls_settings: dict[str, Any], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").sign(STATION)

    async with a_gateway(store, **tls_settings) as gateway:
        with pytest.raises((OSError, ConnectionClosed, InvalidHandshake)):
            async with connected(gateway, tls=authority.client_context(stranger)) as station:
                await station.call("Heartbeat", {})


@needs_openssl
async def test_a_station_may_be_asked_for_more_than_the_others_and_at_once(
    store: Store, authority: Authority, tls_settings: dict[str, Any]
) -> None:
    events = Events()
    async with a_gateway(store, events=events, **tls_settings) as gateway:
        async with connected(gateway) as station:
            await require(store, events, security_profile=2)
            async with asyncio.timeout(5):
                await station.connection.wait_closed()
            assert station.connection.close_code == 1008
        await eventually(lambda: not gateway.connected())

        assert await refused(gateway) == 403
        assert await opens(gateway, tls=authority.client_context())


async def test_profile_2_without_a_certificate_is_a_mistake_that_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="ocpp_tls_certificate"):
        async with a_gateway(store, ocpp_security_profile=2):
            pass
    with pytest.raises(InvalidInputError, match="ocpp_tls_certificate"):
        async with a_gateway(store, ocpp_tls_certificate=tmp_path / "missing.pem"):
            pass


async def test_a_station_that_names_no_subprotocol_speaks_what_its_site_says(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.csms import gateway as module
    from app.csms.wire import WIRE_201

    monkeypatch.setitem(module.DIALECTS, "ocpp2.0.1", (WIRE_201, module.DIALECTS["ocpp1.6"][1]))
    await require(store, Events(), ocpp_version="2.0.1")
    async with a_gateway(store) as gateway, connected(gateway, subprotocols=None):
        await eventually(gateway.connected)
        assert gateway.version(STATION) == "2.0.1"


# --- keys that change


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    async with a_gateway(store) as running:
        yield running


async def change_key(gateway: Gateway, station: Station, answer: Any) -> None:
    station.answers["ChangeConfiguration"] = answer
    await gateway.change_configuration(STATION, "AuthorizationKey", NEW_KEY)


async def test_once_accepted_only_the_new_key_is_valid(gateway: Gateway) -> None:
    async with connected(gateway) as station:
        await change_key(gateway, station, {"status": "Accepted"})

    assert await opens(gateway, password=bytes.fromhex(NEW_KEY))
    assert await refused(gateway) == 401


@pytest.mark.parametrize("answer", [{"status": "Rejected"}, {"status": "NotSupported"}, [4, "InternalError", "", {}]])
async def test_a_refused_key_changes_nothing(gateway: Gateway, answer: Any) -> None:
    async with connected(gateway) as station:
        try:
            await change_key(gateway, station, answer)
        except CallFailedError:
            assert isinstance(answer, list)

    assert await refused(gateway, password=NEW_KEY) == 401
    assert await opens(gateway)


async def test_while_nobody_knows_both_keys_open_until_the_new_one_did(gateway: Gateway, store: Store) -> None:
    async with connected(gateway) as station:
        station.answers["ChangeConfiguration"] = None
        with pytest.raises(OutcomeUnknownError):
            await gateway.call(
                STATION, "ChangeConfiguration", {"key": "AuthorizationKey", "value": NEW_KEY}, timeout_s=0.05
            )

    assert await opens(gateway)
    assert await opens(gateway, password=NEW_KEY)
    assert await refused(gateway) == 401
    assert await opens(gateway, password=NEW_KEY)


async def test_a_password_of_2_x_follows_the_same_order(gateway: Gateway, store: Store) -> None:
    data = {
        "component": {"name": "SecurityCtrlr"},
        "variable": {"name": "BasicAuthPassword"},
        "attributeValue": "correct-horse-battery",
    }
    async with connected(gateway) as station:
        station.answers["SetVariables"] = {
            "setVariableResult": [
                {"component": data["component"], "variable": data["variable"], "attributeStatus": "Accepted"}
            ]
        }
        await gateway.call(STATION, "SetVariables", {"setVariableData": [data]})

    assert await refused(gateway) == 401
    assert await opens(gateway, password="correct-horse-battery")


# --- patience


async def test_after_a_few_wrong_passwords_even_the_right_one_must_wait(gateway: Gateway) -> None:
    statuses = [await refused(gateway, password=f"guess-{number}-guess-guess") for number in range(6)]

    assert statuses == [401] * 5 + [429]
    assert await refused(gateway) == 429


async def test_guesses_do_not_keep_a_station_out_of_where_it_last_came_from(gateway: Gateway) -> None:
    assert await opens(gateway)
    for number in range(5):
        await refused(gateway, password=f"guess-{number}-guess-guess")

    assert await refused(gateway) == 429
    await asyncio.sleep(1.05)
    assert await opens(gateway)


async def test_a_station_that_connects_all_the_time_is_kept_out_and_said_so_once(store: Store) -> None:
    events = Events()
    seen = recorded(events)
    async with a_gateway(store, events=events, ocpp_connects_a_minute=3) as gateway:
        for _ in range(3):
            assert await opens(gateway)
        assert [await refused(gateway), await refused(gateway)] == [429, 429]

    assert [event.station_id for event in of_kind(seen, StationFlapping)] == [STATION]


async def test_too_many_logins_at_once_are_told_when_to_come_back(store: Store) -> None:
    await store.set_password_hash(STATION, hash_password("correct horse battery"))
    async with a_gateway(store, ocpp_handshakes=1) as gateway:

        async def attempt() -> tuple[int, str | None]:
            try:
                async with connected(gateway, password="correct horse battery"):
                    return 101, None
            except InvalidStatus as refusal:
                return refusal.response.status_code, refusal.response.headers.get("Retry-After")

        answers = await asyncio.gather(*[attempt() for _ in range(8)])

    assert (101, None) in answers
    later = {answer for answer in answers if answer[0] != 101}
    assert later <= {(503, str(seconds)) for seconds in range(1, 6)}
    assert later


# --- enrolment


async def test_a_stranger_that_knocks_is_recorded_and_refused_until_a_site_names_it(store: Store) -> None:
    async with a_gateway(store, ocpp_enrolment=True) as gateway:
        assert await refused(gateway, "cs07") == 404
        assert await refused(gateway, "cs07") == 404

        (applicant,) = gateway.enrolment.pending()
        assert (applicant.station_id, applicant.attempts) == ("cs07", 2)
        assert applicant.password_hash is not None
        assert PASSWORD not in repr(applicant)

        await store.save_site(a_site(STATION, "cs07"))
        await store.set_password_hash("cs07", applicant.password_hash)
        assert await opens(gateway, "cs07")


async def test_without_enrolment_strangers_leave_no_trace(gateway: Gateway) -> None:
    assert await refused(gateway, "cs07") == 404
    assert gateway.enrolment.pending() == []


@needs_openssl
async def test_a_revoked_certificate_is_refused_in_the_handshake(
    store: Store, authority: Authority, tls_settings: dict[str, Any]
) -> None:
    revoked, good = authority.sign(STATION), authority.sign("cs-good", f"DNS:{STATION}")
    listed = authority.revocation_list(revoked)
    async with a_gateway(store, ocpp_tls_client_crl=listed, **tls_settings) as gateway:
        assert await opens(gateway, tls=authority.client_context(good), password=None)
        assert await opens(gateway, tls=authority.client_context())  # by its password: it shows none
        with pytest.raises((ssl.SSLError, OSError, InvalidHandshake)):
            await opens(gateway, tls=authority.client_context(revoked), password=None)


@needs_openssl
async def test_a_new_revocation_list_counts_without_a_restart(
    store: Store, authority: Authority, tls_settings: dict[str, Any], tmp_path: Path
) -> None:
    station = authority.sign("cs-later", f"DNS:{STATION}")
    path = tmp_path / "lists.pem"
    path.write_bytes(authority.revocation_list(name="before").read_bytes())
    settings = Settings(**tls_settings, ocpp_tls_client_crl=path)
    context = server_context(settings)
    assert context is not None
    lists = RevocationLists(context, path, SystemClock())
    path.write_bytes(authority.revocation_list(station, name="after").read_bytes())
    before = context.cert_store_stats()["crl"]

    lists.look()
    lists.look()
    path.unlink()
    lists.look()  # what was loaded stays

    assert context.cert_store_stats()["crl"] == before + 1


@needs_openssl
async def test_a_revocation_list_needs_its_authority_and_has_to_be_one(
    authority: Authority, tls_settings: dict[str, Any], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no list")

    with pytest.raises(InvalidInputError, match="ocpp_tls_client_crl"):
        server_context(Settings(**tls_settings, ocpp_tls_client_crl=wrong))
    with pytest.raises(InvalidInputError, match="needs ocpp_tls_client_ca"):
        server_context(
            Settings(**(tls_settings | {"ocpp_tls_client_ca": None}), ocpp_tls_client_crl=authority.certificate)
        )
