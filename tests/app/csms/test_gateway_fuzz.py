"""Whatever a station says in place of what it should: it is answered, and never with an internal error."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db.store import Store
from tests.app.csms.stations import a_gateway, connected

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace").decode()),  # no lone surrogates
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text("abcXYZ", max_size=8), children, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = {
    "connectorId": JSON | st.integers(0, 2),
    "idTag": JSON | st.just("TAG"),
    "timestamp": JSON | st.sampled_from(["2026-06-01T12:00:00Z", "1970-01-01T00:00:00", "9999-12-31T23:59:59-14:00"]),
    "meterStart": JSON,
    "meterStop": JSON,
    "transactionId": JSON | st.integers(-1, 3),
    "transactionData": JSON,
    "meterValue": JSON,
    "status": JSON | st.just("Charging"),
    "errorCode": JSON,
    "reason": JSON,
    "chargePointVendor": JSON,
    "firmwareVersion": JSON,
}
ACTIONS = ["Authorize", "BootNotification", "MeterValues", "StartTransaction", "StatusNotification", "StopTransaction"]
MESSAGES = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.fixed_dictionaries({}, optional=FIELDS)), min_size=15, max_size=25
)


@given(MESSAGES)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_no_payload_is_too_strange_to_be_answered(store: Store, messages: list[tuple[str, Any]]) -> None:
    async with a_gateway(store) as gateway, connected(gateway) as station:
        for action, payload in messages:
            kind, _, answer, *_ = await station.request(action, payload)

            assert kind == 3, f"{action} {payload} was answered with {answer}"
