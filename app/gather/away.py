"""Meters that show something else than was forecast: the next hour is planned for what they show. Pure.

A forecast is made once an hour from the past; what a meter has just shown says more of the next slots, and nothing of
the evening. So the difference is added to the slots that come, less of it in each, and only where it is worth a plan.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.db.records import Json, Plan
from app.gather.signals import Signals
from app.site import Site
from optimizer.domain import Series

FRESH = timedelta(minutes=15)
LEAST_KW = 4.0
LEAST_SHARE = {"base_load": 0.15, "pv": 0.3}  # of what was expected: clouds come and go, a building seldom does
FADES = (1.0, 0.75, 0.5, 0.25)  # of the difference, slot by slot
MEASURED = ("base_load", "pv")
CURTAILED_FROM_KW = 0.05

Latest = Mapping[str, tuple[datetime, float]]  # by meter: when, kW


def measured_kw(site: Site, latest: Latest, now: datetime, measures: str) -> float | None:
    """What all meters of a kind show together; None where there is none, or one of them is silent."""
    meters = [meter.id for meter in site.meters if meter.measures == measures]
    if not meters or any(meter not in latest or now - latest[meter][0] > FRESH for meter in meters):
        return None
    return max(0.0, sum(latest[meter][1] for meter in meters))


def is_away(measures: str, measured: float | None, expected_kw: float) -> bool:
    """Whether the difference is worth a plan of its own."""
    return measured is not None and abs(measured - expected_kw) > max(LEAST_KW, LEAST_SHARE[measures] * expected_kw)


def anchored(series: Series, measured: float, expected_kw: float) -> Series:
    """The series moved by what is measured beyond what was `expected_kw` of this slot; never below 0."""
    fades = FADES + (0.0,) * len(series)
    return tuple(max(0.0, kw + fade * (measured - expected_kw)) for kw, fade in zip(series, fades, strict=False))


def as_metered(signals: Signals, site: Site, latest: Latest, now: datetime, *, is_curtailed: bool = False) -> Signals:
    """The signals with the next slots as the meters say, where those are away from what was forecast.

    The meter of a roof that is curtailed tells nothing of the sun.
    """
    moved: dict[str, Any] = {}
    said: Json = {}
    for measures in MEASURED:
        if measures == "pv" and is_curtailed:
            continue
        expected_kw = getattr(signals, f"{measures}_kw")[0]
        measured = measured_kw(site, latest, now, measures)
        if measured is None or not is_away(measures, measured, expected_kw):
            continue
        said[measures] = {"measured_kw": measured, "expected_kw": expected_kw}
        for name in (f"{measures}_kw", f"{measures}_low_kw", f"{measures}_high_kw"):
            moved[name] = anchored(getattr(signals, name), measured, expected_kw)
    return replace(signals, **moved, provenance=signals.provenance | {"metered": said}) if said else signals


def away_from(plan: Plan, site: Site, latest: Latest, now: datetime) -> Json:
    """What meters show that the plan did not expect of this slot: by kind, measured and expected kW."""
    slot = int((now - plan.start) / timedelta(minutes=int(plan.problem["slot_minutes"])))
    found: Json = {}
    for measures in MEASURED:
        series = plan.problem[f"{measures}_kw"]
        if isinstance(series, list) and not 0 <= slot < len(series):
            continue
        expected_kw = float(series[slot] if isinstance(series, list) else series)
        if measures == "pv" and _is_curtailed(plan, slot):
            continue
        measured = measured_kw(site, latest, now, measures)
        if is_away(measures, measured, expected_kw):
            found[measures] = {"measured_kw": measured, "expected_kw": expected_kw}
    return found


def _is_curtailed(plan: Plan, slot: int) -> bool:
    curtailed = plan.schedule.get("curtail_kw", 0.0)
    return float(curtailed[slot] if isinstance(curtailed, list) else curtailed) > CURTAILED_FROM_KW
