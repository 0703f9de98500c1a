"""Every other CSMS that the settings name, from its courier to its events."""

import hmac
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from app.clock import Clock
from app.csms.remote.citrineos import CitrineosRoad
from app.csms.remote.citrineos_events import CitrineosEvents
from app.csms.remote.connector import RemoteConnector
from app.csms.remote.road import Courier
from app.csms.remote.settings import RemoteCsms
from app.csms.remote.webhook import WebhookRoad
from app.csms.remote.webhook_events import WebhookEvents
from app.db.store import Store
from app.errors import NotFoundError, UnauthorizedError
from app.events import Events
from app.settings import Settings


class Remotes:
    """``async with Remotes(...) as remotes`` looks for the stations of each CSMS and takes what it tells of them."""

    def __init__(self, store: Store, events: Events, clock: Clock, settings: Settings) -> None:
        self._stack = AsyncExitStack()
        self._couriers: list[Courier] = []
        self._connectors: list[RemoteConnector] = []
        self._citrineos: dict[str, tuple[RemoteCsms, CitrineosRoad, CitrineosEvents]] = {}
        self._webhooks: dict[str, WebhookEvents] = {}
        for csms in settings.remote_csms:
            courier = Courier(csms.timeout_s)
            self._couriers.append(courier)
            road = WebhookRoad(csms, courier, clock) if csms.kind == "webhook" else CitrineosRoad(csms, courier, clock)
            connector = RemoteConnector(csms, road, store, events, clock, settings)
            self._connectors.append(connector)
            if isinstance(road, WebhookRoad):
                self._webhooks[csms.name] = WebhookEvents(connector, road, clock)
            else:
                self._citrineos[csms.name] = csms, road, CitrineosEvents(connector)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        for courier in self._couriers:
            await self._stack.enter_async_context(courier)
        for connector in self._connectors:
            self._stack.push_async_callback(connector.close)
            await connector.start()

    async def close(self) -> None:
        await self._stack.aclose()

    def by_station(self) -> dict[str, RemoteConnector]:
        """The connector of each station that is behind another CSMS."""
        return {station_id: connector for connector in self._connectors for station_id in connector.csms.stations}

    def webhook(self, name: str) -> WebhookEvents:
        """Raises `NotFoundError`."""
        try:
            return self._webhooks[name]
        except KeyError:
            raise NotFoundError("CSMS", name) from None

    def citrineos_events(self, name: str, secret: str) -> CitrineosEvents:
        """The events of a CitrineOS, for whoever knows the last part of its subscriptions' address."""
        csms, _, events = self._citrineos_named(name)
        if not hmac.compare_digest(csms.secret.get_secret_value().encode(), secret.encode()):
            raise UnauthorizedError("the address of the subscription ends in another secret")
        return events

    def settle_callback(self, name: str, token: str, body: Any) -> bool:
        """An answer that CitrineOS posts. False: nobody waits for it, or not any more. Raises `NotFoundError`."""
        _, road, _ = self._citrineos_named(name)
        return road.settle(token, body)

    def _citrineos_named(self, name: str) -> tuple[RemoteCsms, CitrineosRoad, CitrineosEvents]:
        try:
            return self._citrineos[name]
        except KeyError:
            raise NotFoundError("CSMS", name) from None
