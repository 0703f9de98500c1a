"""The live values of one station's EVSEs: they only ever move forward in time."""

from dataclasses import dataclass
from datetime import datetime

from app.csms.timestamps import MAX_LIVE_AGE, MAX_SKEW
from app.events import MeterValuesReceived


@dataclass(frozen=True, slots=True)
class Live:
    """The newest values of one message. `at` aware UTC; phases that were not sent are absent."""

    at: datetime
    power_w: float | None
    current_a: dict[str, float]
    energy_wh: float | None


class LiveValues:
    """What the service was last told of each EVSE."""

    def __init__(self, station_id: str) -> None:
        self._station_id = station_id
        self._told_until: dict[int, datetime] = {}

    def event(
        self, evse_id: int, transaction_id: int | None, live: Live, received_at: datetime
    ) -> MeterValuesReceived | None:
        """The notice of `live`; None when it is from a backlog, or older than what was told already."""
        if received_at - live.at > MAX_LIVE_AGE or live.at < self._told_until.get(evse_id, live.at):
            return None
        self._told_until[evse_id] = live.at
        return MeterValuesReceived(
            station_id=self._station_id,
            evse_id=evse_id,
            transaction_id=transaction_id,
            at=live.at if abs(received_at - live.at) <= MAX_SKEW else received_at,  # as `MessageTime.live_at`
            power_w=live.power_w,
            current_a=live.current_a,
            energy_wh=live.energy_wh,
        )
