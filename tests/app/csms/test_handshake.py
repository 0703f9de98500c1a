import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.handshake import IDENTITY, Credentials, basic_credentials, choose_subprotocol, identity_of


@pytest.mark.parametrize(
    ("target", "identity"),
    [
        ("/cs01", "cs01"),
        ("/ocpp/cs01", "cs01"),
        ("/a/b/c/cs01/", "cs01"),
        ("/cs01?token=1", "cs01"),
        ("/RDAM%20123", "RDAM 123"),
        ("/DE*ABC*E1=+|@._-", "DE*ABC*E1=+|@._-"),
        ("/" + "x" * 48, "x" * 48),
    ],
)
def test_the_identity_ends_the_path(target: str, identity: str) -> None:
    assert identity_of(target) == identity


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "",
        "//",
        "/" + "x" * 49,
        "/cs01%00",
        "/cs01%0d%0aX-Evil:1",
        "/cs01%250a",  # decoded once: what is left is no identity
        "/%2e%2e%2fcs01",
        "/<script>",
        "/cs:01",
        "/cs%3a01",
        "/cs\u00e4",
        "/%ff",
        "/cs01%",
    ],
)
def test_what_is_no_identity_is_none(target: str) -> None:
    assert identity_of(target) is None


@given(st.text(max_size=100))
def test_no_target_is_read_as_anything_but_an_identity(target: str) -> None:
    identity = identity_of(target)

    assert identity is None or IDENTITY.fullmatch(identity)


def basic(login: bytes) -> str:
    return f"Basic {base64.b64encode(login).decode()}"


def test_credentials_are_bytes_and_a_password_may_hold_colons() -> None:
    assert basic_credentials(basic(b"cs01:a:\xff\x00b")) == Credentials(b"cs01", b"a:\xff\x00b")
    assert basic_credentials(basic(b"cs01:").replace("Basic", "basic ")) == Credentials(b"cs01", b"")


@pytest.mark.parametrize("header", [None, "", "Basic", "Basic !!!", "Bearer abc", basic(b"no colon"), "Basic ä"])
def test_what_is_no_basic_login_is_none(header: str | None) -> None:
    assert basic_credentials(header) is None


def test_a_password_never_shows_in_a_repr() -> None:
    assert "hunter2" not in repr(Credentials(b"cs01", b"hunter2"))


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["ocpp1.6"], "ocpp1.6"),
        (["ocpp2.1", "ocpp2.0.1", "ocpp1.6"], "ocpp1.6"),
        (["ocpp2.0.1"], None),
        ([], None),
    ],
)
def test_the_first_common_subprotocol_is_chosen(offered: list[str], chosen: str | None) -> None:
    assert choose_subprotocol(offered, ["ocpp1.6"]) == chosen


def test_the_stations_order_counts() -> None:
    assert choose_subprotocol(["ocpp1.6", "ocpp2.0.1"], ["ocpp2.0.1", "ocpp1.6"]) == "ocpp1.6"
