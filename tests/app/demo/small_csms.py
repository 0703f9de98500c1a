"""The least service that a charging station can talk to: for tests of the simulated stations alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from app.clock import Clock


class Peer(ChargePoint):  # type: ignore[misc]  # the ocpp package has no types
    """One station as the service sees it. `heard` keeps every call in order."""

    def __init__(self, station_id: str, connection: Any, csms: "SmallCsms") -> None:
        super().__init__(station_id, connection)
        self.csms = csms

    def _hear(self, action: str, **fields: Any) -> None:
        self.csms.heard.append((self.id, action, fields))

    @on(Action.boot_notification)  # type: ignore[untyped-decorator]
    def _boot(self, **fields: Any) -> Any:
        self._hear("BootNotification", **fields)
        return call_result.BootNotification(_stamp(self.csms.clock.now()), 300, "Accepted")

    @on(Action.heartbeat)  # type: ignore[untyped-decorator]
    def _heartbeat(self) -> Any:
        self._hear("Heartbeat")
        return call_result.Heartbeat(_stamp(self.csms.clock.now()))

    @on(Action.status_notification)  # type: ignore[untyped-decorator]
    def _status(self, **fields: Any) -> Any:
        self._hear("StatusNotification", **fields)
        return call_result.StatusNotification()

    @on(Action.authorize)  # type: ignore[untyped-decorator]
    def _authorize(self, **fields: Any) -> Any:
        self._hear("Authorize", **fields)
        return call_result.Authorize({"status": self.csms.tag_status})

    @on(Action.start_transaction)  # type: ignore[untyped-decorator]
    def _start(self, **fields: Any) -> Any:
        self._hear("StartTransaction", **fields)
        self.csms.transactions += 1
        return call_result.StartTransaction(self.csms.transactions, {"status": self.csms.tag_status})

    @on(Action.meter_values)  # type: ignore[untyped-decorator]
    def _meter_values(self, **fields: Any) -> Any:
        self._hear("MeterValues", **fields)
        return call_result.MeterValues()

    @on(Action.stop_transaction)  # type: ignore[untyped-decorator]
    def _stop(self, **fields: Any) -> Any:
        self._hear("StopTransaction", **fields)
        return call_result.StopTransaction()


class SmallCsms:
    """Accepts every station, names transactions 1, 2, 3 … and remembers what it heard."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.url = ""
        self.peers: dict[str, Peer] = {}
        self.heard: list[tuple[str, str, dict[str, Any]]] = []
        self.transactions = 0
        self.tag_status = "Accepted"
        self.credentials: list[str | None] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, clock: Clock) -> AsyncIterator["SmallCsms"]:
        csms = cls(clock)
        async with serve(csms._serve, "127.0.0.1", 0, subprotocols=["ocpp1.6"], compression=None) as server:  # type: ignore[list-item]  # a NewType of str
            csms.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield csms

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        station_id = connection.request.path.rpartition("/")[2]
        self.credentials.append(connection.request.headers.get("Authorization"))
        peer = Peer(station_id, connection, self)
        self.peers[station_id] = peer
        with suppress(ConnectionClosed):
            await peer.start()

    def actions(self, station_id: str = "cs01") -> list[str]:
        return [action for station, action, _ in self.heard if station == station_id]

    def all(self, action: str, station_id: str = "cs01") -> list[dict[str, Any]]:
        return [fields for station, heard, fields in self.heard if (station, heard) == (station_id, action)]

    async def ask(self, message: Any, station_id: str = "cs01") -> Any:
        """Send a call to a station; its answer, or the CALLERROR as an exception."""
        with self.clock.hold():
            return await self.peers[station_id].call(message, suppress=False)

    async def set_profile(self, profile: dict[str, Any], connector_id: int = 1, station_id: str = "cs01") -> str:
        reply = await self.ask(call.SetChargingProfile(connector_id, profile), station_id)
        return str(reply.status)


def wire_profile(
    *,
    limits: tuple[tuple[int, float], ...] = ((0, 16.0),),
    purpose: str = "TxDefaultProfile",
    unit: str = "A",
    stack_level: int = 1,
    profile_id: int = 1,
    start: datetime | None = datetime(2025, 9, 29, 22, tzinfo=UTC),
    **fields: Any,
) -> dict[str, Any]:
    """A `csChargingProfiles` in the snake_case of the ocpp package."""
    number_phases = fields.pop("number_phases", None)
    extra = {} if number_phases is None else {"number_phases": number_phases}
    schedule: dict[str, Any] = {
        "charging_rate_unit": unit,
        "charging_schedule_period": [{"start_period": begin_s, "limit": limit} | extra for begin_s, limit in limits],
    }
    if start is not None:
        schedule["start_schedule"] = _stamp(start)
    if "duration" in fields:
        schedule["duration"] = fields.pop("duration")
    return {
        "charging_profile_id": profile_id,
        "stack_level": stack_level,
        "charging_profile_purpose": purpose,
        "charging_profile_kind": "Absolute",
        "charging_schedule": schedule,
    } | {name: _stamp(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
