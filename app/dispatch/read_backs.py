"""What an EVSE certainly held may be lost without a word: it is asked again now and then."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.dispatch.in_force import Wiring
from app.dispatch.messenger import Messenger
from app.dispatch.witness import Witness
from app.site import split_evse_key

log = structlog.get_logger()

READ_BACK_EVERY = timedelta(minutes=10)


class ReadBacks:
    """Asks each EVSE every `READ_BACK_EVERY` what it holds, one of a station at a time."""

    def __init__(
        self,
        messenger: Messenger,
        witness: Witness,
        clock: Clock,
        turns: defaultdict[str, asyncio.Lock],
        wiring: Callable[[str, int], Wiring | None],
    ) -> None:
        self._messenger = messenger
        self._witness = witness
        self._clock = clock
        self._turns = turns
        self._wiring = wiring
        self._read_at: dict[str, datetime] = {}  # by EVSE key

    def forget(self) -> None:
        """Ask all of them again."""
        self._read_at.clear()

    async def look(self, keys: Sequence[str]) -> None:
        """Ask the one of a station's EVSEs that is most overdue, if any is. Raises what the connector does."""
        longest_ago = self._clock.now() - READ_BACK_EVERY
        key = min(keys, key=lambda key: self._read_at.get(key, longest_ago), default=None)
        if key is not None and self._read_at.get(key, longest_ago) <= longest_ago:
            await self._ask(key)

    async def _ask(self, key: str) -> None:
        station_id, evse_id = split_evse_key(key)
        wiring = self._wiring(station_id, evse_id)
        if wiring is None:
            return
        self._read_at[key] = self._clock.now()
        async with self._turns[station_id]:
            with self._clock.hold():
                verdict = await self._messenger.reread(key, wiring)
        if verdict is not None and verdict.state == "contradicted":
            log.warning("lost its profile", evse=key, detail=verdict.detail)
            self._witness.contradict(key, verdict.detail)
