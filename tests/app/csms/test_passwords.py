import time

import pytest

from app.csms.passwords import PasswordCheck, generate_password, hash_password, verify


def test_a_generated_password_opens_and_another_does_not() -> None:
    plain, password_hash = generate_password()

    assert verify(plain.encode(), password_hash)
    assert not verify(generate_password()[0].encode(), password_hash)


def test_a_generated_password_is_an_authorization_key_of_40_hex_digits() -> None:
    plain, password_hash = generate_password()

    assert len(bytes.fromhex(plain)) == 20
    assert plain not in password_hash


def test_the_bytes_of_a_key_are_as_good_as_its_hex_text_in_either_case() -> None:
    plain, password_hash = generate_password()

    assert verify(bytes.fromhex(plain), password_hash)
    assert verify(plain.upper().encode(), password_hash)


@pytest.mark.parametrize(
    "chosen", ["correct horse", "sixteen-chars-pw", "x", "zwölf Gänse", "0123456789ABCDEF0123456789ABCDEF"]
)
def test_a_chosen_password_opens_and_a_near_miss_does_not(chosen: str) -> None:
    password_hash = hash_password(chosen)

    assert password_hash.startswith("$argon2id$")
    assert verify(chosen.encode(), password_hash)
    assert not verify(chosen.encode() + b" ", password_hash)


@pytest.mark.parametrize(
    "garbage", ["", "$", "hmac-sha256", "hmac-sha256$zz$zz", "hmac-sha256$", "$argon2id$", "plain"]
)
def test_a_damaged_hash_opens_nothing(garbage: str) -> None:
    assert not verify(b"", garbage)
    assert not verify(b"password", garbage)


async def test_a_chosen_password_is_slow_once_and_fast_afterwards() -> None:
    check, password_hash = PasswordCheck(), hash_password("correct horse")
    assert await check("cs01", b"correct horse", password_hash)

    began = time.perf_counter()
    for _ in range(100):
        assert await check("cs01", b"correct horse", password_hash)

    assert (time.perf_counter() - began) / 100 < 0.002  # argon2 takes more than ten times as long


async def test_a_remembered_success_opens_neither_for_another_password_nor_after_a_change() -> None:
    check, password_hash = PasswordCheck(), hash_password("correct horse")
    assert await check("cs01", b"correct horse", password_hash)

    assert not await check("cs01", b"correct mule", password_hash)
    assert not await check("cs01", b"correct horse", hash_password("new password"))
