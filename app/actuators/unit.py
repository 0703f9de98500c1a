"""One commanded device: told, read back, and judged by what it says. One message to it at a time."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import structlog

from app.actuators.actuator import Actuator, ActuatorError, Command, RefusedError, Shown
from app.actuators.devices import Device
from app.actuators.holding import Holding
from app.actuators.verdict import contradiction
from app.clock import Clock
from app.db.operating_records import ActuatorCommand, CommandState
from app.db.store import Store
from app.errors import AppError

log = structlog.get_logger()

Answer = TypeVar("Answer")

SAME_KW = 0.02  # a smaller difference is no reason for a command
FOLLOWS_WITHIN = timedelta(seconds=5)  # what is read sooner speaks against nobody
TIMES = 3  # so many read-backs that speak against it make a device one that ignores its commands
GIVEN_UP_FOR = timedelta(minutes=15)
GIVEN_UP_AGAIN = timedelta(minutes=1)  # meanwhile it is told its safe value so often
STRANGERS = timedelta(hours=1)  # so long what somebody else has set may hold
READ_EVERY = timedelta(seconds=15)
TOLD_AGAIN_AFTER = timedelta(seconds=10)
RAISED_AGAIN_AFTER = timedelta(seconds=30)  # what room there is moves: lowering never waits
STEADY = timedelta(seconds=30)  # so long a device must have been reached again before plans count on it
SILENT_FROM = timedelta(minutes=2)  # one that was not reached for so long is said to be unreachable
SHORTEST_S = 2.0  # a command that ends sooner is not worth sending

State = Literal["none", "sent", "verified", "ignored", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a device is to do now, until when at most, and why; `plan_id` None: it is its safe value."""

    power_kw: float | None
    until: datetime
    reason: str
    plan_id: str | None = None


class Unit:
    """Never raises for what a device does; `state`, `detail` and `holding` say it."""

    def __init__(
        self,
        device: Device,
        actuator: Actuator,
        store: Store,
        clock: Clock,
        owner: str,
        *,
        read_soc: Callable[[], Awaitable[float]] | None = None,
        changed: Callable[["Unit"], None] = lambda _: None,
    ) -> None:
        self.device = device
        self.holding = Holding()
        self.state: State = "none"
        self.detail: str | None = None
        self.shown: Shown | None = None  # as it was read last; None while it is not reached
        self.read_at: datetime | None = None  # when it was reached last
        self.soc: tuple[datetime, float] | None = None
        self.last: tuple[Command, Wish] | None = None
        self.given_up_until: datetime | None = None
        self.failing_since: datetime | None = None
        self.back_since: datetime | None = None  # when it was reached again
        self.wake = asyncio.Event()
        self._actuator = actuator
        self._store = store
        self._clock = clock
        self._owner = owner
        self._read_soc = read_soc
        self._changed = changed
        self._contradictions = 0
        self._fault = ""  # why it was given up
        self._given_up_for: Literal["ignored", "refused"] = "ignored"
        self._tried_at = self._told_since = clock.now()  # it was told anything; it was told this power first
        self._turn = asyncio.Lock()

    # --- what is known of it

    @property
    def is_reached(self) -> bool:
        return self.failing_since is None and self.read_at is not None

    def soc_now(self, now: datetime) -> float | None:
        """0 to 1; None where it is not known, or too old: never 0."""
        if self.soc is None or now - self.soc[0] > timedelta(seconds=self.device.soc_max_age_s):
            return None
        return self.soc[1]

    def not_planned(self, now: datetime) -> str | None:
        """Why no plan may count on it; None: it may."""
        if self._is_given_up(now) and self.given_up_until is not None:
            return (
                f"it does not do what it is told ({self._fault}); planned again from {self.given_up_until.isoformat()}"
            )
        if not self.is_reached:
            return self.detail or "it was not reached yet"
        if self.back_since is not None and now - self.back_since < STEADY:
            return "it was not reached until a moment ago"
        if self.device.kind == "battery" and self.soc_now(now) is None:
            age = "" if self.soc is None else f", the last is of {self.soc[0].isoformat()}"
            return f"its state of charge is not known{age}"
        return None

    def is_due(self, wish: Wish, now: datetime) -> bool:
        """Whether it must be told this now: something new, half over, or not certainly taken."""
        if wish.power_kw is None and self.shown is not None and self.shown.setpoint_kw is None:
            return False  # it is on its own already
        if self._is_given_up(now) and now - self._tried_at < GIVEN_UP_AGAIN:
            return False
        if self.last is None or now >= self.last[0].valid_until:
            return self._is_long_enough(wish, now)
        command, _ = self.last
        since = now - command.at
        if not _is_same(command.power_kw, wish.power_kw):
            waits = _is_more(wish.power_kw, command.power_kw) and since < RAISED_AGAIN_AFTER
            is_new = wish.plan_id != self.last[1].plan_id
            return self._is_long_enough(wish, now) and (is_new or not waits)
        # It would hold on, should the link be lost, where a newer plan gave the fuse to others.
        outlasts = (command.power_kw or 0.0) > 0 and command.valid_until - wish.until > timedelta(seconds=1)
        if outlasts or self.state != "verified":
            return (outlasts or since >= TOLD_AGAIN_AFTER) and self._is_long_enough(wish, now)
        is_half_over = since >= (command.valid_until - command.at) / 2
        return is_half_over and wish.until - command.valid_until > timedelta(seconds=1)

    def _is_long_enough(self, wish: Wish, now: datetime) -> bool:
        return (wish.until - now).total_seconds() >= SHORTEST_S

    def fault(self, now: datetime) -> Literal["ignored", "refused"] | None:
        """For what it was given up, as long as it is."""
        return self._given_up_for if self._is_given_up(now) else None

    def _is_given_up(self, now: datetime) -> bool:
        return self.given_up_until is not None and now < self.given_up_until

    def read_is_due(self, now: datetime) -> bool:
        return self.read_at is None or not self.is_reached or now - self.read_at >= READ_EVERY

    def clock_was_set(self, by: timedelta) -> None:
        """What was noted in the old time is noted in the new one: durations are true, moments were not."""

        def moved(moment: datetime | None) -> datetime | None:
            return None if moment is None else moment + by

        self.read_at, self.failing_since, self.back_since = map(
            moved, (self.read_at, self.failing_since, self.back_since)
        )
        self.given_up_until = moved(self.given_up_until)
        self._tried_at, self._told_since = self._tried_at + by, self._told_since + by
        self.soc = None if self.soc is None else (self.soc[0] + by, self.soc[1])
        self.holding = self.holding.moved(by)
        if self.last is not None:
            command, wish = self.last
            moved_command = replace(command, at=command.at + by, valid_until=command.valid_until + by)
            self.last = (moved_command, replace(wish, until=wish.until + by))

    # --- what is done with it

    async def tell(self, wish: Wish) -> bool:
        """Command it, and read back whether it holds that; whether it certainly does.

        Written down before it is sent. While there is no database only what lowers its charging is sent.
        """
        async with self._turn:
            with self._clock.hold():
                now = self._clock.now()
                command = Command(uuid.uuid4().hex, wish.power_kw, now, wish.until)
                if not await self._announced(command, wish):
                    return False
                former, before = self.last, self.holding
                if former is None or not _is_same(former[0].power_kw, command.power_kw):
                    self._told_since = now
                self.last, self.holding, self._tried_at = (command, wish), before.sent(command), now
                try:
                    await self._asked(self._actuator.command(command))
                except RefusedError as error:
                    self.last, self.holding = former, before.refused(command)
                    self._give_up("refused", str(error))
                except ActuatorError as error:
                    self._not_reached(str(error))
                else:
                    if not self._is_given_up(now):
                        self._become("sent", None)
                    await self._read()
                await self._settle(command)
                return self.state == "verified"

    async def read(self) -> None:
        """Read what it holds, and its state of charge."""
        async with self._turn:
            with self._clock.hold():
                before = self.state
                await self._read()
                if self.last is not None and self.state != before and self.state in ("verified", "ignored"):
                    await self._settle(self.last[0])

    async def close(self) -> None:
        await self._actuator.close()

    async def _read(self) -> None:
        try:
            shown = await self._asked(self._actuator.shown())
        except ActuatorError as error:
            self._not_reached(str(error))
            return
        now = self._clock.now()
        if self.failing_since is not None and self.read_at is not None:
            self.back_since = now
        self.shown, self.read_at, self.failing_since = shown, now, None
        await self._learn_soc(shown, now)
        command = None if self.last is None else self.last[0]
        if command is None or now >= command.valid_until:
            self.holding = self.holding.seen(shown.setpoint_kw, now + STRANGERS) if shown.setpoint_kw is not None else (
                Holding(is_known=True, obeys=self.holding.obeys)
            )  # fmt: skip
            if self.state == "unknown":
                self._become("none", None)
            self._changed(self)
            return
        said = contradiction(command, shown, self.device.kind, self.device.tolerance_kw, now - self._told_since)
        if said is None:
            self._contradictions = 0
            self.holding = self.holding.confirmed(command)
            self._become("verified", None)
            return
        if await self._is_overtaken(command):
            self.last, self.holding = None, self.holding.seen(shown.setpoint_kw, now + STRANGERS)
            self._become("none", "another service commands it")
            return
        self._contradictions += now - self._told_since >= FOLLOWS_WITHIN
        self.holding = self.holding.may_hold(shown.setpoint_kw, now + STRANGERS, now)
        if self._contradictions >= TIMES:
            self._give_up("ignored", said)
        else:
            self._become("sent", said)

    async def _asked(self, answer: Awaitable[Answer]) -> Answer:
        """Whatever goes wrong with one device is its own: no plan of its site may fail with it."""
        try:
            return await answer
        except ActuatorError:
            raise
        except Exception as error:
            log.exception("actuator failed", site=self.device.site_id, device=self.device.device_id)
            raise ActuatorError(f"it was not understood: {type(error).__name__}") from error

    async def _is_overtaken(self, command: Command) -> bool:
        """Whether another service has told it something since."""
        device = self.device
        try:
            newest = await self._store.actuator_commands(device.site_id, device_id=device.device_id, limit=1)
        except AppError as error:
            log.error("not known who commands", device=device.device_id, error=str(error))
            return False
        return any(row.owner != self._owner and row.at > command.at for row in newest)

    async def _learn_soc(self, shown: Shown, now: datetime) -> None:
        if self._read_soc is None:
            if shown.soc is not None:
                self.soc = (shown.soc_at or now, shown.soc)
            return
        try:
            self.soc = (now, await self._asked(self._read_soc()))
        except ActuatorError as error:
            log.warning(
                "state of charge not read", site=self.device.site_id, device=self.device.device_id, why=str(error)
            )

    def _not_reached(self, why: str) -> None:
        self.failing_since = self.failing_since or self._clock.now()
        self.shown = None
        self._become("unknown", why)

    def _give_up(self, state: Literal["ignored", "refused"], why: str) -> None:
        """Not planned for a while; and where nobody knows what it does, counted with all that it can."""
        self.given_up_until = self._clock.now() + GIVEN_UP_FOR
        self._contradictions = TIMES - 1  # it has no more credit than one
        self._fault, self._given_up_for = why, state
        if state == "ignored":
            self.holding = self.holding.disobeys()
        self._become(state, why)

    def _become(self, state: State, detail: str | None) -> None:
        is_news = state != self.state
        self.state, self.detail = state, detail
        if is_news:
            level = log.info if state in ("none", "sent", "verified") else log.warning
            level("actuator", site=self.device.site_id, device=self.device.device_id, state=state, detail=detail)
        self._changed(self)

    # --- what is written down

    async def _announced(self, command: Command, wish: Wish) -> bool:
        device = self.device
        row = ActuatorCommand(
            command.command_id,
            device.site_id,
            device.device_id,
            self._owner,
            wish.plan_id,
            command.at,
            command.valid_until,
            command.power_kw,
            wish.reason,
        )
        try:
            await self._store.add_actuator_command(row)
        except AppError as error:
            log.error("command not written down", device=device.device_id, error=str(error))
            return not self._raises(command)
        return True

    def _raises(self, command: Command) -> bool:
        if self.device.kind == "pv":
            return False
        now_kw = self.holding.most_charge_kw(self.device, command.at, command.at + timedelta(seconds=1))
        then_kw = self.device.alone_charge_kw if command.power_kw is None else command.power_kw
        return then_kw > now_kw

    async def _settle(self, command: Command) -> None:
        if self.state == "none":
            return
        state: CommandState = self.state
        read_back_kw = None if self.shown is None else self.shown.setpoint_kw
        try:
            await self._store.settle_actuator_command(command.command_id, state, read_back_kw, self.detail)
        except AppError as error:
            log.error("outcome of a command not written down", device=self.device.device_id, error=str(error))


def _is_same(one_kw: float | None, other_kw: float | None) -> bool:
    if one_kw is None or other_kw is None:
        return one_kw is other_kw
    return abs(one_kw - other_kw) <= SAME_KW


def _is_more(one_kw: float | None, other_kw: float | None) -> bool:
    """Whether it charges more: only that has to wait."""
    return one_kw is not None and other_kw is not None and one_kw > max(other_kw, 0.0)
