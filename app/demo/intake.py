"""What becomes of a SetChargingProfile at a simulated station: by the rules, and by its faults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.demo.car import MIN_CURRENT_A
from app.demo.faults import Fault, Faults
from app.demo.gate import Gate
from app.demo.link import Json, Reply
from app.demo.profiles_held import TX, TX_DEFAULT, HeldProfile, ProfilesHeld
from app.demo.transaction import Running

FEW_PERIODS = 5
SLACK_A = 0.05  # 6 A in W, floored to a tenth, is a little less
NOMINAL_V, PHASES = 230.0, 3


@dataclass(frozen=True, slots=True)
class Taken:
    """`reason` None: accepted, by the station's own word."""

    reason: str | None
    delay_s: float = 0.0  # real seconds
    is_answered: bool = True

    def reply(self, payload: Json) -> Reply:
        return Reply(payload if self.is_answered else None, delay_s=self.delay_s)


class Intake:
    """Of one station. `received` and `accepted` count."""

    def __init__(
        self,
        profiles: ProfilesHeld,
        gate: Gate,
        faults: Faults,
        running: Mapping[int, Running],
        *,
        hang_up: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.received = 0
        self.accepted = 0
        self._profiles = profiles
        self._gate = gate
        self._faults = faults
        self._running = running
        self._hang_up = hang_up
        self._tell = tell
        self._new_defaults: list[HeldProfile] = []  # by fault: for the next transaction

    def take(self, profile: HeldProfile) -> Taken:
        """The outlets have charged up to now."""
        self.received += 1
        if Fault.DROPS_IN_PROFILE in self._faults:
            self._hang_up()
            return Taken(None, is_answered=False)
        if Fault.NEVER_ANSWERS in self._faults:
            return Taken(None, is_answered=False)
        reason = self._dislikes(profile)
        if reason is None:
            reason = self._hold(profile)
        self.accepted += reason is None
        self._tell(f"{'takes' if reason is None else f'declines ({reason})'} {profile.describe()}")
        return Taken(reason, delay_s=self._faults.late_s if Fault.ANSWERS_LATE in self._faults else 0.0)

    def transaction_begins(self) -> None:
        for default in self._new_defaults:
            self._profiles.install(default, None)
        self._new_defaults.clear()

    def _hold(self, profile: HeldProfile) -> str | None:
        running = self._running.get(profile.connector_id)
        transaction_id = running.transaction_id if running else None
        reason = self._profiles.reason_to_decline(profile, transaction_id)
        if reason is not None or Fault.IGNORES_PROFILES in self._faults:
            return reason
        if Fault.IGNORES_WATTS in self._faults and any(limit.unit == "W" for _, limit in profile.periods):
            return None
        if Fault.IGNORES_NEW_DEFAULTS in self._faults and profile.purpose == TX_DEFAULT and self._running:
            self._new_defaults.append(profile)
            return None
        if self._faults.tamper is not None:
            profile = self._faults.tamper(profile)
        self._profiles.install(profile, transaction_id)
        self._gate.told_anew(profile.connector_id)
        return None

    def _dislikes(self, profile: HeldProfile) -> str | None:
        """The fault by which it declines."""
        limits = [limit for _, limit in profile.periods]
        least_a = min((limit.current_a(NOMINAL_V, PHASES) for limit in limits), default=MIN_CURRENT_A)
        faults = {
            Fault.REJECTS_PROFILES: True,
            Fault.REJECTS_TX_PROFILES: profile.purpose == TX,
            Fault.REJECTS_AMPERES: any(limit.unit == "A" for limit in limits),
            Fault.REJECTS_WATTS: any(limit.unit == "W" for limit in limits),
            Fault.REJECTS_ZERO: least_a < MIN_CURRENT_A - SLACK_A,
            Fault.REJECTS_SIX_PERIODS: len(limits) > FEW_PERIODS,
            Fault.REJECTS_STACK_LEVELS: profile.stack_level > 0,
        }
        return next((fault for fault, dislikes in faults.items() if dislikes and fault in self._faults), None)
