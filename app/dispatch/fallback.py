"""The limit that a charging station keeps when nobody speaks to it: installed, read back, remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.csms.connector import ChargingProfile, CsmsConnector, Passport, Purpose, RateUnit
from app.csms.profiles import FALLBACK_PROFILE_ID, fallback_profile
from app.csms.readback import Verdict, read_back
from app.dispatch.in_force import Book, Wiring, wiring_of
from app.errors import CallFailedError, OutcomeUnknownError, ProfileRejectedError
from app.site import Site, evse_key

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Outlet:
    """One EVSE of the station that is being prepared."""

    evse_id: int
    key: str
    wiring: Wiring
    current_a: float


class FallbackInstaller:
    """Puts its fallback on a station: TxDefault at stack level 0, without an end.

    One profile for the whole station where all its EVSEs may draw the same, else one for each.
    """

    def __init__(self, connector: CsmsConnector, book: Book) -> None:
        self._connector = connector
        self._book = book

    async def install(
        self, site: Site, station_id: str, passport: Passport, currents_a: Mapping[str, float], now: datetime
    ) -> dict[int, float]:
        """Install `currents_a` (A per phase by EVSE key); what each EVSE of the station has confirmed.

        An EVSE that did not confirm is left out, and counts as unlimited. Raises `StationOfflineError`.
        """
        document = site.station(station_id)
        outlets = [
            _Outlet(evse.id, key, wiring, currents_a[key])
            for evse in (document.evses if document else ())
            if (key := evse_key(station_id, evse.id)) in currents_a
            if (wiring := wiring_of(site, station_id, evse.id))
        ]
        for outlet in outlets:
            self._book.doubt_fallback(outlet.key)
        confirmed = await self._install_once(station_id, passport, outlets, now)
        if len(confirmed) < len(outlets):
            # Something of an earlier master may lie above ours: away with every plan, the station's maximum stays.
            await self.clear(station_id)
            confirmed |= await self._install_once(station_id, passport, outlets, now)
        for outlet in outlets:
            if outlet.evse_id in confirmed:
                self._book.confirm_fallback(outlet.key, confirmed[outlet.evse_id])
            else:
                log.warning("no fallback", station=station_id, evse=outlet.evse_id)
        return confirmed

    async def _install_once(
        self, station_id: str, passport: Passport, outlets: Sequence[_Outlet], now: datetime
    ) -> dict[int, float]:
        held: dict[int, ChargingProfile | None] = {}
        if len({outlet.current_a for outlet in outlets}) == 1:
            profile = await self._set(station_id, 0, passport, outlets)
            held = {outlet.evse_id: profile for outlet in outlets} if profile is not None else {}
        if not held:  # EVSEs differ, or the station takes no profile for the whole of it
            for outlet in outlets:
                held[outlet.evse_id] = await self._set(station_id, outlet.evse_id, passport, [outlet])
        confirmed = {}
        for outlet in outlets:
            taken = held[outlet.evse_id]
            if taken is not None and await self._is_held(station_id, passport, outlet, taken, now):
                confirmed[outlet.evse_id] = outlet.current_a
        return confirmed

    async def _set(
        self, station_id: str, evse_id: int, passport: Passport, outlets: Sequence[_Outlet]
    ) -> ChargingProfile | None:
        """The profile that the station accepted; None when it accepted none, or did not answer."""
        current_a = outlets[0].current_a
        wiring = min((outlet.wiring for outlet in outlets), key=lambda wiring: wiring.phases)
        profile_id = FALLBACK_PROFILE_ID + evse_id  # the same number again would take the place of another EVSE's
        first = fallback_profile(current_a, passport, electrics=wiring.electrics(None))
        units = (first.unit, RateUnit.A if first.unit is RateUnit.W else RateUnit.W)
        for unit in units:
            profile = fallback_profile(
                current_a, passport, electrics=wiring.electrics(None), profile_id=profile_id, unit=unit
            )
            try:
                await self._connector.set_charging_profile(station_id, evse_id, profile)
            except (ProfileRejectedError, CallFailedError) as error:
                log.info("fallback declined", station=station_id, evse=evse_id, unit=unit, error=str(error))
            except OutcomeUnknownError:
                return None
            else:
                return profile
        return None

    async def _is_held(
        self, station_id: str, passport: Passport, outlet: _Outlet, profile: ChargingProfile, now: datetime
    ) -> bool:
        """A station that will not say is believed; one that says otherwise is not, unless it names its plan."""
        if not passport.honest_readback:
            return True
        verdict = await self._ask(station_id, outlet, profile, now)
        if verdict.state != "contradicted":
            return True
        for plan in self._book.holding(outlet.key).candidates:
            if plan is not None and (await self._ask(station_id, outlet, plan, now)).state == "applied":
                return True  # a TxProfile is executed in place of the fallback, which cannot be seen below it
        log.warning("fallback contradicted", station=station_id, evse=outlet.evse_id, detail=verdict.detail)
        return False

    async def _ask(self, station_id: str, outlet: _Outlet, profile: ChargingProfile, now: datetime) -> Verdict:
        return await read_back(
            self._connector,
            station_id,
            outlet.evse_id,
            profile,
            now=now,
            voltage_v=outlet.wiring.voltage_v,
            phases=outlet.wiring.phases,
        )

    async def clear(self, station_id: str, purposes: Sequence[Purpose] = (Purpose.TX_DEFAULT, Purpose.TX)) -> bool:
        """Away with every profile of these purposes; whether the station answered that none is left."""
        is_clear = True
        for purpose in purposes:
            try:
                await self._connector.clear_charging_profile(station_id, purpose=purpose)
            except (ProfileRejectedError, CallFailedError, OutcomeUnknownError) as error:
                log.info("profiles not cleared", station=station_id, purpose=purpose, error=str(error))
                is_clear = False
        return is_clear
