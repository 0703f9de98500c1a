"""A back-test scores what a forecast would have been worth, with only what was known."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from forecasts.backtest import backtest
from forecasts.base_load import base_load
from forecasts.clear_sky import PvArray, clear_sky_kw
from forecasts.errors import InsufficientHistoryError
from forecasts.naive import same_weekday, two_days_before
from forecasts.pv import pv
from tests.forecasts.builders import BERLIN, LONG_DAY, a_site, office_load, pv_power

LOS_ANGELES = "America/Los_Angeles"
COLORADO = "Etc/GMT+7"  # Denver without summer time
WEEK = [date(2026, 6, 8) + timedelta(days=n) for n in range(7)]


def test_a_model_sees_nothing_of_what_it_forecasts() -> None:
    seen: list[tuple[pd.Timestamp, datetime, pd.Timestamp]] = []

    def model(history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        seen.append((history.index[-1] + timedelta(minutes=15), issued_at, index[0]))
        return pd.DataFrame({0.5: 20.0}, index=index)

    backtest({"a": model}, a_site("2026-06-16 00:00", days=30), time_zone=BERLIN, days=WEEK)

    assert len(seen) == 7
    for known_until, issued_at, first_slot in seen:
        assert known_until == issued_at
        assert (first_slot - issued_at).total_seconds() == 12 * 3600
        assert issued_at.astimezone(ZoneInfo(BERLIN)).hour == 12


def test_a_constant_error_is_scored_as_what_it_is() -> None:
    history = a_site("2026-06-16 00:00", days=30, workday_kw=20.0)

    def three_too_high(_: pd.Series, index: pd.DatetimeIndex, __: datetime) -> pd.DataFrame:
        return pd.DataFrame({0.1: 22.0, 0.5: 23.0, 0.9: 24.0}, index=index)

    row = backtest({"high": three_too_high}, history, time_zone=BERLIN, days=WEEK).loc["high"]

    assert row["mae"] == pytest.approx(3.0)
    assert row["rmse"] == pytest.approx(3.0)
    assert row["bias"] == pytest.approx(3.0)
    assert row["nmae"] == pytest.approx(0.15)
    assert row["coverage"] == 0.0
    assert row["pinball"] == pytest.approx((0.9 * 2 + 0.5 * 3 + 0.1 * 4) / 3)
    assert row["slots"] == 7 * 96


def test_a_routine_is_foreseen_by_the_same_weekday_and_not_by_two_days_before() -> None:
    history = a_site("2026-06-29 00:00", days=60)
    models = {"same weekday": same_weekday(BERLIN), "two days before": two_days_before(BERLIN)}

    table = backtest(models, history, time_zone=BERLIN, days=[day + timedelta(days=14) for day in WEEK])

    assert table["mae"]["same weekday"] == 0.0
    assert table["mae"]["two days before"] > 3.0


def test_the_long_day_is_scored_in_all_its_quarters() -> None:
    history = a_site("2026-10-27 00:00", days=40)

    table = backtest({"same weekday": same_weekday(BERLIN)}, history, time_zone=BERLIN, days=[LONG_DAY])

    assert table["slots"]["same weekday"] == 100


def test_a_model_that_refuses_is_counted() -> None:
    def refuses(*_: object) -> pd.DataFrame:
        raise InsufficientHistoryError

    table = backtest({"shy": refuses}, a_site("2026-06-16 00:00", days=30), time_zone=BERLIN, days=WEEK)

    assert table["refused"]["shy"] == 7
    assert table["slots"]["shy"] == 0


def test_similar_days_beat_the_same_weekday_on_a_real_office() -> None:
    days = [date(2018, 9, 20) + timedelta(days=n) for n in range(41)]

    def similar_days(history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        return base_load(
            history, index, time_zone=LOS_ANGELES, issued_at=issued_at, country="US", subdivision="CA"
        ).quantiles

    table = backtest(
        {"same weekday": same_weekday(LOS_ANGELES), "similar days": similar_days},
        office_load(),
        time_zone=LOS_ANGELES,
        days=days,
    )

    assert table["skill"]["similar days"] > 0.1
    assert table["nmae"]["similar days"] < 0.13
    assert 0.65 <= table["coverage"]["similar days"] <= 0.9


def test_the_site_s_own_clearness_beats_the_days_before_on_a_real_roof() -> None:
    power_kw = pv_power()
    arrays = [PvArray("roof", 6.0, 45.0, 158.0)]
    clear = clear_sky_kw(arrays, 39.742, -105.173, pd.DatetimeIndex(power_kw.index))

    def clearness(history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        result = pv(arrays, 39.742, -105.173, index, history=history, issued_at=issued_at)
        return pd.DataFrame({0.1: result.low, 0.5: result.expected, 0.9: result.high})

    table = backtest(
        {
            "same weekday": same_weekday(COLORADO),
            "two days before": two_days_before(COLORADO),
            "clearness": clearness,
        },
        power_kw,
        time_zone=COLORADO,
        days=[date(2016, 8, 1) + timedelta(days=2 * n) for n in range(36)],
        scored=clear > 0,
        normaliser=float(power_kw.quantile(0.995)),
    )

    assert table["skill"]["clearness"] > 0.1
    assert table["nmae"]["clearness"] < table["nmae"]["two days before"] - 0.02
    assert 0.6 <= table["coverage"]["clearness"] <= 0.9
