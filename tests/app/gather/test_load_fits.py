"""Fits of the base load: made weekly apart from plans, kept as files, and read by the forecasts."""

from pathlib import Path

import pytest

from app.clock import SteppedClock
from app.db.records import Reading
from app.db.store import Store
from app.gather.history import History
from app.gather.load_fits import LoadFits, Refitting
from app.gather.signals import SignalSource
from forecasts.residual_trees import Fold, ResidualFit, is_installed
from optimizer.domain import Horizon
from tests.app.gather.test_signals import DAY, NOW, a_site
from tests.forecasts.builders import a_site as an_office
from tests.stores import a_store

needs_trees = pytest.mark.skipif(not is_installed(), reason="LightGBM is not installed: the extra ml")


def a_fit() -> ResidualFit:
    import numpy as np

    return ResidualFit(NOW - DAY, 15, "Europe/Berlin", (0.5, 0.5), 3.5, (Fold(np.datetime64("2026-04-20"), ("tree",)),))


async def measured(store: Store, days: int) -> None:
    load_kw = an_office(f"{NOW:%Y-%m-%d %H:%M}", days=days, noise_kw=3.0)
    rows = zip(load_kw.index.to_pydatetime(), load_kw, strict=True)  # type: ignore[attr-defined]  # stamps
    await store.add_readings([Reading("depot", "building", at, kw) for at, kw in rows])


def test_a_fit_is_kept_as_it_was(tmp_path: Path) -> None:
    LoadFits(tmp_path).keep("depot", a_fit())

    assert LoadFits(tmp_path).of("depot") == a_fit()
    assert LoadFits(tmp_path).of("elsewhere") is None


def test_a_newer_fit_of_another_process_is_seen(tmp_path: Path) -> None:
    fits = LoadFits(tmp_path)
    fits.keep("depot", a_fit())
    assert fits.of("depot") == a_fit()

    (tmp_path / "depot.json").unlink()

    assert fits.of("depot") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}'])
def test_a_file_that_cannot_be_read_is_no_fit(tmp_path: Path, text: str) -> None:
    (tmp_path / "depot.json").write_text(text, "utf-8")

    assert LoadFits(tmp_path).of("depot") is None


@needs_trees
async def test_a_site_is_fitted_once_a_week_and_its_forecast_uses_it(tmp_path: Path) -> None:
    fits, site = LoadFits(tmp_path / "fits"), a_site()
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(site)
        await measured(store, days=40)
        refitting = Refitting(store, fits, SteppedClock(NOW))

        made = [await refitting.refit(site, NOW + n * DAY) for n in (0, 1, 6, 7)]
        signals = await SignalSource(store, History(store), fits).of(site, Horizon(NOW, 15, 8, NOW), NOW)

    assert made == [True, False, False, True]
    assert "boosted trees" not in signals.provenance["base_load"]["detail"]  # the last fit is of next week
    fit = fits.of("depot")
    assert fit is not None
    assert fit.fitted_at == NOW + 7 * DAY


@needs_trees
async def test_trees_are_named_in_the_forecast_s_provenance(tmp_path: Path) -> None:
    fits, site = LoadFits(tmp_path / "fits"), a_site()
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(site)
        await measured(store, days=40)
        await Refitting(store, fits, SteppedClock(NOW)).refit(site, NOW)

        signals = await SignalSource(store, History(store), fits).of(site, Horizon(NOW, 15, 8, NOW), NOW)

    assert "boosted trees" in signals.provenance["base_load"]["detail"]


@needs_trees
async def test_a_site_with_too_little_history_is_asked_again_after_a_week(tmp_path: Path) -> None:
    site = a_site()
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(site)
        await measured(store, days=10)
        refitting = Refitting(store, LoadFits(tmp_path / "fits"), SteppedClock(NOW))

        assert not await refitting.refit(site, NOW)

    assert not (tmp_path / "fits").exists()
