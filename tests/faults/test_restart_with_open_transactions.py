"""The service is killed with many cars at its stations: no transaction ends, and each has its plan again."""

import asyncio
import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from app.site import Site
from tests.faults.depot import SITE, found
from tests.faults.serving import Service, a_service
from tests.stores import a_store

CONVERGED_WITHIN_S = 60.0
BOOT = {"chargePointVendor": "Vendor", "chargePointModel": "Model"}
ANSWERS: dict[str, Any] = {
    "SetChargingProfile": {"status": "Accepted"},
    "ClearChargingProfile": {"status": "Unknown"},
    "GetConfiguration": {
        "configurationKey": [
            {"key": key, "readonly": True, "value": value}
            for key, value in {
                "ChargeProfileMaxStackLevel": "8",
                "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
                "ChargingScheduleMaxPeriods": "24",
                "MaxChargingProfilesInstalled": "20",
            }.items()
        ]
    },
    "GetCompositeSchedule": {"status": "Rejected"},
    "TriggerMessage": {"status": "Accepted"},
}


class Charging:
    """A station of 1.6 with a car: it takes every profile, and remembers for which transaction the last one was."""

    def __init__(self, name: str, password: str) -> None:
        self.name = name
        self.planned_for: int | None = None
        self._login = base64.b64encode(f"{name}:{password}".encode()).decode()

    async def run(self, service: Service) -> None:
        """Connected as long and as soon as the service lets it, until it is cancelled."""
        while True:
            with suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                async with connect(
                    f"{service.ocpp_url}/{self.name}",
                    subprotocols=[Subprotocol("ocpp1.6")],
                    additional_headers={"Authorization": f"Basic {self._login}"},
                    compression=None,
                    proxy=None,
                    open_timeout=30,
                    ping_interval=None,
                ) as connection:
                    await connection.send(json.dumps([2, "boot", "BootNotification", BOOT]))
                    await self._serve(connection)
            await asyncio.sleep(0.2)

    async def _serve(self, connection: ClientConnection) -> None:
        async for text in connection:
            kind, message_id, *rest = json.loads(text)
            if kind != 2:
                continue
            action, payload = rest
            transaction_id = payload.get("csChargingProfiles", {}).get("transactionId")
            if transaction_id is not None:
                self.planned_for = transaction_id
            await connection.send(json.dumps([3, message_id, ANSWERS[action]]))


@pytest.mark.parametrize("cars", [60, pytest.param(500, marks=pytest.mark.chaos)])
async def test_open_transactions_survive_a_restart_and_are_planned_again(cars: int, tmp_path: Path) -> None:
    names = [f"cs{number:03}" for number in range(cars)]
    site = Site.model_validate(
        SITE
        | {
            "connection": {"max_import_kw": 4 * cars},
            "circuits": [{"id": "garage", "max_current_a": 10.0 * cars}],
            "charging_stations": [{"id": name, "evses": [{"id": 1, "circuit": "garage"}]} for name in names],
        }
    )
    async with a_store(directory=tmp_path) as store:
        token, passwords = await found(store, site)
        now = datetime.now(UTC).replace(microsecond=0)
        own = {}
        for name in names:
            transaction, _ = await store.start_transaction(
                station_id=name, evse_id=1, id_tag="TAG", started_at=now - timedelta(minutes=5), meter_start_wh=0.0
            )
            own[name] = transaction.transaction_id
    stations = [Charging(name, passwords[name]) for name in names]

    async def converged() -> float:
        """How long it takes until each has a plan for its own transaction."""
        for station in stations:
            station.planned_for = None
        began = perf_counter()
        async with asyncio.timeout(2 * CONVERGED_WITHIN_S):
            while {station.name: station.planned_for for station in stations} != own:  # noqa: ASYNC110 -- set by many
                await asyncio.sleep(0.05)
        return perf_counter() - began

    async with a_service(tmp_path, SMARTCHARGE_RECONCILE_S="5") as service:
        await service.start()
        tasks = [asyncio.create_task(station.run(service)) for station in stations]
        try:
            await converged()
            await service.kill()
            await service.start()
            took_s = await converged()
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(base_url=service.http_url, headers=headers, trust_env=False) as client:
                running = (await client.get("/v1/transactions?running=true&limit=1000", timeout=30)).json()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    assert {row["charging_station_id"]: row["id"] for row in running} == own
    assert took_s < CONVERGED_WITHIN_S
