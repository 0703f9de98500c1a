"""The rules of OCPP 2.x for a charging profile, before it is sent: what a station must refuse is not worth a message.

Pure, on the plain JSON, so that they hold for an operator's profile as for the compiler's. The numbers are those of
use case K01 (2.0.1 part 2), FR.xx.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite
from typing import Any

from app.csms.connector import Passport
from app.csms.frames import Json
from app.csms.timestamps import read_timestamp
from app.csms.v2_profiles import purpose_word
from app.csms.v2_version import Version

STATION_MAX = "ChargingStationMaxProfile"
TX_DEFAULT = "TxDefaultProfile"
TX = "TxProfile"
EXTERNAL = "ChargingStationExternalConstraints"
LOCAL_GENERATION = "LocalGeneration"

_FOR_EVER = datetime.max.replace(tzinfo=UTC)
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_NOT_NEGATIVE = ("limit", "limit_L2", "limit_L3")
_NOT_POSITIVE = ("dischargeLimit", "dischargeLimit_L2", "dischargeLimit_L3")


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a profile breaks. `reason`: the code that a station would answer with, where it is about the
    station and not about the profile alone; None: no station may be sent this."""

    field: str
    text: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A profile and where it is: an EVSE, 0 for the whole station."""

    evse_id: int
    document: Json

    @property
    def profile_id(self) -> Any:
        return self.document.get("id")

    @property
    def valid(self) -> tuple[datetime, datetime]:
        """From when to when, half-open."""
        start, _ = read_timestamp(self.document.get("validFrom"))
        end, _ = read_timestamp(self.document.get("validTo"))
        return start or _BEGINNING, end or _FOR_EVER


def breaches(
    evse_id: int,
    profile: Json,
    version: Version,
    passport: Passport,
    held: Sequence[Placed] = (),
    *,
    starts: bool = False,
) -> Iterator[Breach]:
    """What is wrong with a profile for this EVSE of a station that holds `held`.

    `starts`: it goes with RequestStartTransaction, so it is a TxProfile and there is no transaction to name yet.
    `profile` is valid by the schema.
    """
    yield from _of_purpose(evse_id, profile, version, starts)
    yield from _of_kind(profile, version)
    schedules: list[Json] = profile["chargingSchedule"]
    for number, schedule in enumerate(schedules):
        yield from _of_schedule(f"chargingSchedule[{number}]", schedule, version, passport)
    yield from _of_station(profile, schedules, passport)
    yield from _conflicts(Placed(evse_id, profile), held)


def _of_purpose(evse_id: int, profile: Json, version: Version, starts: bool) -> Iterator[Breach]:
    purpose, field = profile["chargingProfilePurpose"], "chargingProfilePurpose"
    if purpose == EXTERNAL:
        yield Breach(field, f"{purpose} is set at the station's place, never by a CSMS (FR.22)")
    elif purpose not in {purpose_word(settable) for settable in version.settable}:
        yield Breach(field, f"{purpose} is none of {version.number}")
    if purpose in (STATION_MAX, LOCAL_GENERATION) and evse_id != 0:
        yield Breach("evseId", f"{purpose} is for the whole station, evseId 0, not {evse_id}")
    if starts:
        if purpose != TX:
            yield Breach(field, f"a transaction starts with a TxProfile, not a {purpose}")
        if "transactionId" in profile:
            yield Breach("transactionId", "there is no transaction yet that could be named")
        return
    if purpose == TX and evse_id < 1:
        yield Breach("evseId", f"a TxProfile is for one EVSE, not {evse_id} (FR.16)")
    if purpose == TX and "transactionId" not in profile:
        yield Breach("transactionId", "a TxProfile needs its transaction (FR.03)")
    if purpose != TX and "transactionId" in profile:
        yield Breach("transactionId", f"a {purpose} has no transaction")


def _of_kind(profile: Json, version: Version) -> Iterator[Breach]:
    kind, purpose = profile["chargingProfileKind"], profile["chargingProfilePurpose"]
    if kind not in version.kinds:
        yield Breach("chargingProfileKind", f"{kind} is none of {version.number}")
    if kind == "Relative" and purpose == STATION_MAX:
        yield Breach("chargingProfileKind", "a ChargingStationMaxProfile cannot be Relative (FR.38)")
    if (kind == "Recurring") != ("recurrencyKind" in profile):
        yield Breach("recurrencyKind", f"{profile.get('recurrencyKind')} does not fit a profile that is {kind}")
    for number, schedule in enumerate(profile["chargingSchedule"]):
        field, starts = f"chargingSchedule[{number}].startSchedule", "startSchedule" in schedule
        if kind in ("Absolute", "Recurring") and not starts:
            yield Breach(field, f"a profile that is {kind} needs it (FR.40)")
        if kind == "Relative" and starts:
            yield Breach(field, "a Relative profile starts with the charging, not at a time (FR.41)")
    start, end = Placed(0, profile).valid
    if end <= start:
        yield Breach("validTo", f"{profile.get('validTo')} is not after validFrom {profile.get('validFrom')}")


def _of_schedule(field: str, schedule: Json, version: Version, passport: Passport) -> Iterator[Breach]:
    periods: list[Json] = schedule["chargingSchedulePeriod"]
    starts = [period["startPeriod"] for period in periods]
    if starts[0] != 0:
        yield Breach(f"{field}.chargingSchedulePeriod[0].startPeriod", f"{starts[0]} is not 0 (FR.31)")
    for later, (one, following) in enumerate(pairwise(starts), start=1):
        if following <= one:
            text = f"{following} is not after {one} (FR.35)"
            yield Breach(f"{field}.chargingSchedulePeriod[{later}].startPeriod", text)
    for number, period in enumerate(periods):
        yield from _of_period(f"{field}.chargingSchedulePeriod[{number}]", period, version, passport)


def _of_period(field: str, period: Json, version: Version, passport: Passport) -> Iterator[Breach]:
    for key, value in period.items():
        if isinstance(value, float) and not isfinite(value):
            yield Breach(f"{field}.{key}", f"{value} is no number")
    for key in _NOT_NEGATIVE:
        if period.get(key, 0) < 0:
            yield Breach(f"{field}.{key}", f"{period[key]} is negative: a limit is of what is drawn")
    for key in _NOT_POSITIVE:
        if period.get(key, 0) > 0:
            yield Breach(f"{field}.{key}", f"{period[key]} is positive: what is given back is negative")
    yield from _of_setpoint(field, period)
    if not version.has_discharge and "limit" not in period:
        yield Breach(f"{field}.limit", "is missing")
    phase = period.get("phaseToUse")
    if phase is None:
        return
    if period.get("numberPhases") != 1:
        yield Breach(f"{field}.phaseToUse", f"{phase} without numberPhases 1 (FR.19)")
    elif passport.known and not passport.phases_switchable:
        yield Breach(f"{field}.phaseToUse", "the station does not switch phases (FR.20)", "InvalidSchedule")


def _of_setpoint(field: str, period: Json) -> Iterator[Breach]:
    """A set-point stays between what may be given back and what may be drawn, on each phase."""
    for phase in ("", "_L2", "_L3"):
        setpoint = period.get(f"setpoint{phase}")
        if setpoint is None:
            continue
        highest, lowest = period.get(f"limit{phase}"), period.get(f"dischargeLimit{phase}")
        if (highest is not None and setpoint > highest) or (lowest is not None and setpoint < lowest):
            yield Breach(f"{field}.setpoint{phase}", f"{setpoint} is outside its limits {lowest} to {highest}")


def _of_station(profile: Json, schedules: Sequence[Json], passport: Passport) -> Iterator[Breach]:
    """What this station cannot take. One whose passport nobody has read is asked, not presumed upon."""
    if len(schedules) > 1 and profile["chargingProfilePurpose"] != TX:
        yield Breach("chargingSchedule", f"{len(schedules)} schedules to choose from are for a TxProfile (FR.34)")
    if not passport.known:
        return
    if not passport.smart_charging:
        yield Breach("chargingProfile", "the station has no smart charging (FR.29)", "UnsupportedRequest")
    if profile["stackLevel"] > passport.max_stack_level:
        text = f"{profile['stackLevel']} is above {passport.max_stack_level}, the station's highest"
        yield Breach("stackLevel", text, "InvalidStackLevel")
    units = {unit.value for unit in passport.units}
    for number, schedule in enumerate(schedules):
        if schedule["chargingRateUnit"] not in units:
            text = f"{schedule['chargingRateUnit']} is none of {', '.join(sorted(units))} (FR.26)"
            yield Breach(f"chargingSchedule[{number}].chargingRateUnit", text, "UnsupportedRateUnit")
        count = len(schedule["chargingSchedulePeriod"])
        if count > passport.max_periods:
            text = f"{count} periods are more than the station's {passport.max_periods}"
            yield Breach(f"chargingSchedule[{number}].chargingSchedulePeriod", text, "InvalidSchedule")


def _conflicts(new: Placed, held: Sequence[Placed]) -> Iterator[Breach]:
    """The same id replaces (FR.05); another id in the same place at the same time is refused."""
    for other in held:
        if other.profile_id == new.profile_id or not _same_place(new, other):
            continue
        if new.document["chargingProfilePurpose"] == TX or _overlap(new.valid, other.valid):
            text = f"profile {other.profile_id} holds this stack level of EVSE {other.evse_id} already: reuse its id"
            yield Breach("id", text, "DuplicateProfile")


def _same_place(new: Placed, other: Placed) -> bool:
    """FR.06, FR.39 (TxProfile: of one transaction) and FR.52, FR.53 (TxDefault: EVSE 0 is every EVSE)."""
    one, two = new.document, other.document
    purpose = one["chargingProfilePurpose"]
    if purpose != two.get("chargingProfilePurpose") or one["stackLevel"] != two.get("stackLevel"):
        return False
    if purpose == TX:
        return "transactionId" in one and one["transactionId"] == two.get("transactionId")
    if purpose == TX_DEFAULT and 0 in (new.evse_id, other.evse_id):
        return True
    return new.evse_id == other.evse_id


def _overlap(one: tuple[datetime, datetime], two: tuple[datetime, datetime]) -> bool:
    return one[0] < two[1] and two[0] < one[1]
