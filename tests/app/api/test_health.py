from datetime import timedelta

import pytest

from app.db.records import StoredSeries
from app.errors import StoreUnavailableError
from app.events import PlanMade, StationConnected
from tests.app.api.builders import NOW, READ, an_api, wrong


async def test_a_live_service_answers_without_a_key() -> None:
    async with an_api() as api:
        assert (await api.anonymous.get("/health/live")).json() == {"status": "live"}


async def test_a_service_is_ready_with_a_database_and_an_ocpp_port() -> None:
    async with an_api() as api:
        ready = await api.anonymous.get("/health/ready")

        assert (ready.status_code, ready.json()) == (
            200,
            {"status": "ready", "store": "ok", "ocpp_port": 9000, "troubles": {}},
        )


async def test_a_service_without_its_database_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with an_api() as api:

        async def down() -> None:
            raise StoreUnavailableError("the disk is gone")

        monkeypatch.setattr(api.store, "ping", down)
        ready = await api.anonymous.get("/health/ready")

    assert (ready.status_code, ready.json()["store"]) == (503, "unavailable")


async def test_metrics_count_events_and_requests_by_route() -> None:
    async with an_api() as api:
        api.connector.online = frozenset({"cs01", "cs02"})
        api.app.state.services.events.publish(PlanMade("depot", "plan", NOW))
        await api.client.get("/v1/sites/depot")
        await api.client.get("/v1/sites/attic")
        await api.anonymous.get("/nowhere/at/all")

        text = (await api.anonymous.get("/metrics")).text

        assert 'smartcharge_events_total{kind="plan_made"} 1.0' in text
        assert "smartcharge_charging_stations_connected 2.0" in text
        for route, status in (("/v1/sites/{site_id}", 200), ("/v1/sites/{site_id}", 404), ("unknown", 404)):
            labels = f'method="GET",route="{route}",status="{status}"'
            assert f"smartcharge_http_request_seconds_count{{{labels}}} 1.0" in text
        assert "depot" not in text
        assert "cs01" not in text


async def test_metrics_need_a_key_where_others_can_reach_them() -> None:
    async with an_api(http_host="0.0.0.0") as api:
        wrong(await api.anonymous.get("/metrics"), 401)
        assert (await api.anonymous.get("/metrics", headers=await api.as_(READ))).status_code == 200


async def test_metrics_tell_of_the_store_the_plans_and_the_sources() -> None:
    async with an_api() as api:
        api.app.state.metrics.watch(api.store, api.clock)
        api.app.state.metrics.outcomes({"verified": 3, "rejected": 1})
        issued = StoredSeries("depot", "import_price", "auction", NOW - timedelta(hours=2), NOW, 60, "EUR/kWh", (0.1,))
        await api.store.add_series(issued)
        for _ in range(2):
            api.app.state.services.events.publish(StationConnected("cs01", NOW))

        text = (await api.anonymous.get("/metrics")).text

    assert "smartcharge_store_up 1.0" in text
    assert "smartcharge_store_write_lag_seconds 0.0" in text
    assert "smartcharge_oldest_plan_age_seconds 0.0" in text
    assert 'smartcharge_series_age_seconds{kind="import_price"} 7200.0' in text
    assert 'smartcharge_profile_outcomes_total{state="verified"} 3.0' in text
    assert "smartcharge_reconnects_total 1.0" in text
    assert "process_resident_memory_bytes" in text


async def test_metrics_are_told_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    async with an_api() as api:
        api.app.state.metrics.watch(api.store, api.clock)

        async def down() -> None:
            raise StoreUnavailableError("the disk is gone")

        monkeypatch.setattr(api.store, "plans_in_use", down)
        answer = await api.anonymous.get("/metrics")

    assert answer.status_code == 200
    assert "smartcharge_store_up" in answer.text
