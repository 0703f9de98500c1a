"""A plan's limits compiled in one step, as the dispatcher does it in two."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.csms.connector import ChargingProfile
from app.csms.profiles import Electrics, cautious_steps, compile_steps


def compile_profile(
    limits_a: Sequence[float],
    *,
    start: datetime,
    slot_minutes: int,
    now: datetime,
    valid_until: datetime,
    skew_s: float = 60.0,
    voltage_v: float = 230.0,
    phases: int | None = None,
    is_dc: bool = False,
    **told: Any,
) -> ChargingProfile:
    """`limits_a[i]` A per phase in the slot i from `start`, told as `compile_steps` is."""
    steps = cautious_steps(
        limits_a, start=start, slot_minutes=slot_minutes, now=now, valid_until=valid_until, skew_s=skew_s
    )
    return compile_steps(steps, electrics=Electrics(voltage_v, phases, is_dc), **told).profile
