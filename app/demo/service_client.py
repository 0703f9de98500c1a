"""The service as the demo sees it: its HTTP API, and nothing else."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Protocol, Self

import httpx

from app.clock import Clock
from app.demo.scenario import Prices, Visit
from app.demo.station import StationSpec
from app.site import Site

TIMEOUT_S = 60.0  # a request may wait for a plan
READINGS_AT_ONCE = 5_000
MOST_SCHEDULES = 1_000  # of a day; the API lists no more at once

Json = dict[str, Any]


class RunningService(Protocol):
    """A started service. `ocpp_url` is the endpoint without a station's identity; `api_key` has every scope."""

    @property
    def http_url(self) -> str: ...

    @property
    def ocpp_url(self) -> str: ...

    @property
    def api_key(self) -> str: ...


ServiceFactory = Callable[[Clock], AbstractAsyncContextManager[RunningService]]


class ServiceClient:
    """Every request holds the clock: no simulated time passes while the service works on it."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock, site_id: str) -> None:
        self._http = http
        self._clock = clock
        self._site = f"/v1/sites/{site_id}"

    @classmethod
    @asynccontextmanager
    async def open(cls, service: RunningService, clock: Clock, site_id: str) -> AsyncIterator[Self]:
        headers = {"Authorization": f"Bearer {service.api_key}"}
        async with httpx.AsyncClient(
            base_url=service.http_url, headers=headers, timeout=TIMEOUT_S, trust_env=False
        ) as http:
            yield cls(http, clock, site_id)

    async def create_site(self, site: Site, stations: Iterable[StationSpec]) -> None:
        await self._send("POST", "/v1/sites", site.model_dump(mode="json"))
        for station in stations:
            await self._send("PUT", f"/v1/charging-stations/{station.station_id}/password", _password(station))

    async def add_prices(self, prices: Prices) -> None:
        await self._send(
            "POST",
            f"{self._site}/series",
            {
                "kind": "import_price",
                "source": "Bundesnetzagentur | SMARD.de (sample)",
                "start": prices.start.isoformat(),
                "resolution_minutes": 15,
                "unit": "EUR/MWh",
                "values": prices.eur_per_mwh,
            },
        )

    async def add_readings(self, readings: Sequence[tuple[str, datetime, float]]) -> None:
        """(meter, interval start, mean kW)."""
        for first in range(0, len(readings), READINGS_AT_ONCE):
            rows = [
                {"meter_id": meter_id, "at": at.isoformat(), "kw": round(kw, 3)}
                for meter_id, at, kw in readings[first : first + READINGS_AT_ONCE]
            ]
            await self._send("POST", f"{self._site}/readings", {"readings": rows})

    async def wish(self, visit: Visit) -> None:
        """What the driver says on arrival."""
        told = {"max_power_kw": visit.vehicle.max_power_kw(), "vehicle_phases": visit.vehicle.phases}
        await self._send(
            "POST",
            f"{self._site}/sessions",
            {
                "charging_station_id": visit.station_id,
                "evse_id": visit.evse_id,
                "id_tag": visit.id_tag,
                "departure": visit.stated_departure.isoformat(),
                "required_energy_kwh": visit.asked_kwh,
            }
            | (told if visit.vehicle_told else {}),
        )

    async def plan(self) -> Json:
        return await self._object("POST", f"{self._site}/schedules", {"dispatch": True})

    async def latest_schedule(self) -> Json | None:
        """The newest plan with its deliveries; None before the first."""
        response = await self._request("GET", f"{self._site}/schedules/latest")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        response.raise_for_status()
        plan: Json = response.json()
        return plan

    async def schedules(self) -> list[Json]:
        """Every plan of the day, newest first, each with its deliveries."""
        response = await self._send("GET", f"{self._site}/schedules?limit={MOST_SCHEDULES}")
        return [await self._object("GET", f"/v1/schedules/{summary['id']}") for summary in response.json()]

    async def _object(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        answer: Json = (await self._send(method, path, body)).json()
        return answer

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        response = await self._request(method, path, body)
        if response.is_error:
            raise RuntimeError(f"{method} {path} was answered {response.status_code}: {response.text[:500]}")
        return response

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        with self._clock.hold():
            return await self._http.request(method, path, json=body)


def _password(station: StationSpec) -> Json:
    return {"password": station.password}
