"""A station has booted: what it said of itself is kept, and it is accepted whatever the version."""

from datetime import datetime

import structlog

from app.clock import Clock
from app.csms.session import Answer
from app.csms.timestamps import iso_utc
from app.db.store import Store
from app.errors import NotFoundError, StoreUnavailableError
from app.events import StationBooted

log = structlog.get_logger(__name__)


async def accept_boot(
    store: Store,
    clock: Clock,
    station_id: str,
    received_at: datetime,
    *,
    interval_s: int,
    vendor: str | None,
    model: str | None,
    serial: str | None,
    firmware: str | None,
) -> Answer:
    """Accepted even while the database does not answer: a station that is turned away charges nobody."""
    try:
        await store.update_station(
            station_id,
            vendor=vendor,
            model=model,
            serial=serial,
            firmware=firmware,
            booted_at=received_at,
            last_seen_at=received_at,
        )
    except (StoreUnavailableError, NotFoundError) as error:
        log.error("ocpp.boot_not_stored", station=station_id, reason=str(error))
    answer = {"status": "Accepted", "currentTime": iso_utc(clock.now()), "interval": interval_s}
    return Answer(answer, (StationBooted(station_id, received_at),))
