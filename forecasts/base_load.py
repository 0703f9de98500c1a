"""Site base load: what the site draws without its EVs, as quantiles for each slot.

Several simple models, weighed by what each was worth in the last four weeks; where they were fitted, boosted trees on
what those miss, weighed the same way; then a rolling conformal correction, and an anchor to the last measurements.
Before two weeks were measured, a standard profile. Subtract past EV charging from the meter first: nobody here knows of
it.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.bdew import standard_profile
from forecasts.blend import blended, pinball, weights
from forecasts.conformal import correction, scores
from forecasts.errors import InsufficientHistoryError, SeriesError
from forecasts.first_days import PROFILE_FACTORS, first_days
from forecasts.load_anchor import Anchor
from forecasts.load_candidates import FAR_DAYS, MEDIAN, MODELS, Candidates, candidates
from forecasts.local_days import SATURDAY, day_slots, is_holiday, local_dates, minutes_of_day, weekdays
from forecasts.residual_trees import ResidualFit, fit_residuals, with_neighbours
from forecasts.series import (
    FloatArray,
    Provenance,
    known_on_grid,
    require_aware,
    slot_length,
    validated_index,
)
from forecasts.similar_days import QUANTILES, DayTable, as_lived, day_table

COLD_START_DAYS = 14.0
PROFILE_DAYS = 3.0  # before, a standard profile alone: nothing repeats yet
WARM_UP_DAYS = 10  # what models said with less history than that says nothing about their worth
FEWEST_SCORED_DAYS = 7  # of the trees, before they have a say
OLDEST_DAYS = 70  # four weeks that are scored, each day from six weeks before it
STALE_AFTER = timedelta(days=7)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class BaseLoadForecast:
    """Base load for each slot [kW], never negative and never NaN.

    `quantiles` has a column for each of `QUANTILES`, rising from left to right; `expected` is the median.
    `days_of_history` is how much was known at the time of issue, gaps not counted.
    """

    quantiles: pd.DataFrame
    expected: pd.Series
    provenance: Provenance
    days_of_history: float


@dataclass(frozen=True, slots=True)
class _Calendar:
    time_zone: str
    country: str | None
    subdivision: str | None


def base_load(
    history: pd.Series,
    index: pd.DatetimeIndex,
    *,
    time_zone: str,
    issued_at: datetime,
    country: str | None = None,
    subdivision: str | None = None,
    annual_energy_kwh: float | None = None,
    profile: str = "g25",
    fit: ResidualFit | None = None,
) -> BaseLoadForecast:
    """Forecast the base load in the slots of `index` from what was known at `issued_at`.

    `history` is kW on start-labelled stamps at its own step, gaps missing or NaN; a value whose interval ends after
    `issued_at` is not used. `fit` is what `fit_load` made of this site's history; one that is too old, or of another
    grid, has no say. The outer (0.1 to 0.9) and inner (0.25 to 0.75) band are widened or narrowed by what they would
    have missed in the last 28 days. The mean residual of the last measured hour is carried forward, fading as
    residuals faded in the past, and the bands are as narrow there as such forecasts were good.

    With less than 14 days of history it is the BDEW `profile`, scaled to `annual_energy_kwh`, or to the mean of the
    little history there is, and the provenance says that it is estimated. Raises `InsufficientHistoryError` when
    there is neither, `SeriesError` for malformed input.
    """
    index = validated_index(index)
    if len(index) == 0:
        raise SeriesError("index", "has no slots")
    slot = slot_length(index)
    slot_minutes = round(slot / timedelta(minutes=1))
    if slot != timedelta(minutes=slot_minutes) or 60 % slot_minutes:
        raise SeriesError("index", f"has slots of {slot.total_seconds():g} s, which do not divide an hour")
    issued = require_aware("issued_at", issued_at)
    calendar = _Calendar(time_zone, country, subdivision)
    measured = _measured(history, index[0], slot, issued)
    days_of_history = float(measured.count() * (slot / _DAY))

    if days_of_history < PROFILE_DAYS:
        expected, detail = _cold_start(measured, index, calendar, annual_energy_kwh, profile)
        power_kw = np.outer(PROFILE_FACTORS, expected)
        provenance = Provenance(f"bdew-{profile}", issued_at, detail, estimated=True)
    elif days_of_history < COLD_START_DAYS:
        power_kw, share = _from_first_days(measured, index, slot_minutes, calendar, issued, profile)
        mostly = max(share, key=lambda name: share[name])
        detail = f"mostly {mostly} ({share[mostly]:.0%}); {days_of_history:.1f} days of history"
        provenance = Provenance("first-days", issued_at, detail, estimated=True)
    else:
        power_kw, source = _from_history(measured, index, slot_minutes, calendar, issued, fit)
        age = issued - (measured.index[-1] + slot)
        detail = f"{source}; {days_of_history:.0f} days of history, the last value {age / _HOUR:.1f} h old"
        provenance = Provenance("own-history", issued_at, detail, estimated=age > STALE_AFTER)

    power_kw = np.maximum.accumulate(np.maximum(power_kw, 0.0), axis=0)
    quantiles = pd.DataFrame(power_kw.T, index=index, columns=list(QUANTILES))
    return BaseLoadForecast(quantiles, quantiles[0.5].rename("base_load_kw"), provenance, days_of_history)


def _cold_start(
    measured: pd.Series, index: pd.DatetimeIndex, calendar: _Calendar, annual_energy_kwh: float | None, profile: str
) -> tuple[FloatArray, str]:
    """Expected kW in each slot of a standard profile, and what scaled it."""

    def shape(slots: pd.DatetimeIndex, energy_kwh: float) -> pd.Series:
        return standard_profile(
            profile,
            slots,
            time_zone=calendar.time_zone,
            annual_energy_kwh=energy_kwh,
            country=calendar.country,
            subdivision=calendar.subdivision,
        )

    if annual_energy_kwh is not None:
        return shape(index, annual_energy_kwh).to_numpy(), f"scaled to {annual_energy_kwh:g} kWh a year"
    if measured.empty:
        raise InsufficientHistoryError(
            "the base load needs a history, or annual_energy_kwh to scale a standard profile"
        )
    unit = shape(pd.DatetimeIndex(measured.index), 1.0)[measured.notna()]
    scale = max(float(measured.mean()), 0.0) / float(unit.mean())
    return shape(index, scale).to_numpy(), f"scaled to the mean of {measured.count()} measured slots"


def fit_load(
    history: pd.Series,
    slot_minutes: int,
    *,
    time_zone: str,
    issued_at: datetime,
    country: str | None = None,
    subdivision: str | None = None,
) -> ResidualFit | None:
    """What boosted trees learn of a site from what was known at `issued_at`; None where there is too little.

    Arguments are those of `base_load`, on slots of `slot_minutes`. It takes seconds: call it weekly, and not in a
    plan. Raises ImportError where LightGBM is not installed, `SeriesError` for malformed input.
    """
    issued = require_aware("issued_at", issued_at)
    slot = timedelta(minutes=slot_minutes)
    measured = _measured(history, issued.floor("h"), slot, issued)
    if float(measured.count() * (slot / _DAY)) < COLD_START_DAYS:
        return None
    calendar = _Calendar(time_zone, country, subdivision)
    table, _ = _lived(measured, slot_minutes, calendar)
    return fit_residuals(table, fitted_at=issued_at, time_zone=time_zone, country=country, subdivision=subdivision)


def _measured(history: pd.Series, first_slot: pd.Timestamp, slot: timedelta, issued: pd.Timestamp) -> pd.Series:
    """What is known, on the grid of slots, up to the last value; half a slot says enough about its mean power."""
    known = known_on_grid(history, first_slot, slot, issued=issued, reach=timedelta(days=OLDEST_DAYS), min_coverage=0.5)
    known = known.clip(lower=0.0)  # PV that was not subtracted: what the building draws is never negative
    return known.loc[: known.last_valid_index()] if known.notna().any() else known[:0]


def _lived(measured: pd.Series, slot_minutes: int, calendar: _Calendar) -> tuple[DayTable, bool]:
    table = day_table(measured, slot_minutes, calendar.time_zone, calendar.country, calendar.subdivision)
    return as_lived(table, is_holiday(table.dates, calendar.country, calendar.subdivision))


def _from_history(
    measured: pd.Series,
    index: pd.DatetimeIndex,
    slot_minutes: int,
    calendar: _Calendar,
    issued: pd.Timestamp,
    fit: ResidualFit | None,
) -> tuple[FloatArray, str]:
    """Quantiles [kW] by (quantile, slot of `index`), and whose they are."""
    table, rests_on_holidays = _lived(measured, slot_minutes, calendar)
    days, off = _days_ahead(index, table, calendar, rests_on_holidays)
    found = candidates(table, off, days)
    warm = max(0, min(WARM_UP_DAYS, len(table.dates) - 1 - FEWEST_SCORED_DAYS) - (len(table.dates) - len(found.truth)))
    share = weights(found.past[warm:], found.truth[warm:])
    past, coming = blended(found.past, share), blended(found.coming, share)
    source = f"mostly {MODELS[int(share.argmax())]} ({share.max():.0%})"
    if fit is not None and fit.holds(issued.to_pydatetime(), slot_minutes, calendar.time_zone):
        past, coming, of_trees = _with_trees(past, coming, found, fit, table, days, off, calendar, warm)
        source += f", boosted trees {of_trees:.0%}"
    days_ahead = np.maximum((days - table.dates[-1]).astype(np.int64), 1)
    missed = _missed(past[warm:], found.truth[warm:])
    if len(found.far):
        far = _missed(blended(found.far[warm:], share), found.truth[warm:])
        missed = (
            missed + np.maximum(far - missed, 0.0) * ((np.minimum(days_ahead, FAR_DAYS) - 1) / (FAR_DAYS - 1))[:, None]
        )
    coming = np.stack(
        [_corrected(*day) for day in zip(coming, np.broadcast_to(missed, (len(days), MEDIAN)), strict=True)]
    )

    missed_kw = found.truth - past[:, MEDIAN]
    return _anchored(coming, days, missed_kw, measured, index, slot_minutes, calendar, issued), source


def _from_first_days(
    measured: pd.Series,
    index: pd.DatetimeIndex,
    slot_minutes: int,
    calendar: _Calendar,
    issued: pd.Timestamp,
    profile: str,
) -> tuple[FloatArray, dict[str, float]]:
    """Quantiles [kW] by (quantile, slot of `index`), and the share of each model."""
    table, rests_on_holidays = _lived(measured, slot_minutes, calendar)
    days, off = _days_ahead(index, table, calendar, rests_on_holidays)
    shape = _profile_table(profile, table.dates[0], days[-1], slot_minutes, calendar)
    first_coming = int((days[0] - table.dates[0]).astype(np.int64))
    found = first_days(table, off, days, shape[: len(table.dates)], shape[first_coming:])
    missed_kw = found.truth - found.past[:, MEDIAN]
    power_kw = _anchored(found.coming, days, missed_kw, measured, index, slot_minutes, calendar, issued)
    return power_kw, found.share


def _profile_table(
    profile: str, first: np.datetime64, last: np.datetime64, slot_minutes: int, calendar: _Calendar
) -> FloatArray:
    """A standard profile by (local day, slot), of any size; NaN in the hour that a day lacks."""
    edges = [day_slots(day.astype(date), calendar.time_zone, slot_minutes) for day in (first, last)]
    slots = pd.date_range(edges[0][0], edges[1][-1], freq=pd.Timedelta(minutes=slot_minutes))
    place = {"country": calendar.country, "subdivision": calendar.subdivision}
    shape = standard_profile(profile, slots, time_zone=calendar.time_zone, annual_energy_kwh=1.0, **place)
    return day_table(shape, slot_minutes, calendar.time_zone, None, None).power_kw


def _days_ahead(
    index: pd.DatetimeIndex, table: DayTable, calendar: _Calendar, rests_on_holidays: bool
) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """The days of `index`, and which of them are off.

    Today is among them, so that the anchor compares the last measurements with the forecast that it moves.
    """
    dates = local_dates(index, calendar.time_zone)
    days = np.arange(min(dates[0], table.dates[-1]), dates[-1] + 1)
    off = weekdays(days) >= SATURDAY
    if rests_on_holidays:
        off |= is_holiday(days, calendar.country, calendar.subdivision)
    return days, off


def _anchored(
    coming: FloatArray,
    days: NDArray[np.datetime64],
    missed_kw: FloatArray,
    measured: pd.Series,
    index: pd.DatetimeIndex,
    slot_minutes: int,
    calendar: _Calendar,
    issued: pd.Timestamp,
) -> FloatArray:
    """The slots of `index` out of `coming` (day, quantile, slot), moved by what the last measured hour missed."""
    day_of_slot = (local_dates(index, calendar.time_zone) - days[0]).astype(np.int64)
    power_kw = coming[day_of_slot, :, minutes_of_day(index, calendar.time_zone) // slot_minutes].T
    last = measured.index[-1]
    anchor = Anchor.learned(
        missed_kw,
        now_kw=measured.to_numpy()[-round(_HOUR / timedelta(minutes=slot_minutes)) :],
        said_kw=_said(coming, days, measured, slot_minutes, calendar),
        age=issued - (last + timedelta(minutes=slot_minutes)),
    )
    return anchor.applied(power_kw, np.asarray((index - last) / _HOUR, dtype=np.float64))


def _with_trees(
    past: FloatArray,
    coming: FloatArray,
    found: Candidates,
    fit: ResidualFit,
    table: DayTable,
    days: NDArray[np.datetime64],
    off: NDArray[np.bool_],
    calendar: _Calendar,
    warm: int,
) -> tuple[FloatArray, FloatArray, float]:
    """The blend and the trees, weighed by their last days; the share of the trees is 0 before a week was scored."""
    place = calendar.country, calendar.subdivision
    first = len(table.dates) - len(found.truth)
    past_dates = table.dates[first:]
    past_off = with_neighbours(past_dates, table.off[first:], *place)
    trees = fit.forecast(found.past, found.level_kw, past_dates, past_off)
    both = np.stack([past, trees], axis=1)
    loss = pinball(both, found.truth[:, None])[warm:].sum(axis=1)
    if sum(bool((~np.isnan(day)).any()) for day in loss) < FEWEST_SCORED_DAYS:
        return past, coming, 0.0
    share = weights(both[warm:], found.truth[warm:])
    ahead = fit.forecast(found.coming, found.coming_level_kw, days, with_neighbours(days, off, *place))
    return (
        np.where(np.isnan(trees), past, blended(np.nan_to_num(both), share)),
        blended(np.stack([coming, np.where(np.isnan(ahead), coming, ahead)], axis=1), share),
        float(share[1]),
    )


def _said(
    coming: FloatArray, days: NDArray[np.datetime64], measured: pd.Series, slot_minutes: int, calendar: _Calendar
) -> FloatArray:
    """The median forecast of the slots of the last measured hour."""
    last_hour = pd.DatetimeIndex(measured.index)[-round(_HOUR / timedelta(minutes=slot_minutes)) :]
    row = np.maximum((local_dates(last_hour, calendar.time_zone) - days[0]).astype(np.int64), 0)
    return np.asarray(coming[row, MEDIAN, minutes_of_day(last_hour, calendar.time_zone) // slot_minutes])


def _missed(past: FloatArray, truth: FloatArray) -> FloatArray:
    """What to add at both ends of the outer and of the inner band, from forecasts (day, quantile, slot) and truth."""
    highest = len(QUANTILES) - 1
    return np.array(
        [
            correction(scores(past[:, low], past[:, highest - low], truth), QUANTILES[highest - low] - QUANTILES[low])
            for low in range(MEDIAN)
        ]
    )


def _corrected(quantiles: FloatArray, missed: FloatArray) -> FloatArray:
    """(quantile, slot), each band wider by what it missed; none crosses the median or the one around it."""
    corrected = quantiles.copy()
    for low in range(MEDIAN):
        high = len(QUANTILES) - 1 - low
        corrected[low] = np.minimum(quantiles[low] - missed[low], quantiles[MEDIAN])
        corrected[high] = np.maximum(quantiles[high] + missed[low], quantiles[MEDIAN])
    corrected[:MEDIAN] = np.minimum.accumulate(corrected[:MEDIAN][::-1], axis=0)[::-1]
    return np.maximum.accumulate(corrected, axis=0)
