"""What stations of 2.x report, read without a socket: needs, limits, variables, states, reports in parts."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms import v2_device_model, v2_meter_values
from app.csms.connector import ChargingProfile, Kind, Passport, Period, Purpose, RateUnit, Recurrency
from app.csms.ocpp_schemas import check_call
from app.csms.v2_device_model import key_of, named, passport_of, variables_of
from app.csms.v2_held import HeldProfiles
from app.csms.v2_limits import limit_steps
from app.csms.v2_needs import excess, read_needs
from app.csms.v2_profiles import installed_profiles, profile_json
from app.csms.v2_reports import Report, Reports
from app.csms.v2_rules import breaches
from app.csms.v2_statuses import EvseStatuses
from app.csms.v2_version import V21, V201, Version
from app.csms.v16_profiles import UnreadableScheduleError, floor_to_tenth
from app.db.records import ChargingLimit, StationVariable
from app.errors import InvalidInputError

Json = dict[str, Any]

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_schedule(*limits: tuple[int, float], unit: str = "A", **changes: Any) -> Json:
    periods = [{"startPeriod": start_s, "limit": limit} for start_s, limit in limits]
    return {"id": 1, "chargingRateUnit": unit, "chargingSchedulePeriod": periods} | changes


# --- needs


def test_an_ac_vehicle_names_its_energy_and_its_current() -> None:
    needs, violations = read_needs(
        {
            "chargingNeeds": {
                "requestedEnergyTransfer": "AC_single_phase",
                "acChargingParameters": {"energyAmount": 7000, "evMaxCurrent": 16},
                "departureTime": "2026-06-01T18:00:00Z",
            }
        },
        230.0,
    )

    assert violations == []
    assert (needs.energy_kwh, needs.departure, needs.phases) == (7, NOON + 6 * HOUR, 1)
    assert needs.max_power_kw == pytest.approx(3.68)


@pytest.mark.parametrize(
    ("parameters", "energy_kwh"),
    [
        ({"energyAmount": 30_000, "stateOfCharge": 20, "evEnergyCapacity": 60_000}, 30),
        ({"stateOfCharge": 20, "evEnergyCapacity": 60_000}, 48),
        ({"stateOfCharge": 20, "evEnergyCapacity": 60_000, "fullSoC": 80}, 36),
        ({"stateOfCharge": 90, "evEnergyCapacity": 60_000, "fullSoC": 80}, 0),
        ({"evEnergyCapacity": 60_000}, None),  # a missing state of charge is not 0 %
        ({"stateOfCharge": 20}, None),
        ({"energyAmount": -5}, 0),
    ],
)
def test_the_energy_of_a_dc_vehicle_is_what_it_said_or_what_follows_from_it(
    parameters: Json, energy_kwh: float | None
) -> None:
    needs, _ = read_needs({"chargingNeeds": {"dcChargingParameters": parameters}}, 230.0)

    assert needs.energy_kwh == (None if energy_kwh is None else pytest.approx(energy_kwh))


def test_needs_that_say_nothing_are_none() -> None:
    needs, violations = read_needs({"chargingNeeds": {"departureTime": "soon"}}, 230.0)

    assert (needs.energy_kwh, needs.departure, needs.max_power_kw, needs.phases) == (None, None, None, None)
    assert len(violations) == 1


# --- a vehicle's choice


def an_offer(unit: RateUnit = RateUnit.A, *limits: tuple[int, float]) -> ChargingProfile:
    periods = tuple(Period(start_s, limit) for start_s, limit in limits or ((0, 16.0), (1800, 8.0)))
    return ChargingProfile(1, 1, Purpose.TX, unit, NOON, periods, duration_s=3600, transaction_id=1)


def a_choice(schedule: Json, base: datetime = NOON) -> Json:
    return {"timeBase": base.isoformat(), "chargingSchedule": schedule}


@pytest.mark.parametrize(
    ("schedule", "is_excess"),
    [
        (a_schedule((0, 16), (1800, 8)), False),
        (a_schedule((0, 16.05), (1800, 8)), False),  # rounding
        (a_schedule((0, 16)), True),  # too long at the first limit
        (a_schedule((0, 16), duration=1800), False),
        (a_schedule((0, 8)), False),
        (a_schedule((0, 11_040), (1800, 5_520), unit="W"), False),
        (a_schedule((0, 11_140), (1800, 5_520), unit="W"), True),
        (a_schedule((0, 99), startSchedule=(NOON + 2 * HOUR).isoformat()), False),  # after the offer
    ],
)
def test_a_choice_is_held_against_the_offer(schedule: Json, is_excess: bool) -> None:
    found = excess(a_choice(schedule), an_offer(), now=NOON, voltage_v=230, phases=3)

    assert (found is not None) is is_excess


@pytest.mark.parametrize(
    "schedule", [{}, a_schedule(), a_schedule((0, 6), unit="kW"), a_schedule((0, 6)) | {"chargingSchedulePeriod": [{}]}]
)
def test_a_choice_that_cannot_be_read_is_not_taken_for_a_modest_one(schedule: Json) -> None:
    with pytest.raises(UnreadableScheduleError):
        excess(a_choice(schedule), an_offer(), now=NOON, voltage_v=230, phases=3)


@given(st.lists(st.integers(0, 32), min_size=1, max_size=4), st.lists(st.integers(0, 32), min_size=1, max_size=4))
def test_a_choice_is_in_excess_exactly_where_it_is_above(offered_a: list[int], chosen_a: list[int]) -> None:
    offer = an_offer(RateUnit.A, *[(900 * n, float(limit)) for n, limit in enumerate(offered_a)])
    choice = a_schedule(*[(900 * n, float(limit)) for n, limit in enumerate(chosen_a)], duration=3600)

    found = excess(a_choice(choice), offer, now=NOON, voltage_v=230, phases=3)

    above = any(chosen_a[min(slot, len(chosen_a) - 1)] > offered_a[min(slot, len(offered_a) - 1)] for slot in range(4))
    assert (found is not None) is above


# --- limits


def a_limit(*schedules: Json, evse_id: int = 1, **changes: Any) -> ChargingLimit:
    return ChargingLimit("cs01", evse_id, "SO", NOON, list(schedules), **changes)


def test_the_least_of_all_limits_holds() -> None:
    grid = a_limit(a_schedule((0, 16), (1800, 6), startSchedule=NOON.isoformat(), duration=2700))
    manager = a_limit(a_schedule((0, 6_900), unit="W", startSchedule=NOON.isoformat()))

    steps = limit_steps((grid, manager), 1, NOON, NOON + HOUR, voltage_v=230, phases=3)

    assert [steps.at(NOON + timedelta(minutes=minute)) for minute in (0, 29, 30, 44, 45, 59)] == [10, 10, 6, 6, 10, 10]


def test_where_nobody_limits_nothing_does() -> None:
    others = (a_limit(a_schedule((0, 6)), evse_id=2), a_limit(), a_limit(a_schedule((0, 6)), is_local_generation=True))

    steps = limit_steps(others, 1, NOON, NOON + HOUR)

    assert steps.values == (inf,)


def test_a_limit_without_a_start_counts_from_when_it_was_told() -> None:
    steps = limit_steps((a_limit(a_schedule((0, 6))),), 1, NOON - HOUR, NOON + HOUR)

    assert (steps.at(NOON - HOUR), steps.at(NOON)) == (inf, 6)


def test_less_than_nothing_is_nothing() -> None:
    assert limit_steps((a_limit(a_schedule((0, -1))),), 1, NOON, NOON + HOUR).values == (0,)


# --- device model


def a_variable(component: str, name: str, value: str | None, **changes: Any) -> StationVariable:
    return StationVariable("cs01", component, name, NOON, value, **changes)


@pytest.mark.parametrize(
    "key",
    [
        "SmartChargingCtrlr.RateUnit",
        "SmartChargingCtrlr.Entries[ChargingProfiles]",
        "EVSE@1.Power",
        "Connector@1.2.Available",
        "Sensor[inlet]@2.Temperature[max]",
    ],
)
def test_a_variable_is_found_under_its_name(key: str) -> None:
    entry = named(key) | {"variableAttribute": [{"value": "1"}]}

    (variable,), violations = variables_of({"reportData": [entry]}, "cs01", NOON)

    assert violations == []
    assert key_of(variable) == key


@pytest.mark.parametrize("key", ["", "HeartbeatInterval", ".Power", "EVSE@x.Power", "A.", "EVSE@1", "A[.B"])
def test_what_names_no_variable_is_refused(key: str) -> None:
    with pytest.raises(InvalidInputError):
        named(key)


def test_a_report_that_is_partly_garbage_is_read_for_the_rest() -> None:
    good = named("EVSE@1.Power") | {
        "variableAttribute": [{"type": "Actual", "value": "0"}, {"type": "MaxSet", "value": "22000"}, "x"],
        "variableCharacteristics": {"unit": "W", "dataType": "decimal", "maxLimit": 22000},
    }

    variables, violations = variables_of({"reportData": [good, "x", {"component": {}}]}, "cs01", NOON)

    assert [(row.attribute, row.value, row.max_limit) for row in variables] == [
        ("Actual", "0", 22000),
        ("MaxSet", "22000", 22000),
    ]
    assert len(violations) == 2


def test_the_passport_forgives_how_values_are_written() -> None:
    own = "SmartChargingCtrlr"
    passport = passport_of(
        [
            a_variable(own, "RateUnit", '"Current, Power"'),
            a_variable(own, "ProfileStackLevel", " 7 "),
            a_variable("smartchargingctrlr", "PeriodsPerSchedule", "'20'"),
            a_variable(own, "Entries", "2", variable_instance="ChargingProfiles", max_limit=30.0),
            a_variable(own, "ACPhaseSwitchingSupported", "TRUE"),
            a_variable(own, "SupportedAdditionalPurposes", "PriorityCharging,LocalGeneration"),
            a_variable(own, "ProfileStackLevel", "99", attribute="MaxSet"),
        ],
        V21,
    )

    assert passport.units == {RateUnit.A, RateUnit.W}
    assert (passport.max_stack_level, passport.max_periods, passport.max_profiles) == (7, 20, 30)
    assert passport.phases_switchable
    assert {Purpose.PRIORITY, Purpose.LOCAL_GENERATION} <= passport.purposes
    assert passport.raw["SmartChargingCtrlr.RateUnit"] == '"Current, Power"'


@pytest.mark.parametrize("name", ["Enabled", "Available"])
def test_smart_charging_that_is_off_is_none(name: str) -> None:
    assert not passport_of([a_variable("SmartChargingCtrlr", name, "false")], V201).smart_charging


# --- meter values


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        ({"value": 7.4, "unitOfMeasure": {"unit": "W", "multiplier": 3}}, 7400),
        ({"value": 7.4, "unitOfMeasure": {"unit": "kW"}}, 7400),
        ({"value": "7,4", "unitOfMeasure": {"unit": "kW", "multiplier": 0}}, 7400),
        ({"value": 74000, "unitOfMeasure": {"unit": "W", "multiplier": -1}}, 7400),
        ({"value": 7400}, 7400),
        ({"value": 7400, "unitOfMeasure": None}, 7400),
    ],
)
def test_a_multiplier_is_part_of_the_value(sample: Json, value: float) -> None:
    groups = [{"timestamp": NOON.isoformat(), "sampledValue": [sample | {"measurand": "Power.Active.Import"}]}]

    parsed = v2_meter_values.parse(groups, station_id="cs01", evse_id=1, received_at=NOON)

    assert parsed.violations == []
    assert parsed.values[0].value == pytest.approx(value)
    assert parsed.values[0].unit == "W"


@pytest.mark.parametrize("multiplier", [13, -13, 0.5, "many"])
def test_a_multiplier_that_is_none_costs_the_value(multiplier: Any) -> None:
    sample = {"value": 1, "unitOfMeasure": {"unit": "Wh", "multiplier": multiplier}}
    groups = [{"timestamp": NOON.isoformat(), "sampledValue": [sample]}]

    parsed = v2_meter_values.parse(groups, station_id="cs01", evse_id=1, received_at=NOON)

    assert (parsed.values, len(parsed.violations)) == ([], 1)


def test_what_only_2_1_measures_is_no_violation() -> None:
    samples = [{"value": 50, "measurand": "Display.PresentSOC"}, {"value": 1, "measurand": "Display.InletHot"}]
    groups = [{"timestamp": NOON.isoformat(), "sampledValue": samples}]

    parsed = v2_meter_values.parse(groups, station_id="cs01", evse_id=1, received_at=NOON)

    assert [(value.measurand, value.value) for value in parsed.values] == [("SoC", 50)]
    assert parsed.violations == []


# --- states


def test_the_state_of_a_transaction_is_only_the_evses_while_a_connector_is_in_use() -> None:
    statuses = EvseStatuses()

    told = [
        statuses.of_connector(1, 1, "Available"),
        statuses.of_connector(1, 1, "Occupied"),
        statuses.in_transaction(1, "Charging"),
        statuses.of_connector(1, 2, "Unavailable"),
        statuses.after_transaction(1),
        statuses.of_connector(1, 1, "Available"),
        statuses.of_connector(1, 1, "Faulted"),
        statuses.of_connector(1, 2, "Faulted"),
    ]

    assert told == [
        "Available",
        "Preparing",
        "Charging",
        "Charging",
        "Finishing",
        "Available",
        "Unavailable",
        "Faulted",
    ]


def test_nothing_is_said_of_an_evse_whose_connectors_are_not_known() -> None:
    statuses = EvseStatuses()
    statuses.in_transaction(1, "Charging")

    assert statuses.after_transaction(1) is None


# --- reports in parts


@given(st.permutations(range(4)), st.integers(0, 3))
def test_a_report_is_complete_when_its_parts_are_whatever_their_order(order: list[int], repeated: int) -> None:
    report = Report()
    for position, number in enumerate(order[:3]):
        report.take({"seqNo": number, "tbc": number != 3})
        if position == 0:
            report.take({"seqNo": order[0], "tbc": order[0] != 3})
    complete_early = report.is_complete
    report.take({"seqNo": order[3], "tbc": order[3] != 3})
    report.take({"seqNo": repeated, "tbc": repeated != 3})

    assert not complete_early or order[3] == 0  # without part 0 it may be a station that counts from 1
    assert report.is_complete


async def test_a_report_is_waited_for_as_long_as_parts_come() -> None:
    reports = Reports(first_id=7)
    request_id = reports.next_id()

    with reports.awaited("NotifyReport", request_id) as report:
        waiting = asyncio.create_task(report.parts(0.3))
        for number in range(3):
            await asyncio.sleep(0.15)
            assert reports.take("NotifyReport", {"requestId": 7, "seqNo": number, "tbc": True})
        parts, is_complete = await waiting

    assert ([part["seqNo"] for part in parts], is_complete) == ([0, 1, 2], False)
    assert not reports.take("NotifyReport", {"requestId": 7, "seqNo": 3})


async def test_a_report_is_not_waited_for_once_the_connection_is_gone() -> None:
    reports = Reports(first_id=7)

    with reports.awaited("NotifyReport", 7) as report:
        waiting = asyncio.create_task(report.parts(60))
        await asyncio.sleep(0)
        reports.close()
        async with asyncio.timeout(5):
            parts, is_complete = await waiting

    assert (parts, is_complete) == ([], False)


# --- what is held


def test_a_profile_of_2_1_that_the_compiler_has_no_word_for_is_reported_as_it_is() -> None:
    document = {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Dynamic",
    }
    report = {
        "evseId": 1,
        "chargingLimitSource": "CSO",
        "chargingProfile": [document | {"chargingSchedule": [a_schedule((0, 6))]}, "x"],
    }

    (installed,) = installed_profiles(report, NOON)

    assert installed.profile is None
    assert installed.document["chargingProfileKind"] == "Dynamic"


limits = st.floats(0, 1e6, allow_nan=False)


@st.composite
def profiles(draw: st.DrawFn) -> tuple[int, ChargingProfile, str | None]:
    """A profile as the compiler makes them, where it goes, and its transaction as the station names it."""
    purpose = draw(st.sampled_from([Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX]))
    kind = draw(
        st.sampled_from([Kind.ABSOLUTE, Kind.RECURRING] + [Kind.RELATIVE] * (purpose is not Purpose.STATION_MAX))
    )
    starts = sorted(draw(st.sets(st.integers(1, 86_400), max_size=5)))
    profile = ChargingProfile(
        profile_id=draw(st.integers(1, 1000)),
        stack_level=draw(st.integers(0, 9)),
        purpose=purpose,
        unit=draw(st.sampled_from(RateUnit)),
        start=NOON,
        periods=tuple(Period(start_s, draw(limits), draw(st.sampled_from([None, 1, 3]))) for start_s in (0, *starts)),
        duration_s=draw(st.none() | st.integers(1, 86_400)),
        valid_from=draw(st.sampled_from([None, NOON])),
        valid_to=draw(st.sampled_from([None, NOON + HOUR])),
        transaction_id=7 if purpose is Purpose.TX else None,
        kind=kind,
        recurrency=Recurrency.DAILY if kind is Kind.RECURRING else None,
    )
    return 0 if purpose is Purpose.STATION_MAX else 1, profile, "tx-7" if purpose is Purpose.TX else None


@given(profiles(), st.sampled_from([V201, V21]))
async def test_what_the_compiler_makes_is_valid_and_read_back_as_it_was(
    made: tuple[int, ChargingProfile, str | None], version: Version
) -> None:
    evse_id, profile, transaction = made

    document = profile_json(profile, transaction)

    await check_call("SetChargingProfile", {"evseId": evse_id, "chargingProfile": document}, version.number)
    assert list(breaches(evse_id, document, version, Passport())) == []
    report = {"evseId": evse_id, "chargingLimitSource": "CSO", "chargingProfile": [document]}
    (installed,) = installed_profiles(report, NOON)
    assert installed.transaction == transaction
    assert installed.profile is not None
    floored = tuple(replace(period, limit=floor_to_tenth(period.limit)) for period in profile.periods)
    assert installed.profile == replace(profile, periods=floored, transaction_id=None)


def test_what_is_cleared_is_no_longer_held() -> None:
    held = HeldProfiles()
    for profile_id, evse_id, level in ((1, 1, 0), (2, 1, 1), (3, 2, 0)):
        document = {"id": profile_id, "stackLevel": level, "chargingProfilePurpose": "TxDefaultProfile"}
        held.put(evse_id, document)

    held.remove(evse_id=1, purpose="TxDefaultProfile", stack_level=0)
    assert [placed.profile_id for placed in held.all()] == [2, 3]
    held.remove(profile_id=2, purpose=None, stack_level=None)
    held.remove(evse_id=None, purpose=None, stack_level=None)

    assert held.all() == ()


def test_passport_variables_have_names() -> None:
    for version in (V201, V21):
        for key in v2_device_model.passport_keys(version):
            assert named(key)["component"] == {"name": "SmartChargingCtrlr"}
