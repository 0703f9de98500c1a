"""An operator's OCPP commands: plain payload in, the station's reply out, and every way in which it can go wrong."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.commands import IN_DOUBT_HEADER, VERSION_HEADER
from app.csms.commands import ANSWERED, SENT, redacted, scope_of
from app.csms.connector import OcppVersion
from app.errors import CallFailedError, OutcomeUnknownError, StationBusyError
from app.events import PriorityChargingChanged, TransactionStarted, WishChanged
from app.main import service
from app.settings import Settings
from tests.app.api.builders import NOW, SITE, Api, an_api, wrong
from tests.app.csms.stations import connected

PATH = "/v1/charging-stations/cs01/commands"
TRIGGER = {"requestedMessage": "Heartbeat"}
PROFILE = {
    "connectorId": 1,
    "csChargingProfiles": {
        "chargingProfileId": 5,
        "stackLevel": 9,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.1}]},
    },
}


async def a_reply(api: Api, action: str, payload: Any, **query: Any) -> Any:
    api.connector.online = frozenset({"cs01"})
    return await api.client.post(f"{PATH}/{action}", json=payload, params=query)


async def test_the_stations_reply_comes_back_as_it_was() -> None:
    async with an_api() as api:
        api.connector.replies["TriggerMessage"] = {"status": "NotImplemented", "vendor": [1, {"x": None}]}

        answer = await a_reply(api, "TriggerMessage", TRIGGER)

        assert (answer.status_code, answer.json()) == (200, {"status": "NotImplemented", "vendor": [1, {"x": None}]})
        assert answer.headers[VERSION_HEADER] == "1.6"
        assert IN_DOUBT_HEADER not in answer.headers
        assert api.connector.sent == [("cs01", "TriggerMessage", TRIGGER)]


async def test_an_error_of_the_station_is_a_problem_with_ocpps_own_words() -> None:
    async with an_api() as api:
        api.connector.replies["TriggerMessage"] = CallFailedError("cs01", "NotSupported", "no such thing")

        answer = await a_reply(api, "TriggerMessage", TRIGGER)

        assert wrong(answer, 502) == {}
        body = answer.json()
        assert (body["code"], body["description"]) == ("NotSupported", "no such thing")
        assert body["type"] == "urn:smartcharge:station-error"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (OutcomeUnknownError("cs01", "not answered within 30 s"), 504, "outcome-unknown"),
        (StationBusyError("cs01", "TriggerMessage", 64), 503, "station-busy"),
    ],
)
async def test_silence_and_a_full_queue_are_said_as_such(error: Exception, status: int, kind: str) -> None:
    async with an_api() as api:
        api.connector.replies["TriggerMessage"] = error

        answer = await a_reply(api, "TriggerMessage", TRIGGER)

        wrong(answer, status)
        assert answer.json()["type"] == f"urn:smartcharge:{kind}"


async def test_a_station_that_is_not_connected_is_a_conflict_and_an_unknown_one_is_not_found() -> None:
    async with an_api() as api:
        wrong(await api.client.post(f"{PATH}/TriggerMessage", json=TRIGGER), 409)
        wrong(await api.client.post("/v1/charging-stations/cs99/commands/TriggerMessage", json=TRIGGER), 404)
        wrong(await api.client.get(f"{PATH}"), 409)


@pytest.mark.parametrize(
    ("version", "action", "payload", "field", "said"),
    [
        ("1.6", "TriggerMessage", {"requestedMessage": "Nonsense"}, "requestedMessage", "'Nonsense' is not one of"),
        ("1.6", "TriggerMessage", {}, "payload", "'requestedMessage' is a required property"),
        ("1.6", "Reset", {"type": "Soft", "now": True}, "payload", "'now' was unexpected"),
        ("1.6", "ReserveNow", {"connectorId": "1"}, "", "'1' is not of type 'integer'"),
        ("1.6", "Frobnicate", {}, "action", "Frobnicate is unknown in OCPP 1.6"),
        ("1.6", "BootNotification", {}, "action", "BootNotification is what a station says in OCPP 1.6"),
        ("1.6", "GetVariables", {}, "action", "GetVariables is unknown in OCPP 1.6"),
        ("2.0.1", "GetVariables", {"getVariableData": []}, "getVariableData", "[] should be non-empty"),
        ("2.1", "Reset", {"type": "Hard"}, "type", "'Hard' is not one of"),
        ("2.0.1", "RemoteStartTransaction", {"idTag": "x"}, "action", "unknown in OCPP 2.0.1"),
    ],
)
async def test_what_is_not_ocpp_is_refused_by_field_and_value(
    version: OcppVersion, action: str, payload: Any, field: str, said: str
) -> None:
    async with an_api() as api:
        api.connector.versions["cs01"] = version

        error = wrong(await a_reply(api, action, payload))

        assert field in ("", error["field"])
        assert said in error["message"]
        assert api.connector.sent == []


async def test_a_deep_field_is_named_by_its_whole_path() -> None:
    async with an_api() as api:
        payload = {"connectorId": 1, "csChargingProfiles": PROFILE["csChargingProfiles"] | {"chargingSchedule": {}}}  # type: ignore[operator]  # a dict, says the literal

        error = wrong(await a_reply(api, "SetChargingProfile", payload))

        assert error["field"] == "csChargingProfiles.chargingSchedule"


async def test_an_admin_may_send_what_no_schema_knows() -> None:
    async with an_api() as api:
        answer = await a_reply(api, "VendorThing", {"x": 1}, validate=False)

        assert answer.status_code == 200
        assert api.connector.sent == [("cs01", "VendorThing", {"x": 1})]
        assert answer.headers[IN_DOUBT_HEADER] == "cs01/1"  # it may have done anything
        headers = await api.as_("write")
        path = f"{PATH}/TriggerMessage?validate=false"
        wrong(await api.client.post(path, json=TRIGGER, headers=headers), 403)


@pytest.mark.parametrize("body", ['{"a": NaN}', '{"a": "\\ud800"}', '{"a": 1e999}', "[]", "7", '{"a": 1, "a": 2}'])
async def test_what_cannot_be_put_into_a_frame_is_refused(body: str) -> None:
    async with an_api() as api:
        api.connector.online = frozenset({"cs01"})

        answer = await api.client.post(
            f"{PATH}/VendorThing?validate=false", content=body, headers={"content-type": "application/json"}
        )

        wrong(answer)
        assert api.connector.sent == []


async def test_a_payload_larger_than_a_frame_of_1_6_is_refused() -> None:
    async with an_api() as api:
        payload = {"vendorId": "x", "data": "x" * 70_000}

        assert wrong(await a_reply(api, "DataTransfer", payload))["field"] == "payload"


@pytest.mark.parametrize("action", ["Frob-nicate", "..", "A" * 51, "1Reset"])
async def test_an_action_is_a_word(action: str) -> None:
    async with an_api() as api:
        answer = await a_reply(api, action, {}, validate=False)

        assert answer.status_code in (404, 405, 422)
        assert api.connector.sent == []


async def test_everyday_commands_take_a_writers_key_and_the_others_an_admins() -> None:
    async with an_api() as api:
        api.connector.online = frozenset({"cs01"})
        writer, reader = await api.as_("write"), await api.as_("read")

        async def status(headers: Any, action: str, payload: Any) -> int:
            return (await api.client.post(f"{PATH}/{action}", json=payload, headers=headers)).status_code

        assert await status(writer, "TriggerMessage", TRIGGER) == 200
        assert await status(reader, "TriggerMessage", TRIGGER) == 403
        assert await status(writer, "ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}) == 403
        assert await status(writer, "SetChargingProfile", PROFILE) == 403
        start = {"idTag": "TAG", "chargingProfile": PROFILE["csChargingProfiles"]}
        assert await status(writer, "RemoteStartTransaction", start) == 403
        assert await status(writer, "RemoteStartTransaction", {"idTag": "TAG"}) == 200


async def test_a_profile_by_hand_puts_the_stations_evses_in_doubt_and_no_other_command_does() -> None:
    async with an_api() as api:
        answer = await a_reply(api, "SetChargingProfile", PROFILE)
        unmoved = await a_reply(api, "Reset", {"type": "Soft"})

        assert answer.status_code == 200
        assert answer.headers[IN_DOUBT_HEADER] == "cs01/1"
        assert IN_DOUBT_HEADER not in unmoved.headers


async def test_every_command_is_recorded_with_who_sent_it_and_without_passwords() -> None:
    async with an_api() as api:
        api.connector.replies["Reset"] = CallFailedError("cs01", "InternalError", "")
        await a_reply(api, "ChangeConfiguration", {"key": "AuthorizationKey", "value": "0123456789abcdef"})
        await a_reply(api, "Reset", {"type": "Hard"})
        await a_reply(api, "Reset", {"type": "Gentle"})  # refused, and so never sent

        failed, changed = await api.store.notices("cs01")

        assert (failed.action, failed.payload["outcome"]) == ("operator:Reset", "error InternalError")
        assert changed.payload["payload"] == {"key": "AuthorizationKey", "value": "***"}
        assert (changed.payload["outcome"], changed.payload["key_name"]) == ("Accepted", "admin")


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ({"key": ["A", "B"]}, {"key": ["A", "B"]}),
        ({"location": "ftp://me:pw@host/x"}, {"location": "ftp://***@host/x"}),
        (
            {"vpn": {"server": "s", "user": "u", "password": "p", "key": "k"}},
            {"vpn": {"server": "s", "user": "u", "password": "***", "key": "***"}},
        ),
        (
            {"setVariableData": [{"attributeValue": "v", "variable": {"name": "BasicAuthPassword"}}]},
            {"setVariableData": [{"attributeValue": "***", "variable": {"name": "BasicAuthPassword"}}]},
        ),
    ],
)
def test_records_hold_no_secrets(payload: Any, kept: Any) -> None:
    assert redacted(payload) == kept


RESERVATIONS: list[tuple[OcppVersion, Any]] = [
    (
        "1.6",
        {"connectorId": 1, "expiryDate": "2026-06-01T15:00:00Z", "idTag": "TAG", "reservationId": 7},
    ),
    (
        "2.0.1",
        {
            "id": 7,
            "expiryDateTime": "2026-06-01T15:00:00Z",
            "idToken": {"idToken": "TAG", "type": "ISO14443"},
            "evseId": 1,
        },
    ),
]


@pytest.mark.parametrize(("version", "reservation"), RESERVATIONS)
async def test_a_reserved_evse_is_an_expected_session_until_it_is_cancelled(
    version: OcppVersion, reservation: Any
) -> None:
    async with an_api() as api:
        api.connector.versions["cs01"] = version

        await a_reply(api, "ReserveNow", reservation)

        [wish] = await api.store.wishes("depot")
        assert (wish.station_id, wish.evse_id, wish.id_tag) == ("cs01", 1, "TAG")
        assert wish.arrival is not None
        assert wish.arrival.isoformat() == "2026-06-01T14:30:00+00:00"
        assert (await a_reply(api, "CancelReservation", {"reservationId": 7})).status_code == 200
        assert await api.store.wishes("depot") == []
        assert [event.site_id for event in api.heard if isinstance(event, WishChanged)] == ["depot", "depot"]


async def test_a_reservation_that_the_station_refuses_is_expected_by_nobody() -> None:
    async with an_api() as api:
        api.connector.replies["ReserveNow"] = {"status": "Occupied"}

        await a_reply(api, "ReserveNow", RESERVATIONS[0][1])

        assert await api.store.wishes("depot") == []


async def test_a_transaction_at_its_evse_uses_a_reservation_up() -> None:
    async with an_api() as api:
        await a_reply(api, "ReserveNow", RESERVATIONS[0][1])

        api.app.state.services.events.publish(TransactionStarted("cs01", 1, 42, NOW, live=True))
        await api.app.state.services.commands.close()

        assert await api.store.wishes("depot") == []


@pytest.mark.parametrize(("status", "told"), [("Accepted", [True, False]), ("Rejected", [])])
async def test_who_is_given_priority_is_told_to_the_dispatcher(status: str, told: list[bool]) -> None:
    async with an_api() as api:
        api.connector.versions["cs01"] = "2.1"
        api.connector.replies["UsePriorityCharging"] = {"status": status}
        await api.store.start_transaction(
            station_id="cs01", evse_id=1, id_tag="TAG", started_at=NOW, meter_start_wh=0, ocpp_transaction_id="tx-9"
        )

        for activate in (True, False):
            await a_reply(api, "UsePriorityCharging", {"transactionId": "tx-9", "activate": activate})
        await a_reply(api, "UsePriorityCharging", {"transactionId": "nobody's", "activate": True})

        heard = [event for event in api.heard if isinstance(event, PriorityChargingChanged)]
        assert [(event.evse_id, event.active) for event in heard] == [(1, active) for active in told]


async def test_the_api_lists_what_a_station_may_be_sent() -> None:
    async with an_api() as api:
        api.connector.online = frozenset({"cs01"})
        api.connector.versions["cs01"] = "2.1"

        listed = (await api.client.get(PATH)).json()

        assert listed["ocpp_version"] == "2.1"
        assert {command["action"] for command in listed["commands"]} == SENT["2.1"]
        document = (await api.anonymous.get("/openapi.json")).json()
        described = document["paths"]["/v1/charging-stations/{charging_station_id}/commands/{action}"]["post"]
        assert all(action in described["description"] for sent in SENT.values() for action in sent)


def test_whatever_sets_or_opens_something_takes_an_admins_key() -> None:
    for sent in SENT.values():
        for action in sent:
            if action.startswith(("Set", "Install", "Delete", "Update", "Publish", "Clear", "Change")):
                harmless = {"SetDisplayMessage", "ClearDisplayMessage", "ClearCache", "ChangeAvailability"}
                assert scope_of(action, {}) == ("write" if action in harmless else "admin"), action


def test_only_data_transfer_goes_both_ways() -> None:
    for version, sent in SENT.items():
        assert sent & ANSWERED[version] == {"DataTransfer"}


async def test_a_command_travels_from_http_to_the_stations_socket_and_back(tmp_path: Path) -> None:
    settings = Settings(http_port=0, ocpp_port=0, data_dir=tmp_path, ocpp_auth="none", call_timeout_s=5)
    async with service(settings) as running:
        headers = {"Authorization": f"Bearer {await running.create_key('test')}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers) as client:
            await client.post("/v1/sites", json=SITE)
            async with connected(running.gateway, "cs01", password=None) as station:
                station.answers["Reset"] = {"status": "Rejected"}
                answered = await client.post(f"{PATH}/Reset", json={"type": "Hard"})
                station.answers["Reset"] = [4, "InternalError", "bolt", {}]
                failed = await client.post(f"{PATH}/Reset", json={"type": "Hard"})
                station.answers["Reset"] = None
                silent = await client.post(f"{PATH}/Reset?timeout_s=0.05", json={"type": "Hard"})
                station.answers["SetChargingProfile"] = {"status": "Accepted"}
                moved = await client.post(f"{PATH}/SetChargingProfile", json=PROFILE)

    assert (answered.status_code, answered.json()) == (200, {"status": "Rejected"})
    assert (failed.status_code, failed.json()["description"]) == (502, "bolt")
    assert silent.status_code == 504
    assert moved.headers[IN_DOUBT_HEADER] == "cs01/1"
