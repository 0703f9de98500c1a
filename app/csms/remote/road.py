"""What it takes to reach a station through another CSMS, and what can go wrong on the way there."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import msgspec

from app.csms.connector import OcppVersion
from app.csms.frames import Json
from app.csms.lenient import quote
from app.errors import CallFailedError, OutcomeUnknownError, StationError, StationOfflineError

MAX_ANSWER_BYTES = 1_000_000  # a station's answer is far smaller
CONNECT_TIMEOUT_S = 5.0
REFUSED = "CsmsRefused"  # no code of OCPP's: the CSMS itself declined, and the station was not asked


class CsmsUnreachableError(StationOfflineError):
    """Nothing was sent: there is no way to the CSMS itself."""

    def __init__(self, station_id: str) -> None:
        StationError.__init__(self, station_id, "its CSMS cannot be reached")


class CsmsBusyError(StationOfflineError):
    """Nothing was sent. That says nothing of the station."""

    def __init__(self, station_id: str) -> None:
        StationError.__init__(self, station_id, "its CSMS takes no more commands at present")


@dataclass(frozen=True, slots=True)
class Command:
    """A call to a station, as OCPP writes it. `command_id` is unique and names it everywhere."""

    command_id: str
    station_id: str
    version: OcppVersion
    action: str
    payload: Json


class Road(Protocol):
    """The way to the stations of one CSMS."""

    async def ask(self, command: Command) -> Json:
        """The payload of the station's answer.

        Raises `StationOfflineError` (it was surely not sent), `CallFailedError` (the station or the CSMS declined) or
        `OutcomeUnknownError`. Being cancelled ends the wait: what comes later is dropped.
        """
        ...


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    body: Any  # parsed JSON; None where it is none


class Courier:
    """Posts JSON to one address and reads a bounded answer. Follows no redirect and heeds no proxy of the environment:
    the address is the operator's, and nothing that answers there may choose another."""

    def __init__(self, timeout_s: float) -> None:
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(
        self, station_id: str, url: str, body: bytes, headers: dict[str, str], query: dict[str, str] | None = None
    ) -> HttpAnswer:
        """Raises `CsmsUnreachableError`, and `OutcomeUnknownError` when it was reached and then fell silent or said
        too much."""
        try:
            async with self._http.stream(
                "POST", url, content=body, params=query, headers={"Content-Type": "application/json"} | headers
            ) as response:
                content = b""
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        text = f"the CSMS answered with more than {MAX_ANSWER_BYTES} bytes"
                        raise OutcomeUnknownError(station_id, text)
                return HttpAnswer(response.status_code, _json(content))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise CsmsUnreachableError(station_id) from error
        except httpx.HTTPError as error:
            raise OutcomeUnknownError(station_id, f"the CSMS did not answer: {type(error).__name__}") from error


def refuse_by_status(station_id: str, answer: HttpAnswer) -> None:
    """Raise what a status other than success means.

    4xx: declined before anything was sent. Everything else leaves open what became of the command.
    """
    if 200 <= answer.status < 300:
        return
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        raise CsmsBusyError(station_id)
    if 400 <= answer.status < 500 and answer.status != httpx.codes.REQUEST_TIMEOUT:
        raise CallFailedError(station_id, REFUSED, f"HTTP {answer.status}: {quote(answer.body)}")
    raise OutcomeUnknownError(station_id, f"the CSMS answered with HTTP {answer.status}")


def _json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
