"""Who is there and what they need: running transactions and wishes become the optimizer's sessions. Pure.

A missing state of charge is never 0 %: without a wish the site's defaults stand in, and a car that goes on drawing
power is never written off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.csms.paused_stays import is_paused_stay
from app.db.records import EvseStatus, Transaction, Wish
from app.site import EvseDocument, Site, evse_key
from optimizer.domain import Scenario, Session

WISH_WAITS = timedelta(hours=24)  # a wish said before the car came belongs to the first car within a day
NO_SHOW_AFTER = timedelta(minutes=30)
EARLY_BY = timedelta(hours=2)  # who comes to an announced car's EVSE longer before it is somebody else
OVERSTAY = timedelta(hours=1)  # a car that stays longer than said is planned for another hour, again and again
HURRY = 1.5  # how much more time than at full power must be left for a car to be planned ready early
DONE_KWH = 0.05  # less than this is the meter's noise, not a need
OPEN_NEED_KWH = 2.0  # what is kept open for a car whose need nobody knows
DECLINED_FOR = timedelta(minutes=3)  # a car that takes nothing of what it is offered for so long has enough for now


@dataclass(frozen=True, slots=True)
class Seen:
    """What a station measured of a running transaction: energy so far, phases that carry current (None: unknown).

    `before_wish_kwh` is what of that energy was delivered before its driver's wish, which asks for more from then on.
    """

    delivered_kwh: float = 0.0
    phases: int | None = None
    before_wish_kwh: float = 0.0
    takes_none: bool = False  # of what it is offered


def wish_of(transaction: Transaction, wishes: Sequence[Wish], recent: Sequence[Transaction]) -> Wish | None:
    """The newest wish that means this transaction.

    One said during the stay means it by EVSE or id tag. One said before, or for a car announced for later, means the
    first transaction that its EVSE or id tag starts then: `recent` holds the site's transactions of the last two days.
    """
    for wish in sorted(wishes, key=lambda wish: wish.created_at, reverse=True):
        if wish.arrival is None and wish.created_at >= transaction.started_at:
            if _fits(wish, transaction):
                return wish
            continue
        waited = transaction.started_at - wish.created_at <= WISH_WAITS or wish.arrival is not None
        claimed = any(_begins(wish, other) and other.started_at < transaction.started_at for other in recent)
        if waited and not claimed and _begins(wish, transaction) and transaction.started_at < wish.departure:
            return wish
    return None


def running_session(
    site: Site,
    transaction: Transaction,
    wish: Wish | None,
    seen: Seen,
    now: datetime,
    believed: Sequence[Scenario] = (),
) -> Session:
    """The session of a car that is there. `required_energy_kwh` is what it still needs.

    `believed` is how its stay may go on, where the site says that what drivers state does not bind. A car that takes
    nothing is planned without: nothing is known of when it wants more.
    """
    least_kwh = _least_kwh(site, transaction, wish, seen)
    if believed and not seen.takes_none:
        ways = tuple(
            replace(way, required_energy_kwh=_deliverable_kwh(way.required_energy_kwh, least_kwh)) for way in believed
        )
        return Session(
            session_id=f"tx-{transaction.transaction_id}",
            evse_id=evse_key(transaction.station_id, transaction.evse_id),
            arrival=min(transaction.started_at, now),
            departure=max(way.departure for way in ways),
            required_energy_kwh=max(way.required_energy_kwh for way in ways),
            max_power_kw=wish.max_power_kw if wish else None,
            vehicle_phases=wish.vehicle_phases if wish and wish.vehicle_phases else seen.phases,
            priority=wish.priority if wish else 1,
            scenarios=ways,
        )
    if wish is not None:
        required_kwh = max(0.0, wish.required_energy_kwh - (seen.delivered_kwh - seen.before_wish_kwh))
        departure = _ready_by(site, transaction, wish, required_kwh, seen, now)
    else:
        departure = transaction.started_at + timedelta(hours=site.session_defaults.stay_h)
        required_kwh = max(OPEN_NEED_KWH, site.session_defaults.required_energy_kwh - seen.delivered_kwh)
    required_kwh = _deliverable_kwh(required_kwh, least_kwh)
    if seen.takes_none:  # its room goes to the others until it takes energy again
        required_kwh = min(required_kwh, OPEN_NEED_KWH)
    return Session(
        session_id=f"tx-{transaction.transaction_id}",
        evse_id=evse_key(transaction.station_id, transaction.evse_id),
        arrival=min(transaction.started_at, now),
        departure=departure if departure > now else now + OVERSTAY,
        required_energy_kwh=required_kwh,
        max_power_kw=wish.max_power_kw if wish else None,
        vehicle_phases=wish.vehicle_phases if wish and wish.vehicle_phases else seen.phases,
        priority=wish.priority if wish else 1,
    )


def _ready_by(
    site: Site, transaction: Transaction, wish: Wish, required_kwh: float, seen: Seen, now: datetime
) -> datetime:
    """The stated departure, or some time before it as long as that leaves `HURRY` times the time that is needed."""
    evse = _evse_of(site, transaction)
    if evse is None or is_paused_stay(wish.wish_id):  # which was early already when its transaction was stopped
        return wish.departure
    evse_kw = evse.max_power_kw or _kw(site, evse.max_current_a or 0.0, _phases(evse, wish, seen))
    power_kw = min(evse_kw, wish.max_power_kw or evse_kw)
    early = wish.departure - timedelta(hours=site.session_defaults.ready_before_h)
    needed = timedelta(hours=HURRY * required_kwh / power_kw) if power_kw > 0 else timedelta.max
    return early if early - now >= needed else wish.departure


def _least_kwh(site: Site, transaction: Transaction, wish: Wish | None, seen: Seen) -> float:
    """What one slot at the minimum current delivers: no plan can give less, and none at all would break a promise."""
    evse = _evse_of(site, transaction)
    if evse is None:
        return 0.0
    return _kw(site, evse.min_current_a, _phases(evse, wish, seen)) * site.slot_minutes / 60


def _deliverable_kwh(required_kwh: float, least_kwh: float) -> float:
    return max(required_kwh, least_kwh) if required_kwh > DONE_KWH else required_kwh


def _evse_of(site: Site, transaction: Transaction) -> EvseDocument | None:
    station = site.station(transaction.station_id)
    return next((evse for evse in station.evses if evse.id == transaction.evse_id), None) if station else None


def _phases(evse: EvseDocument, wish: Wish | None, seen: Seen) -> int:
    """How many the vehicle is believed to use; one where nobody knows."""
    return min((wish.vehicle_phases if wish else None) or seen.phases or 1, len(evse.phases))


def _kw(site: Site, current_a: float, phases: int) -> float:
    return current_a * phases * site.connection.voltage_v / 1000


def expected_sessions(
    wishes: Sequence[Wish], recent: Sequence[Transaction], now: datetime, end: datetime
) -> list[Session]:
    """Cars announced for a free EVSE that have not come yet; a no-show is dropped after half an hour.

    And cars that are there without a transaction, because theirs was stopped for a pause.
    """
    expected: list[Session] = []
    busy_until: dict[str, datetime] = {}
    for wish in sorted(wishes, key=lambda wish: wish.arrival or wish.created_at):
        if wish.station_id is None or wish.evse_id is None or wish.arrival is None:
            continue
        came = any(_begins(wish, transaction) for transaction in recent)
        is_there = is_paused_stay(wish.wish_id)
        if came or (not is_there and wish.arrival + NO_SHOW_AFTER <= now):
            continue
        key = evse_key(wish.station_id, wish.evse_id)
        arrival = max(wish.arrival, now, busy_until.get(key, now))
        if arrival >= min(wish.departure, end):
            continue
        busy_until[key] = wish.departure
        expected.append(
            Session(
                session_id=f"wish-{wish.wish_id}",
                evse_id=key,
                arrival=arrival,
                departure=wish.departure,
                required_energy_kwh=wish.required_energy_kwh,
                max_power_kw=wish.max_power_kw,
                vehicle_phases=wish.vehicle_phases,
                priority=wish.priority + (0 if is_there else 1),  # who is plugged in comes before who is expected
            )
        )
    return expected


def declines_energy(status: EvseStatus | None, transaction: Transaction, now: datetime) -> bool:
    """Whether the vehicle, and not the EVSE, has paused charging for a while: OCPP's ``SuspendedEV``."""
    if status is None or status.status != "SuspendedEV" or status.at < transaction.started_at:
        return False
    return now - status.at >= DECLINED_FOR


def phases_in_use(current_a: Mapping[str, float]) -> int | None:
    """How many phases carry current; None while none does, since a pause says nothing about the car."""
    return sum(1 for ampere in current_a.values() if ampere > 1.0) or None


def _begins(wish: Wish, transaction: Transaction) -> bool:
    """Whether a car that came after it was spoken of may be the one that the wish means."""
    if not _fits(wish, transaction):
        return False
    if wish.arrival is None:
        return transaction.started_at >= wish.created_at
    if is_paused_stay(wish.wish_id):  # not the transaction that was stopped for the pause
        return transaction.started_at >= wish.created_at
    expected_from = wish.arrival - EARLY_BY
    is_known_by_name = wish.id_tag is not None or wish.transaction_id is not None
    return transaction.started_at >= (min(wish.created_at, expected_from) if is_known_by_name else expected_from)


def _fits(wish: Wish, transaction: Transaction) -> bool:
    if wish.transaction_id is not None:
        return wish.transaction_id == transaction.transaction_id
    if wish.station_id is None and wish.id_tag is None:
        return False
    return (
        wish.station_id in (None, transaction.station_id)
        and wish.evse_id in (None, transaction.evse_id)
        and wish.id_tag in (None, transaction.id_tag)
    )
