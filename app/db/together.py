"""Requests of many at once, put to the database as one.

A transaction costs a millisecond whatever it does; ten thousand stations that come back after a power cut ask for
thirty thousand. What comes in while one batch is at work is the next batch: one who asks alone waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from app.clock import Clock
from app.errors import StoreUnavailableError

Request = TypeVar("Request")
Answer = TypeVar("Answer")

BATCH = 500  # requests; others wait for their turn at the database, too


class Together(Generic[Request, Answer]):
    """`await together(request)` is the request's own answer, or raises its own error.

    `work` gets the requests of a batch in the order in which they came and answers each with a value or an exception.
    If it fails as a whole, each request is tried by itself, for one bad value is nobody else's trouble; but a database
    that does not answer one will not answer five hundred.
    """

    def __init__(
        self, clock: Clock, work: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]]
    ) -> None:
        self._clock = clock
        self._work = work
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        with self._clock.hold():
            return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                with self._clock.hold():
                    await self._serve(batch)
        finally:
            self._task = None

    async def _serve(self, batch: Sequence[tuple[Request, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._work([request for request, _ in batch])
        except StoreUnavailableError as error:
            answers = [error] * len(batch)
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._serve([one])
                return
            answers = [error]
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # its caller has given up
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
