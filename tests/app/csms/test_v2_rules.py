"""The rules of 2.x for a charging profile, each broken once."""

from dataclasses import replace
from typing import Any

import pytest

from app.csms.connector import Passport, RateUnit
from app.csms.v2_rules import Breach, Placed, breaches
from app.csms.v2_version import V21, V201, Version

Json = dict[str, Any]

PASSPORT = Passport(units=frozenset({RateUnit.A}), max_periods=3, max_stack_level=2, known=True)


def a_schedule(*periods: Json, **changes: Any) -> Json:
    listed = list(periods) or [{"startPeriod": 0, "limit": 16.0}]
    schedule = {
        "id": 1,
        "startSchedule": "2026-06-01T12:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": listed,
    }
    return {key: value for key, value in (schedule | changes).items() if value is not None}


def a_profile(**changes: Any) -> Json:
    """A default for an EVSE; what is None is left out."""
    profile = {
        "id": 1,
        "stackLevel": 1,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [a_schedule()],
    }
    return {key: value for key, value in (profile | changes).items() if value is not None}


TX = {"chargingProfilePurpose": "TxProfile", "transactionId": "tx-1"}
MAXIMUM = {"chargingProfilePurpose": "ChargingStationMaxProfile"}


def found(
    profile: Json, evse_id: int = 1, version: Version = V21, held: tuple[Placed, ...] = (), **more: Any
) -> list[Breach]:
    return list(breaches(evse_id, profile, version, PASSPORT, held, **more))


@pytest.mark.parametrize("version", [V201, V21])
@pytest.mark.parametrize(
    ("evse_id", "profile"),
    [
        (1, a_profile()),
        (0, a_profile()),
        (1, a_profile(**TX)),
        (0, a_profile(**MAXIMUM)),
        (1, a_profile(chargingProfileKind="Relative", chargingSchedule=[a_schedule(startSchedule=None)])),
        (1, a_profile(chargingProfileKind="Recurring", recurrencyKind="Daily")),
        (1, a_profile(**TX, chargingSchedule=[a_schedule(), a_schedule(id=2)])),
        (1, a_profile(validFrom="2026-06-01T12:00:00Z", validTo="2026-06-01T13:00:00Z")),
    ],
)
def test_a_good_profile_breaks_no_rule(version: Version, evse_id: int, profile: Json) -> None:
    assert found(profile, evse_id, version) == []


@pytest.mark.parametrize(
    ("evse_id", "profile", "field", "rule"),
    [
        (1, a_profile(chargingProfilePurpose="ChargingStationExternalConstraints"), "chargingProfilePurpose", "FR.22"),
        (1, a_profile(**MAXIMUM), "evseId", "whole station"),
        (0, a_profile(**TX), "evseId", "FR.16"),
        (1, a_profile(chargingProfilePurpose="TxProfile"), "transactionId", "FR.03"),
        (1, a_profile(transactionId="tx-1"), "transactionId", "no transaction"),
        (
            0,
            a_profile(**MAXIMUM, chargingProfileKind="Relative", chargingSchedule=[a_schedule(startSchedule=None)]),
            "chargingProfileKind",
            "FR.38",
        ),
        (1, a_profile(chargingSchedule=[a_schedule(startSchedule=None)]), "chargingSchedule[0].startSchedule", "FR.40"),
        (1, a_profile(chargingProfileKind="Relative"), "chargingSchedule[0].startSchedule", "FR.41"),
        (1, a_profile(chargingProfileKind="Recurring"), "recurrencyKind", "Recurring"),
        (1, a_profile(recurrencyKind="Daily"), "recurrencyKind", "Absolute"),
        (1, a_profile(validFrom="2026-06-01T12:00:00Z", validTo="2026-06-01T12:00:00Z"), "validTo", "not after"),
        (1, a_profile(chargingSchedule=[a_schedule(), a_schedule(id=2)]), "chargingSchedule", "FR.34"),
        (
            1,
            a_profile(chargingSchedule=[a_schedule({"startPeriod": 5, "limit": 6.0})]),
            "chargingSchedule[0].chargingSchedulePeriod[0].startPeriod",
            "FR.31",
        ),
        (
            1,
            a_profile(
                chargingSchedule=[a_schedule({"startPeriod": 0, "limit": 6.0}, {"startPeriod": 0, "limit": 7.0})]
            ),
            "chargingSchedule[0].chargingSchedulePeriod[1].startPeriod",
            "FR.35",
        ),
        (
            1,
            a_profile(chargingSchedule=[a_schedule({"startPeriod": 0, "limit": -1.0})]),
            "chargingSchedule[0].chargingSchedulePeriod[0].limit",
            "negative",
        ),
        (
            1,
            a_profile(chargingSchedule=[a_schedule({"startPeriod": 0, "limit": 6.0, "phaseToUse": 2})]),
            "chargingSchedule[0].chargingSchedulePeriod[0].phaseToUse",
            "FR.19",
        ),
        (
            1,
            a_profile(chargingSchedule=[a_schedule({"startPeriod": 0, "limit": 6.0, "dischargeLimit": 1.0})]),
            "chargingSchedule[0].chargingSchedulePeriod[0].dischargeLimit",
            "positive",
        ),
        (
            1,
            a_profile(chargingSchedule=[a_schedule({"startPeriod": 0, "limit_L2": 6.0, "setpoint_L2": 7.0})]),
            "chargingSchedule[0].chargingSchedulePeriod[0].setpoint_L2",
            "outside",
        ),
        (
            1,
            a_profile(chargingSchedule=[a_schedule({"startPeriod": 0, "limit": float("inf")})]),
            "chargingSchedule[0].chargingSchedulePeriod[0].limit",
            "no number",
        ),
    ],
)
def test_what_no_station_may_be_sent_names_its_field_and_rule(
    evse_id: int, profile: Json, field: str, rule: str
) -> None:
    (breach,) = found(profile, evse_id)

    assert breach.reason is None
    assert breach.field == field
    assert rule in breach.text


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (a_profile(stackLevel=3), "InvalidStackLevel"),
        (a_profile(chargingSchedule=[a_schedule(chargingRateUnit="W")]), "UnsupportedRateUnit"),
        (
            a_profile(chargingSchedule=[a_schedule(*[{"startPeriod": n, "limit": 6.0} for n in range(4)])]),
            "InvalidSchedule",
        ),
        (
            a_profile(
                chargingSchedule=[a_schedule({"startPeriod": 0, "limit": 6.0, "numberPhases": 1, "phaseToUse": 2})]
            ),
            "InvalidSchedule",
        ),
    ],
)
def test_what_this_station_cannot_take_has_the_stations_own_reason(profile: Json, reason: str) -> None:
    (breach,) = found(profile)

    assert breach.reason == reason


def test_a_station_whose_passport_nobody_read_is_asked() -> None:
    profile = a_profile(stackLevel=9, chargingSchedule=[a_schedule(chargingRateUnit="W")])

    assert list(breaches(1, profile, V201, Passport())) == []


def test_a_station_without_smart_charging_is_not_sent_any() -> None:
    (breach,) = breaches(1, a_profile(), V201, replace(PASSPORT, smart_charging=False))

    assert breach.reason == "UnsupportedRequest"


@pytest.mark.parametrize(
    "profile",
    [
        a_profile(chargingProfileKind="Dynamic"),
        a_profile(chargingProfilePurpose="PriorityCharging"),
        a_profile(chargingSchedule=[a_schedule({"startPeriod": 0, "setpoint": 5.0})]),
    ],
)
def test_what_2_1_added_is_nothing_for_2_0_1(profile: Json) -> None:
    assert found(profile, version=V21) == []
    assert len(found(profile, version=V201)) == 1


def test_a_remote_start_takes_a_transaction_profile_that_names_none() -> None:
    assert found(a_profile(chargingProfilePurpose="TxProfile"), starts=True) == []
    assert [breach.field for breach in found(a_profile(**TX), starts=True)] == ["transactionId"]
    assert [breach.field for breach in found(a_profile(), starts=True)] == ["chargingProfilePurpose"]


NOON_TO_ONE = {"validFrom": "2026-06-01T12:00:00Z", "validTo": "2026-06-01T13:00:00Z"}
ONE_TO_TWO = {"validFrom": "2026-06-01T13:00:00Z", "validTo": "2026-06-01T14:00:00Z"}


@pytest.mark.parametrize(
    ("held", "clashes"),
    [
        (Placed(1, a_profile(id=1, **NOON_TO_ONE)), False),  # the same id replaces
        (Placed(1, a_profile(id=2, **NOON_TO_ONE)), True),
        (Placed(1, a_profile(id=2)), True),
        (Placed(1, a_profile(id=2, **ONE_TO_TWO)), False),
        (Placed(2, a_profile(id=2, **NOON_TO_ONE)), False),
        (Placed(0, a_profile(id=2, **NOON_TO_ONE)), True),  # FR.52: a default for all EVSEs
        (Placed(1, a_profile(id=2, stackLevel=0, **NOON_TO_ONE)), False),
        (Placed(1, a_profile(id=2, **TX, **NOON_TO_ONE)), False),
    ],
)
def test_one_place_at_one_time_has_one_profile(held: Placed, clashes: bool) -> None:
    reasons = [breach.reason for breach in found(a_profile(id=1, **NOON_TO_ONE), held=(held,))]

    assert reasons == (["DuplicateProfile"] if clashes else [])


@pytest.mark.parametrize(("transaction", "clashes"), [("tx-1", True), ("tx-2", False)])
def test_a_transaction_has_one_profile_of_each_level_whenever_it_holds(transaction: str, clashes: bool) -> None:
    held = Placed(1, a_profile(id=2, **TX | {"transactionId": transaction}, **ONE_TO_TWO))

    assert bool(found(a_profile(**TX, **NOON_TO_ONE), held=(held,))) is clashes
