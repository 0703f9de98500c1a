"""The guard of one site: looks, decides, and keeps what it decided until it is so. No I/O but the sending itself."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

import numpy as np
import structlog

from app.clock import Clock
from app.dispatch.fuses import Floats, Fuses, fuses_of, load_per_kw
from app.dispatch.patience import Patience
from app.dispatch.restraint import Building, Standing
from app.errors import AppError
from app.guard.burden import Burden, Burdens, Source
from app.guard.ceilings import Ceilings
from app.guard.picture import Picture, holds, load_of, picture
from app.guard.residual import Persisting, Residual, residual_of
from app.guard.watch import Watch
from app.site import Site

log = structlog.get_logger()

ANSWERS_WITHIN = timedelta(seconds=5)  # a station that has not taken a lower limit by then counts with its old one

State = Literal["watching", "limiting", "overloaded"]
BatteriesOf = Callable[[Site], Mapping[str | None, float]]  # the most kW that they may charge with, by circuit


class Restrains(Protocol):
    """What the guard needs of the dispatcher; `app.dispatch.restraint.Restraint` says more."""

    def standings(self, site: Site, now: datetime, ahead: timedelta) -> list[Standing]: ...

    def planned_building(self, site_id: str, now: datetime) -> Building | None: ...

    def limit(self, key: str, ceiling_a: float | None) -> None: ...

    async def enforce(self, key: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Look:
    """What the guard saw and did at `at`. kW and A per phase; `building_source` says what the building's figure is."""

    site_id: str
    at: datetime
    state: State
    building_kw: float | None
    building_source: Source
    lowered_kw: float
    ceilings_a: dict[str, float]
    overloaded: tuple[str, ...]
    disobedient: tuple[str, ...]


class Post:
    """Where the guard stands: one site. `look` is called every period, and only ever takes microseconds."""

    def __init__(
        self,
        site: Site,
        restraint: Restrains,
        clock: Clock,
        *,
        period: timedelta,
        give_back_after: timedelta,
        batteries: BatteriesOf = lambda _: {},
    ) -> None:
        self.site = site
        self._batteries_of = batteries
        self.watch = Watch()
        self.maximum_kw: float | None = site.base_load.max_kw
        self.last: Look | None = None
        self.burden: Burden | None = None
        self._restraint = restraint
        self._clock = clock
        self._ahead = period + ANSWERS_WITHIN
        self._fuses: Fuses = fuses_of(site, None)
        self._burdens = Burdens(site, self._fuses)
        self._ceilings = Ceilings(give_back_after)
        self._sending: dict[str, tuple[asyncio.Task[None], datetime]] = {}
        self._patience = Patience()
        self._persisting = Persisting()

    def succeed(self, former: "Post") -> None:
        """The site's document was changed: what was seen and decided goes on."""
        self.watch, self._ceilings, self._sending = former.watch, former._ceilings, former._sending
        self._persisting = former._persisting
        self.maximum_kw = self.site.base_load.max_kw or former.maximum_kw

    def look(self) -> tuple[Look, Picture]:
        """Lower whoever must be lowered, give back what may be; what was seen."""
        now = self._clock.now()
        standings = self._restraint.standings(self.site, now, self._ahead)
        load = load_of(self._fuses, self.site, standings)
        for one in standings:
            self.watch.let(one.key, one.in_force_a, now)
        self.burden = self._burdens.of(
            self.watch,
            standings,
            load,
            now,
            planned=self._restraint.planned_building(self.site.id, now),
            maximum_kw=self.maximum_kw,
            batteries=self._batteries(),
        )
        seen = picture(
            self._fuses,
            standings,
            load,
            self.burden,
            self.watch,
            can_be_lowered=[self._can_be_lowered(one, now) for one in standings],
            ceilings_a=self._ceilings.values,
        )
        self._act(seen, standings, now)
        is_measured = self.burden.source == "measured"
        self._persisting.note(self.burden.building_kw if is_measured else None, now)
        self.last = self._told(seen, standings, now)
        return self.last, seen

    def _batteries(self) -> Floats:
        """(fuse): what commanded batteries may be charging with now."""
        total: Floats = np.zeros(len(self._fuses.rows))
        for circuit_id, charge_kw in self._batteries_of(self.site).items():
            total = total + charge_kw * load_per_kw(self.site, self._fuses.rows, circuit_id)
        return total

    def _can_be_lowered(self, one: Standing, now: datetime) -> bool:
        """It takes limits, and does what it was told last, or is being told this moment."""
        if one.planned_a is None or not one.can_be_told or one.key in self.watch.above:
            return False
        _, since = self._sending.get(one.key, (None, now - ANSWERS_WITHIN))
        return holds(one, self._ceilings.values.get(one.key)) or now - since < ANSWERS_WITHIN

    def _act(self, seen: Picture, standings: list[Standing], now: datetime) -> None:
        before = dict(self._ceilings.values)
        lowered = self._ceilings.lower(seen.offers, {one.key for one in standings if one.planned_a is not None})
        if lowered:
            self._persisting.lowered(now)
        for key in before.keys() - self._ceilings.values.keys():
            self._restraint.limit(key, None)
        for key, ceiling_a in lowered.items():
            log.warning("fuse guard lowers", site=self.site.id, evse=key, ceiling_a=round(ceiling_a, 1))
            self._tell(key, ceiling_a, now)
        for one in standings:  # whoever was told, and did not certainly do it
            held_a = self._ceilings.values.get(one.key)
            is_late = held_a is not None and one.key not in self._sending and not holds(one, held_a)
            if is_late and one.can_be_told and self._patience.is_due(one.key, now):
                self._tell(one.key, held_a, now)
        if lowered:
            return
        due = self._ceilings.due(seen.offers, now)
        if self._sending or seen.overloaded:
            return  # nothing is given while somebody may still be above what he should be
        for key, given_a in due.items():
            log.info("fuse guard gives back", site=self.site.id, evse=key, ceiling_a=given_a)
            self._ceilings.give(key, given_a)
            self._patience.forget(key)
            self._tell(key, given_a, now)

    def _tell(self, key: str, ceiling_a: float | None, now: datetime) -> None:
        """For whatever is sent from now on; and at once, one message to an EVSE at a time."""
        self._restraint.limit(key, ceiling_a)
        if key not in self._sending:
            self._sending[key] = (asyncio.get_running_loop().create_task(self._enforce(key)), now)

    async def _enforce(self, key: str) -> None:
        try:
            while True:
                ceiling_a = self._ceilings.values.get(key)
                await self._restraint.enforce(key)
                if self._ceilings.values.get(key) == ceiling_a:
                    return
        except AppError as error:
            log.warning("fuse guard not heard", evse=key, error=str(error))
        except Exception:  # one station's bug must not end the guard of all others
            log.exception("fuse guard not heard", evse=key)
        finally:
            self._sending.pop(key, None)

    def _told(self, seen: Picture, standings: list[Standing], now: datetime) -> Look:
        ceilings_a = dict(self._ceilings.values)
        lowered_kw = sum(
            max(0.0, (one.planned_a or 0.0) - ceilings_a[one.key]) * one.wiring.voltage_v * one.phases_in_use / 1000
            for one in standings
            if one.key in ceilings_a
        )
        state: State = "overloaded" if seen.overloaded else "limiting" if ceilings_a else "watching"
        burden = self.burden
        return Look(
            self.site.id,
            now,
            state,
            None if burden is None or burden.building_kw is None else round(burden.building_kw, 3),
            "unknown" if burden is None else burden.source,
            round(lowered_kw, 3),
            {key: round(value, 1) for key, value in ceilings_a.items()},
            seen.overloaded,
            tuple(sorted(self.watch.above)),
        )

    def residual(self) -> Residual:
        """What the next plan has to leave alone."""
        if self.burden is None:
            return Residual()
        return residual_of(self._fuses, self.burden, self._persisting.tell(self._clock.now()))

    def wants_a_plan(self) -> bool:
        """Whether what is left to charging has changed for longer than a moment; asked once for each change."""
        return self._persisting.is_news(self._clock.now(), is_limiting=bool(self._ceilings.values))

    async def settle(self) -> None:
        """Return once nothing is being sent."""
        while self._sending:
            await asyncio.gather(*(task for task, _ in self._sending.values()), return_exceptions=True)
