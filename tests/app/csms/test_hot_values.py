"""What is read into structs and what is forgiven must make the same rows: the hot path is only a shorter way."""

from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import SteppedClock
from app.csms import meter_values
from app.csms.hot_messages import METER_VALUES_2X, HotMessages
from app.csms.hot_values import Group2x, Group16, live_of, samples_of
from app.csms.live_values import LiveValues
from app.csms.v16_transactions import Transactions
from app.db.store import Store
from app.events import MeterValuesReceived

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
GROUPS_16 = msgspec.json.Decoder(list[Group16], strict=False)
GROUPS_2X = msgspec.json.Decoder(list[Group2x])

TIMES = st.sampled_from(
    [
        "2026-06-01T11:59:30Z",
        "2026-06-01T11:59:30.1234567Z",
        "2026-06-01T13:59:40+02:00",
        "2026-06-01t11:58:00z",
        "2026-06-01T11:59:30",
        "2026-06-01",
        "20260601T115930Z",
        "1970-01-01T00:00:00Z",
        "2030-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "yesterday",
        "",
    ]
)
VALUES = st.one_of(
    st.floats(-1e3, 1e6).map(str),
    st.integers(-(10**6), 10**13).map(str),
    st.sampled_from(["1,5", " 7 ", "nan", "inf", "1e400", "1e3", "+4", ".5", "5.", "1_0", "", "true", "0x10"]),
    st.integers(-5, 10**6),
    st.floats(-1e3, 1e6),
    st.none(),
    st.booleans(),
)
SAMPLED = st.fixed_dictionaries(
    {"value": VALUES},
    optional={
        "measurand": st.sampled_from(
            [
                "Power.Active.Import",
                "Current.Import",
                "SoC",
                "Energy.Active.Import.Register",
                "power.active.import",
                "?",
            ]
        ),
        "unit": st.sampled_from(["W", "kW", "A", "Wh", "kWh", "Percent", "", "w", "?"]),
        "phase": st.sampled_from(["L1", "L2", "L3", "L1-N", "N", "", "l1", "?"]),
        "context": st.sampled_from(["Sample.Periodic", "Transaction.Begin", "", "?"]),
        "location": st.sampled_from(["Outlet", "Inlet"]),
        "vendor": st.just({"deep": [1]}),
    },
)
GROUPS = st.lists(
    st.fixed_dictionaries({"timestamp": TIMES, "sampledValue": st.lists(SAMPLED, max_size=4)}), min_size=1, max_size=3
)


@given(GROUPS)
def test_whatever_the_short_way_reads_the_long_way_reads_alike_and_without_a_complaint(groups: list[Any]) -> None:
    try:
        samples = samples_of(GROUPS_16.decode(msgspec.json.encode(groups)), NOW)
    except msgspec.ValidationError:
        return
    if samples is None:
        return

    parsed = meter_values.parse({"connectorId": 1, "meterValue": groups}, station_id="cs01", received_at=NOW)

    assert parsed.violations == []
    assert {(at.at, *quantity, value) for at in samples for quantity, value in at.values} == {
        (value.at, value.measurand, value.phase, value.context, value.unit, value.value) for value in parsed.values
    }
    live = live_of(samples)
    newest_at = max((value.at for value in parsed.values), default=None)
    newest = [value for value in parsed.values if value.at == newest_at]
    assert (live is None) == (newest_at is None)
    if live is not None:
        assert live.power_w == meter_values.live_power_w(newest)
        assert live.current_a == meter_values.live_current_a(newest)
        assert live.energy_wh == meter_values.live_energy_wh(newest)


def test_a_message_as_stations_send_it_goes_the_short_way() -> None:
    sampled = [
        {"value": "11.04", "measurand": "Power.Active.Import", "unit": "kW", "context": "Sample.Periodic"},
        {"value": "16.1", "measurand": "Current.Import", "unit": "A", "phase": "L1"},
        {"value": "1234"},
    ]

    samples = samples_of(
        GROUPS_16.decode(msgspec.json.encode([{"timestamp": "2026-06-01T11:59:30Z", "sampledValue": sampled}])), NOW
    )

    assert samples is not None
    live = live_of(samples)
    assert live is not None
    assert (live.power_w, live.current_a, live.energy_wh) == (11_040.0, {"L1": 16.1}, 1234.0)


def test_the_power_of_ten_of_a_2_x_unit_counts() -> None:
    sampled = {
        "value": 1.5,
        "measurand": "Power.Active.Import",
        "unitOfMeasure": {"unit": "W", "multiplier": 3},
    }

    samples = samples_of(
        GROUPS_2X.decode(msgspec.json.encode([{"timestamp": "2026-06-01T11:59:30Z", "sampledValue": [sampled]}])), NOW
    )

    assert samples is not None
    assert [(quantity.measurand, quantity.unit, value) for quantity, value in samples[0].values] == [
        ("Power.Active.Import", "W", 1500.0)
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b'[2,"a","Heartbeat",[]]',
        b'[2,"a","Heartbeat"]',
        b'[2,"","Heartbeat",{}]',
        b'[2,"' + b"x" * 37 + b'","Heartbeat",{}]',
        b'[3,"a",{}]',
        b'[2,"a","StatusNotification",{}]',
        b'[2,"a","MeterValues",{"connectorId":-1,"meterValue":[]}]',
        b'[2,"a","MeterValues",{"connectorId":1}]',
        b'[2,"a","MeterValues",' + b"[" * 30_000 + b"]",
        b'[2,"a","MeterValues",{"x":' + b"[" * 30_000,
        b"\xff",
        b"",
    ],
)
def test_what_is_not_plain_takes_the_long_way(raw: bytes) -> None:
    store = cast(Store, None)
    hot = HotMessages(
        "cs01", store, SteppedClock(NOW), Transactions(cast(Any, FakeSession()), store), LiveValues("cs01")
    )

    assert hot.answer(raw, NOW) is None


class FakeSession:
    station_id = "cs01"


class Remembering:
    """A store that keeps what it is handed, and transactions of which 7 runs at EVSE 1."""

    async def samples_written(self) -> None:
        pass

    knows_running = True

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def add_samples(self, values: Any, **of: Any) -> None:
        self.rows.append((of["evse_id"], of["transaction_id"], [value for _, value in values]))

    def running_at(self, evse_id: int, _at: datetime) -> int | None:
        return 7 if evse_id == 1 else None

    def is_known_as_own(self, transaction_id: int) -> bool:
        return transaction_id in {7, 8}


@pytest.mark.parametrize(
    ("said", "stored"), [({}, 7), ({"transactionId": 8}, 8), ({"transactionId": -1}, 7), ({"transactionId": 9}, None)]
)
def test_values_belong_to_the_transaction_they_name_or_to_the_one_that_runs(
    said: dict[str, int], stored: int | None
) -> None:
    memory = Remembering()
    hot = HotMessages("cs01", cast(Store, memory), SteppedClock(NOW), memory, LiveValues("cs01"))
    group = {"timestamp": "2026-06-01T11:59:30Z", "sampledValue": [{"value": "5"}]}
    payload = {"connectorId": 1, "meterValue": [group]} | said

    answered = hot.answer(msgspec.json.encode([2, "a", "MeterValues", payload]), NOW)

    assert (answered is not None) == (stored is not None)
    assert memory.rows == ([] if stored is None else [(1, stored, [5.0])])


def test_meter_values_of_2_x_go_the_same_way() -> None:
    memory = Remembering()
    hot = HotMessages(
        "cs01", cast(Store, memory), SteppedClock(NOW), memory, LiveValues("cs01"), decoder=METER_VALUES_2X
    )
    sampled = {"value": 7.2, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "kW"}}
    payload = {"evseId": 1, "meterValue": [{"timestamp": "2026-06-01T11:59:30Z", "sampledValue": [sampled]}]}

    answered = hot.answer(msgspec.json.encode([2, "a", "MeterValues", payload]), NOW)

    assert answered is not None
    assert [event.power_w for event in answered[1].events if isinstance(event, MeterValuesReceived)] == [7200.0]
    assert memory.rows == [(1, 7, [7200.0])]
