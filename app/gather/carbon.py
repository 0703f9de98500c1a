"""What a kWh from the grid emits, slot by slot: the marginal rate where it is known, else the average."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from app.db.records import Json
from app.db.store import Store
from app.gather.history import span
from app.gather.prices import joined
from app.site import Site
from forecasts.price_shape import continued
from forecasts.series import utc_index
from optimizer.domain import Horizon, Series

LOOK_BACK = timedelta(days=2)  # it is continued as on the day before, and issued every half hour
KINDS = ("carbon_marginal", "carbon")  # a kWh more is made by the plant that is turned up for it


@dataclass(frozen=True, slots=True)
class Emissions:
    """kg/kWh for each slot; None where no series says anything. `provenance` is for the plan."""

    kg_per_kwh: Series | None
    provenance: Json


class CarbonSource:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, site: Site, horizon: Horizon, now: datetime) -> Emissions:
        """Beyond what is known, as at the same time of the days before; then it is marked as estimated."""
        index = utc_index(horizon.start, horizon.slot_minutes, horizon.slots)
        start, end = span(index)
        for kind in KINDS:
            rows = await self._store.series(site.id, kind, start - LOOK_BACK, end)
            known = joined(rows)
            if known.empty or pd.DatetimeIndex(known.index)[-1] < index[0]:
                continue
            values, estimated = continued(known, None, index, site.time_zone)
            newest = rows[-1]
            provenance = {
                "source": newest.source,
                "issued_at": newest.issued_at.astimezone(UTC).isoformat(),
                "age_s": (now - newest.issued_at).total_seconds(),
                "detail": f"{kind}; {int(estimated.sum())} of {len(index)} slots are estimated",
                "estimated": newest.estimated or bool(estimated.any()),
            }
            return Emissions(tuple(values.to_list()), {"carbon": provenance})
        return Emissions(None, {})
