"""How a simulated station speaks: what it tells, in the words of its OCPP version, and what it answers."""

from dataclasses import dataclass
from typing import Protocol

from app.demo.link import Json, Reply
from app.demo.transaction import Running


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a BootNotification."""

    accepted: bool
    interval_s: int


class Dialect(Protocol):
    """One per station. Connectors and statuses have 1.6's names; everything it tells, it tells once it is answered
    or, while there is no connection, at once."""

    subprotocol: str

    async def boot(self) -> Welcome | None:
        """None: no answer."""
        ...

    async def heartbeat(self) -> None: ...

    async def is_authorised(self, id_tag: str) -> bool:
        """Offline everybody is."""
        ...

    async def tell_status(self, connector_id: int, status: str, running: Running | None) -> None: ...

    async def tell_start(self, connector_id: int, running: Running) -> None: ...

    async def tell_values(self, connector_id: int, running: Running | None, context: str) -> None: ...

    async def tell_stop(self, connector_id: int, running: Running, reason: str) -> None: ...

    async def answer(self, action: str, payload: Json) -> Reply:
        """Raises `CallError`."""
        ...
