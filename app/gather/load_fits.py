"""Boosted trees of each site's base load: fitted weekly, apart from plans, and kept as files.

A plan only reads what is there. Where LightGBM is not installed, nothing is fitted and nothing is missed.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from app.clock import Clock, sleep_until
from app.db.store import Store
from app.gather.history import History
from app.site import Site
from forecasts.base_load import OLDEST_DAYS, fit_load
from forecasts.residual_trees import REFIT_AFTER, Fold, ResidualFit, is_installed
from forecasts.series import utc_index

log = structlog.get_logger()

LOOK_AGAIN = timedelta(hours=1)  # for sites that are new, and fits that are a week old


class LoadFits:
    """The fits of all sites, in a folder with one file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[float, ResidualFit | None]] = {}  # by site, with the file's time

    def of(self, site_id: str) -> ResidualFit | None:
        """The last fit of a site; None where there is none, or none that can be read."""
        path = self._path(site_id)
        try:
            changed = path.stat().st_mtime
        except OSError:
            return None
        known = self._read.get(site_id)
        if known is None or known[0] != changed:
            known = changed, _read(path)
            self._read[site_id] = known
        return known[1]

    def keep(self, site_id: str, fit: ResidualFit) -> None:
        """Whole or not at all: another process may be reading."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(site_id)
        half = path.with_suffix(".half")
        half.write_text(json.dumps(_document(fit)), "utf-8")
        half.replace(path)

    def _path(self, site_id: str) -> Path:
        return self._folder / f"{site_id}.json"


class Refitting:
    """Fits what is due, site after site; `run` works until it is cancelled."""

    def __init__(self, store: Store, fits: LoadFits, clock: Clock) -> None:
        self._store = store
        self._history = History(store)
        self._fits = fits
        self._clock = clock
        self._tried: dict[str, datetime] = {}  # a site with too little history is not asked every hour

    async def run(self) -> None:
        while is_installed():
            now = self._clock.now()
            try:
                for site in await self._store.sites():
                    await self.refit(site, now)
            except Exception:  # a forecast without trees is a forecast; the next hour may be better
                log.exception("base load not fitted")
            await sleep_until(self._clock, now + LOOK_AGAIN)

    async def refit(self, site: Site, now: datetime) -> bool:
        """Whether there is a new fit. Only a site whose last one is a week old, or that has none, is looked at."""
        known = self._fits.of(site.id)
        last = max((at for at in (known and known.fitted_at, self._tried.get(site.id)) if at), default=None)
        if last is not None and timedelta(0) <= now - last < REFIT_AFTER:
            return False
        self._tried[site.id] = now
        minutes = site.slot_minutes
        slots = int(timedelta(days=OLDEST_DAYS) / timedelta(minutes=minutes))
        first = (now - timedelta(days=OLDEST_DAYS)).replace(minute=0, second=0, microsecond=0)
        load_kw = await self._history.base_load(site, utc_index(first, minutes, slots))
        # LightGBM trains without the interpreter's lock: a thread holds up nobody.
        fit = await asyncio.to_thread(
            fit_load,
            load_kw,
            minutes,
            time_zone=site.time_zone,
            issued_at=now,
            country=site.country,
            subdivision=site.subdivision,
        )
        if fit is None:
            return False
        await asyncio.to_thread(self._fits.keep, site.id, fit)
        log.info("base load fitted", site=site.id, folds=len(fit.folds))
        return True


def _document(fit: ResidualFit) -> dict[str, Any]:
    return {
        "version": 1,
        "fitted_at": fit.fitted_at.isoformat(),
        "slot_minutes": fit.slot_minutes,
        "time_zone": fit.time_zone,
        "share": fit.share,
        "scale_kw": fit.scale_kw,
        "folds": [{"first_day": str(fold.first_day), "trees": fold.trees} for fold in fit.folds],
    }


def _read(path: Path) -> ResidualFit | None:
    try:
        document: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        return ResidualFit(
            datetime.fromisoformat(document["fitted_at"]),
            float(document["slot_minutes"]),
            str(document["time_zone"]),
            tuple(float(one) for one in document["share"]),
            float(document["scale_kw"]),
            tuple(Fold(np.datetime64(fold["first_day"], "D"), tuple(fold["trees"])) for fold in document["folds"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("a fit cannot be read, and is left out", file=path.name, error=str(error))
        return None
