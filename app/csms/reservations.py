"""Reservations as stations and operators name them, and the wishes that stand for them: `app.gather.reservations`."""

from datetime import datetime

from app.csms.frames import Json
from app.csms.lenient import MAX_INTEGER
from app.db.records import Wish
from app.db.store import Store
from app.errors import NotFoundError
from app.events import WishChanged

_PREFIX = "reservation-"


def wish_id_of(station_id: str, reservation_id: int) -> str:
    return f"{_PREFIX}{station_id}-{reservation_id}"


def is_reservation(wish: Wish) -> bool:
    return wish.wish_id.startswith(_PREFIX)


def reservation_id_of(payload: Json) -> int | None:
    """1.6 says reservationId everywhere, 2.x says id in ReserveNow."""
    number = payload.get("reservationId", payload.get("id"))
    is_number = isinstance(number, int) and not isinstance(number, bool) and abs(number) <= MAX_INTEGER
    return number if is_number else None


async def end_reservation(store: Store, station_id: str, reservation_id: int, at: datetime) -> WishChanged | None:
    """Forget what was expected for it; None where nothing was. Raises `StoreUnavailableError`."""
    wish_id = wish_id_of(station_id, reservation_id)
    try:
        wish = await store.wish(wish_id)
        await store.delete_wish(wish_id)
    except NotFoundError:
        return None
    return WishChanged(wish.site_id, at)
