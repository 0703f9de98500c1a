"""Each site is planned for the coming day at its own local hour; one site's error never stops another's."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from app.clock import Clock, sleep_until
from app.control import Plans
from app.db.store import Store
from app.errors import AppError
from app.site import Site
from forecasts.errors import ForecastError
from optimizer.errors import OptimizerError

log = structlog.get_logger()

LOOK_AGAIN = timedelta(minutes=15)  # how soon a new site or a changed hour is noticed


@dataclass(frozen=True, slots=True)
class NightlyResult:
    """What became of one site; `error` None when it has its plan."""

    site_id: str
    plan_id: str | None
    status: str | None
    error: str | None


def next_run(site: Site, after: datetime) -> datetime:
    """The first moment after `after` (aware) at which the site's local clock shows its hour, in UTC.

    An hour that a DST change skips runs as much later as the change skips; one that comes twice runs the first time.
    """
    day = after.astimezone(site.zone).date()
    while True:
        due = datetime.combine(day, site.nightly_at, site.zone).astimezone(UTC)
        if due > after:
            return due
        day += timedelta(days=1)


async def run_nightly(store: Store, planner: Plans, site_ids: tuple[str, ...] = ()) -> list[NightlyResult]:
    """Plan the named sites, or all, one after the other; every one gets its turn whatever happened before."""
    due = [site.id for site in await store.sites() if not site_ids or site.id in site_ids]
    return [await _plan(planner, site_id) for site_id in due]


class Nightly:
    """The clock of the night. `run` works until it is cancelled."""

    def __init__(self, store: Store, planner: Plans, clock: Clock) -> None:
        self._store = store
        self._planner = planner
        self._clock = clock

    async def run(self) -> None:
        seen = self._clock.now()
        while True:
            due = await self._due(seen)
            wake = min([*due.values(), seen + LOOK_AGAIN])
            await sleep_until(self._clock, wake)
            seen = max(wake, self._clock.now())  # a machine that slept for days has one night to make good
            for site_id, moment in sorted(due.items()):
                if moment <= seen:
                    await _plan(self._planner, site_id)

    async def _due(self, after: datetime) -> dict[str, datetime]:
        """When each site is planned next; none while the store does not answer, which is asked again."""
        try:
            return {site.id: next_run(site, after) for site in await self._store.sites()}
        except AppError as error:
            log.error("sites unknown to the nightly run", error=str(error))
        except Exception:  # the nights must go on whatever one evening met
            log.exception("sites unknown to the nightly run")
        return {}


async def _plan(planner: Plans, site_id: str) -> NightlyResult:
    try:
        plan = await planner.plan(site_id, kind="nightly")
    except (AppError, ForecastError, OptimizerError) as error:
        log.error("no nightly plan", site=site_id, error=str(error))
        return NightlyResult(site_id, None, None, str(error))
    except Exception as error:  # a bug met at one site must not leave the others without their plan
        log.exception("nightly planning failed", site=site_id)
        return NightlyResult(site_id, None, None, f"{type(error).__name__}: {error}")
    return NightlyResult(site_id, plan.plan_id, plan.status, plan.reason)
