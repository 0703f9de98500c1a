"""What every station accepts, as the dispatcher goes by it: read, corrected, and learned from its answers."""

from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.csms.connector import CsmsConnector, Passport
from app.csms.corrections import Corrections
from app.csms.known_passport import LEARNED, PROBE, found_out, known_passport
from app.csms.timestamps import iso_utc
from app.csms.v16_passport import keep_passport, stored_passport
from app.db.records import Json, Station
from app.db.store import Store
from app.errors import CallFailedError, NotFoundError, ProfileRejectedError
from app.site import ChargingStationDocument, Site, evse_key

log = structlog.get_logger()

LOOKED_AT_AGAIN = timedelta(hours=1)  # what answers taught holds for a day


class Passports:
    """By station. What a station has taught is kept in the store, with the firmware that taught it."""

    def __init__(self, connector: CsmsConnector, store: Store, clock: Clock) -> None:
        self._connector = connector
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[Passport, datetime]] = {}  # and when that was put together
        self._rows: dict[str, tuple[Station, ChargingStationDocument]] = {}

    def __getitem__(self, station_id: str) -> Passport:
        """The defaults, on the safe side, of a station that nothing is known of."""
        known = self._known.get(station_id)
        if known is None:
            return Passport()
        if self._clock.now() < known[1] + LOOKED_AT_AGAIN:
            return known[0]
        return self._know(*self._rows[station_id])

    def unwilling(self) -> dict[str, str]:
        """EVSEs that an operator says take no charging profiles, with the reason."""
        return {
            evse_key(document.id, evse.id): "its site's document says that it takes no charging profiles"
            for _, document in self._rows.values()
            if document.profile.smart_charging is False
            for evse in document.evses
        }

    def restore(self, site: Site, stations: list[Station]) -> None:
        """What the store knows of the site's stations, before any of them connects."""
        for station in stations:
            if (document := site.station(station.station_id)) is not None:
                self._know(station, document)

    async def read(self, site: Site, station_id: str) -> Passport:
        """Ask the station. Raises `StationOfflineError` and `OutcomeUnknownError`."""
        document = site.station(station_id)
        if document is None:
            raise NotFoundError("charging station", station_id)
        try:
            read: Passport | None = await self._connector.passport(station_id)
        except (ProfileRejectedError, CallFailedError) as error:
            log.warning("no passport", station=station_id, error=str(error))
            read = None
        station = await self._store.station(station_id)
        if read is not None and stored_passport(station.passport, None, station.firmware) != read:
            await keep_passport(self._store, station_id, read, self._clock.now())
            station = await self._store.station(station_id)
        return self._know(station, document)

    async def learn(self, station_id: str, lesson: Corrections) -> None:
        """It took a profile in this form, after it had declined better ones."""
        station = await self._store.station(station_id)
        before = found_out(station.passport, LEARNED, station.firmware)
        taught = lesson if before is None else before[0].joined(lesson)
        log.info("learned of a station", station=station_id, **lesson.as_json())
        await self._keep(station_id, LEARNED, taught, self._clock.now())

    async def keep_probe(self, station_id: str, found: Corrections, at: datetime, steps: list[Json]) -> None:
        """What a probe found out, and how."""
        await self._keep(station_id, PROBE, found, at, steps=steps)

    async def _keep(self, station_id: str, part: str, found: Corrections, at: datetime, **more: object) -> None:
        station = await self._store.station(station_id)
        entry = {"settings": found.as_json(), "at": iso_utc(at), "firmware": station.firmware, **more}
        await self._store.update_station(station_id, passport=station.passport | {part: entry})
        if station_id in self._rows:
            self._know(await self._store.station(station_id), self._rows[station_id][1])

    def _know(self, station: Station, document: ChargingStationDocument) -> Passport:
        now = self._clock.now()
        passport = known_passport(station, document, now).passport
        self._known[station.station_id], self._rows[station.station_id] = (passport, now), (station, document)
        return passport
