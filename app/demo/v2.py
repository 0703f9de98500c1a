"""A simulated station's OCPP 2.0.1 and 2.1: the two differ in a few fields and in 2.1's additional messages."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from app.demo.device_model import DeviceModel
from app.demo.dialect import Welcome
from app.demo.link import CallError, Json, Reply
from app.demo.meter import sampled_values_2x
from app.demo.profile_messages import limit_of, profile_2x, purpose_of_2x, read_profile_2x, stamp
from app.demo.profiles_held import EXTERNAL, HeldProfile
from app.demo.transaction import Running

if TYPE_CHECKING:
    from app.demo.station import SimulatedStation

STATES = {"Charging": "Charging", "SuspendedEV": "SuspendedEV", "SuspendedEVSE": "SuspendedEVSE"}
CONTEXTS = {"Started": "Transaction.Begin", "Ended": "Transaction.End"}
STOPPED = {"EVDisconnected": ("EVCommunicationLost", "EVDisconnected"), "Remote": ("RemoteStop", "Remote")}
TRIGGERED = ("MeterValues", "StatusNotification", "Heartbeat", "TransactionEvent")
PROFILES_A_PART = 2  # of ReportChargingProfiles


class V2:
    def __init__(self, station: "SimulatedStation") -> None:
        self._station = station
        self.subprotocol = f"ocpp{station.spec.version}"
        self._model = DeviceModel(station)
        self._told: dict[int, str] = {}
        self._answers: dict[str, Callable[[Json], Reply]] = {
            "ClearChargingProfile": self._clear_charging_profile,
            "GetBaseReport": self._get_base_report,
            "GetChargingProfiles": self._get_charging_profiles,
            "GetCompositeSchedule": self._get_composite_schedule,
            "GetVariables": self._get_variables,
            "RequestStartTransaction": self._request_start,
            "RequestStopTransaction": self._request_stop,
            "Reset": self._reset,
            "SetChargingProfile": self._set_charging_profile,
            "SetVariables": self._set_variables,
            "TriggerMessage": self._trigger_message,
        }
        if station.spec.version == "2.1":
            self._answers["UpdateDynamicSchedule"] = self._update_dynamic_schedule
            self._answers["UsePriorityCharging"] = self._use_priority_charging

    # --- what it tells

    async def boot(self) -> Welcome | None:
        self._told.clear()
        spec = self._station.spec
        reply = await self._station.line.call(
            "BootNotification",
            {"reason": "PowerUp", "chargingStation": {"model": spec.model, "vendorName": spec.vendor}},
        )
        return None if reply is None else Welcome(reply["status"] == "Accepted", reply["interval"])

    async def heartbeat(self) -> None:
        await self._station.line.call("Heartbeat", {})

    async def is_authorised(self, id_tag: str) -> bool:
        reply = await self._station.line.call("Authorize", {"idToken": _token(id_tag)})
        return reply is None or reply["idTokenInfo"]["status"] == "Accepted"

    async def tell_status(self, connector_id: int, status: str, running: Running | None) -> None:
        """The connector's own status is whether somebody is there; the rest is the transaction's."""
        state = STATES.get(status)
        if running is not None and state is not None and running.charging_state != state:
            running.charging_state = state
            await self._deliver("Updated", "ChargingStateChanged", connector_id, running)
        occupied = "Available" if status == "Available" else "Occupied"
        if self._station.is_online and self._told.get(connector_id) != occupied:
            self._told[connector_id] = occupied
            payload = {
                "timestamp": stamp(self._station.now()),
                "connectorStatus": occupied,
                "evseId": connector_id,
                "connectorId": 1,
            }
            await self._station.line.call("StatusNotification", payload)

    async def tell_start(self, connector_id: int, running: Running) -> None:
        running.transaction_id = str(uuid4())
        running.charging_state = "EVConnected"

        def heard(reply: Json) -> None:
            info = reply.get("idTokenInfo")
            if info is not None and info["status"] != "Accepted":
                self._station.advance()
                running.authorised = False

        trigger = "Authorized" if running.remote_start_id is None else "RemoteStart"
        await self._deliver("Started", trigger, connector_id, running, heard=heard)

    async def tell_values(self, connector_id: int, running: Running | None, context: str) -> None:
        if running is not None and context != "Trigger":
            await self._deliver("Updated", "MeterValuePeriodic", connector_id, running, context=context)
            return
        payload = {"evseId": connector_id, "meterValue": [self._metered(connector_id, context)]}
        await self._station.line.deliver(lambda: ("MeterValues", payload), is_movable=True)

    async def tell_stop(self, connector_id: int, running: Running, reason: str) -> None:
        trigger, stopped = STOPPED.get(reason, ("StopAuthorized", "Local"))
        await self._deliver("Ended", trigger, connector_id, running, stopped=stopped)

    async def tell_needs(self, connector_id: int, energy_kwh: float, departure: datetime) -> None:
        outlet = self._station.outlets[connector_id]
        phases = len(outlet.phases_in_use)
        max_a = outlet.car.vehicle.max_current_a if outlet.car else outlet.max_current_a
        needs = {
            "requestedEnergyTransfer": {1: "AC_single_phase", 2: "AC_two_phase"}.get(phases, "AC_three_phase"),
            "departureTime": stamp(departure),
            "acChargingParameters": {
                "energyAmount": round(energy_kwh * 1000),
                "evMinCurrent": 6,
                "evMaxCurrent": int(max_a),
                "evMaxVoltage": round(outlet.voltage_v),
            },
        }
        await self._station.line.call("NotifyEVChargingNeeds", {"evseId": connector_id, "chargingNeeds": needs})

    async def tell_limit(self, profile: HeldProfile | None) -> None:
        """An external constraint came into force; None: the last one ended."""
        if profile is None:
            await self._station.line.call("ClearedChargingLimit", {"chargingLimitSource": "EMS"})
            return
        payload = {
            "chargingLimit": {"chargingLimitSource": "EMS"},
            "chargingSchedule": profile_2x(profile)["chargingSchedule"],
        }
        await self._station.line.call("NotifyChargingLimit", payload)

    async def _deliver(
        self,
        kind: str,
        trigger: str,
        connector_id: int,
        running: Running,
        *,
        context: str | None = None,
        stopped: str | None = None,
        heard: Callable[[Json], None] | None = None,
    ) -> None:
        """A TransactionEvent, numbered whether it can be sent or not."""
        info: Json = {"transactionId": running.transaction_id, "chargingState": running.charging_state}
        if stopped is not None:
            info["stoppedReason"] = stopped
        if running.remote_start_id is not None:
            info["remoteStartId"] = running.remote_start_id
        event: Json = {
            "eventType": kind,
            "timestamp": stamp(running.started_at if kind == "Started" else self._station.now()),
            "triggerReason": trigger,
            "seqNo": running.numbers.next(),
            "offline": not self._station.is_online,
            "transactionInfo": info,
            "evse": {"id": connector_id, "connectorId": 1},
        }
        if kind != "Updated":
            event["idToken"] = _token(running.id_tag)
        context = context or CONTEXTS.get(kind)
        if context is not None:
            event["meterValue"] = [self._metered(connector_id, context)]
        await self._station.line.deliver(lambda: ("TransactionEvent", event), heard, is_movable=True)

    def _metered(self, connector_id: int, context: str) -> Json:
        readings = self._station.meters[connector_id].read()
        return {"timestamp": stamp(self._station.now()), "sampledValue": sampled_values_2x(readings, context)}

    # --- what it answers

    async def answer(self, action: str, payload: Json) -> Reply:
        answer = self._answers.get(action)
        if answer is None:
            raise CallError("NotSupported", f"{action} is nothing that this station does")
        return answer(payload)

    def _set_charging_profile(self, payload: Json) -> Reply:
        evse_id, document = payload["evseId"], payload["chargingProfile"]
        if evse_id not in (0, *self._station.outlets):
            return Reply(_refused("InvalidProfile", f"there is no EVSE {evse_id}"))
        taken = self._station.take_profile(read_profile_2x(evse_id, document, self._station.now()))
        return taken.reply({"status": "Accepted"} if taken.reason is None else _refused(taken.reason))

    def _clear_charging_profile(self, payload: Json) -> Reply:
        criteria = payload.get("chargingProfileCriteria", {})
        cleared = self._station.clear_profiles(
            profile_id=payload.get("chargingProfileId"),
            connector_id=criteria.get("evseId"),
            purpose=purpose_of_2x(criteria.get("chargingProfilePurpose")),
            stack_level=criteria.get("stackLevel"),
        )
        return Reply({"status": "Accepted" if cleared else "Unknown"})

    def _get_charging_profiles(self, payload: Json) -> Reply:
        criteria = payload["chargingProfile"]
        sources = criteria.get("chargingLimitSource")
        found = [
            held
            for held in self._station.profiles.matching(
                profile_ids=criteria.get("chargingProfileId"),
                connector_id=payload.get("evseId"),
                purpose=purpose_of_2x(criteria.get("chargingProfilePurpose")),
                stack_level=criteria.get("stackLevel"),
            )
            if sources is None or _source(held) in sources
        ]
        if not found:
            return Reply({"status": "NoProfiles"})
        return Reply({"status": "Accepted"}, partial(self._report_profiles, payload["requestId"], found))

    async def _report_profiles(self, request_id: int, found: list[HeldProfile]) -> None:
        """A part is of one EVSE and one source."""
        places = sorted({(held.connector_id, _source(held)) for held in found})
        parts = []
        for evse_id, source in places:
            own = [held for held in found if (held.connector_id, _source(held)) == (evse_id, source)]
            firsts = range(0, len(own), PROFILES_A_PART)
            parts += [(evse_id, source, own[first : first + PROFILES_A_PART]) for first in firsts]
        for number, (evse_id, source, profiles) in enumerate(parts, start=1):
            report = {
                "requestId": request_id,
                "chargingLimitSource": source,
                "evseId": evse_id,
                "chargingProfile": [profile_2x(held) for held in profiles],
                "tbc": number < len(parts),
            }
            await self._station.line.call("ReportChargingProfiles", report)

    def _get_composite_schedule(self, payload: Json) -> Reply:
        evse_id, duration_s = payload["evseId"], payload["duration"]
        start = self._station.now().replace(microsecond=0)
        end = start + timedelta(seconds=duration_s)
        if evse_id not in (0, *self._station.outlets):
            return Reply(_refused("UnknownEvse"))
        composite = self._station.composite(evse_id, start, end, payload.get("chargingRateUnit"))
        if composite is None:
            return Reply(_refused("UnsupportedRequest"))
        schedule = {
            "evseId": evse_id,
            "duration": duration_s,
            "scheduleStart": stamp(start, "seconds"),
            "chargingRateUnit": composite.unit,
            "chargingSchedulePeriod": [
                {"startPeriod": int((since - start).total_seconds()), "limit": round(limit, 1)}
                for since, limit in composite.steps
            ],
        }
        return Reply({"status": "Accepted", "schedule": schedule})

    def _get_variables(self, payload: Json) -> Reply:
        return Reply({"getVariableResult": [self._model.get(asked) for asked in payload["getVariableData"]]})

    def _set_variables(self, payload: Json) -> Reply:
        return Reply({"setVariableResult": [self._model.set(asked) for asked in payload["setVariableData"]]})

    def _get_base_report(self, payload: Json) -> Reply:
        base = payload["reportBase"]
        if base not in ("FullInventory", "ConfigurationInventory"):
            return Reply({"status": "NotSupported"})
        parts = self._model.report_parts(only_writable=base == "ConfigurationInventory")
        return Reply({"status": "Accepted"}, partial(self._report_model, payload["requestId"], parts))

    async def _report_model(self, request_id: int, parts: list[list[Json]]) -> None:
        for number, rows in enumerate(parts):
            report = {
                "requestId": request_id,
                "generatedAt": stamp(self._station.now()),
                "seqNo": number,
                "tbc": number + 1 < len(parts),
                "reportData": rows,
            }
            await self._station.line.call("NotifyReport", report)

    def _request_start(self, payload: Json) -> Reply:
        evse_id, start_id = payload.get("evseId", 1), payload["remoteStartId"]
        if not self._station.may_start(evse_id):
            return Reply(_refused("InvalidState"))
        listed = payload.get("chargingProfile")
        profile = None if listed is None else read_profile_2x(evse_id, listed, self._station.now())
        start = partial(self._station.start_transaction, evse_id, payload["idToken"]["idToken"], profile, start_id)
        return Reply({"status": "Accepted"}, start)

    def _request_stop(self, payload: Json) -> Reply:
        evse_id = self._station.connector_of(payload["transactionId"])
        if evse_id is None:
            return Reply(_refused("TxNotFound"))
        return Reply({"status": "Accepted"}, partial(self._station.stop_transaction, evse_id, "Remote"))

    def _trigger_message(self, payload: Json) -> Reply:
        message = payload["requestedMessage"]
        if message not in TRIGGERED:
            return Reply({"status": "Rejected" if message == "BootNotification" else "NotImplemented"})
        evse_id = payload.get("evse", {}).get("id")
        if message == "StatusNotification":
            self._told.clear()
        wanted = "MeterValues" if message == "TransactionEvent" else message
        then: Callable[[], Awaitable[None]] = partial(self._station.send_on_request, wanted, evse_id)
        return Reply({"status": "Accepted"}, then)

    def _reset(self, _payload: Json) -> Reply:
        return Reply({"status": "Accepted"}, self._station.restart)

    def _update_dynamic_schedule(self, payload: Json) -> Reply:
        """Limits only: a simulated car gives nothing back."""
        update, station = payload["scheduleUpdate"], self._station
        held = next((one for one in station.profiles if one.profile_id == payload["chargingProfileId"]), None)
        if held is None or "limit" not in update:
            return Reply(_refused("InvalidProfileId"))
        station.advance()
        limit = limit_of(update, held.periods[0][1].unit)
        changed = station.profiles.update(held.profile_id, limit, station.now())
        return Reply({"status": "Accepted"} if changed else _refused("InvalidProfileId"))

    def _use_priority_charging(self, payload: Json) -> Reply:
        station = self._station
        evse_id = station.connector_of(payload["transactionId"])
        if evse_id is None:
            return Reply(_refused("TxNotFound"))
        station.advance()
        if payload["activate"]:
            station.profiles.priority.add(evse_id)
        else:
            station.profiles.priority.discard(evse_id)
        return Reply({"status": "Accepted"})


def _token(id_tag: str) -> Json:
    return {"idToken": id_tag, "type": "ISO14443"}


def _source(held: HeldProfile) -> str:
    return "EMS" if held.purpose == EXTERNAL else "CSO"


def _refused(reason: str, info: str | None = None) -> Json:
    about = {"reasonCode": reason[:20]}
    return {"status": "Rejected", "statusInfo": about if info is None else about | {"additionalInfo": info}}
