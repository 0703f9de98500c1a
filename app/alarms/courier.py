"""Delivers notices of alarms, by signed webhook and by e-mail: again and again until they were taken, or a day passed.

What is to be delivered is in the store: a restart loses nothing, and may at worst say something twice. A receiver
knows a notice by its id.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.alarms.mail import MailServer
from app.alarms.settings import AlarmTarget
from app.alarms.webhook import post
from app.clock import Clock
from app.db.operating_records import Alarm, AlarmNotice
from app.db.store import Store
from app.errors import AppError
from app.events import AlarmChanged, Event, Events

log = structlog.get_logger()

FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)
LOOK_EVERY_S = 15.0
LOOK_SELDOM_S = 3600.0  # where nobody is to be told


class NotDeliveredError(Exception):
    """The text says why; it is tried again."""


class Courier:
    """`run` works until it is cancelled; one notice at a time."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        events: Events,
        targets: Sequence[AlarmTarget],
        mail: MailServer | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._targets: Mapping[str, AlarmTarget] = {target.name: target for target in targets}
        self._mail = mail
        self._woken = asyncio.Event()

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        try:
            while True:
                try:
                    with self._clock.hold():
                        await self.deliver_due()
                except AppError as error:
                    log.error("notices not read", error=str(error))
                except Exception:  # the next notice must come whatever this one met
                    log.exception("notices not delivered")
                await self._wait()
        finally:
            unsubscribe()

    def _hear(self, event: Event) -> None:
        if isinstance(event, AlarmChanged):
            self._woken.set()

    async def _wait(self) -> None:
        heard = asyncio.ensure_future(self._woken.wait())
        waited = asyncio.ensure_future(self._clock.sleep(LOOK_EVERY_S if self._targets else LOOK_SELDOM_S))
        try:
            await asyncio.wait({heard, waited}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            heard.cancel()
            waited.cancel()
        self._woken.clear()

    async def deliver_due(self) -> None:
        """Try every notice that is due, once. Raises `StoreUnavailableError`."""
        now = self._clock.now()
        while due := await self._store.due_notices(now):
            for notice, alarm in due:
                await self._store.save_notice(await self._tried(notice, alarm, now))

    async def _tried(self, notice: AlarmNotice, alarm: Alarm, now: datetime) -> AlarmNotice:
        try:
            await self._deliver(notice, alarm, now)
        except NotDeliveredError as error:
            attempts = notice.attempts + 1
            began = alarm.raised_at if notice.occasion == "raised" else alarm.resolved_at or alarm.raised_at
            wait = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
            gives_up = now + wait - began > GIVE_UP_AFTER
            log.warning("notice not delivered", channel=notice.channel, alarm=alarm.alarm_id, error=str(error))
            return replace(
                notice,
                state="failed" if gives_up else "pending",
                attempts=attempts,
                next_at=now + wait,
                error=str(error),
            )
        return replace(notice, state="sent", attempts=notice.attempts + 1, next_at=now, error=None)

    async def _deliver(self, notice: AlarmNotice, alarm: Alarm, now: datetime) -> None:
        way, _, name = notice.channel.partition(":")
        target = self._targets.get(name)
        if target is None:
            raise NotDeliveredError(f"the settings name no alarm target {name!r}")
        try:
            if way == "webhook":
                await post(target, notice, alarm, now)
            elif self._mail is None:
                raise NotDeliveredError("SMARTCHARGE_SMTP_HOST is not set")
            else:
                await self._mail.send(target.email_to, notice, alarm)
        except OSError as error:  # httpx' and smtplib's errors arrive as these: see there
            raise NotDeliveredError(str(error) or type(error).__name__) from error
