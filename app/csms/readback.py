"""Ask a station what it will do, and judge the answer against what it was sent."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Literal

from app.csms.composite import disagreement, end_of, report_steps
from app.csms.connector import ChargingProfile, CompositeSchedule, CsmsConnector
from app.errors import CallFailedError, OutcomeUnknownError, ProfileRejectedError, StationOfflineError

LONGEST_QUESTION_S = 86_400  # stations refuse, or answer wrongly, for longer than a day


@dataclass(frozen=True, slots=True)
class Verdict:
    """ "silent": the station would not or could not say. `reported_a`: the most that it says it allows, A per phase."""

    state: Literal["applied", "contradicted", "silent"]
    detail: str | None = None
    reported_a: float = 0.0


async def read_back(
    connector: CsmsConnector,
    station_id: str,
    evse_id: int,
    profile: ChargingProfile,
    *,
    now: datetime,
    voltage_v: float,
    phases: int,
    honest: bool = True,
) -> Verdict:
    """One GetCompositeSchedule over the rest of the profile. Never raises a station's error: no proof is an answer.

    A station that is not `honest` is not asked: what it reports proves nothing, either way.
    """
    if not honest:
        return Verdict("silent", "its reports are known to prove nothing")
    end = end_of(profile)
    duration_s = LONGEST_QUESTION_S if end is None else int((end - now).total_seconds())
    try:
        reported = await connector.composite_schedule(
            station_id, evse_id, max(60, min(duration_s, LONGEST_QUESTION_S)), profile.unit
        )
    except (ProfileRejectedError, CallFailedError) as error:
        return Verdict("silent", f"it does not report its schedule: {error}")
    except (OutcomeUnknownError, StationOfflineError) as error:
        return Verdict("silent", f"its schedule could not be read back: {error}")
    return judge(profile, reported, now=now, voltage_v=voltage_v, phases=phases)


def judge(
    profile: ChargingProfile, reported: CompositeSchedule, *, now: datetime, voltage_v: float, phases: int
) -> Verdict:
    """The verdict on one report. An empty one is a known defect of stations, and says nothing either way."""
    if not reported.periods:
        return Verdict("silent", "it reports an empty schedule")
    difference = disagreement(profile, reported, now=now, voltage_v=voltage_v, phases=phases)
    if difference is None:
        return Verdict("applied")
    return Verdict("contradicted", difference, _highest_a(reported, now, voltage_v, phases))


def _highest_a(reported: CompositeSchedule, now: datetime, voltage_v: float, phases: int) -> float:
    if reported.duration_s <= 0:
        return inf
    start = max(reported.start, now)
    end = start + timedelta(seconds=LONGEST_QUESTION_S)
    return report_steps(reported, start, end, voltage_v=voltage_v, phases=phases).highest
