"""What of a site is safe without anybody watching: its fallbacks, the unwatched part of its plans, its certificate."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from app.clock import Clock
from app.csms.connector import CsmsConnector
from app.csms.steps import Steps
from app.db.records import HELD
from app.db.store import Store
from app.dispatch.building import building_maximum
from app.dispatch.certificate import Certificate, certify
from app.dispatch.fail_safe import fallback_currents, guarded
from app.dispatch.fuses import Fuses, fuses_of, with_batteries_alone
from app.dispatch.in_force import Book
from app.site import Site, evse_key, split_evse_key

WATCHED = timedelta(hours=1)  # how long at most a plan holds that only a service which watches makes safe


class Guarantee:
    """Reads the book of what stations may be executing; sends nothing."""

    def __init__(
        self, connector: CsmsConnector, store: Store, clock: Clock, book: Book, *, watched: timedelta = WATCHED
    ) -> None:
        self._connector = connector
        self._store = store
        self._clock = clock
        self._book = book
        self._watched = watched
        self._fuses: dict[str, tuple[Site, float | None, Fuses]] = {}  # by site, and what they were made from
        self._fallbacks: dict[str, tuple[Fuses, set[str], Mapping[str, float]]] = {}
        self.clocks_ahead_s: dict[str, float] = {}  # by station, those that plans are shifted for

    async def fuses(self, site: Site) -> Fuses:
        """The site's limits, with the building at its maximum and batteries left to themselves."""
        return self._fuses_of(site, (await building_maximum(self._store, site)).kw)

    def _fuses_of(self, site: Site, max_base_load_kw: float | None) -> Fuses:
        """Worked out once for a site's document: a hundred stations that come back ask one after the other."""
        known = self._fuses.get(site.id)
        if known is None or known[0] is not site or known[1] != max_base_load_kw:
            fuses = with_batteries_alone(fuses_of(site, max_base_load_kw), site)
            self._fuses[site.id] = known = (site, max_base_load_kw, fuses)
        return known[2]

    async def fallbacks(self, site: Site, preparing: str, prepared: Collection[str]) -> Mapping[str, float]:
        """A per phase for every EVSE; one of a `prepared` station that confirmed none counts with its hardware.

        Stations that were not prepared yet, and the one that is being, are believed to be able to hold theirs.
        """
        unable = {
            key
            for station in site.charging_stations
            if station.id != preparing and station.id in prepared
            for key in (evse_key(station.id, evse.id) for evse in station.evses)
            if self._book.fallback_a(key) is None
        }
        fuses = await self.fuses(site)
        known = self._fallbacks.get(site.id)
        if known is None or known[0] is not fuses or known[1] != unable:
            currents_a = fallback_currents(fuses, site.fallback_current_a, unable)
            self._fallbacks[site.id] = known = (fuses, unable, currents_a)
        return known[2]

    def watched_until(self, now: datetime) -> datetime:
        """Between half and all of the watched time ahead, and the same for all plans of half of it.

        Profiles that end one by one would leave some EVSEs to their fallback while others still follow the plan.
        """
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        half = self._watched / 2
        return midnight + half * ((now - midnight) // half) + self._watched

    def guarded(self, site: Site, fuses: Fuses, plans: Mapping[str, Steps], now: datetime) -> Mapping[str, Steps]:
        """What of the plans may stay in force to the vehicles' departure even if this service dies now."""
        if not plans:
            return plans
        end = max(plan.end for plan in plans.values())
        others = {key: curve for key, curve in self._curves(site, fuses, now, end).items() if key not in plans}
        fallbacks_a = {key: self._book.below_a(key, fuses.wirings[key]) for key in plans}
        min_current_a = {
            evse_key(station.id, evse.id): evse.min_current_a
            for station in site.charging_stations
            for evse in station.evses
        }
        held = {
            key: self._book.curve(key, fuses.wirings[key], plan.start, plan.end)
            for key, plan in plans.items()
            if self._book.holding(key).profile is not None and self._book.holding(key).state in HELD
        }
        return guarded(fuses, plans, fallbacks_a, others, min_current_a, self.watched_until(now), held)

    async def certificate(self, site: Site) -> Certificate:
        """What is proven of the site now, whichever links drop from here on."""
        maximum, now = await building_maximum(self._store, site), self._clock.now()
        fuses = self._fuses_of(site, maximum.kw)
        ends = [end for key in fuses.evses if (end := self._book.end(key)) is not None]
        curves = self._curves(site, fuses, now, max([now, *ends]) + timedelta(seconds=1))
        fallbacks_a = {key: self._book.fallback_a(key) for key in curves}
        return certify(
            site.id,
            fuses,
            curves,
            fallback_a={key: current_a for key, current_a in fallbacks_a.items() if current_a is not None},
            isolated=[key for key in fuses.evses if key not in curves],
            max_base_load_kw=maximum.kw,
            base_source=maximum.source,
            now=now,
            batteries_s={one.id: one.actuator.valid_s for one in site.batteries if one.actuator is not None},
            clocks_ahead_s={
                station.id: ahead_s
                for station in site.charging_stations
                if (ahead_s := self.clocks_ahead_s.get(station.id))
            },
        )

    def _curves(self, site: Site, fuses: Fuses, start: datetime, end: datetime) -> dict[str, Steps]:
        """Of every EVSE but those that an operator has isolated, while they are not connected."""
        connected = self._connector.connected()
        isolated = {station.id for station in site.charging_stations if station.isolated} - connected
        return {
            key: self._book.fail_safe_curve(key, fuses.wirings[key], start, end)
            for key in fuses.evses
            if split_evse_key(key)[0] not in isolated
        }
