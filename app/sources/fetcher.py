"""One request, and what may come back: bytes, or which of the known things went wrong.

The same request within a minute is asked once: fifty sites of one bidding zone cost the provider one. So is the same
failure, for half a minute. Replies have a largest size and a longest time, and no secret gets into an error.
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from app.clock import Clock
from forecasts.errors import NotPublishedError, SourceBusyError, SourceError
from forecasts.sources.published import Adapter, Published, Request, Window

MAX_BYTES = 5_000_000  # the largest reply seen, a month of quarter hours in XML, has 0.4
MAX_PAGES = 20
FRESH = timedelta(minutes=1)
FAILURE_HOLDS = timedelta(seconds=30)
_KEPT = 256
_GZIP = 16 + zlib.MAX_WBITS


Declined = Callable[[int, bytes], SourceError | None]


def _plainly(_: int, __: bytes) -> SourceError | None:
    """The status says all."""
    return None


@dataclass(slots=True)
class _Asked:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: datetime | None = None
    body: bytes = b""
    error: SourceError | None = None


class Fetcher:
    """Asks through `client`, remembers for a moment."""

    def __init__(
        self, client: httpx.AsyncClient, clock: Clock, *, max_bytes: int = MAX_BYTES, longest_s: float = 60.0
    ) -> None:
        self._client = client
        self._clock = clock
        self._max_bytes = max_bytes
        self._longest_s = longest_s
        self._asked: OrderedDict[str, _Asked] = OrderedDict()

    async def published(self, adapter: Adapter, window: Window) -> tuple[Published, ...]:
        """Everything that the adapter reads of its provider's replies. Raises `SourceError` and its kinds."""
        login = adapter.login()
        if login is not None:
            adapter = adapter.logged_in(await self.fetch(adapter.name, login))
        pages = []
        for request in adapter.requests(window):
            following: Request | None = request
            while following is not None:
                page = await self.fetch(adapter.name, following, adapter.declined)
                pages.append(page)
                following = adapter.more(following, page)
                if len(pages) >= MAX_PAGES and following is not None:
                    raise SourceError(adapter.name, f"the reply has more than {MAX_PAGES} pages")
        return adapter.parse(pages, window)

    async def fetch(self, source: str, request: Request, declined: Declined = _plainly) -> bytes:
        """The body of a reply with status 200.

        Raises `NotPublishedError` for 204, `SourceBusyError` for 429 and 503, what `declined` makes of another status
        from 400 to 499, and `SourceError` for everything else that goes wrong.
        """
        asked = self._remembered(request)
        async with asked.turn:
            age = None if asked.at is None else self._clock.now() - asked.at
            if age is not None and age < (FRESH if asked.error is None else FAILURE_HOLDS):
                if asked.error is not None:
                    raise asked.error
                return asked.body
            try:
                with self._clock.hold():
                    asked.body, asked.error = await self._exchange(source, request, declined), None
            except SourceError as error:
                asked.error = error
            asked.at = self._clock.now()
            if asked.error is not None:
                raise asked.error
            return asked.body

    def _remembered(self, request: Request) -> _Asked:
        asked = self._asked.setdefault(request.key, _Asked())
        self._asked.move_to_end(request.key)
        while len(self._asked) > _KEPT:
            self._asked.popitem(last=False)
        return asked

    async def _exchange(self, source: str, request: Request, declined: Declined) -> bytes:
        longest_s = min(request.timeout_s, self._longest_s)
        try:
            async with asyncio.timeout(longest_s):
                return await self._reply(source, request, declined)
        except TimeoutError as error:
            raise SourceError(source, f"no whole answer within {longest_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = request.without_secrets(f"{type(error).__name__} {error}".rstrip())
            raise SourceError(
                source, f"no answer: {said}"
            ) from None  # its traceback holds the address, and so the token
        except SourceError as error:
            error.message = request.without_secrets(error.message)
            raise

    async def _reply(self, source: str, request: Request, declined: Declined) -> bytes:
        is_get = request.body is None and request.form is None
        async with self._client.stream(
            "GET" if is_get else "POST",
            request.url,
            params=dict(request.params) or None,
            headers=dict(request.headers),
            json=None if request.body is None else dict(request.body),
            data=None if request.form is None else dict(request.form),
        ) as response:
            self._require_served(source, response)
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._max_bytes:
                    raise SourceError(source, f"the reply is larger than {self._max_bytes} bytes")
        whole = self._unpacked(source, bytes(body), response.headers.get("content-encoding", "identity").lower())
        if response.status_code != HTTPStatus.OK:
            raise declined(response.status_code, whole) or SourceError(source, f"status {response.status_code}")
        return whole

    def _require_served(self, source: str, response: httpx.Response) -> None:
        """Raise for every status but 200 and those from 400 on whose body may say more."""
        status = response.status_code
        if status == HTTPStatus.NO_CONTENT:
            raise NotPublishedError(source, f"status {status}: nothing there")
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            pause_s = _pause_s(response.headers.get("retry-after"), self._clock.now())
            said = "" if pause_s is None else f", retry after {pause_s:g} s"
            raise SourceBusyError(source, f"status {status}{said}", pause_s)
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise SourceError(source, f"status {status}: redirects are not followed")
        is_declined = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        if status != HTTPStatus.OK and not is_declined:
            raise SourceError(source, f"status {status}")

    def _unpacked(self, source: str, body: bytes, encoding: str) -> bytes:
        if encoding == "identity":
            return body
        if encoding != "gzip":
            raise SourceError(source, f"the reply is packed by {encoding!r}")
        try:
            unpacked = zlib.decompressobj(_GZIP).decompress(body, self._max_bytes + 1)
        except zlib.error as error:
            raise SourceError(source, f"the reply cannot be unpacked: {error}") from error
        if len(unpacked) > self._max_bytes:
            raise SourceError(source, f"the reply is larger than {self._max_bytes} bytes")
        return unpacked


def _pause_s(text: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header: a number, or a date."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return None
