"""Champions and challengers of the base load: each kind of site is served by the model that suits it."""

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.backtest import Backtested, Horizon, Model, backtest_horizons
from forecasts.base_load import base_load, fit_load
from forecasts.blend import blended, pinball, weights
from forecasts.local_days import day_slots, weekdays
from forecasts.naive import same_weekday
from forecasts.residual_trees import ResidualFit, is_installed
from forecasts.series import utc_index
from tests.forecasts.builders import BERLIN, a_site, at, office_load

needs_trees = pytest.mark.skipif(not is_installed(), reason="LightGBM is not installed: the extra ml")
DAYS = [date(2026, 3, 2) + timedelta(days=3 * n) for n in range(10)]


def a_routine(kind: str, days: int = 90) -> pd.Series:
    """Hourly, from 2026-01-05, a Monday, in UTC; noise that lasts for hours."""
    rng = np.random.default_rng(3)
    index = utc_index(at("2026-01-05 00:00"), 60, days * 24)
    hour, day = np.asarray(index.hour), np.arange(len(index)) // 24
    weekday = np.asarray(index.dayofweek)
    noise = np.zeros(len(index))
    for slot, pushed in enumerate(rng.normal(0.0, 1.0, len(index))):
        noise[slot] = 0.9 * noise[slot - 1] + pushed
    bump = 20.0 * np.exp(-(((hour - 13.0) / 4.0) ** 2))
    by_kind = {
        "office": 10 + bump * (weekday < 5),
        "every day the same": 10 + bump,
        "washes on Mondays": 10 + 60.0 * ((weekday == 0) & (hour > 8) & (hour < 16)),
        "growing": 20 + bump * (weekday < 5) + 0.5 * day,
        "moved up one day": 10 + bump * (weekday < 5) + 25.0 * (day > 50),
        "season": 30 + bump + 20 * np.sin(day / 14),
    }
    return pd.Series(np.maximum(by_kind[kind] + noise, 0.0), index=index)


def scored(history: pd.Series, days: list[date] = DAYS, ahead: int = 1) -> Backtested:
    def own(known: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        return base_load(known, index, time_zone="UTC", issued_at=issued_at).quantiles

    models: dict[str, Model] = {"same weekday": same_weekday("UTC"), "own": own}
    return backtest_horizons(models, history, time_zone="UTC", days=days, horizons=(Horizon.day(ahead),))


def score(result: Backtested, horizon: str) -> dict[str, float]:
    """The scores of our own model."""
    row = result.table.loc[[(horizon, "own")]].to_dict("records")[0]
    return {str(name): float(value) for name, value in row.items()}


@pytest.mark.parametrize(
    "kind", ["office", "every day the same", "washes on Mondays", "growing", "moved up one day", "season"]
)
def test_no_kind_of_site_is_forecast_worse_than_by_the_same_weekday(kind: str) -> None:
    own = score(scored(a_routine(kind)), "day ahead")

    assert own["skill"] > 0.0
    assert 0.65 <= own["coverage"] <= 0.95


def test_bands_grow_with_the_days_ahead_where_the_level_wanders() -> None:
    walk = a_routine("every day the same") + np.cumsum(np.random.default_rng(5).normal(0.0, 0.3, 90 * 24)) + 30
    issued = at("2026-03-20 12:00")

    band = base_load(walk, utc_index(issued, 60, 7 * 24), time_zone="UTC", issued_at=issued).quantiles
    width = (band[0.9] - band[0.1]).to_numpy().reshape(7, 24).mean(axis=1)

    assert width[6] > 1.3 * width[1]


def test_a_week_ahead_the_band_still_holds_what_it_says() -> None:
    own = score(scored(a_routine("season"), ahead=7), "7 days ahead")

    assert 0.6 <= own["coverage"] <= 0.95


def test_a_site_that_works_on_holidays_is_expected_to() -> None:
    """Whit Monday, the 25th of May, after a Good Friday, an Easter Monday and a First of May that it all worked."""
    history = a_site("2026-05-24 10:00", days=69)
    stamps = pd.DatetimeIndex(history.index).tz_convert(BERLIN)
    worked = (stamps.dayofweek < 5) & (stamps.hour >= 8) & (stamps.hour < 18)
    issued = at("2026-05-24 10:00")
    monday = day_slots(date(2026, 5, 25), BERLIN, 15)

    def noon_kw(load_kw: pd.Series) -> float:
        result = base_load(load_kw, monday, time_zone=BERLIN, issued_at=issued, country="DE")
        return float(result.expected.iloc[48])

    assert noon_kw(history.where(~worked, 50.0)) == pytest.approx(50.0, abs=1.0)
    assert noon_kw(history) == pytest.approx(20.0, abs=1.0)


def test_the_first_hours_have_narrower_bands_than_the_next_day() -> None:
    history = a_routine("office")
    issued = at("2026-03-18 09:00")

    band = base_load(history[history.index < issued], utc_index(issued, 60, 30), time_zone="UTC", issued_at=issued)
    width = (band.quantiles[0.9] - band.quantiles[0.1]).to_numpy()

    assert width[0] < 0.8 * width[24]


def test_the_better_model_weighs_more_and_a_useless_one_next_to_nothing() -> None:
    truth = np.full((5, 4), 10.0)
    past = np.stack([np.full((5, 5, 4), level) for level in (10.5, 11.0, 20.0)], axis=1)

    share = weights(past, truth)

    assert share.sum() == pytest.approx(1.0)
    assert share[0] > 0.99
    assert share[0] > share[1] > share[2]


def test_weights_of_what_nobody_knows_are_equal() -> None:
    assert list(weights(np.zeros((2, 4, 5, 3)), np.full((2, 3), np.nan))) == [0.25] * 4


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), models=st.integers(1, 5))
def test_a_blend_loses_no_more_than_its_worst_model(seed: int, models: int) -> None:
    rng = np.random.default_rng(seed)
    forecasts = np.sort(rng.normal(0.0, 5.0, (6, models, 5, 8)), axis=2)
    truth = rng.normal(0.0, 5.0, (6, 8))

    share = weights(forecasts, truth)

    loss = pinball(blended(forecasts, share), truth).mean()
    assert loss <= pinball(forecasts, truth[:, None]).mean(axis=(0, 2)).max() + 1e-9


def test_a_real_office_is_covered_as_claimed_after_four_weeks() -> None:
    load_kw = office_load()
    zone = "America/Los_Angeles"
    models: dict[str, Model] = {
        "same weekday": same_weekday(zone),
        "own": lambda known, index, at: base_load(known, index, time_zone=zone, issued_at=at).quantiles,
    }
    days = [date(2018, 9, 28) + timedelta(days=n) for n in range(33)]

    own = score(backtest_horizons(models, load_kw, time_zone=zone, days=days, horizons=(Horizon.day(1),)), "day ahead")

    assert own["skill"] >= 0.10
    assert 0.74 <= own["coverage"] <= 0.86


@pytest.fixture(scope="module")
def fitted() -> ResidualFit:
    """Trees of a shop whose Thursdays are long, which no model of day types knows."""
    fit = fit_load(a_routine("office")[: 70 * 24], 60, time_zone="UTC", issued_at=at("2026-03-16 00:00"))
    assert fit is not None
    return fit


@needs_trees
def test_a_fit_is_data_that_survives_a_store(fitted: ResidualFit) -> None:
    import pickle

    index = utc_index(at("2026-03-16 12:00"), 60, 48)
    history = a_routine("office")

    def with_fit(fit: ResidualFit) -> pd.DataFrame:
        return base_load(history, index, time_zone="UTC", issued_at=at("2026-03-16 12:00"), fit=fit).quantiles

    pd.testing.assert_frame_equal(with_fit(fitted), with_fit(pickle.loads(pickle.dumps(fitted))))  # noqa: S301  # our own bytes


@needs_trees
def test_the_same_history_gives_the_same_trees(fitted: ResidualFit) -> None:
    again = fit_load(a_routine("office")[: 70 * 24], 60, time_zone="UTC", issued_at=at("2026-03-16 00:00"))

    assert again == fitted


@needs_trees
def test_trees_that_are_too_old_or_of_another_grid_have_no_say(fitted: ResidualFit) -> None:
    assert fitted.holds(at("2026-03-20 00:00"), 60, "UTC")
    assert not fitted.holds(at("2026-04-16 00:00"), 60, "UTC")
    assert not fitted.holds(at("2026-03-15 00:00"), 60, "UTC")
    assert not fitted.holds(at("2026-03-20 00:00"), 15, "UTC")
    assert not fitted.holds(at("2026-03-20 00:00"), 60, BERLIN)


@needs_trees
def test_trees_see_nothing_of_the_weeks_that_they_are_weighed_on(fitted: ResidualFit) -> None:
    firsts = [fold.first_day for fold in fitted.folds]

    assert firsts == sorted(firsts)
    assert len(firsts) == 5
    assert weekdays(np.array(firsts)).shape == (5,)
    assert firsts[-1] <= np.datetime64("2026-03-16")


@needs_trees
def test_a_site_with_trees_is_forecast_no_worse(fitted: ResidualFit) -> None:
    history = a_routine("office")
    index = utc_index(at("2026-03-16 12:00"), 60, 5 * 24)

    def loss(fit: ResidualFit | None) -> float:
        band = base_load(history, index, time_zone="UTC", issued_at=at("2026-03-16 12:00"), fit=fit).quantiles
        return float(pinball(band.to_numpy().T, history[index].to_numpy()).mean())

    assert loss(fitted) <= 1.1 * loss(None)


def test_a_fortnight_is_too_little_for_trees() -> None:
    assert fit_load(a_routine("office")[: 13 * 24], 60, time_zone="UTC", issued_at=at("2026-01-18 00:00")) is None
