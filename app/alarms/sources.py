"""Which of a site's sources have fallen silent: its meters, and the prices that its tariff lives on."""

from datetime import datetime, timedelta

from app.db.store import Store
from app.site import Site

AHEAD = timedelta(hours=1)  # so long before prices run out it is said


async def stale_sources(store: Store, site: Site, now: datetime) -> dict[str, str]:
    """By source, in words. A meter that was never heard of is not stale: it may not be installed yet."""
    found = {}
    latest = await store.latest_readings(site.id) if site.meters else {}
    for meter in site.meters:
        if meter.id not in latest:
            continue
        age = now - latest[meter.id][0]
        if age > timedelta(minutes=site.alarms.stale_after_minutes):
            last = latest[meter.id][0].isoformat()
            found[f"meter {meter.id}"] = f"meter {meter.id} was last heard of at {last}, {_minutes(age)} ago"
    if site.tariff.kind == "series":
        known = await store.series(site.id, "import_price", now, now + AHEAD)
        until = max(
            (series.start + len(series.values) * timedelta(minutes=series.resolution_minutes) for series in known),
            default=now,
        )
        if until < now + AHEAD:
            found["import_price"] = f"import prices are known until {until.isoformat()} only: later ones are estimated"
    return found


def _minutes(age: timedelta) -> str:
    return f"{age / timedelta(minutes=1):.0f} min"
