"""What a version of OCPP, or a station by its passport, forbids in a charging profile: found before it is sent.

Pure. 1.6: 3.13, 5.16 and 7.8 with errata v4. 2.x: the functional requirements of K01, named as FR.nn. A profile that
breaks one is rejected at best; at worst it is accepted and ignored.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import isfinite

from app.csms.connector import PURPOSES_OF_1_6, ChargingProfile, Kind, Passport, Purpose

NOISE = 1e-6
MOST_PERIODS = 1024  # in one schedule of 2.x, by its schema


def breaches(profile: ChargingProfile, evse_id: int, passport: Passport) -> tuple[str, ...]:
    """Every rule that `profile` breaks at this EVSE (0: the whole station), in words; empty when it may be sent."""
    return (*_of_periods(profile, passport), *_of_kind(profile, passport), *_of_place(profile, evse_id, passport))


def _of_periods(profile: ChargingProfile, passport: Passport) -> Iterator[str]:
    starts = [period.start_s for period in profile.periods]
    if not starts or starts[0] != 0:
        yield "the first period does not start at 0 (FR.31)"
    if any(later <= earlier for earlier, later in pairwise(starts)):
        yield "periods do not start one after the other (FR.35)"
    if len(starts) > min(passport.max_periods, MOST_PERIODS):
        yield f"{len(starts)} periods are more than the station's {passport.max_periods}"
    if profile.unit not in passport.units:
        yield f"the station takes no limits in {profile.unit} (FR.26)"
    if profile.duration_s is not None and profile.duration_s <= 0:
        yield f"a duration of {profile.duration_s} s is none"
    for period in profile.periods:
        if not isfinite(period.limit) or period.limit < 0:
            yield f"{period.limit} is no limit"
        elif abs(period.limit * 10 - round(period.limit * 10)) > NOISE:
            yield f"{period.limit} has more than one decimal"
        if period.number_phases not in (None, 1, 2, 3):
            yield f"{period.number_phases} phases do not exist"


def _of_kind(profile: ChargingProfile, passport: Passport) -> Iterator[str]:
    if (profile.kind is Kind.RECURRING) != (profile.recurrency is not None):
        yield "a recurrency belongs to Recurring profiles, and they need one"
    if profile.kind is Kind.RELATIVE and profile.purpose is Purpose.STATION_MAX:
        yield "a station's maximum is not Relative (FR.38)"
    if profile.kind not in passport.kinds:
        yield f"the station executes no {profile.kind} profiles"
    begins, ends = profile.valid_from, profile.valid_to
    if begins is not None and ends is not None and ends <= begins:
        yield "it ends before it begins to be valid"


def _of_place(profile: ChargingProfile, evse_id: int, passport: Passport) -> Iterator[str]:
    purpose = profile.purpose
    if passport.version == "1.6" and purpose not in PURPOSES_OF_1_6:
        yield f"1.6 knows no {purpose}"
    if purpose is Purpose.EXTERNAL:
        yield "external constraints are not set by a CSMS (FR.22)"
    elif purpose not in passport.purposes:
        yield f"the station takes no {purpose}"
    if purpose is Purpose.STATION_MAX and evse_id != 0:
        yield f"a station's maximum is not for EVSE {evse_id}"
    if purpose is Purpose.TX and evse_id == 0:
        yield "a TxProfile is for one EVSE (FR.16)"
    if purpose is Purpose.TX and profile.transaction_id is None:
        yield "a TxProfile needs its transaction (FR.03)"
    if purpose is not Purpose.TX and profile.transaction_id is not None:
        yield f"a {purpose} has no transaction"
    if not 0 <= profile.stack_level <= passport.max_stack_level:
        yield f"stack level {profile.stack_level} is not within 0 and {passport.max_stack_level}"
