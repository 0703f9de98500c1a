import asyncio
from collections.abc import Sequence

import pytest

from app.clock import SystemClock
from app.db.together import BATCH, Together
from app.errors import StoreUnavailableError


class Work:
    """Doubles numbers; keeps the batches it was given, cannot bear 13, and is away at 99."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.together = Together(SystemClock(), self.double)

    async def double(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        await asyncio.sleep(0)
        if 99 in numbers:
            raise StoreUnavailableError("away")
        if 13 in numbers:
            raise ValueError("thirteen")
        return [LookupError(str(number)) if number < 0 else 2 * number for number in numbers]


async def test_what_comes_in_meanwhile_is_the_next_batch_in_order() -> None:
    work = Work()

    first = asyncio.create_task(work.together(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await asyncio.gather(first, *[work.together(number) for number in (2, 3, 4)]) == [2, 4, 6, 8]

    assert work.batches == [[1], [2, 3, 4]]


async def test_each_gets_its_own_answer_or_its_own_error() -> None:
    work = Work()

    answers = await asyncio.gather(*[work.together(number) for number in (1, -2, 13, 4)], return_exceptions=True)

    assert [answers[0], answers[3]] == [2, 8]
    assert isinstance(answers[1], LookupError)
    assert isinstance(answers[2], ValueError)
    assert work.batches == [[1, -2, 13, 4], [1], [-2], [13], [4]]


async def test_a_batch_is_bounded() -> None:
    work = Work()

    await asyncio.gather(*[work.together(number) for number in range(100, 101 + BATCH)])

    assert [len(batch) for batch in work.batches] == [BATCH, 1]


async def test_who_gives_up_holds_up_nobody() -> None:
    work = Work()
    given_up = asyncio.create_task(work.together(1))
    await asyncio.sleep(0)

    given_up.cancel()

    assert await work.together(2) == 4
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_a_database_that_is_away_is_asked_once() -> None:
    work = Work()

    answers = await asyncio.gather(*[work.together(number) for number in (1, 99, 2)], return_exceptions=True)

    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    assert work.batches == [[1, 99, 2]]
