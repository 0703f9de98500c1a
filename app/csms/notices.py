"""What a station tells of itself that changes nothing else: kept as it came, for an operator to read."""

from datetime import datetime

import msgspec
import structlog

from app.csms.frames import Json
from app.db.records import StationNotice
from app.db.store import Store
from app.errors import NotFoundError, StoreUnavailableError
from app.events import StationNoticed

MAX_NOTICE_BYTES = 16 * 1024  # of the payload that is kept

log = structlog.get_logger(__name__)


async def keep_notice(
    store: Store, station_id: str, action: str, payload: Json, received_at: datetime
) -> StationNoticed:
    """Store it if the database answers; a notice that is lost is no reason for a station to repeat itself."""
    size = len(msgspec.json.encode(payload))
    kept = payload if size <= MAX_NOTICE_BYTES else {"bytes": size, "note": "too large to keep"}
    try:
        await store.add_notice(StationNotice(station_id, received_at, action, kept))
    except (StoreUnavailableError, NotFoundError) as error:
        log.error("ocpp.notice_not_stored", station=station_id, action=action, reason=str(error))
    log.info("ocpp.notice", station=station_id, action=action)
    return StationNoticed(station_id, action, received_at)
