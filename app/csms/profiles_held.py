"""The charging profiles that a station holds: what takes the place of what, what a clearing removes, and the sum.

Pure: one tuple of `Held` in, another out. `app.csms.composite` says what the profiles of one EVSE amount to.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf

from app.csms.composite import composite
from app.csms.connector import ChargingProfile, Purpose
from app.csms.steps import Steps, pointwise

STATION = 0
OF_THE_STATION = frozenset({Purpose.STATION_MAX, Purpose.EXTERNAL, Purpose.LOCAL_GENERATION})


@dataclass(frozen=True, slots=True)
class Held:
    """One profile at one EVSE; `evse_id` 0 is the whole station, and for a TxDefaultProfile every EVSE of it."""

    evse_id: int
    profile: ChargingProfile


def with_profile(held: Sequence[Held], evse_id: int, profile: ChargingProfile) -> tuple[Held, ...]:
    """What the station holds once it has taken `profile`.

    One with the same id goes, wherever it is, and one of the same purpose, stack level and EVSE; a TxProfile takes the
    place of one for the same transaction alone. (1.6, 5.16; 2.x asks for the same id in the second case, K01.FR.39.)
    """
    return (*(one for one in held if not _is_replaced(one, evse_id, profile)), Held(evse_id, profile))


def cleared(
    held: Sequence[Held],
    *,
    profile_id: int | None = None,
    evse_id: int | None = None,
    purpose: Purpose | None = None,
    stack_level: int | None = None,
) -> tuple[Held, ...]:
    """What is left after ClearChargingProfile: an id alone decides, else all criteria together, none is everything.

    `evse_id` 0 means the profiles of the station as such, not those of its EVSEs.
    """

    def goes(one: Held) -> bool:
        if profile_id is not None:
            return one.profile.profile_id == profile_id
        return (
            evse_id in (None, one.evse_id)
            and purpose in (None, one.profile.purpose)
            and stack_level in (None, one.profile.stack_level)
        )

    return tuple(one for one in held if not goes(one))


def without_transaction(held: Sequence[Held], transaction_id: int) -> tuple[Held, ...]:
    """What is left when a transaction has ended: its profiles go with it."""
    return tuple(
        one for one in held if one.profile.purpose is not Purpose.TX or one.profile.transaction_id != transaction_id
    )


def at_evse(held: Sequence[Held], evse_id: int) -> tuple[ChargingProfile, ...]:
    """The profiles that count at one EVSE, in an order in which `composite` prefers its own to the station's."""
    everywhere = OF_THE_STATION | {Purpose.TX_DEFAULT}
    whole = tuple(one.profile for one in held if one.evse_id == STATION and one.profile.purpose in everywhere)
    return whole + tuple(one.profile for one in held if one.evse_id == evse_id != STATION)


def station_composite(
    held: Sequence[Held],
    evse_ids: Collection[int],
    start: datetime,
    end: datetime,
    *,
    voltage_v: float = 230.0,
    phases: int = 1,
    otherwise_a: float = inf,
) -> Steps:
    """A per phase that the whole station may draw over [start, end): all EVSEs together, within what caps the station.

    `otherwise_a` is what an EVSE draws that nothing limits.
    """
    own = [one for one in held if one.profile.purpose not in OF_THE_STATION]
    caps = [one.profile for one in held if one.profile.purpose in OF_THE_STATION and one.evse_id == STATION]
    curves = [
        composite(at_evse(own, evse_id), start, end, voltage_v=voltage_v, phases=phases, otherwise_a=otherwise_a)
        for evse_id in sorted(evse_ids)
    ]
    together = pointwise(sum, *curves) if curves else Steps((start,), (0.0,), end)
    return pointwise(min, together, composite(caps, start, end, voltage_v=voltage_v, phases=phases))


def _is_replaced(one: Held, evse_id: int, profile: ChargingProfile) -> bool:
    old = one.profile
    if old.profile_id == profile.profile_id:
        return True
    same_place = (old.purpose, old.stack_level, one.evse_id) == (profile.purpose, profile.stack_level, evse_id)
    return same_place and (profile.purpose is not Purpose.TX or old.transaction_id == profile.transaction_id)
