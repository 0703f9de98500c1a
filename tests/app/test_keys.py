import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.clock import SteppedClock
from app.errors import InvalidInputError, NotFoundError, UnauthorizedError
from app.keys import Keys, allows
from tests.stores import a_store

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


async def test_a_token_has_an_id_and_256_random_bits() -> None:
    async with a_store() as store:
        keys = Keys(store, SteppedClock(NOW))

        key, token = await keys.create("fleet")
        _, other = await keys.create("fleet")

        assert re.fullmatch(rf"sc_{key.key_id}_[A-Za-z0-9_-]{{43}}", token)
        assert token.split("_", 2)[2] != other.split("_", 2)[2]


async def test_a_token_is_known_again_and_only_its_hash_is_kept() -> None:
    async with a_store() as store:
        keys = Keys(store, SteppedClock(NOW))
        key, token = await keys.create("fleet", ["read", "write"])

        assert (await keys.authenticate(token)).key_id == key.key_id
        [stored] = await keys.all()
        assert token.split("_", 2)[2] not in repr(stored)


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1] + "!",
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token[:16] + token[16:].swapcase(),
        lambda _: "",
        lambda _: "sc__",
    ],
)
async def test_a_token_that_differs_is_refused(change: Callable[[str], str]) -> None:
    async with a_store() as store:
        keys = Keys(store, SteppedClock(NOW))
        _, token = await keys.create("fleet")

        with pytest.raises(UnauthorizedError):
            await keys.authenticate(change(token))


async def test_a_revoked_key_is_refused_and_stays_revoked() -> None:
    clock = SteppedClock(NOW)
    async with a_store(clock) as store:
        keys = Keys(store, clock)
        key, token = await keys.create("fleet")

        await keys.revoke(key.key_id)
        await clock.run_until(NOW + timedelta(hours=1))
        again = await keys.revoke(key.key_id)

        assert again.revoked_at == NOW
        with pytest.raises(UnauthorizedError):
            await keys.authenticate(token)
        with pytest.raises(UnauthorizedError):
            await keys.known(key.key_id)


async def test_use_is_noted_to_the_minute() -> None:
    clock = SteppedClock(NOW)
    async with a_store(clock) as store:
        keys = Keys(store, clock)
        _, token = await keys.create("fleet")
        seen = []

        for second in (0, 59, 60):
            await clock.run_until(NOW + timedelta(seconds=second))
            await keys.authenticate(token)
            seen.append((await keys.all())[0].last_used_at)

        assert seen == [NOW, NOW, NOW + timedelta(seconds=60)]


@pytest.mark.parametrize(("held", "allowed"), [("read", {"read"}), ("write", {"read", "write"}),
                                               ("admin", {"read", "write", "admin"})])  # fmt: skip
async def test_a_scope_implies_the_lesser_ones(held: str, allowed: set[str]) -> None:
    async with a_store() as store:
        key, _ = await Keys(store, SteppedClock(NOW)).create("fleet", [held])

    assert {scope for scope in ("read", "write", "admin") if allows(key, scope)} == allowed


@pytest.mark.parametrize(("name", "scopes", "field"), [("fleet", ["root"], "scopes"), ("fleet", [], "scopes"),
                                                       (" ", ["read"], "name")])  # fmt: skip
async def test_a_key_for_nobody_or_for_nothing_is_refused(name: str, scopes: list[str], field: str) -> None:
    async with a_store() as store:
        with pytest.raises(InvalidInputError) as refused:
            await Keys(store, SteppedClock(NOW)).create(name, scopes)

    assert refused.value.field == field


async def test_revoking_an_unknown_key_says_so() -> None:
    async with a_store() as store:
        with pytest.raises(NotFoundError, match="nobody"):
            await Keys(store, SteppedClock(NOW)).revoke("nobody")
