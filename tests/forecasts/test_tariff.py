"""Prices follow the contract and the local clock, and a price that is missing is never 0."""

import json
from datetime import date, time, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.errors import SeriesError, UnknownPriceError
from forecasts.local_days import day_slots, local_times
from forecasts.series import utc_index
from forecasts.sources.energy_charts import parse
from forecasts.tariff import (
    EVERY_DAY,
    WEEKEND,
    WORKING_WEEK,
    DemandCharge,
    FixedTariff,
    Season,
    SeriesTariff,
    TimeOfUsePeriod,
    TimeOfUseStep,
    TimeOfUseTariff,
    demand_charges,
    prices,
)
from tests.forecasts.builders import BERLIN, LONG_DAY, SHORT_DAY, a_series, at, energy_charts_reply, sample, slots

LOS_ANGELES = "America/Los_Angeles"
DAY_AND_NIGHT = TimeOfUsePeriod((TimeOfUseStep(time(0), 0.20), TimeOfUseStep(time(6), 0.30)), name="all year")


def published(*days: str) -> pd.Series:
    series: pd.Series = pd.concat([parse(energy_charts_reply(day)).price_per_kwh for day in days])
    return series


def acn_tariff(name: str) -> TimeOfUseTariff:
    """A tariff of the sample: hours as decimals, months as ``MM-DD``, the first schedule that fits counts."""
    masks = {"ALL": EVERY_DAY, "WEEKDAYS": WORKING_WEEK, "WEEKENDS": WEEKEND}
    document: dict[str, Any] = json.loads(sample(f"tou_acnportal/{name}.json").read_text(encoding="utf-8"))
    periods, charges = [], []
    for entry in document["schedule"]:
        first, last = (
            tuple(int(part) for part in entry[key].split("-")) for key in ("effective_start", "effective_end")
        )
        season = Season((first[0], first[1]), (last[0], last[1]), masks[entry["dow_mask"]])
        starts = [time(int(hour), round(hour % 1 * 60)) for hour in entry["times"]]
        steps = tuple(map(TimeOfUseStep, starts, entry["tariffs"]))
        periods.append(TimeOfUsePeriod(steps, season, entry["id"]))
        charges.append(DemandCharge(entry["id"], entry["demand_charge"], season=season))
    return TimeOfUseTariff(tuple(periods), demand_charges=tuple(charges))


def price_at(tariff: TimeOfUseTariff, local: str, time_zone: str = LOS_ANGELES) -> float:
    start = pd.Timestamp(local, tz=time_zone).tz_convert("UTC")
    return float(prices(tariff, utc_index(start.to_pydatetime(), 15, 1), time_zone)["price"].iloc[0])


def test_a_fixed_price_is_the_same_in_every_slot() -> None:
    result = prices(FixedTariff(0.25, 0.08), slots("2026-01-01 00:00", 3), BERLIN)

    assert result["price"].tolist() == [0.25] * 3
    assert result["export_price"].tolist() == [0.08] * 3
    assert not result["estimated"].any()


@pytest.mark.parametrize(
    ("name", "local", "price"),
    [
        ("sce_tou_ev_4_march_2019", "2019-07-01 12:00", 0.26668),  # a Monday in summer
        ("sce_tou_ev_4_march_2019", "2019-07-01 11:45", 0.0925),
        ("sce_tou_ev_4_march_2019", "2019-07-01 23:00", 0.05623),
        ("sce_tou_ev_4_march_2019", "2019-07-06 12:00", 0.05623),  # a Saturday
        ("sce_tou_ev_4_march_2019", "2019-10-01 12:00", 0.0869),  # winter begins
        ("sce_tou_ev_4_march_2019", "2019-01-01 08:00", 0.07492),  # winter reaches over New Year
        ("sce_tou_ev_4_march_2019", "2019-05-31 17:45", 0.0869),
        ("sce_tou_ev_8_june_2019", "2019-08-07 16:00", 0.49619),
        ("sce_tou_ev_8_june_2019", "2019-08-10 16:00", 0.25563),
        ("sce_tou_ev_8_june_2019", "2019-12-07 20:45", 0.297),
        ("sce_tou_ev_8_oct_2018", "2018-11-01 08:00", 0.03964),
        ("pge_a10_tou_aug_2019", "2019-08-07 08:30", 0.1771),
        ("pge_a10_tou_aug_2019", "2019-08-07 21:30", 0.14903),
        ("pge_a10_tou_aug_2019", "2019-12-07 09:00", 0.1477),  # two schedules hold: the first counts
    ],
)
def test_published_tariffs_cost_what_their_sheets_say(name: str, local: str, price: float) -> None:
    assert price_at(acn_tariff(name), local) == price


def test_the_first_period_that_holds_counts() -> None:
    summer = TimeOfUsePeriod((TimeOfUseStep(time(0), 0.10),), Season((6, 1), (8, 31)), "summer")

    assert price_at(TimeOfUseTariff((summer, DAY_AND_NIGHT)), "2026-07-01 12:00") == 0.10
    assert price_at(TimeOfUseTariff((DAY_AND_NIGHT, summer)), "2026-07-01 12:00") == 0.30


@pytest.mark.parametrize(("day", "cheap_quarters"), [(SHORT_DAY, 20), (date(2026, 6, 10), 24), (LONG_DAY, 28)])
def test_a_night_is_as_long_as_the_local_clock_makes_it(day: date, cheap_quarters: int) -> None:
    result = prices(TimeOfUseTariff((DAY_AND_NIGHT,)), day_slots(day, BERLIN, 15), BERLIN)

    assert (result["price"] == 0.20).sum() == cheap_quarters
    assert (result["price"] == 0.30).sum() == 72


def test_a_slot_over_a_change_has_the_mean_of_both_prices() -> None:
    half_past = TimeOfUsePeriod((TimeOfUseStep(time(0), 0.10), TimeOfUseStep(time(8, 30), 0.30)))

    result = prices(TimeOfUseTariff((half_past,)), slots("2026-01-05 07:00", 1, minutes=60), BERLIN)

    assert result["price"].iloc[0] == pytest.approx(0.20)


def test_a_step_may_have_an_export_price_of_its_own() -> None:
    steps = (TimeOfUseStep(time(0), 0.20, export_price_per_kwh=0.02), TimeOfUseStep(time(6), 0.30))
    tariff = TimeOfUseTariff((TimeOfUsePeriod(steps),), export_price_per_kwh=0.07)

    result = prices(tariff, slots("2026-01-05 04:45", 2), BERLIN)

    assert result["export_price"].tolist() == [0.02, 0.07]


def test_a_day_without_a_period_is_an_error_that_names_it() -> None:
    summer_only = TimeOfUseTariff((TimeOfUsePeriod((TimeOfUseStep(time(0), 0.1),), Season((6, 1), (8, 31))),))

    with pytest.raises(UnknownPriceError, match="2026-09-01"):
        prices(summer_only, slots("2026-08-31 21:00", 8), BERLIN)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((TimeOfUseStep(time(6), 0.1),), "do not start at 00:00"),
        ((TimeOfUseStep(time(0), 0.1), TimeOfUseStep(time(0), 0.2)), "do not rise"),
    ],
)
def test_a_day_that_is_not_whole_is_refused(steps: tuple[TimeOfUseStep, ...], message: str) -> None:
    with pytest.raises(SeriesError, match=message):
        TimeOfUsePeriod(steps)


def test_impossible_days_clocks_and_numbers_are_refused() -> None:
    with pytest.raises(SeriesError, match=r"\(2, 30\) is no day"):
        Season(first_day=(2, 30))
    with pytest.raises(SeriesError, match="not days from 0 to 6"):
        Season(weekdays=frozenset({7}))
    with pytest.raises(SeriesError, match="not a local time on five minutes"):
        TimeOfUseStep(time(6, 1), 0.1)
    with pytest.raises(SeriesError, match="price_per_kwh nan"):
        FixedTariff(float("nan"))


def test_a_demand_charge_is_active_in_its_season_on_its_days_and_hours() -> None:
    charge = DemandCharge("peak", 15.5, season=Season((10, 1), (3, 31), WORKING_WEEK), start=time(17), end=time(20))
    friday_to_saturday = utc_index(at("2026-01-02 00:00"), 60, 48)

    (result,) = demand_charges([charge], friday_to_saturday, BERLIN)

    local = local_times(friday_to_saturday[result.active], BERLIN)
    assert [f"{moment:%a %H:%M}" for moment in local] == ["Fri 17:00", "Fri 18:00", "Fri 19:00"]


def test_a_demand_charge_may_reach_over_midnight_or_hold_all_day() -> None:
    night = DemandCharge("night", 1.0, start=time(22), end=time(6))
    always = DemandCharge("always", 1.0)

    over_midnight, all_day = demand_charges([night, always], day_slots(date(2026, 1, 5), BERLIN, 60), BERLIN)

    assert over_midnight.active.sum() == 8
    assert all_day.active.all()


@pytest.mark.parametrize(
    ("day", "quarters"), [("2026-03-29", 92), ("2026-04-26", 96), ("2025-10-26", 100), ("2025-10-01", 96)]
)
def test_a_published_day_is_known_in_every_quarter(day: str, quarters: int) -> None:
    known = published(day)

    result = prices(SeriesTariff(known), day_slots(date.fromisoformat(day), BERLIN, 15), BERLIN)

    assert len(result) == quarters
    assert result["price"].tolist() == known.tolist()
    assert not result["estimated"].any()


def test_hours_and_quarter_hours_may_follow_each_other() -> None:
    """On 1 October 2025 the day-ahead market went from hours to quarter hours."""
    index = slots("2025-09-29 22:00", 192)

    result = prices(SeriesTariff(published("2025-09-30", "2025-10-01")), index, BERLIN)

    assert not result["estimated"].any()
    assert result["price"].iloc[92:96].nunique() == 1
    assert result["price"].iloc[96:100].nunique() == 4


def test_a_missing_hour_between_quarters_is_not_filled_from_before() -> None:
    known = a_series([0.1] * 40, "2026-01-05 00:00").drop(slots("2026-01-05 05:00", 4))

    result = prices(SeriesTariff(known), slots("2026-01-05 04:45", 6), BERLIN)

    assert result["estimated"].tolist() == [False, True, True, True, True, False]


def test_beyond_the_last_price_the_same_weekday_is_repeated() -> None:
    days = pd.Series({n: 0.1 + 0.01 * n for n in range(14)})
    known = a_series([price for price in days for _ in range(24)], "2026-01-04 23:00", minutes=60)

    result = prices(SeriesTariff(known), slots("2026-01-18 23:00", 24, minutes=60), BERLIN)

    assert result["estimated"].all()
    assert result["price"].tolist() == pytest.approx([days[7]] * 24)  # Monday the twelfth, not Sunday the eighteenth


def test_without_the_same_weekday_the_latest_day_is_repeated() -> None:
    known = a_series([0.1 + 0.001 * n for n in range(48)], "2026-01-04 23:00", minutes=60)

    result = prices(SeriesTariff(known), slots("2026-01-06 23:00", 24, minutes=60), BERLIN)

    assert result["price"].tolist() == pytest.approx(known.tolist()[24:])


def test_estimates_follow_the_local_clock_into_summer_time() -> None:
    week_before = a_series([0.1] * 7 + [0.5] + [0.1] * 16, "2026-03-21 23:00", minutes=60)  # 07:00 is dear

    result = prices(SeriesTariff(week_before), day_slots(SHORT_DAY, BERLIN, 60), BERLIN)

    dear = local_times(pd.DatetimeIndex(result.index[result["price"] == 0.5]), BERLIN)
    assert [f"{moment:%H:%M}" for moment in dear] == ["07:00"]
    assert len(result) == 23


def test_half_a_day_of_prices_is_continued_by_their_median() -> None:
    known = a_series([0.1, 0.2, 0.6], "2026-01-05 00:00", minutes=60)

    result = prices(SeriesTariff(known), slots("2026-01-05 00:00", 6, minutes=60), BERLIN)

    assert result["price"].tolist() == [0.1, 0.2, 0.6, 0.2, 0.2, 0.2]
    assert result["estimated"].tolist() == [False] * 3 + [True] * 3


def test_the_last_price_holds_until_prices_are_known() -> None:
    known = a_series([0.1, 0.2], "2026-01-05 00:00", minutes=60)
    tariff = SeriesTariff(known, known_until=at("2026-01-05 01:30"))

    result = prices(tariff, slots("2026-01-05 01:00", 4), BERLIN)

    assert result["estimated"].tolist() == [False, False, True, True]


def test_fees_come_before_taxes() -> None:
    tariff = SeriesTariff(a_series([0.10, -0.20]), surcharge_per_kwh=0.15, factor=1.19, export_prices=0.08)

    result = prices(tariff, slots("2026-01-01 00:00", 2), BERLIN)

    assert result["price"].tolist() == pytest.approx([0.25 * 1.19, -0.05 * 1.19])
    assert result["export_price"].tolist() == [0.08, 0.08]


def test_an_export_price_that_is_missing_is_estimated_too() -> None:
    tariff = SeriesTariff(a_series([0.3] * 8), known_until=at("2026-01-01 02:00"), export_prices=a_series([0.05] * 4))

    result = prices(tariff, slots("2026-01-01 00:00", 8), BERLIN)

    assert result["export_price"].tolist() == [0.05] * 8
    assert result["estimated"].tolist() == [False] * 4 + [True] * 4


@pytest.mark.parametrize("known", [[], [float("nan")] * 4])
def test_no_price_at_all_is_an_error(known: list[float]) -> None:
    with pytest.raises(UnknownPriceError, match="no price"):
        prices(SeriesTariff(a_series(known or [1.0])[: len(known)]), slots("2026-01-01 00:00", 4), BERLIN)


@settings(max_examples=40, deadline=None)
@given(
    hours=st.integers(1, 200),
    minutes=st.sampled_from([5, 15, 30, 60]),
    ahead_h=st.integers(-30, 1000),
    level=st.floats(0.05, 1.0),
)
def test_whatever_is_known_every_slot_has_a_price_and_never_zero(
    hours: int, minutes: int, ahead_h: int, level: float
) -> None:
    start = at("2026-03-20 00:00")
    tariff = SeriesTariff(
        a_series([level] * hours, "2026-03-20 00:00", minutes=60), known_until=start + timedelta(hours=hours)
    )
    index = utc_index(start + timedelta(hours=ahead_h), minutes, 24 * 60 // minutes)

    result = prices(tariff, index, BERLIN)

    assert result["price"].tolist() == [level] * len(index)
    end = start + timedelta(hours=hours)
    known = [start <= slot and slot + timedelta(minutes=minutes) <= end for slot in index]
    assert result["estimated"].tolist() == [not is_known for is_known in known]
