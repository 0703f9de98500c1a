"""OCPP 2.x: what stations and vehicles say about limits, and what they are answered.

A vehicle's needs become a wish, for which there is a plan; the schedule that it chose is held against what it was
offered; limits that somebody else set are kept for the plan to respect.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.csms import v2_limits, v2_needs
from app.csms.connector import ChargingProfile
from app.csms.frames import Json
from app.csms.lenient import quote, read_count, read_text
from app.csms.profiles import profile_from_json
from app.csms.session import Answer, CallRefusedError, Session
from app.csms.v2_held import HeldProfiles
from app.csms.v2_profiles import installed_profiles
from app.csms.v2_rules import EXTERNAL
from app.csms.v2_transactions import Transactions
from app.csms.v2_version import Version
from app.csms.v16_profiles import UnreadableScheduleError
from app.csms.wire import FORMAT, OCCURRENCE
from app.db.records import ChargingLimit, Wish
from app.db.store import Store
from app.errors import NotFoundError
from app.events import ChargingLimitChanged, ChargingNeedsReceived, WishChanged
from app.site import Site

OWN_SOURCE = "CSO"  # 2.x: what the CSMS itself has set

log = structlog.get_logger(__name__)

# Sends the profile of an EVSE once more, after the answer.
Resend = Callable[[int, ChargingProfile], None]


class LimitMessages:
    """The handlers of one connection. `resend` is called where a vehicle wants more than it may."""

    def __init__(
        self,
        session: Session,
        store: Store,
        version: Version,
        transactions: Transactions,
        held: HeldProfiles,
        resend: Resend,
    ) -> None:
        self._session = session
        self._station_id = session.station_id
        self._store = store
        self._version = version
        self._transactions = transactions
        self._held = held
        self._resend = resend

    async def charging_needs(self, payload: Json, received_at: datetime) -> Answer:
        """NotifyEVChargingNeeds: Processing where a plan will follow; else there will be none, and it says so.

        Without a departure the site's usual stay stands in. Without an energy nobody knows what to plan for.
        """
        evse_id = self._evse(payload)
        site = await self._site()
        if site is None:
            return Answer(_declined(self._version.no_profile_status, "NoProfile", "the station is in no site"))
        needs, violations = v2_needs.read_needs(payload, site.connection.voltage_v)
        self._session.note_violations(violations, "NotifyEVChargingNeeds")
        if site.mode != "optimised" or needs.energy_kwh is None:
            why = "the vehicle names no energy" if needs.energy_kwh is None else f"the site is in {site.mode} mode"
            return Answer(_declined(self._version.no_profile_status, "NoProfile", why))
        transaction = await self._transactions.running_at(evse_id)
        stay = timedelta(hours=site.session_defaults.stay_h)
        is_ahead = needs.departure is not None and needs.departure > received_at
        number = None if transaction is None else transaction.transaction_id
        wish = Wish(
            wish_id=f"iso15118-{self._station_id}-{evse_id}-{number or 'next'}",  # new needs replace the last ones
            site_id=site.id,
            departure=needs.departure if needs.departure is not None and is_ahead else received_at + stay,
            required_energy_kwh=needs.energy_kwh,
            created_at=received_at,
            station_id=self._station_id,
            evse_id=evse_id,
            max_power_kw=needs.max_power_kw,
            vehicle_phases=needs.phases,
            transaction_id=number,
        )
        await self._store.save_wish(wish)
        log.info("ocpp.charging_needs", station=self._station_id, evse=evse_id, energy_kwh=wish.required_energy_kwh)
        needed = ChargingNeedsReceived(self._station_id, evse_id, number, received_at)
        return Answer({"status": "Processing"}, (WishChanged(site.id, received_at), needed))

    async def charging_schedule(self, payload: Json, received_at: datetime) -> Answer:
        """NotifyEVChargingSchedule: a vehicle's schedule above what it was offered is rejected, and the offer sent
        once more (TC_K_55). One that nothing was offered for is the vehicle's own affair."""
        evse_id = self._evse(payload)
        site = await self._site()
        offered = None if site is None else await self._offered(site, evse_id)
        if site is None or offered is None:
            return Answer({"status": "Accepted"})
        station = site.station(self._station_id)
        wired = next((len(evse.phases) for evse in station.evses if evse.id == evse_id), 1) if station else 1
        try:
            excess = v2_needs.excess(
                payload, offered, now=received_at, voltage_v=site.connection.voltage_v, phases=wired
            )
        except UnreadableScheduleError as error:
            self._session.note_violations([str(error)], "NotifyEVChargingSchedule")
            excess = str(error)
        if excess is None:
            return Answer({"status": "Accepted"})
        log.warning("ocpp.ev_schedule_rejected", station=self._station_id, evse=evse_id, reason=excess)
        self._resend(evse_id, offered)
        return Answer(_declined("Rejected", "InvalidSchedule", excess))

    async def limit(self, payload: Json, received_at: datetime) -> Answer:
        """NotifyChargingLimit. Raises `StoreUnavailableError`: a limit that is not kept is not acknowledged."""
        charging_limit = payload.get("chargingLimit")
        said = charging_limit if isinstance(charging_limit, dict) else {}
        source = read_text(said.get("chargingLimitSource"), 20)
        evse_id = read_count(payload.get("evseId")) or 0
        if source is None:
            self._session.note_violations(["a limit without its source; taken as Other"], "NotifyChargingLimit")
        listed = payload.get("chargingSchedule")
        schedules = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, dict)]
        limit = ChargingLimit(
            station_id=self._station_id,
            evse_id=evse_id,
            source=source or "Other",
            at=received_at,
            schedules=schedules,
            is_grid_critical=said.get("isGridCritical") is True,
            is_local_generation=said.get("isLocalGeneration") is True,
        )
        return Answer({}, (await self._kept(limit),))

    async def cleared_limit(self, payload: Json, received_at: datetime) -> Answer:
        """ClearedChargingLimit: of this source, at this EVSE or, where none is named, everywhere."""
        source, evse_id = read_text(payload.get("chargingLimitSource"), 20), read_count(payload.get("evseId"))
        if source is None:
            said = quote(payload.get("chargingLimitSource"))
            self._session.note_violations([f"chargingLimitSource {said} is no source"], "ClearedChargingLimit")
            return Answer({})
        await self._store.clear_charging_limits(self._station_id, evse_id=evse_id, source=source)
        return Answer({}, (ChargingLimitChanged(self._station_id, evse_id or 0, received_at),))

    async def reported_profiles(self, payload: Json, received_at: datetime) -> Answer:
        """ReportChargingProfiles: what the station holds; what others have set there is a limit like any other."""
        evse_id = read_count(payload.get("evseId")) or 0
        source = read_text(payload.get("chargingLimitSource"), 20) or "Other"
        external: list[Json] = []
        for installed in installed_profiles(payload, received_at):
            self._held.put(evse_id, installed.document)
            if installed.document.get("chargingProfilePurpose") == EXTERNAL and source != OWN_SOURCE:
                schedules = installed.document.get("chargingSchedule")
                external += [one for one in (schedules if isinstance(schedules, list) else []) if isinstance(one, dict)]
        if not external:
            return Answer({})
        limit = ChargingLimit(self._station_id, evse_id, source, received_at, external)
        return Answer({}, (await self._kept(limit),))

    async def _kept(self, limit: ChargingLimit) -> ChargingLimitChanged:
        """Stored, without the schedules that nobody could read."""
        readable = [one for one in limit.schedules if v2_limits.is_readable(one)]
        if len(readable) < len(limit.schedules):
            self._session.note_violations(["a limit's schedule that cannot be read"], "NotifyChargingLimit")
        try:
            await self._store.save_charging_limit(replace(limit, schedules=readable))
        except NotFoundError:
            log.warning("ocpp.limit_of_stranger", station=self._station_id)
        log.info("ocpp.charging_limit", station=self._station_id, evse=limit.evse_id, source=limit.source)
        return ChargingLimitChanged(limit.station_id, limit.evse_id, limit.at)

    async def _offered(self, site: Site, evse_id: int) -> ChargingProfile | None:
        """What the plan last put into force at an EVSE."""
        for delivery in await self._store.deliveries_in_force(site.id):
            if (delivery.station_id, delivery.evse_id) == (self._station_id, evse_id) and delivery.profile:
                return profile_from_json(delivery.profile)
        return None

    async def _site(self) -> Site | None:
        """None for a station that has left its site's document."""
        try:
            return await self._store.site((await self._store.station(self._station_id)).site_id)
        except NotFoundError:
            return None

    def _evse(self, payload: Json) -> int:
        evse_id = read_count(payload.get("evseId"))
        if not evse_id:
            said = payload.get("evseId")
            raise CallRefusedError(OCCURRENCE if said is None else FORMAT, f"evseId {quote(said)} is no EVSE")
        return evse_id


def _declined(status: str, reason: str, text: str) -> Json:
    return {"status": status, "statusInfo": {"reasonCode": reason, "additionalInfo": text[:500]}}
