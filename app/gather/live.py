"""What meters say now, against what was forecast: the next slots of a plan are made for the larger of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from app.actuators.devices import is_planned
from app.site import Site
from optimizer.domain import Horizon, Reservation

JUST_NOW = timedelta(minutes=3)  # readings are stored as means of minutes
HOLDS = timedelta(minutes=30)  # what a building draws now says little of what it draws in an hour


class Live(Protocol):
    """`building_kw` None: not measured. The reservations are for current that nobody explains."""

    @property
    def building_kw(self) -> float | None: ...

    def reservations(self) -> Sequence[Reservation]: ...


@dataclass(frozen=True, slots=True)
class Unmetered:
    """Nobody measures anything."""

    building_kw: float | None = None

    def reservations(self) -> tuple[Reservation, ...]:
        return ()


LiveOf = Callable[[Site], Live]
Latest = Mapping[str, tuple[datetime, float]]  # by meter: when, kW


def without_batteries(
    site: Site, building_kw: float | None, latest: Latest, now: datetime, *, otherwise_kw: float
) -> float | None:
    """What is left of a building that a grid meter shows with the batteries in it.

    They are the plan's own: counted twice, a battery that charges would take the room of the cars. Their meters say
    what they draw (charging positive); where there is none, or it is silent, `otherwise_kw` does.
    """
    if building_kw is None or any(meter.measures == "base_load" and meter.interval_s for meter in site.meters):
        return building_kw
    if not any(is_planned(battery) for battery in site.batteries):  # what it draws is base load, and nobody else's
        return building_kw
    meters = [meter.id for meter in site.meters if meter.measures == "battery"]
    is_known = bool(meters) and all(meter in latest and now - latest[meter][0] <= JUST_NOW for meter in meters)
    batteries_kw = sum(latest[meter][1] for meter in meters) if is_known else otherwise_kw
    return max(0.0, building_kw - batteries_kw)


def at_least_as_measured(high_kw: tuple[float, ...], measured_kw: float | None, horizon: Horizon) -> tuple[float, ...]:
    """The cautious base load, raised to what is drawn now in every slot that begins within `HOLDS`."""
    if measured_kw is None:
        return high_kw
    slot = timedelta(minutes=horizon.slot_minutes)
    soon = horizon.first_moment + HOLDS
    return tuple(
        max(kw, measured_kw) if horizon.start + number * slot < soon else kw for number, kw in enumerate(high_kw)
    )
