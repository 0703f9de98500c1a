"""A simulated station's OCPP 1.6."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from app.demo.dialect import Welcome
from app.demo.link import CallError, Json, Reply
from app.demo.meter import sampled_values_16
from app.demo.profile_messages import read_profile_16, stamp
from app.demo.transaction import Running

if TYPE_CHECKING:
    from app.demo.station import SimulatedStation

UNITS = {"A": "Current", "W": "Power"}
WRITABLE = frozenset({"MeterValueSampleInterval", "HeartbeatInterval"})
TRIGGERED = ("MeterValues", "StatusNotification", "Heartbeat")


class V16:
    subprotocol = "ocpp1.6"

    def __init__(self, station: "SimulatedStation") -> None:
        self._station = station
        self._answers: dict[str, Callable[[Json], Reply]] = {
            "ChangeConfiguration": self._change_configuration,
            "ClearChargingProfile": self._clear_charging_profile,
            "GetCompositeSchedule": self._get_composite_schedule,
            "GetConfiguration": self._get_configuration,
            "RemoteStartTransaction": self._remote_start,
            "RemoteStopTransaction": self._remote_stop,
            "Reset": self._reset,
            "SetChargingProfile": self._set_charging_profile,
            "TriggerMessage": self._trigger_message,
        }

    # --- what it tells

    async def boot(self) -> Welcome | None:
        spec = self._station.spec
        reply = await self._station.line.call(
            "BootNotification", {"chargePointModel": spec.model, "chargePointVendor": spec.vendor}
        )
        return None if reply is None else Welcome(reply["status"] == "Accepted", reply["interval"])

    async def heartbeat(self) -> None:
        await self._station.line.call("Heartbeat", {})

    async def is_authorised(self, id_tag: str) -> bool:
        reply = await self._station.line.call("Authorize", {"idTag": id_tag})
        return reply is None or reply["idTagInfo"]["status"] == "Accepted"

    async def tell_status(self, connector_id: int, status: str, _running: Running | None) -> None:
        payload = {
            "connectorId": connector_id,
            "errorCode": "NoError",
            "status": status,
            "timestamp": stamp(self._station.now()),
        }
        await self._station.line.call("StatusNotification", payload)

    async def tell_start(self, connector_id: int, running: Running) -> None:
        payload = {
            "connectorId": connector_id,
            "idTag": running.id_tag,
            "meterStart": round(self._station.meters[connector_id].register()),
            "timestamp": stamp(running.started_at),
        }

        def named(reply: Json) -> None:
            self._station.advance()
            running.transaction_id = reply["transactionId"]
            running.authorised = reply["idTagInfo"]["status"] == "Accepted"

        await self._station.line.deliver(lambda: ("StartTransaction", payload), named)

    async def tell_values(self, connector_id: int, running: Running | None, context: str) -> None:
        values = {
            "timestamp": stamp(self._station.now()),
            "sampledValue": sampled_values_16(self._station.meters[connector_id].read(), context),
        }

        def build() -> tuple[str, Json]:
            named = {} if running is None else {"transactionId": running.transaction_id}
            return "MeterValues", {"connectorId": connector_id, "meterValue": [values]} | named

        await self._station.line.deliver(build, is_movable=True)

    async def tell_stop(self, connector_id: int, running: Running, reason: str) -> None:
        payload = {
            "meterStop": round(self._station.meters[connector_id].register()),
            "timestamp": stamp(self._station.now()),
            "reason": reason,
            "idTag": running.id_tag,
        }
        await self._station.line.deliver(
            lambda: ("StopTransaction", payload | {"transactionId": running.transaction_id or 0})
        )

    # --- what it answers

    async def answer(self, action: str, payload: Json) -> Reply:
        answer = self._answers.get(action)
        if answer is None:
            raise CallError("NotSupported", f"{action} is nothing that this station does")
        return answer(payload)

    def _set_charging_profile(self, payload: Json) -> Reply:
        connector_id = payload["connectorId"]
        self._check_connector(connector_id)
        taken = self._station.take_profile(read_profile_16(connector_id, payload["csChargingProfiles"]))
        return taken.reply({"status": "Accepted" if taken.reason is None else "Rejected"})

    def _clear_charging_profile(self, payload: Json) -> Reply:
        cleared = self._station.clear_profiles(
            profile_id=payload.get("id"),
            connector_id=payload.get("connectorId"),
            purpose=payload.get("chargingProfilePurpose"),
            stack_level=payload.get("stackLevel"),
        )
        return Reply({"status": "Accepted" if cleared else "Unknown"})

    def _get_composite_schedule(self, payload: Json) -> Reply:
        connector_id, duration_s = payload["connectorId"], payload["duration"]
        self._check_connector(connector_id)
        start = self._station.now().replace(microsecond=0)
        end = start + timedelta(seconds=duration_s)
        composite = self._station.composite(connector_id, start, end, payload.get("chargingRateUnit"))
        if composite is None:
            return Reply({"status": "Rejected"})
        return Reply(
            {
                "status": "Accepted",
                "connectorId": connector_id,
                "scheduleStart": stamp(start, "seconds"),
                "chargingSchedule": {
                    "duration": duration_s,
                    "startSchedule": stamp(start, "seconds"),
                    "chargingRateUnit": composite.unit,
                    "chargingSchedulePeriod": [
                        {"startPeriod": int((since - start).total_seconds()), "limit": round(limit, 1)}
                        for since, limit in composite.steps
                    ],
                },
            }
        )

    def _get_configuration(self, payload: Json) -> Reply:
        known = self.configuration()
        asked = payload.get("key") or list(known)
        return Reply(
            {
                "configurationKey": [
                    {"key": name, "readonly": name not in WRITABLE, "value": known[name]}
                    for name in asked
                    if name in known
                ],
                "unknownKey": [name for name in asked if name not in known],
            }
        )

    def configuration(self) -> dict[str, str]:
        station, capability = self._station, self._station.spec.capability
        return {
            "NumberOfConnectors": str(len(station.outlets)),
            "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
            "HeartbeatInterval": str(station.heartbeat_interval_s),
            "MeterValueSampleInterval": str(station.sample_interval_s),
            "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage",
            "ChargeProfileMaxStackLevel": str(capability.max_stack_level),
            "ChargingScheduleAllowedChargingRateUnit": ",".join(UNITS[unit] for unit in capability.units),
            "ChargingScheduleMaxPeriods": str(capability.max_periods),
            "MaxChargingProfilesInstalled": str(capability.max_profiles),
        }

    def _change_configuration(self, payload: Json) -> Reply:
        key, value = payload["key"], payload["value"]
        if key not in self.configuration():
            return Reply({"status": "NotSupported"})
        if key not in WRITABLE or not value.isdecimal() or int(value) == 0:
            return Reply({"status": "Rejected"})
        if key == "HeartbeatInterval":
            self._station.heartbeat_interval_s = int(value)
        else:
            self._station.sample_interval_s = int(value)
        return Reply({"status": "Accepted"})

    def _remote_start(self, payload: Json) -> Reply:
        connector_id, id_tag = payload.get("connectorId", 1), payload["idTag"]
        if not self._station.may_start(connector_id):
            return Reply({"status": "Rejected"})
        listed = payload.get("chargingProfile")
        profile = None if listed is None else read_profile_16(connector_id, listed)
        return Reply({"status": "Accepted"}, partial(self._station.start_transaction, connector_id, id_tag, profile))

    def _remote_stop(self, payload: Json) -> Reply:
        connector_id = self._station.connector_of(payload["transactionId"])
        if connector_id is None:
            return Reply({"status": "Rejected"})
        return Reply({"status": "Accepted"}, partial(self._station.stop_transaction, connector_id, "Remote"))

    def _trigger_message(self, payload: Json) -> Reply:
        message = payload["requestedMessage"]
        if message == "BootNotification":
            return Reply({"status": "Rejected"})  # accepted once, it is not sent again (errata 3.40)
        if message not in TRIGGERED:
            return Reply({"status": "NotImplemented"})
        then: Callable[[], Awaitable[None]] = partial(
            self._station.send_on_request, message, payload.get("connectorId")
        )
        return Reply({"status": "Accepted"}, then)

    def _reset(self, _payload: Json) -> Reply:
        return Reply({"status": "Accepted"}, self._station.restart)

    def _check_connector(self, connector_id: int) -> None:
        if connector_id != 0 and connector_id not in self._station.outlets:
            raise CallError("PropertyConstraintViolation", f"there is no connector {connector_id}")
