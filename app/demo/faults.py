"""What may be wrong with a simulated station: one switch for each defect that stations in the field have shown."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.demo.profiles_held import HeldProfile


class Fault(StrEnum):
    """The name is what `--fault` takes; `meaning` says what the station does then."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> "Fault":
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    FORGETS_PROFILES = "forgets-profiles", "loses every profile whenever its connection comes back"
    KEEPS_PROFILES = "keeps-profiles", "a TxProfile outlives its transaction, and nothing can be cleared"
    REJECTS_PROFILES = "rejects-profiles", "declines every profile"
    REJECTS_TX_PROFILES = "rejects-tx-profiles", "declines every TxProfile, and takes defaults"
    REJECTS_AMPERES = "rejects-amperes", "declines limits in A, whatever it says it takes"
    REJECTS_WATTS = "rejects-watts", "declines limits in W, whatever it says it takes"
    REJECTS_ZERO = "rejects-zero", "declines a limit below 6 A"
    REJECTS_SIX_PERIODS = "rejects-six-periods", "declines more than five periods, whatever it says it takes"
    REJECTS_STACK_LEVELS = "rejects-stack-levels", "declines every stack level but 0, whatever it says it takes"
    IGNORES_PROFILES = "ignores-profiles", "says Accepted and holds nothing"
    IGNORES_WATTS = "ignores-watts", "says Accepted to limits in W and holds none of them"
    REPORTS_AND_IGNORES = "reports-and-ignores", "holds and reports what it was sent, and lets everything through"
    IGNORES_NEW_DEFAULTS = "ignores-new-defaults", "a TxDefaultProfile counts from the next transaction on"
    RESUMES_UNLIMITED = "resumes-unlimited", "after a pause lets everything through until it is told once more"
    NO_COMPOSITE = "no-composite", "declines to report its schedule"
    EMPTY_COMPOSITE = "empty-composite", "reports a schedule without a period"
    OTHER_UNIT = "other-unit", "reports its schedule in A when asked in W, and in W when asked in A"
    DROPS_IN_PROFILE = "drops-in-profile", "hangs up when it is sent a profile, and does not keep it"
    ANSWERS_LATE = "answers-late", "takes a profile, and answers when nobody waits any more"
    NEVER_ANSWERS = "never-answers", "neither takes a profile nor answers"
    CLOCK_SKEW = "clock-skew", "its clock is fast by two minutes, or what is set"
    CLOCK_1970 = "clock-1970", "its clock began with 1970 when it was switched on"
    DUPLICATES = "duplicates", "sends every transaction message twice"
    SHUFFLES = "shuffles", "sends what it could not send offline in any order"
    METER_STUCK = "meter-stuck", "its meter shows for ever what it showed when the fault began"
    METER_ZERO = "meter-zero", "its meter shows no current and no power"
    METER_KWH = "meter-kwh", "its register counts kWh and says Wh"
    METER_SILENT = "meter-silent", "sends no meter values"


@dataclass(slots=True)
class Faults:
    """What is wrong with one station. Switch it while it runs."""

    on: set[Fault] = field(default_factory=set)
    tamper: "Callable[[HeldProfile], HeldProfile] | None" = None  # holds something else than it was sent
    answer_delay_s: float = 0.0  # real seconds, of every answer
    skew_s: float = 120.0  # how fast its clock is
    late_s: float = 45.0  # real seconds: how late it is when it answers late

    def __contains__(self, fault: Fault) -> bool:
        return fault in self.on

    def switch_on(self, *faults: Fault) -> None:
        self.on.update(faults)

    def switch_off(self, *faults: Fault) -> None:
        self.on.difference_update(faults)


def faults_named(names: Iterable[str]) -> list[Fault]:
    """Raises `ValueError` with the name that is none, and those that are."""
    known = {fault.value: fault for fault in Fault}
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is no fault; there are {', '.join(known)}")
    return [known[name] for name in names]
