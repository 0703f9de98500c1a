"""A meter that answers GET with a JSON document."""

import httpx

from app.meters.shown import MeterError, Shown, from_json
from app.meters.sources import HttpSource

MOST_BYTES = 65_536  # of an answer


class HttpMeter:
    """No redirects, and no more of an answer than a meter has to say."""

    def __init__(self, source: HttpSource, client: httpx.AsyncClient, secret: str | None) -> None:
        self._source = source
        self._client = client
        self._headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}

    async def read(self) -> Shown:
        """Raises `MeterError`, which never holds the address or the secret."""
        try:
            async with self._client.stream(
                "GET", self._source.url, headers=self._headers, timeout=self._source.timeout_s, follow_redirects=False
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise MeterError(f"it answered {answer.status_code}")
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MOST_BYTES:
                        raise MeterError(f"it said more than {MOST_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise MeterError(f"it was not reached: {type(error).__name__}") from error
        return from_json(body, self._source.values)

    async def close(self) -> None:
        """The client is not ours."""
