"""Commands to a station in the dialect that it speaks, however it is reached: what every connector of ours has."""

from abc import ABC, abstractmethod

from app.csms.connector import ChargingProfile, CompositeSchedule, Passport, Purpose, RateUnit
from app.csms.session import Dialect


class ByDialect(ABC):
    """The commands of `CsmsConnector`, each handed to the station's dialect."""

    @abstractmethod
    def _dialect(self, station_id: str) -> Dialect:
        """Raises `StationOfflineError`."""

    async def set_charging_profile(self, station_id: str, evse_id: int, profile: ChargingProfile) -> None:
        """Deliver `profile`; raises `ProfileRejectedError` when the station declines.

        After an `OutcomeUnknownError` the caller reserves the larger limit and reads back. Raises
        `InvalidInputError` for a profile that 1.6 cannot express.
        """
        await self._dialect(station_id).set_charging_profile(evse_id, profile)

    async def clear_charging_profile(
        self,
        station_id: str,
        *,
        profile_id: int | None = None,
        evse_id: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> bool:
        return await self._dialect(station_id).clear_charging_profile(profile_id, evse_id, purpose, stack_level)

    async def composite_schedule(
        self, station_id: str, evse_id: int, duration_s: int, unit: RateUnit | None = None
    ) -> CompositeSchedule:
        return await self._dialect(station_id).composite_schedule(evse_id, duration_s, unit)

    async def passport(self, station_id: str) -> Passport:
        return await self._dialect(station_id).passport()

    async def get_configuration(self, station_id: str, keys: tuple[str, ...] = ()) -> dict[str, str | None]:
        return await self._dialect(station_id).get_configuration(keys)

    async def change_configuration(self, station_id: str, key: str, value: str) -> str:
        return await self._dialect(station_id).change_configuration(key, value)

    async def remote_start(
        self, station_id: str, evse_id: int, id_tag: str, profile: ChargingProfile | None = None
    ) -> str:
        return await self._dialect(station_id).remote_start(evse_id, id_tag, profile)

    async def remote_stop(self, station_id: str, transaction_id: int) -> str:
        return await self._dialect(station_id).remote_stop(transaction_id)

    async def change_availability(self, station_id: str, evse_id: int, *, is_operative: bool) -> str:
        return await self._dialect(station_id).change_availability(evse_id, is_operative=is_operative)

    async def trigger(self, station_id: str, message: str, evse_id: int | None = None) -> str:
        return await self._dialect(station_id).trigger(message, evse_id)
