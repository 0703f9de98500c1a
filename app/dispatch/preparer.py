"""A station that arrives: what it accepts, and the fallback that it must hold before it is trusted with a plan."""

from collections.abc import Set

import structlog

from app.clock import Clock
from app.crash_points import crash_point
from app.csms.connector import CsmsConnector, Passport, Purpose
from app.db.store import Store
from app.dispatch.fallback import FallbackInstaller
from app.dispatch.guarantee import Guarantee
from app.dispatch.in_force import Book
from app.dispatch.passports import Passports
from app.site import ChargingStationDocument, Site, evse_key

log = structlog.get_logger()

FALLBACKS = "fallback_a"  # beside the passport in the store: A per phase by EVSE number


class Preparer:
    """Knows of each station whether it was prepared since it came."""

    def __init__(
        self,
        connector: CsmsConnector,
        store: Store,
        clock: Clock,
        book: Book,
        guarantee: Guarantee,
        passports: Passports,
    ) -> None:
        self._store = store
        self._clock = clock
        self._book = book
        self._guarantee = guarantee
        self._passports = passports
        self._installer = FallbackInstaller(connector, book)
        self._prepared: set[str] = set()
        self._distrusted: set[str] = set()

    @property
    def prepared(self) -> Set[str]:
        return self._prepared

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
        """The fallbacks that were confirmed, and the passports that were read, before this process began."""
        stations = await self._store.stations(site.id)
        self._passports.restore(site, stations)
        for station in stations:
            for evse_id, current_a in station.passport.get(FALLBACKS, {}).items():
                self._book.confirm_fallback(evse_key(station.station_id, int(evse_id)), float(current_a))

    async def prepare(self, site: Site, station_id: str) -> None:
        """Read the passport and make sure of the fallback. Raises `StationError` when the station does not answer."""
        document = site.station(station_id)
        if document is None:
            return
        self._book.doubt_station(station_id)
        passport = await self._passports.read(site, station_id)
        if station_id in self._distrusted:
            await self._take_back(document, passport)
        currents_a = await self._guarantee.fallbacks(site, station_id, self._prepared)
        if all(self._book.fallback_a(evse_key(station_id, evse.id)) is not None for evse in document.evses):
            # Doubted only until it answers: others that prepare meanwhile believe it, as they do the first time.
            self._prepared.discard(station_id)
        fallbacks = await self._installer.install(site, station_id, passport, currents_a, self._clock.now())
        crash_point("station.prepared")
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
