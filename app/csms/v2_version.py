"""OCPP 2.0.1 and 2.1: what a station says, what we say, and in what the two versions differ.

Everything else in `v2` is common to both.
"""

from dataclasses import dataclass

from app.csms.connector import OcppVersion, Purpose
from app.csms.ocpp_schemas import V21_ACTIONS, V201_ACTIONS

_BOTH_WAYS = frozenset({"DataTransfer"})
_ANSWERED_201 = frozenset(
    {
        "Authorize",
        "BootNotification",
        "ClearedChargingLimit",
        "DataTransfer",
        "FirmwareStatusNotification",
        "Get15118EVCertificate",
        "GetCertificateStatus",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "NotifyChargingLimit",
        "NotifyCustomerInformation",
        "NotifyDisplayMessages",
        "NotifyEVChargingNeeds",
        "NotifyEVChargingSchedule",
        "NotifyEvent",
        "NotifyMonitoringReport",
        "NotifyReport",
        "PublishFirmwareStatusNotification",
        "ReportChargingProfiles",
        "ReservationStatusUpdate",
        "SecurityEventNotification",
        "SignCertificate",
        "StatusNotification",
        "TransactionEvent",
    }
)
_ANSWERED_21 = _ANSWERED_201 | {
    "BatterySwap",
    "ClosePeriodicEventStream",
    "GetCertificateChainStatus",
    "NotifyDERAlarm",
    "NotifyDERStartStop",
    "NotifyPeriodicEventStream",  # a SEND: taken, and answered by nothing
    "NotifyPriorityCharging",
    "NotifySettlement",
    "OpenPeriodicEventStream",
    "PullDynamicScheduleUpdate",
    "ReportDERControl",
    "VatNumberValidation",
}

_PURPOSES_201 = frozenset({Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX})


@dataclass(frozen=True, slots=True)
class Version:
    """One of the two. `answered`: what a station may send; `sent`: what a CSMS may send."""

    number: OcppVersion
    answered: frozenset[str]
    sent: frozenset[str]
    settable: frozenset[Purpose]  # the purposes of profiles that a CSMS may set
    kinds: frozenset[str]
    has_discharge: bool  # periods with setpoints, discharge limits and limits for each phase
    no_profile_status: str  # to a vehicle whose needs we shall not plan for


V201 = Version(
    number="2.0.1",
    answered=_ANSWERED_201,
    sent=V201_ACTIONS - _ANSWERED_201 | _BOTH_WAYS,
    settable=_PURPOSES_201,
    kinds=frozenset({"Absolute", "Recurring", "Relative"}),
    has_discharge=False,
    no_profile_status="Rejected",
)
V21 = Version(
    number="2.1",
    answered=_ANSWERED_21,
    sent=V21_ACTIONS - _ANSWERED_21 | _BOTH_WAYS,
    settable=_PURPOSES_201 | {Purpose.PRIORITY, Purpose.LOCAL_GENERATION},
    kinds=frozenset({"Absolute", "Recurring", "Relative", "Dynamic"}),
    has_discharge=True,
    no_profile_status="NoChargingProfile",
)
