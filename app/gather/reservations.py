"""A reserved EVSE is an expected session: ReserveNow becomes a wish, which ends with the reservation. Pure.

Nobody says when the car comes, what it needs, or how long it stays. It is expected when half an hour of the
reservation is left, so that it is given up as a no-show in the moment in which the reservation ends; for the rest the
site's defaults stand in. Once a transaction runs at the EVSE, it is planned like any other.
"""

from datetime import datetime, timedelta

from app.csms.frames import Json
from app.csms.lenient import read_text
from app.csms.reservations import reservation_id_of, wish_id_of
from app.csms.timestamps import read_timestamp
from app.db.records import Wish
from app.gather.sessions import NO_SHOW_AFTER
from app.site import Site


def reservation_wish(site: Site, station_id: str, payload: Json, now: datetime) -> Wish | None:
    """What an accepted ReserveNow of either version asks of the plan.

    None where it reserves no certain EVSE of the site, has no number, or is over.
    """
    station, reservation_id = site.station(station_id), reservation_id_of(payload)
    expiry, _ = read_timestamp(payload.get("expiryDate", payload.get("expiryDateTime")))
    if station is None or reservation_id is None or expiry is None or expiry <= now:
        return None
    known = [evse.id for evse in station.evses]
    evse_id = payload.get("connectorId" if "idTag" in payload else "evseId")  # 2.x has a type of connector besides
    if not evse_id and len(known) == 1:
        [evse_id] = known
    if evse_id not in known:
        return None
    token = payload.get("idToken")
    said = token.get("idToken") if isinstance(token, dict) else payload.get("idTag")
    arrival = max(now, expiry - NO_SHOW_AFTER)
    return Wish(
        wish_id=wish_id_of(station_id, reservation_id),
        site_id=site.id,
        departure=arrival + timedelta(hours=site.session_defaults.stay_h),
        required_energy_kwh=site.session_defaults.required_energy_kwh,
        created_at=now,
        station_id=station_id,
        evse_id=evse_id,
        id_tag=read_text(said, 255),
        arrival=arrival,
    )
