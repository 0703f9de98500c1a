"""A device behind a webhook: commands are signed POSTs with an idempotency key, its state is a signed GET."""

import asyncio

import httpx

from app.actuators.actuator import ActuatorError, Command, Kind, RefusedError, Shown
from app.actuators.documents import HttpTarget
from app.actuators.state_json import MOST_BYTES, command_json, state_of
from app.clock import Clock
from app.csms.remote.signatures import sign

IDEMPOTENCY_KEY = "Idempotency-Key"


class HttpActuator:
    """No redirects, no proxies, and no more of an answer than a state has to say. The client is not ours."""

    def __init__(
        self,
        target: HttpTarget,
        client: httpx.AsyncClient,
        clock: Clock,
        secret: str,
        *,
        site_id: str,
        device_id: str,
        kind: Kind,
    ) -> None:
        self._target = target
        self._client = client
        self._clock = clock
        self._secret = secret.encode()
        self._names = (site_id, device_id, kind)

    async def command(self, command: Command) -> None:
        """2xx: taken; 4xx: declined; whatever else: nobody knows."""
        site_id, device_id, kind = self._names
        body = command_json(command, site_id, device_id, kind)
        headers = {"Content-Type": "application/json", IDEMPOTENCY_KEY: command.command_id}
        await self._asked("POST", self._target.url, body, headers)

    async def shown(self) -> Shown:
        body = await self._asked("GET", self._target.state_url or self._target.url, b"", {})
        return state_of(body, self._clock.now())

    async def close(self) -> None:
        pass

    async def _asked(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> bytes:
        headers = headers | sign(self._secret, body, self._clock.now())
        said = b""
        try:
            async with (
                asyncio.timeout(self._target.timeout_s),  # httpx counts anew with each part of an answer
                self._client.stream(
                    method,
                    url,
                    content=body or None,
                    headers=headers,
                    timeout=self._target.timeout_s,
                    follow_redirects=False,
                ) as answer,
            ):
                if answer.is_client_error and method == "POST":
                    raise RefusedError(f"it answered {answer.status_code}")
                if not answer.is_success:
                    raise ActuatorError(f"it answered {answer.status_code}")
                async for part in answer.aiter_bytes():
                    said += part
                    if len(said) > MOST_BYTES:
                        raise ActuatorError(f"it said more than {MOST_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise ActuatorError(f"it was not reached: {type(error).__name__}") from error
        return said
