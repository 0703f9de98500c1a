"""A device behind an MQTT broker: commands with QoS 1, its state as it publishes it. Needs the extra `mqtt`."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog

from app.actuators.actuator import ActuatorError, Command, Kind, Shown
from app.actuators.documents import MqttTarget
from app.actuators.state_json import MOST_BYTES, command_json, state_of
from app.clock import Clock

log = structlog.get_logger()

KEEPALIVE_S = 15  # a broker that is gone is noticed within half as much again
FRESH = timedelta(seconds=60)  # a state that came longer ago says nothing of now


class MqttActuator:
    """Listens from the first call on. A retained state counts only with a time of its own that is fresh."""

    def __init__(
        self, target: MqttTarget, clock: Clock, secret: str | None, *, site_id: str, device_id: str, kind: Kind
    ) -> None:
        self._target = target
        self._clock = clock
        self._secret = secret
        self._names = (site_id, device_id, kind)
        self._client: Any = None  # aiomqtt is imported where it is used: an extra
        self._listening: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._news = asyncio.Condition()
        self._last: tuple[datetime, Shown | ActuatorError] | None = None

    async def command(self, command: Command) -> None:
        """Published when the broker has acknowledged it; whether the device took it, its state must say."""
        site_id, device_id, kind = self._names
        await self._connect()
        self._last = None  # what came before does not tell what became of it
        await self._publish(command_json(command, site_id, device_id, kind))

    async def shown(self) -> Shown:
        await self._connect()
        try:
            async with asyncio.timeout(self._target.timeout_s), self._news:
                await self._news.wait_for(self._has_news)
        except TimeoutError as error:
            raise ActuatorError("it has not told its state") from error
        if self._last is None:
            raise ActuatorError("the broker is gone")
        _, shown = self._last
        if isinstance(shown, ActuatorError):
            raise shown
        return shown

    async def close(self) -> None:
        task, self._listening, self._client = self._listening, None, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _has_news(self) -> bool:
        if self._listening is None or self._listening.done():
            return True  # nothing comes any more
        return self._last is not None and self._clock.now() - self._last[0] <= FRESH

    async def _publish(self, payload: bytes) -> None:
        import aiomqtt

        try:
            await self._client.publish(
                self._target.command_topic, payload, qos=1, retain=False, timeout=self._target.timeout_s
            )
        except aiomqtt.MqttError as error:
            raise ActuatorError(f"the broker did not take it: {type(error).__name__}") from error

    async def _connect(self) -> None:
        if self._ready is None or self._listening is None or self._listening.done():
            await self.close()
            self._ready = asyncio.get_running_loop().create_future()
            self._listening = asyncio.create_task(self._listen(self._ready), name="mqtt actuator")
        await asyncio.shield(self._ready)  # who gives up waiting does not take it from the next

    async def _listen(self, ready: asyncio.Future[None]) -> None:
        try:
            import aiomqtt
        except ImportError:
            _fail(ready, "aiomqtt is not installed: pip install 'smartcharge[mqtt]'")
            return
        target = self._target
        try:
            async with aiomqtt.Client(
                target.host,
                target.port,
                username=target.username,
                password=self._secret,
                tls_params=aiomqtt.TLSParameters() if target.tls else None,
                keepalive=KEEPALIVE_S,
                timeout=target.timeout_s,
            ) as client:
                await client.subscribe(target.state_topic, qos=1)
                self._client = client
                ready.set_result(None)
                async for message in client.messages:
                    await self._hear(message.payload, is_retained=message.retain)
        except Exception as error:  # a name that is none, TLS, a broker's nonsense: whoever waits must hear of it
            if not ready.done():
                _fail(ready, f"the broker is not there: {type(error).__name__}")
            elif not isinstance(error, aiomqtt.MqttError):
                log.exception("mqtt actuator stopped listening")
        finally:
            if not ready.done():
                _fail(ready, "the connection was given up")
            self._last = None
            async with self._news:
                self._news.notify_all()

    async def _hear(self, payload: object, *, is_retained: bool) -> None:
        now = self._clock.now()
        shown: Shown | ActuatorError
        if not isinstance(payload, bytes | bytearray) or len(payload) > MOST_BYTES:
            shown = ActuatorError("its state is no text, or too much of it")
        else:
            try:
                shown = state_of(bytes(payload), now)
            except ActuatorError as error:
                shown = error
        if is_retained and (isinstance(shown, ActuatorError) or shown.soc_at is None or now - shown.soc_at > FRESH):
            return  # nobody knows how old it is
        self._last = (now, shown)
        async with self._news:
            self._news.notify_all()


def _fail(ready: asyncio.Future[None], why: str) -> None:
    ready.set_exception(ActuatorError(why))
    ready.exception()  # seen, though whoever waited may have given up
