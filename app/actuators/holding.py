"""What a device may be executing: the rule of the fuse, as `app.dispatch.in_force` has it for EVSEs. Pure.

A command counts once it is confirmed. While nobody knows which of several holds, all of them may, and each for as long
as the longest: a device that took a new timer with an old power is among them. One of which nothing is known, or that
ignores what it takes, may do all that its hardware can.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.actuators.actuator import Command
from app.actuators.devices import Device
from app.db.operating_records import ActuatorCommand


@dataclass(frozen=True, slots=True)
class Held:
    """A power that may be in force before `until`; None: the device's own control, which has no end."""

    power_kw: float | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """`is_known`: it was read, or commanded before; `obeys`: it did not show that it ignores what it takes."""

    candidates: tuple[Held, ...] = ()
    is_known: bool = False
    obeys: bool = True

    def sent(self, command: Command) -> "Holding":
        """It may hold this, or go on with whatever it held."""
        until = max([command.valid_until, *(one.until for one in self.candidates)])
        own = Held(command.power_kw, command.valid_until)
        return replace(self, candidates=(*(replace(one, until=until) for one in self.alive(command.at)), own))

    def confirmed(self, command: Command) -> "Holding":
        return Holding((Held(command.power_kw, command.valid_until),), is_known=True)

    def refused(self, command: Command) -> "Holding":
        """It goes on with what it held; it may have taken the new timer before it declined the rest."""
        return replace(self, candidates=self.sent(command).candidates[:-1])

    def may_hold(self, power_kw: float | None, until: datetime, now: datetime) -> "Holding":
        """It shows something else than it was told: that, or what it was told."""
        others = tuple(one for one in self.alive(now) if one.power_kw != power_kw)
        return replace(self, candidates=(*others, Held(power_kw, until)), is_known=True)

    def seen(self, power_kw: float | None, until: datetime) -> "Holding":
        """It shows something that is none of ours; it may for as long as anything may."""
        return Holding((Held(power_kw, until),), is_known=True, obeys=self.obeys)

    def disobeys(self) -> "Holding":
        return replace(self, obeys=False)

    def moved(self, by: timedelta) -> "Holding":
        """In the time of a clock that was set."""
        return replace(self, candidates=tuple(replace(one, until=one.until + by) for one in self.candidates))

    def alive(self, now: datetime) -> tuple[Held, ...]:
        return tuple(one for one in self.candidates if now < one.until)

    def most_charge_kw(self, device: Device, start: datetime, end: datetime) -> float:
        """The most that it may charge with at any moment of [start, end); 0 for what can only feed."""
        if not self.is_known or not self.obeys:
            return device.max_charge_kw
        powers_kw = [_charge_kw(one.power_kw, device) for one in self.alive(start)]
        if all(one.until < end for one in self.candidates):  # it will be on its own
            powers_kw.append(device.alone_charge_kw)
        return min(max(powers_kw, default=0.0), device.max_charge_kw)


def restored(commands: Sequence[ActuatorCommand], now: datetime) -> Holding:
    """What a device may still hold of what a process before this one has sent, newest first.

    What came before one that was verified is over. A device that nobody ever commanded is not known.
    """
    told, looked_at = [], []
    for command in commands:
        looked_at.append(command)  # one that was refused may have had its timer taken
        if command.state != "refused":
            told.append(command)
        if command.state == "verified":
            break
    until = max((command.valid_until for command in looked_at), default=now)
    candidates = tuple(Held(command.power_kw, until) for command in told) if now < until else ()
    return Holding(candidates, is_known=bool(told))


def _charge_kw(power_kw: float | None, device: Device) -> float:
    return device.alone_charge_kw if power_kw is None else max(power_kw, 0.0)
