"""The small protocol of everything that can be commanded: a power or a limit with an expiry, and what it holds.

ActuatorError            it was not reached, or nobody knows what became of it
└── RefusedError         it has said no: what it held before holds on
"""

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Literal, Protocol

Kind = Literal["battery", "pv"]


class ActuatorError(Exception):
    """A device was not reached, or what it said is no state; it may hold the old command or the new one."""


class RefusedError(ActuatorError):
    """A device has declined a command."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a device is to do over [`at`, `valid_until`), aware; from then on it is on its own.

    `power_kw` of a battery is its power on the AC side, positive when it charges; of an inverter the most that it
    feeds. None gives the device back to its own controls at once. `command_id` is the same however often it is sent.
    """

    command_id: str
    power_kw: float | None
    at: datetime
    valid_until: datetime

    @property
    def valid_s(self) -> float:
        return (self.valid_until - self.at).total_seconds()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a device says of itself. `setpoint_kw` as in `Command`, None: it is on its own.

    `power_kw` is what its own meter shows, with the sign of the set-point, None: it has none. `soc` is 0 to 1, None:
    it does not say. `soc_at` is when that was measured; None: now.
    """

    setpoint_kw: float | None
    power_kw: float | None = None
    soc: float | None = None
    soc_at: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("setpoint_kw", "power_kw", "soc"):
            value = getattr(self, name)
            if value is not None and not isfinite(value):
                raise ActuatorError(f"{name} is {value}")
        if self.soc is not None and not 0 <= self.soc <= 1:
            raise ActuatorError(f"soc is {self.soc}, which is not within 0 and 1")


class Actuator(Protocol):
    async def command(self, command: Command) -> None:
        """Deliver it. Raises `RefusedError`, or `ActuatorError` where nobody knows whether it was taken."""
        ...

    async def shown(self) -> Shown:
        """Read what it holds now. Raises `ActuatorError`."""
        ...

    async def close(self) -> None: ...
