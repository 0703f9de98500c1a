"""What any other CSMS tells us of its stations: signed, and each event once. docs/csms.md is the contract."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.clock import Clock
from app.csms.frames import Json
from app.csms.remote.connector import RemoteConnector
from app.csms.remote.signatures import WINDOW, verify
from app.csms.remote.webhook import WebhookRoad

MAX_REMEMBERED = 10_000  # events; what is repeated later than that changes nothing either, it only takes longer
Taken = Literal["taken", "repeated", "late"]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event. `at` is aware UTC; the other fields by `kind`."""

    event_id: str
    kind: Literal["connected", "disconnected", "message", "reply"]
    station_id: str
    at: datetime
    action: str = ""  # message
    payload: Json | None = None
    answer: Json | None = None  # what the CSMS answered the station
    command_id: str = ""  # reply
    reply: Json | None = None


class WebhookEvents:
    """The events of one CSMS."""

    def __init__(self, connector: RemoteConnector, road: WebhookRoad, clock: Clock) -> None:
        self._connector = connector
        self._road = road
        self._clock = clock
        self._secret = connector.csms.secret.get_secret_value().encode()
        self._seen: dict[str, datetime] = {}  # in order of time

    def verify(self, body: bytes, timestamp: str | None, signature: str | None) -> None:
        """Raises `UnauthorizedError`; before that nothing of the body is read."""
        verify(self._secret, body, timestamp, signature, self._clock.now())

    async def receive(self, event: WebhookEvent) -> Taken:
        """Raises what `RemoteConnector.tell` does; then the event has not happened, and may be sent again."""
        if event.event_id in self._seen:
            return "repeated"
        taken: Taken = "taken"
        match event.kind:
            case "connected":
                await self._connector.note_present(event.station_id, event.at)
            case "disconnected":
                await self._connector.note_absent(event.station_id, event.at)
            case "message":
                await self._connector.tell(event.station_id, event.action, event.payload or {}, event.answer)
            case "reply":
                taken = "taken" if self._road.settle(event.command_id, event.reply or {}) else "late"
        self._remember(event.event_id)
        return taken

    def _remember(self, event_id: str) -> None:
        """Longer than a signature is good for: a recorded body that is played again is a repetition, or too old."""
        now = self._clock.now()
        forgotten = now - 2 * WINDOW - timedelta(seconds=1)
        while self._seen:
            oldest = next(iter(self._seen))
            if len(self._seen) < MAX_REMEMBERED and self._seen[oldest] >= forgotten:
                break
            del self._seen[oldest]
        self._seen[event_id] = now
