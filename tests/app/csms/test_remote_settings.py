"""Another CSMS is named by the operator, and its address is a safe one."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from app.csms.remote.settings import RemoteCsms
from app.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"


def a_csms(**changes: Any) -> dict[str, Any]:
    return {
        "name": "other",
        "kind": "webhook",
        "url": "https://csms.example.org/commands",
        "stations": {"cs01": "1.6"},
        "secret": SECRET,
    } | changes


@pytest.mark.parametrize(
    "url",
    [
        "https://csms.example.org/commands",
        "http://127.0.0.1:8081/ocpp",
        "http://[::1]:8081/ocpp",
        "http://localhost/commands",
    ],
)
def test_addresses_that_are_encrypted_or_stay_on_this_machine_are_taken(url: str) -> None:
    assert RemoteCsms.model_validate(a_csms(url=url)).url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://csms.example.org/commands", "not encrypted"),
        ("http://169.254.169.254/latest", "not encrypted"),
        ("http://127.0.0.1.example.org/", "not encrypted"),
        ("file:///etc/passwd", "no address"),
        ("https://", "no address"),
        ("https://user:pass@csms.example.org/", "neither a login"),
        ("https://csms.example.org/?to=elsewhere", "nor a query"),
    ],
)
def test_other_addresses_are_refused(url: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RemoteCsms.model_validate(a_csms(url=url))


def test_a_host_in_ones_own_network_may_be_spoken_to_without_tls_when_it_is_named() -> None:
    csms = RemoteCsms.model_validate(a_csms(url="http://csms.lan/commands", plain_http_hosts=["csms.lan"]))

    assert csms.url == "http://csms.lan/commands"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": "short"}, "shorter than 32"),
        ({"kind": "citrineos"}, "callback_url is missing"),
        ({"kind": "citrineos", "callback_url": "http://us.example.org"}, "callback_url .* is not encrypted"),
        (
            {"kind": "citrineos", "callback_url": "https://us.example.org", "stations": {"cs01": "2.1"}},
            "no path for OCPP 2.1",
        ),
        ({"stations": {}}, "stations"),
        ({"stations": {"cs01": "1.5"}}, "stations"),
        ({"name": "../events"}, "name"),
        ({"colour": "green"}, "colour"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RemoteCsms.model_validate(a_csms(**changes))


def test_a_station_is_behind_one_csms_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTCHARGE_REMOTE_CSMS", json.dumps([a_csms(), a_csms(name="second")]))

    with pytest.raises(ValidationError, match="the station 'cs01' is there twice"):
        Settings()


def test_the_environment_names_them_as_json_and_an_error_does_not_tell_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SMARTCHARGE_REMOTE_CSMS", json.dumps([a_csms()]))
    (csms,) = Settings().remote_csms
    monkeypatch.setenv("SMARTCHARGE_REMOTE_CSMS", json.dumps([a_csms(url="http://csms.example.org")]))

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert csms.secret.get_secret_value() == SECRET
    assert SECRET not in str(csms)
    assert SECRET not in str(refused.value)
