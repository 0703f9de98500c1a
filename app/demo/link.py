"""What a simulated station answers: one connection's OCPP 1.6 handlers, on top of the `ocpp` package."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ocpp.exceptions import PropertyConstraintViolationError
from ocpp.messages import MessageType
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action

from app.demo.profiles_held import read_profile

if TYPE_CHECKING:
    from app.demo.station import SimulatedStation

Message = dict[str, Any]


class Link(ChargePoint):  # type: ignore[misc]  # the ocpp package has no types
    """One connection. It answers calls in tasks of their own, so that a slow answer never blocks a reply to us."""

    def __init__(self, station: "SimulatedStation", connection: Any) -> None:
        super().__init__(station.spec.station_id, connection, response_timeout=30)
        self.station = station

    async def start(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                frame = await self._connection.recv()
                if _is_call(frame):
                    tasks.create_task(self._answer(frame))
                else:
                    await self.route_message(frame)

    async def _answer(self, frame: str | bytes) -> None:
        delay_s = self.station.faults.answer_delay_s
        if delay_s:
            await asyncio.sleep(delay_s)  # real seconds: simulated time stands still while a frame is unanswered
        await self.route_message(frame)

    @on(Action.set_charging_profile)  # type: ignore[untyped-decorator]
    def _set_charging_profile(self, connector_id: int, cs_charging_profiles: Message) -> Any:
        self._check_connector(connector_id)
        accepted = self.station.take_profile(read_profile(connector_id, cs_charging_profiles))
        return call_result.SetChargingProfile("Accepted" if accepted else "Rejected")

    @on(Action.clear_charging_profile)  # type: ignore[untyped-decorator]
    def _clear_charging_profile(
        self,
        id: int | None = None,  # noqa: A002 -- the protocol's own name
        connector_id: int | None = None,
        charging_profile_purpose: str | None = None,
        stack_level: int | None = None,
    ) -> Any:
        cleared = self.station.clear_profiles(
            profile_id=id, connector_id=connector_id, purpose=charging_profile_purpose, stack_level=stack_level
        )
        return call_result.ClearChargingProfile("Accepted" if cleared else "Unknown")

    @on(Action.get_composite_schedule)  # type: ignore[untyped-decorator]
    def _get_composite_schedule(self, connector_id: int, duration: int, charging_rate_unit: str | None = None) -> Any:
        self._check_connector(connector_id)
        if charging_rate_unit not in (None, *self.station.spec.capability.units):
            return call_result.GetCompositeSchedule("Rejected")
        start = self.station.now().replace(microsecond=0)
        unit = charging_rate_unit or self.station.spec.capability.units[0]
        periods = self.station.composite(connector_id, start, start + timedelta(seconds=duration), unit)
        return call_result.GetCompositeSchedule(
            "Accepted",
            connector_id=connector_id,
            schedule_start=_stamp(start),
            charging_schedule={
                "duration": duration,
                "startSchedule": _stamp(start),
                "chargingRateUnit": unit,
                "chargingSchedulePeriod": [
                    {"startPeriod": int((since - start).total_seconds()), "limit": round(limit, 1)}
                    for since, limit in periods
                ],
            },
        )

    @on(Action.get_configuration)  # type: ignore[untyped-decorator]
    def _get_configuration(self, key: list[str] | None = None) -> Any:
        known = self.station.configuration()
        asked = key or list(known)
        return call_result.GetConfiguration(
            configuration_key=[
                {"key": name, "readonly": name not in self.station.writable, "value": known[name]}
                for name in asked
                if name in known
            ],
            unknown_key=[name for name in asked if name not in known],
        )

    @on(Action.change_configuration)  # type: ignore[untyped-decorator]
    def _change_configuration(self, key: str, value: str) -> Any:
        return call_result.ChangeConfiguration(self.station.change_configuration(key, value))

    @on(Action.remote_start_transaction)  # type: ignore[untyped-decorator]
    def _remote_start(self, connector_id: int | None = None, **_: Any) -> Any:
        return call_result.RemoteStartTransaction(
            "Accepted" if self.station.may_start(connector_id or 1) else "Rejected"
        )

    @after(Action.remote_start_transaction)  # type: ignore[untyped-decorator]
    async def _remotely_started(
        self, id_tag: str, connector_id: int | None = None, charging_profile: Message | None = None
    ) -> None:
        if self.station.may_start(connector_id or 1):
            await self.station.start_transaction(connector_id or 1, id_tag, charging_profile)

    @on(Action.remote_stop_transaction)  # type: ignore[untyped-decorator]
    def _remote_stop(self, transaction_id: int) -> Any:
        known = self.station.connector_of(transaction_id) is not None
        return call_result.RemoteStopTransaction("Accepted" if known else "Rejected")

    @after(Action.remote_stop_transaction)  # type: ignore[untyped-decorator]
    async def _remotely_stopped(self, transaction_id: int) -> None:
        connector_id = self.station.connector_of(transaction_id)
        if connector_id is not None:
            await self.station.stop_transaction(connector_id, "Remote")

    @on(Action.trigger_message)  # type: ignore[untyped-decorator]
    def _trigger_message(self, requested_message: str, **_: Any) -> Any:
        if requested_message == "BootNotification":
            return call_result.TriggerMessage("Rejected")  # accepted once, it is not sent again (errata 3.40)
        known = requested_message in ("MeterValues", "StatusNotification", "Heartbeat")
        return call_result.TriggerMessage("Accepted" if known else "NotImplemented")

    @after(Action.trigger_message)  # type: ignore[untyped-decorator]
    async def _triggered(self, requested_message: str, connector_id: int | None = None) -> None:
        await self.station.send_on_request(requested_message, connector_id)

    @on(Action.reset)  # type: ignore[untyped-decorator]
    def _reset(self, **_: Any) -> Any:
        return call_result.Reset("Accepted")

    @after(Action.reset)  # type: ignore[untyped-decorator]
    async def _restarted(self, **_: Any) -> None:
        await self.station.restart()

    def _check_connector(self, connector_id: int) -> None:
        if connector_id != 0 and connector_id not in self.station.outlets:
            raise PropertyConstraintViolationError(description=f"there is no connector {connector_id}")


def _is_call(frame: str | bytes) -> bool:
    try:
        return bool(json.loads(frame)[0] == MessageType.Call)
    except (ValueError, LookupError, TypeError):
        return False  # the package logs and drops what is no OCPP


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
