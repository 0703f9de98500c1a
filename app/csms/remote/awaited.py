"""Answers that come later, by another request: each is waited for under a name that nobody can guess."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Awaited:
    """The answers that somebody waits for. What comes late or uninvited finds nobody."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Queue[Any]] = {}

    @contextmanager
    def answers_to(self, name: str) -> Iterator[asyncio.Queue[Any]]:
        """The queue into which `settle` puts answers, as they came, while the body runs."""
        self._waiting[name] = asyncio.Queue()
        try:
            yield self._waiting[name]
        finally:
            del self._waiting[name]

    def settle(self, name: str, answer: Any) -> bool:
        """False: nobody waits for it, or not any more."""
        queue = self._waiting.get(name)
        if queue is None:
            return False
        queue.put_nowait(answer)
        return True
