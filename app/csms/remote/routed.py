"""Stations of one site may be reached through several CSMSs; whoever asks them need not know which."""

from collections.abc import Mapping

from app.csms.connector import ChargingProfile, CompositeSchedule, CsmsConnector, Passport, Purpose, RateUnit


class Routed:
    """A `CsmsConnector` that asks each station through its own; those that nobody names, through `default`."""

    def __init__(self, default: CsmsConnector, by_station: Mapping[str, CsmsConnector]) -> None:
        self._default = default
        self._by_station = by_station

    def connected(self) -> frozenset[str]:
        """A station that has come to our gateway although another CSMS is named for it cannot be asked there."""
        here = self._default.connected() - self._by_station.keys()
        others = set(self._by_station.values())
        return here.union(*(connector.connected() for connector in others))

    async def set_charging_profile(self, station_id: str, evse_id: int, profile: ChargingProfile) -> None:
        await self._of(station_id).set_charging_profile(station_id, evse_id, profile)

    async def clear_charging_profile(
        self,
        station_id: str,
        *,
        profile_id: int | None = None,
        evse_id: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> bool:
        return await self._of(station_id).clear_charging_profile(
            station_id, profile_id=profile_id, evse_id=evse_id, purpose=purpose, stack_level=stack_level
        )

    async def composite_schedule(
        self, station_id: str, evse_id: int, duration_s: int, unit: RateUnit | None = None
    ) -> CompositeSchedule:
        return await self._of(station_id).composite_schedule(station_id, evse_id, duration_s, unit)

    async def passport(self, station_id: str) -> Passport:
        return await self._of(station_id).passport(station_id)

    async def get_configuration(self, station_id: str, keys: tuple[str, ...] = ()) -> dict[str, str | None]:
        return await self._of(station_id).get_configuration(station_id, keys)

    async def change_configuration(self, station_id: str, key: str, value: str) -> str:
        return await self._of(station_id).change_configuration(station_id, key, value)

    async def remote_start(
        self, station_id: str, evse_id: int, id_tag: str, profile: ChargingProfile | None = None
    ) -> str:
        return await self._of(station_id).remote_start(station_id, evse_id, id_tag, profile)

    async def remote_stop(self, station_id: str, transaction_id: int) -> str:
        return await self._of(station_id).remote_stop(station_id, transaction_id)

    async def change_availability(self, station_id: str, evse_id: int, *, is_operative: bool) -> str:
        return await self._of(station_id).change_availability(station_id, evse_id, is_operative=is_operative)

    async def trigger(self, station_id: str, message: str, evse_id: int | None = None) -> str:
        return await self._of(station_id).trigger(station_id, message, evse_id)

    def _of(self, station_id: str) -> CsmsConnector:
        return self._by_station.get(station_id, self._default)
