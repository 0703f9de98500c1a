"""A body is believed when it was signed with the shared secret, a short while ago."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.remote.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, WINDOW, sign, verify
from app.errors import UnauthorizedError

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SECRET = b"a secret that both sides hold"


def test_the_signature_is_the_one_that_the_documentation_shows() -> None:
    headers = sign(b"0123456789abcdef0123456789abcdef", b'{"event_id":"e-000001"}', NOW)

    assert headers == {
        "X-Smartcharge-Timestamp": "1780315200",
        "X-Smartcharge-Signature": "v1=bcd1952535f924fde9f430099c328a6342ab2688c23ea9e1d5c281e5fb785993",
    }


@given(body=st.binary(max_size=200), late_s=st.integers(-300, 300))
def test_a_signed_body_is_believed_within_the_window(body: bytes, late_s: int) -> None:
    headers = sign(SECRET, body, NOW)

    verify(SECRET, body, headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER], NOW + timedelta(seconds=late_s))


@given(body=st.binary(max_size=50), other=st.binary(max_size=50))
def test_another_body_is_not_believed(body: bytes, other: bytes) -> None:
    headers = sign(SECRET, body, NOW)

    if other != body:
        with pytest.raises(UnauthorizedError, match="does not fit"):
            verify(SECRET, other, headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER], NOW)


@pytest.mark.parametrize("off", [WINDOW + timedelta(seconds=1), -WINDOW - timedelta(seconds=1)])
def test_a_body_that_is_played_again_later_is_not_believed(off: timedelta) -> None:
    headers = sign(SECRET, b"{}", NOW)

    with pytest.raises(UnauthorizedError, match="more than 300 s from our"):
        verify(SECRET, b"{}", headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER], NOW + off)


def test_the_time_cannot_be_moved() -> None:
    headers = sign(SECRET, b"{}", NOW - timedelta(hours=1))

    with pytest.raises(UnauthorizedError, match="does not fit"):
        verify(SECRET, b"{}", str(int(NOW.timestamp())), headers[SIGNATURE_HEADER], NOW)


@pytest.mark.parametrize(
    ("timestamp", "signature"),
    [
        (None, "v1=00"),
        ("1780315200", None),
        ("", "v1=00"),
        ("soon", "v1=00"),
        ("-5", "v1=00"),
        ("9" * 40, "v1=00"),
        ("1780315200", ""),
        ("1780315200", "v1=ä"),
        ("1780315200", "v0=" + "0" * 64),
    ],
)
def test_half_a_signature_is_none(timestamp: str | None, signature: str | None) -> None:
    with pytest.raises(UnauthorizedError):
        verify(SECRET, b"{}", timestamp, signature, NOW)


def test_a_secret_is_changed_by_signing_with_both_for_a_while() -> None:
    old, new = sign(b"the old secret", b"{}", NOW), sign(SECRET, b"{}", NOW)

    verify(SECRET, b"{}", new[TIMESTAMP_HEADER], f"{old[SIGNATURE_HEADER]}, {new[SIGNATURE_HEADER]}", NOW)
