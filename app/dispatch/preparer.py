"""A station that arrives: what it accepts, and the fallback that it must hold before it is trusted with a plan."""

from collections.abc import Set

from app.clock import Clock
from app.csms.connector import CsmsConnector
from app.db.store import Store
from app.dispatch.fallback import FallbackInstaller
from app.dispatch.guarantee import Guarantee
from app.dispatch.in_force import Book
from app.dispatch.passports import Passports
from app.site import Site, evse_key

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

    @property
    def prepared(self) -> Set[str]:
        return self._prepared

    def forget(self, station_id: str) -> None:
        """It came back: it may have kept what it held, or have forgotten it."""
        self._prepared.discard(station_id)

    async def restore(self, site: Site) -> None:
        """The fallbacks that were confirmed, and the passports that were read, before this process began."""
        stations = await self._store.stations(site.id)
        self._passports.restore(site, stations)
        for station in stations:
            for evse_id, current_a in station.passport.get(FALLBACKS, {}).items():
                self._book.confirm_fallback(evse_key(station.station_id, int(evse_id)), float(current_a))

    async def prepare(self, site: Site, station_id: str) -> None:
        """Read the passport and make sure of the fallback. Raises `StationError` when the station does not answer."""
        if site.station(station_id) is None:
            return
        self._book.doubt_station(station_id)
        passport = await self._passports.read(site, station_id)
        currents_a = await self._guarantee.fallbacks(site, station_id, self._prepared)
        fallbacks = await self._installer.install(site, station_id, passport, currents_a, self._clock.now())
        stored = (await self._store.station(station_id)).passport
        by_evse = {str(evse_id): current_a for evse_id, current_a in fallbacks.items()}
        if stored.get(FALLBACKS) != by_evse:
            await self._store.update_station(station_id, passport=stored | {FALLBACKS: by_evse})
        self._prepared.add(station_id)
