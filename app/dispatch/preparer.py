"""A station that arrives: what it accepts, and the fallback that it must hold before it is trusted with a plan."""

from collections.abc import Set
from dataclasses import replace

import structlog

from app.clock import Clock
from app.csms.connector import CsmsConnector, Passport, Purpose
from app.db.store import Store
from app.dispatch.fallback import FallbackInstaller
from app.dispatch.guarantee import Guarantee
from app.dispatch.in_force import Book
from app.errors import CallFailedError, ProfileRejectedError
from app.site import ChargingStationDocument, Site, evse_key

log = structlog.get_logger()

FALLBACKS = "fallback_a"  # beside the passport in the store: A per phase by EVSE number


class Preparer:
    """Knows of each station its passport, and whether it was prepared since it came."""

    def __init__(self, connector: CsmsConnector, store: Store, clock: Clock, book: Book, guarantee: Guarantee) -> None:
        self._connector = connector
        self._store = store
        self._clock = clock
        self._book = book
        self._guarantee = guarantee
        self._installer = FallbackInstaller(connector, book)
        self._passports: dict[str, Passport] = {}
        self._prepared: set[str] = set()
        self._distrusted: set[str] = set()

    @property
    def prepared(self) -> Set[str]:
        return self._prepared

    def passport(self, station_id: str) -> Passport:
        """As the station gave it; the defaults before it did."""
        return self._passports.get(station_id, Passport())

    def forget(self, station_id: str) -> None:
        """It came back: it may have kept what it held, or have forgotten it."""
        self._prepared.discard(station_id)

    def distrust(self, site: Site, station_id: str) -> tuple[str, ...]:
        """Somebody else may change its profiles from now on: the EVSEs that count with all their hardware until
        everything was cleared, and fallback and plan were sent anew."""
        document = site.station(station_id)
        keys = tuple(evse_key(station_id, evse.id) for evse in document.evses) if document else ()
        for key in keys:
            self._book.distrust(key, self._clock.now())
        self._prepared.discard(station_id)
        self._distrusted.add(station_id)
        return keys

    async def restore(self, site: Site) -> None:
        """The fallbacks that were confirmed before this process began."""
        for station in await self._store.stations(site.id):
            for evse_id, current_a in station.passport.get(FALLBACKS, {}).items():
                self._book.confirm_fallback(evse_key(station.station_id, int(evse_id)), float(current_a))

    async def prepare(self, site: Site, station_id: str) -> None:
        """Read the passport and make sure of the fallback. Raises `StationError` when the station does not answer."""
        document = site.station(station_id)
        if document is None:
            return
        self._book.doubt_station(station_id)
        try:
            passport = await self._connector.passport(station_id)
        except (ProfileRejectedError, CallFailedError) as error:
            log.warning("no passport", station=station_id, error=str(error))
            passport = Passport()
        if document.max_profile_periods is not None:
            passport = replace(passport, max_periods=document.max_profile_periods)
        self._passports[station_id] = passport
        if station_id in self._distrusted:
            await self._take_back(document, passport)
        currents_a = await self._guarantee.fallbacks(site, station_id, self._prepared)
        fallbacks = await self._installer.install(site, station_id, passport, currents_a, self._clock.now())
        stored = (await self._store.station(station_id)).passport
        by_evse = {str(evse_id): current_a for evse_id, current_a in fallbacks.items()}
        if stored.get(FALLBACKS) != by_evse:
            await self._store.update_station(station_id, passport=stored | {FALLBACKS: by_evse})
        self._prepared.add(station_id)

    async def _take_back(self, document: ChargingStationDocument, passport: Passport) -> None:
        """Away with what somebody else may have set above a plan; a lower maximum of the station may stay.

        Where the station does not confirm it, its EVSEs go on counting with all their hardware, each until it has
        verifiably taken a plan.
        """
        purposes = [Purpose.TX_DEFAULT, Purpose.TX]
        purposes += [one for one in (Purpose.PRIORITY, Purpose.LOCAL_GENERATION) if one in passport.purposes]
        if not await self._installer.clear(document.id, purposes):
            log.warning("profiles set by hand may remain", station=document.id)
            return
        for evse in document.evses:
            self._book.clear(evse_key(document.id, evse.id))
        self._distrusted.discard(document.id)
