"""Real sessions on slots: what a replay moves through, and the two ends between which every policy lies.

Arrivals count from the next whole quarter hour, departures from the last; a car takes no more than fits between them.
Sessions of the last day are left out, so that nobody is cut off.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import highspy
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.sessions import Arrived
from forecasts.tariff import Season, TimeOfUsePeriod, TimeOfUseStep, TimeOfUseTariff, prices

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SLOT = timedelta(minutes=15)
SLOT_H = 0.25
DEMAND_PRICE_PER_KW = 15.51  # and the energy prices below: SCE TOU-EV-4 of March 2019, as acnportal states them (BSD)
SUMMER, WINTER = ("06-01", "09-30"), ("10-01", "05-31")
TIMES = (0, 8, 12, 18, 23)
SUMMER_PRICES = (0.05623, 0.0925, 0.26668, 0.0925, 0.05623)
WINTER_PRICES = (0.06087, 0.07492, 0.0869, 0.07492, 0.06087)
UNMET_PRICE_PER_KWH = 1.0  # what a kWh that a car leaves without counts
MOMENTS = ("arrival", "departure", "stated_departure")
LEAST_KWH = 0.3  # who takes less was not charging
MOST_KW, USUAL_KW = 7.0, 6.656


@dataclass(frozen=True, eq=False)
class Month:
    """The sessions of a billing period, on slots from `start` (aware UTC) on; `price` reaches beyond its end."""

    start: datetime
    slots: int
    time_zone: str
    arrival: Ints
    departure: Ints
    energy_kwh: Floats
    max_kw: Floats
    arrived: tuple[Arrived, ...]
    price: Floats
    rows: pd.DataFrame
    connected_kw: float

    def moment(self, slot: int) -> datetime:
        return self.start + slot * SLOT

    @property
    def size(self) -> int:
        return len(self.arrival)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a policy did: kW per slot, kWh per session."""

    power_kw: Floats
    delivered_kwh: Floats

    def score(self, month: Month) -> "Score":
        energy = float(month.price[: month.slots] @ self.power_kw) * SLOT_H
        missing_kwh = float(month.energy_kwh.sum() - self.delivered_kwh.sum())
        peak_kw = float(self.power_kw.max(initial=0.0))
        demand = DEMAND_PRICE_PER_KW * peak_kw
        return Score(
            energy, demand, UNMET_PRICE_PER_KWH * missing_kwh, peak_kw, 1 - missing_kwh / month.energy_kwh.sum()
        )


@dataclass(frozen=True)
class Score:
    energy: float
    demand: float
    unmet: float
    peak_kw: float
    delivered: float

    @property
    def total(self) -> float:
        return self.energy + self.demand + self.unmet


def load(path: Path) -> pd.DataFrame:
    """Sessions of a file with the columns of the sample; empty where unknown."""
    rows = pd.read_csv(path)
    for name in MOMENTS:
        rows[name] = pd.to_datetime(rows[name], utc=True, format="ISO8601")
    return rows[rows["energy_kwh"] > LEAST_KWH].sort_values("arrival").reset_index(drop=True)


def month_of(rows: pd.DataFrame, first: date, end: date, time_zone: str) -> Month:
    """The sessions that arrive from `first` to the day before the last, by the local clock; `end` is not in it."""
    start, stop = (pd.Timestamp(day).tz_localize(time_zone) for day in (first, end))
    chosen = rows[(rows["arrival"] >= start) & (rows["arrival"] < stop - pd.Timedelta(days=1))]
    slots = round((stop - start) / SLOT)
    arrival = np.ceil((chosen["arrival"] - start) / SLOT).to_numpy(dtype=np.int64)
    departure = np.minimum(np.floor((chosen["departure"] - start) / SLOT).to_numpy(dtype=np.int64), slots)
    stays = departure > arrival
    chosen, arrival, departure = chosen[stays].reset_index(drop=True), arrival[stays], departure[stays]
    max_kw = np.minimum(chosen["max_kw"].fillna(USUAL_KW).to_numpy(dtype=float), MOST_KW)
    fits_kwh = max_kw * (departure - arrival) * SLOT_H
    utc = start.tz_convert("UTC").to_pydatetime()
    return Month(
        start=utc,
        slots=slots,
        time_zone=time_zone,
        arrival=arrival,
        departure=departure,
        energy_kwh=np.minimum(chosen["energy_kwh"].to_numpy(dtype=float), fits_kwh),
        max_kw=max_kw,
        arrived=tuple(_arrived(row, utc + int(slot) * SLOT) for row, slot in zip(_dicts(chosen), arrival, strict=True)),
        price=price(utc, slots + 8 * 96, time_zone),
        rows=chosen,
        connected_kw=USUAL_KW * chosen["evse_id"].nunique(),
    )


def price(start: datetime, slots: int, time_zone: str) -> Floats:
    index = pd.date_range(start, periods=slots, freq=SLOT)
    return prices(_tariff(), index, time_zone)["price"].to_numpy(dtype=float)


def uncontrolled(month: Month) -> Outcome:
    power_kw, got = np.zeros(month.slots), np.zeros(month.size)
    for car in range(month.size):
        for slot in range(month.arrival[car], month.departure[car]):
            kw = min(month.max_kw[car], (month.energy_kwh[car] - got[car]) / SLOT_H)
            power_kw[slot] += kw
            got[car] += kw * SLOT_H
    return Outcome(power_kw, got)


def perfect_foresight(month: Month) -> Outcome:
    """The cheapest month with everybody served: one linear program, energy and the month's peak."""
    lengths = month.departure - month.arrival
    car = np.repeat(np.arange(month.size), lengths)
    slot = np.concatenate([np.arange(a, d) for a, d in zip(month.arrival, month.departure, strict=True)])
    used, row = np.unique(slot, return_inverse=True)
    columns, cars = len(car), month.size
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = columns + 1, cars + len(used)
    model.col_cost_ = np.append(month.price[slot] * SLOT_H, DEMAND_PRICE_PER_KW)
    model.col_lower_ = np.zeros(columns + 1)
    model.col_upper_ = np.append(month.max_kw[car], highspy.kHighsInf)
    model.row_lower_ = np.concatenate([month.energy_kwh, np.full(len(used), -highspy.kHighsInf)])
    model.row_upper_ = np.concatenate([month.energy_kwh, np.zeros(len(used))])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.append(2 * np.arange(columns + 1), 2 * columns + len(used)).astype(np.int32)
    model.a_matrix_.index_ = np.concatenate(
        [np.stack([car, cars + row], axis=1).ravel(), cars + np.arange(len(used))]
    ).astype(np.int32)
    model.a_matrix_.value_ = np.concatenate([np.tile([SLOT_H, 1.0], columns), np.full(len(used), -1.0)])
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    if highs.passModel(model) == highspy.HighsStatus.kError or highs.run() == highspy.HighsStatus.kError:
        raise RuntimeError("HiGHS refused the month")
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"the month is {highs.modelStatusToString(highs.getModelStatus())}")
    charge_kw = np.array(highs.getSolution().col_value)[:columns]
    power_kw = np.zeros(month.slots)
    np.add.at(power_kw, slot, charge_kw)
    return Outcome(power_kw, np.bincount(car, charge_kw * SLOT_H, minlength=cars))


def _tariff() -> TimeOfUseTariff:
    workdays, weekend = frozenset(range(5)), frozenset({5, 6})
    periods = []
    for (first, last), values in ((SUMMER, SUMMER_PRICES), (WINTER, WINTER_PRICES)):
        season = (_month_day(first), _month_day(last))
        steps = tuple(TimeOfUseStep(time(hour), value) for hour, value in zip(TIMES, values, strict=True))
        periods.append(TimeOfUsePeriod(steps, Season(*season, workdays)))
        periods.append(TimeOfUsePeriod(steps[:1], Season(*season, weekend)))
    return TimeOfUseTariff(tuple(periods))


def _month_day(text: str) -> tuple[int, int]:
    return int(text[:2]), int(text[3:])


def _dicts(rows: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _arrived(row: dict[str, object], at: datetime) -> Arrived:
    stated, requested, user = row.get("stated_departure"), row.get("requested_kwh"), row.get("user_id")
    evse = row.get("evse_id")
    return Arrived(
        arrival=at,
        user_id=user if isinstance(user, str) and user else None,
        evse_id=evse if isinstance(evse, str) and evse else None,
        stated_departure=stated.to_pydatetime() if isinstance(stated, pd.Timestamp) else None,
        requested_kwh=requested if isinstance(requested, float) and np.isfinite(requested) else None,
    )
