"""The most that a building draws: what its operator says, else what its meters have ever shown and a margin."""

from dataclasses import dataclass

from app.db.store import Store
from app.dispatch.certificate import BaseSource
from app.site import Site

OBSERVED_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class BuildingMaximum:
    """kW at the grid connection, without EVs and without PV; None: nobody knows."""

    kw: float | None
    source: BaseSource | None


async def building_maximum(store: Store, site: Site) -> BuildingMaximum:
    """Behind a grid meter alone the building may have drawn what was imported and all that the roof can produce."""
    if site.base_load.max_kw is not None:
        return BuildingMaximum(site.base_load.max_kw, "configured")
    meters = [meter.id for meter in site.meters if meter.measures == "base_load"]
    pv_kw = 0.0
    if not meters:
        meters = [meter.id for meter in site.meters if meter.measures == "grid"]
        pv_kw = sum(array.peak_kw for array in site.pv_arrays)
    highest_kw = await store.highest_readings(site.id) if meters else {}
    if not meters or any(meter not in highest_kw for meter in meters):
        return BuildingMaximum(None, None)
    seen_kw = sum(highest_kw[meter] for meter in meters) + pv_kw
    return BuildingMaximum(round(max(0.0, seen_kw) * (1 + OBSERVED_MARGIN), 3), "observed")
