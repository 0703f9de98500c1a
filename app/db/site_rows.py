"""Sites, their charging stations and the last word of each EVSE."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, bindparam, false, or_, select, true, type_coerce, update

from app.clock import CLOCKS_DIFFER, Clock
from app.db import tables
from app.db.records import EvseStatus, Json, Station
from app.db.rows import Rows, columns_of, record_of, values_of
from app.db.tariff_rows import note_tariff
from app.db.together import Together
from app.errors import ConflictError, InvalidInputError, NotFoundError
from app.site import Site

STATIONS = tables.charging_stations
DOCUMENT = type_coerce(tables.sites.c.document, Text)  # as it is stored: parsed only when it has changed
CHANGEABLE = frozenset(
    {"vendor", "model", "serial", "firmware", "ocpp_version", "connected", "last_seen_at", "booted_at", "passport"}
)


class SiteRows(Rows):
    _clock: Clock
    _station_updates: Together[tuple[str, Json], None]
    _station_reads: Together[str, Station]
    _password_lookups: Together[str, str | None]
    _parsed_sites: dict[
        str, tuple[str | Json, Site]
    ]  # by id: to parse and validate a large document takes milliseconds

    async def save_site(self, site: Site, *, replace: bool = True) -> None:
        """Insert or replace a site and its stations, whole or not at all.

        Raises `ConflictError` when a station belongs to another site, or the site exists and `replace` is False.
        Stations that left the document keep their history but belong to no site's document any more: their rows are
        not found until a document names them again.
        """
        row = {"site_id": site.id, "document": site.model_dump(mode="json")}
        insert = self._database.insert(tables.sites).values(row)
        if replace:
            insert = insert.on_conflict_do_update(index_elements=["site_id"], set_={"document": row["document"]})
        else:
            insert = insert.on_conflict_do_nothing()
        async with self._database.write() as connection:
            if (await connection.execute(insert.returning(tables.sites.c.site_id))).first() is None:
                raise ConflictError(f"site {site.id!r} exists")
            await note_tariff(connection, self._database, site, self._clock.now())
            await connection.execute(_leave_document(site.id))
            await connection.execute(_evses_leave_document(site.id))
            if not site.charging_stations:
                return
            stations = self._database.insert(STATIONS).values(
                [
                    {
                        "station_id": station.id,
                        "site_id": site.id,
                        "in_document": True,
                        "connected": False,
                        "passport": {},
                    }
                    for station in site.charging_stations
                ]
            )
            stations = stations.on_conflict_do_update(
                index_elements=["station_id"],
                set_={"site_id": stations.excluded.site_id, "in_document": True},
                where=~STATIONS.c.in_document,
            )
            taken = set((await connection.execute(stations.returning(STATIONS.c.station_id))).scalars())
            elsewhere = sorted({station.id for station in site.charging_stations} - taken)
            if elsewhere:
                raise ConflictError(f"charging stations {', '.join(elsewhere)} belong to another site")
            evses = self._database.insert(tables.evses).values(
                [
                    {"station_id": station.id, "evse_id": evse.id, "in_document": True}
                    for station in site.charging_stations
                    for evse in station.evses
                ]
            )
            await connection.execute(
                evses.on_conflict_do_update(index_elements=["station_id", "evse_id"], set_={"in_document": True})
            )

    async def site(self, site_id: str) -> Site:
        """Raises `NotFoundError`."""
        async with self._database.read() as connection:
            found = select(DOCUMENT).where(tables.sites.c.site_id == site_id)
            document = (await connection.execute(found)).scalar_one_or_none()
        if document is None:
            raise NotFoundError("site", site_id)
        return self._parsed(site_id, document)

    async def sites(self) -> list[Site]:
        """By id."""
        async with self._database.read() as connection:
            every = select(tables.sites.c.site_id, DOCUMENT).order_by(tables.sites.c.site_id)
            documents = (await connection.execute(every)).all()
        return [self._parsed(site_id, document) for site_id, document in documents]

    def _parsed(self, site_id: str, document: str | Json) -> Site:
        """The same object as long as the document is the same. asyncpg hands it over parsed."""
        known = self._parsed_sites.get(site_id)
        if known is None or known[0] != document:
            known = (document, Site.model_validate(json.loads(document) if isinstance(document, str) else document))
            self._parsed_sites[site_id] = known
        return known[1]

    async def delete_site(self, site_id: str) -> None:
        """Remove a site that has no running transaction, else `ConflictError`; its history stays."""
        running = select(tables.transactions.c.transaction_id).where(
            tables.transactions.c.site_id == site_id, tables.transactions.c.stopped_at.is_(None)
        )
        async with self._database.write() as connection:
            found = await connection.execute(select(tables.sites.c.site_id).where(tables.sites.c.site_id == site_id))
            if found.first() is None:
                raise NotFoundError("site", site_id)
            busy = (await connection.execute(running.limit(1))).scalar_one_or_none()
            if busy is not None:
                raise ConflictError(f"site {site_id!r} has a running transaction, {busy}")
            await connection.execute(_evses_leave_document(site_id))
            await connection.execute(_leave_document(site_id))
            await connection.execute(tables.sites.delete().where(tables.sites.c.site_id == site_id))
        self._parsed_sites.pop(site_id, None)

    async def station(self, station_id: str) -> Station:
        """Raises `NotFoundError` for one that no site's document names."""
        return await self._station_reads(station_id)

    async def _read_stations(self, station_ids: Sequence[str]) -> list[Station | Exception]:
        async with self._database.read() as connection:
            rows = (await connection.execute(_stations(STATIONS.c.station_id.in_(list(station_ids))))).all()
        found = {station.station_id: station for station in (record_of(Station, row) for row in rows)}
        return [found.get(one) or NotFoundError("charging station", one) for one in station_ids]

    async def stations(self, site_id: str | None = None) -> list[Station]:
        """By id."""
        wanted = true() if site_id is None else STATIONS.c.site_id == site_id
        async with self._database.read() as connection:
            rows = (await connection.execute(_stations(wanted).order_by(STATIONS.c.station_id))).all()
        return [record_of(Station, row) for row in rows]

    async def update_station(self, station_id: str, **columns: Any) -> None:
        """Set columns of `records.Station` (vendor, model, connected, last_seen_at, passport, ...)."""
        unknown = columns.keys() - CHANGEABLE
        if unknown:
            raise InvalidInputError(min(unknown), "is no column of a charging station that can be set")
        await self._station_updates((station_id, columns))

    async def _update_stations(self, updates: Sequence[tuple[str, Json]]) -> list[Exception | None]:
        merged: dict[str, Json] = {}
        for station_id, columns in updates:
            merged.setdefault(station_id, {}).update(columns)
        by_columns: dict[tuple[str, ...], list[Json]] = {}
        async with self._database.write(durable=False) as connection:
            known = set((await connection.execute(_known(merged))).scalars())
            for station_id in merged.keys() & known:
                columns = merged[station_id]
                row = {"updated_id": station_id} | {f"new_{name}": value for name, value in columns.items()}
                by_columns.setdefault(tuple(sorted(columns)), []).append(row)
            for names, rows in by_columns.items():
                if names:
                    new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
                    statement = update(STATIONS).where(STATIONS.c.station_id == bindparam("updated_id")).values(new)
                    await connection.execute(statement, rows)
        return [
            None if station_id in known else NotFoundError("charging station", station_id) for station_id, _ in updates
        ]

    async def note_last_seen(self, seen_at: Mapping[str, datetime]) -> None:
        """Set `last_seen_at` of many stations in one transaction; unknown ones are passed over."""
        if not seen_at:
            return
        statement = (
            update(STATIONS)
            .where(STATIONS.c.station_id == bindparam("station"), STATIONS.c.in_document)
            .values(last_seen_at=bindparam("at"))
        )
        rows = [{"station": station_id, "at": at} for station_id, at in seen_at.items()]
        async with self._database.write(durable=False) as connection:
            await connection.execute(statement, rows)

    async def mark_all_disconnected(self) -> None:
        """At the start of the service: nobody is connected yet."""
        async with self._database.write() as connection:
            await connection.execute(update(STATIONS).where(STATIONS.c.connected).values(connected=False))

    async def password_hash(self, station_id: str) -> str | None:
        """None when no password was set. Raises `NotFoundError` for an unknown station."""
        return await self._password_lookups(station_id)

    async def _password_hashes(self, station_ids: Sequence[str]) -> list[str | Exception | None]:
        found = _known(station_ids).add_columns(STATIONS.c.password_hash)
        async with self._database.read() as connection:
            hashes = {row.station_id: row.password_hash for row in await connection.execute(found)}
        return [
            hashes[station_id] if station_id in hashes else NotFoundError("charging station", station_id)
            for station_id in station_ids
        ]

    async def set_password_hash(self, station_id: str, password_hash: str) -> None:
        statement = update(STATIONS).where(STATIONS.c.station_id == station_id, STATIONS.c.in_document)
        async with self._database.write() as connection:
            changed = await connection.execute(statement.values(password_hash=password_hash))
            if changed.rowcount == 0:
                raise NotFoundError("charging station", station_id)

    async def set_evse_status(self, status: EvseStatus) -> None:
        """Keep the newest by `at`; an older one changes nothing. Of two at one instant the later call wins.

        A kept one that lies ahead of the clock is of a time before the clock was put back, and gives way.
        """
        insert, kept_at = (
            self._database.insert(tables.evse_statuses).values(values_of(status)),
            tables.evse_statuses.c.at,
        )
        is_ahead = kept_at > self._clock.now() + CLOCKS_DIFFER
        insert = insert.on_conflict_do_update(
            index_elements=["station_id", "evse_id"],
            set_={name: insert.excluded[name] for name in ("status", "error_code", "at")},
            where=or_(kept_at <= insert.excluded.at, is_ahead),
        )
        known = select(STATIONS.c.station_id).where(STATIONS.c.station_id == status.station_id, STATIONS.c.in_document)
        async with self._database.write(durable=False) as connection:
            if (await connection.execute(known)).first() is None:
                raise NotFoundError("charging station", status.station_id)
            await connection.execute(insert)

    async def evse_statuses(self, site_id: str | None = None) -> list[EvseStatus]:
        """By station and EVSE."""
        statuses = tables.evse_statuses
        known = select(*columns_of(statuses, EvseStatus)).join(STATIONS).where(STATIONS.c.in_document)
        if site_id is not None:
            known = known.where(STATIONS.c.site_id == site_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(known.order_by(statuses.c.station_id, statuses.c.evse_id))).all()
        return [record_of(EvseStatus, row) for row in rows]


def _known(station_ids: Iterable[str]) -> Select[Any]:
    return select(STATIONS.c.station_id).where(STATIONS.c.station_id.in_(list(station_ids)), STATIONS.c.in_document)


def _stations(wanted: ColumnElement[bool]) -> Select[Any]:
    columns = [
        STATIONS.c.password_hash.is_not(None).label("has_password") if name == "has_password" else STATIONS.c[name]
        for name in Station.__dataclass_fields__
    ]
    return select(*columns).where(STATIONS.c.in_document, wanted)


def _leave_document(site_id: str) -> Any:
    return update(STATIONS).where(STATIONS.c.site_id == site_id).values(in_document=false())


def _evses_leave_document(site_id: str) -> Any:
    of_site = select(STATIONS.c.station_id).where(STATIONS.c.site_id == site_id)
    return update(tables.evses).where(tables.evses.c.station_id.in_(of_site)).values(in_document=false())
