"""The site that an import belongs to, with the stations that only the import knows."""

import json
from collections.abc import Collection, Mapping

from pydantic import ValidationError

from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError
from app.site import Site


async def site_with_stations(store: Store, site_id: str, connectors: Mapping[str, Collection[int]]) -> tuple[Site, int]:
    """The site whose document knows every one of these stations (with its connectors) that no other site has, and how
    many are new to it. Raises `InvalidInputError` for what cannot be a site's id."""
    try:
        site = await store.site(site_id)
    except NotFoundError:
        # Prices unknown and nothing sent: its operator completes it. An invented tariff would be a lie.
        site = _new_site(site_id)
    known = {station.station_id for station in await store.stations()}
    new = [
        {
            "id": station_id,
            "evses": [{"id": number} for number in sorted(connectors[station_id] or {1})],
            "isolated": True,  # what is only known from a file is not taken for a load on this site's fuses
        }
        for station_id in sorted(connectors)
        if station_id not in known
    ]
    if new or not known:
        document = site.model_dump(mode="json")
        document["charging_stations"] += new
        site = Site.model_validate_json(json.dumps(document))
        await store.save_site(site)
    return site, len(new)


def _new_site(site_id: str) -> Site:
    try:
        return Site.model_validate(
            {
                "id": site_id,
                "name": site_id,
                "time_zone": "UTC",
                "mode": "shadow",
                "connection": {},
                "tariff": {"kind": "series"},
            }
        )
    except ValidationError as error:
        raise InvalidInputError("site", f"{site_id!r} cannot be a site's id: {error.errors()[0]['msg']}") from error
