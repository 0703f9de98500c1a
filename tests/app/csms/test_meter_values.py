from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.meter_values import Parsed, live_current_a, live_energy_wh, live_power_w, parse
from app.db.records import MeterValue

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
AT = "2026-06-01T12:00:00Z"


def read(*sampled: dict[str, Any], at: str = AT, **fields: Any) -> Parsed:
    """Parse one group of sampled values of connector 1."""
    payload = {"connectorId": 1, "meterValue": [{"timestamp": at, "sampledValue": list(sampled)}]} | fields
    return parse(payload, station_id="cs01", received_at=NOON)


def one(*sampled: dict[str, Any], **fields: Any) -> MeterValue:
    parsed = read(*sampled, **fields)
    assert parsed.violations == []
    (value,) = parsed.values
    return value


def power(value: float, phase: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"value": str(value), "measurand": "Power.Active.Import", **({"phase": phase} if phase else {}), **fields}


def test_a_bare_value_is_an_energy_register_in_wh() -> None:
    value = one({"value": "1234"})

    assert value == MeterValue("cs01", 1, NOON, "Energy.Active.Import.Register", 1234.0, "Wh", received_at=NOON)
    assert (value.context, value.phase) == ("Sample.Periodic", "")


@pytest.mark.parametrize(
    ("sampled", "stored", "unit"),
    [
        ({"value": "1.5", "unit": "kWh"}, 1500, "Wh"),
        ({"value": "1,5", "unit": "kwh"}, 1500, "Wh"),
        ({"value": 7.4, "unit": "kW", "measurand": "Power.Active.Import"}, 7400, "W"),
        ({"value": " 7400 ", "measurand": "Power.Active.Import"}, 7400, "W"),
        ({"value": "16", "measurand": "Current.Import"}, 16, "A"),
        ({"value": "230.1", "measurand": "Voltage", "unit": "V"}, 230.1, "V"),
        ({"value": "80", "measurand": "SoC", "unit": "Percent"}, 80, "%"),
        ({"value": "80", "measurand": "SoC"}, 80, "%"),
        ({"value": "21", "measurand": "Temperature", "unit": "C"}, 21, "Celsius"),
        ({"value": "21", "measurand": "temperature", "unit": "Celcius"}, 21, "Celsius"),
        ({"value": "-3.2e2", "measurand": "Power.Reactive.Import"}, -320, "var"),
        ({"value": "0.98", "measurand": "Power.Factor"}, 0.98, ""),
        ({"value": "1", "unit": "", "context": "", "measurand": "", "phase": ""}, 1, "Wh"),
    ],
)
def test_values_are_stored_in_base_units(sampled: dict[str, Any], stored: float, unit: str) -> None:
    value = one(sampled)

    assert value.value == pytest.approx(stored)
    assert value.unit == unit


@pytest.mark.parametrize(
    ("sent", "phase"), [("L1", "L1"), ("L2-N", "L2"), ("l3", "L3"), ("N", "N"), ("L1-L2", "L1-L2")]
)
def test_line_to_neutral_is_the_phase(sent: str, phase: str) -> None:
    assert one({"value": "1", "measurand": "Voltage", "phase": sent}).phase == phase


def test_a_context_is_kept_and_an_unknown_one_is_other() -> None:
    assert one({"value": "1", "context": "Transaction.Begin"}).context == "Transaction.Begin"
    parsed = read({"value": "1", "context": "Sometimes"})
    assert parsed.values[0].context == "Other"
    assert "Sometimes" in parsed.violations[0]


@pytest.mark.parametrize(
    ("sampled", "quoted"),
    [
        ({"value": "abc"}, "'abc'"),
        ({"value": "1.234,5"}, "1.234,5"),
        ({"value": "nan"}, "nan"),
        ({"value": "inf"}, "inf"),
        ({"value": "1_000"}, "1_000"),
        ({"value": "1e999"}, "1e999"),
        ({"value": 10**400}, "a int"),
        ({"value": True}, "True"),
        ({"value": ""}, "''"),
        ({}, "None"),
        ({"value": "1", "measurand": "Request.Energy"}, "Request.Energy"),
        ({"value": "1", "measurand": 7}, "7"),
        ({"value": "1", "unit": "A"}, "'A'"),
        ({"value": "1", "unit": "bananas"}, "bananas"),
        ({"value": "1", "phase": "L4"}, "L4"),
        ({"value": "x" * 10_000}, "xxx"),
    ],
)
def test_garbage_is_quoted_and_skipped(sampled: dict[str, Any], quoted: str) -> None:
    parsed = read(sampled, {"value": "5"})

    assert [value.value for value in parsed.values] == [5.0]
    assert quoted in parsed.violations[0]
    assert len(parsed.violations[0]) < 200


def test_a_time_that_cannot_be_right_gives_way_to_the_time_of_arrival() -> None:
    (value,) = read({"value": "1"}, at="1970-01-01T00:00:00Z").values

    assert (value.at, value.received_at) == (NOON, NOON)


def test_several_samples_of_a_wrong_clock_keep_their_distances() -> None:
    payload = {
        "connectorId": 1,
        "meterValue": [
            {"timestamp": f"1970-01-01T00:{minute:02}:00Z", "sampledValue": [{"value": str(minute)}]}
            for minute in (0, 15, 30)
        ],
    }

    values = parse(payload, station_id="cs01", received_at=NOON).values

    assert [(value.value, (NOON - value.at).total_seconds()) for value in values] == [(0, 1800), (15, 900), (30, 0)]


def test_an_old_time_is_kept_beside_the_time_of_arrival() -> None:
    (value,) = read({"value": "1"}, at="2026-05-30T12:00:00+02:00").values

    assert value.at == datetime(2026, 5, 30, 10, tzinfo=UTC)
    assert value.received_at == NOON


def test_the_outlet_counts_where_the_inlet_is_sent_too() -> None:
    inlet, outlet = {"value": "9", "location": "Inlet"}, {"value": "5", "location": "Outlet"}

    assert [value.value for value in read(inlet, outlet).values] == [5.0]
    assert [value.value for value in read(outlet, inlet).values] == [5.0]


def test_transaction_data_of_a_stop_is_read_for_the_evse_it_is_told() -> None:
    payload = {"transactionId": 7, "transactionData": [{"timestamp": AT, "sampledValue": [{"value": "1"}]}]}

    (value,) = parse(payload, station_id="cs01", received_at=NOON, evse_id=2, transaction_id=9).values

    assert (value.evse_id, value.transaction_id) == (2, 9)


@pytest.mark.parametrize(("said", "read_as"), [(7, 7), ("7", 7), (0, None), (-1, None), ("x", None), (None, None)])
def test_a_transaction_of_nought_or_less_is_none(said: Any, read_as: int | None) -> None:
    assert one({"value": "1"}, transactionId=said).transaction_id == read_as


def test_a_lone_object_is_a_list_of_one() -> None:
    payload = {"connectorId": "1", "meterValue": {"timestamp": AT, "sampledValue": {"value": 3}}}

    (value,) = parse(payload, station_id="cs01", received_at=NOON).values

    assert value.value == 3


def test_power_is_the_total_where_it_was_sent() -> None:
    values = read(power(7000), power(2000, "L1"), power(2000, "L2"), power(2000, "L3")).values

    assert live_power_w(values) == 7000


def test_power_is_else_the_sum_of_the_phases() -> None:
    values = read(power(2, "L1-N", unit="kW"), power(2100, "L2"), power(5, "N")).values

    assert live_power_w(values) == 4100


def test_power_that_was_not_sent_is_unknown_and_not_nought() -> None:
    assert live_power_w(read({"value": "1"}).values) is None
    assert live_power_w([]) is None


def test_only_the_newest_power_counts() -> None:
    older = read(power(9000), at="2026-06-01T11:55:00Z").values
    newer = read(power(3000, "L1")).values

    assert live_power_w([*newer, *older]) == 3000


def test_currents_are_by_phase_and_what_was_not_sent_is_absent() -> None:
    current = {"measurand": "Current.Import"}
    values = read(
        {"value": "16", "phase": "L1", **current},
        {"value": "15.5", "phase": "L2-N", **current},
        {"value": "0.4", "phase": "N", **current},
        {"value": "32"} | current,
    ).values

    assert live_current_a(values) == {"L1": 16.0, "L2": 15.5}


def test_the_energy_register_is_the_total_or_all_three_phases() -> None:
    phases = [{"value": "10", "phase": phase} for phase in ("L1", "L2", "L3")]

    assert live_energy_wh(read({"value": "31"}, *phases).values) == 31
    assert live_energy_wh(read(*phases).values) == 30
    assert live_energy_wh(read(*phases[:2]).values) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=15,
)
SAMPLED = st.dictionaries(
    st.sampled_from(["value", "unit", "measurand", "phase", "context", "location", "format"]),
    JSON | st.sampled_from(["1,5", "kWh", "W", "Power.Active.Import", "L1-N", "Inlet", "Trigger"]),
)
GROUP = st.fixed_dictionaries({"timestamp": JSON | st.just(AT), "sampledValue": JSON | st.lists(SAMPLED, max_size=4)})
PAYLOAD = st.dictionaries(st.text(max_size=12), JSON) | st.fixed_dictionaries(
    {"connectorId": JSON | st.integers(0, 3), "transactionId": JSON, "meterValue": JSON | st.lists(GROUP, max_size=3)}
)


@given(PAYLOAD)
def test_no_payload_raises_and_every_value_is_finite_and_in_a_known_unit(payload: dict[str, Any]) -> None:
    parsed = parse(payload, station_id="cs01", received_at=NOON)

    for value in parsed.values:
        assert abs(value.value) < float("inf")
        assert value.unit in {"W", "Wh", "A", "V", "%", "var", "varh", "VA", "Celsius", "Hz", ""}
        assert value.at.tzinfo is UTC
    live_power_w(parsed.values)
    live_current_a(parsed.values)
    live_energy_wh(parsed.values)


@given(PAYLOAD)
def test_the_natural_key_of_a_message_is_unique(payload: dict[str, Any]) -> None:
    values = parse(payload, station_id="cs01", received_at=NOON).values

    keys = [(value.at, value.measurand, value.phase, value.context) for value in values]

    assert len(keys) == len(set(keys))
