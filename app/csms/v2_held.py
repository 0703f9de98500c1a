"""The charging profiles that a station is known to hold: what it accepted from us, and what it reported.

For one connection; a station may forget what it held, so nothing is taken over from the last one. Pure.
"""

from collections.abc import Iterable

from app.csms.frames import Json
from app.csms.v2_rules import EXTERNAL, TX, Placed

MAX_HELD = 1_000  # profiles of one station; the report of a station that holds more is not remembered further


class HeldProfiles:
    def __init__(self) -> None:
        self._by_id: dict[int, Placed] = {}
        self._updates: dict[int, Json] = {}  # of Dynamic profiles: what UpdateDynamicSchedule last said

    def all(self) -> tuple[Placed, ...]:
        return tuple(self._by_id.values())

    def put(self, evse_id: int, document: Json) -> None:
        """It was accepted or reported; one with the same id is replaced. What was set elsewhere has ids of its own."""
        profile_id = document.get("id")
        if not isinstance(profile_id, int) or document.get("chargingProfilePurpose") == EXTERNAL:
            return
        if profile_id in self._by_id or len(self._by_id) < MAX_HELD:
            self._by_id[profile_id] = Placed(evse_id, document)
            self._updates.pop(profile_id, None)

    def remove(
        self, *, profile_id: int | None = None, evse_id: int | None = None, purpose: str | None, stack_level: int | None
    ) -> None:
        """What ClearChargingProfile means: an id alone, or everything that fits the rest."""
        if profile_id is not None:
            self._forget([profile_id])
            return
        self._forget(
            [
                held_id
                for held_id, held in self._by_id.items()
                if evse_id in (None, held.evse_id)
                and purpose in (None, held.document.get("chargingProfilePurpose"))
                and stack_level in (None, held.document.get("stackLevel"))
            ]
        )

    def end_transaction(self, transaction: str) -> None:
        """A station forgets the TxProfiles of a transaction that is over."""
        self._forget(
            [
                held_id
                for held_id, held in self._by_id.items()
                if held.document.get("chargingProfilePurpose") == TX
                and held.document.get("transactionId") == transaction
            ]
        )

    def update(self, profile_id: int, update: Json) -> None:
        """A Dynamic profile has been given new values."""
        if profile_id in self._by_id or len(self._updates) < MAX_HELD:
            self._updates[profile_id] = self._updates.get(profile_id, {}) | update

    def current_values(self, profile_id: int) -> Json | None:
        """What a Dynamic profile says now: its last update, else the values of its period. None: it is not known."""
        held = self._by_id.get(profile_id)
        if held is None or held.document.get("chargingProfileKind") != "Dynamic":
            return self._updates.get(profile_id)
        first: Json = held.document["chargingSchedule"][0]["chargingSchedulePeriod"][0]
        return {key: value for key, value in first.items() if key in UPDATABLE} | self._updates.get(profile_id, {})

    def _forget(self, profile_ids: Iterable[int]) -> None:
        for profile_id in profile_ids:
            self._by_id.pop(profile_id, None)
            self._updates.pop(profile_id, None)


# The keys of 2.1's ChargingScheduleUpdateType.
UPDATABLE = frozenset(
    f"{name}{phase}"
    for name in ("limit", "dischargeLimit", "setpoint", "setpointReactive")
    for phase in ("", "_L2", "_L3")
)
