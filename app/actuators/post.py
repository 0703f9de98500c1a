"""All commanded devices of one site: what each is to do now, by the plan, the guard, the limits and the fuses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.actuators.room import charge_room_kw
from app.actuators.setpoints import SetPoints
from app.actuators.unit import Unit, Wish
from app.db.operating_records import GridLimit
from app.dispatch.restraint import Standing
from app.guard import Look
from app.modes import ModeNow
from app.site import Site

TOO_OLD = timedelta(hours=1)  # a plan that nobody renewed for so long commands nothing
AHEAD = timedelta(seconds=7)  # what EVSEs may be drawing by then is counted: the guard looks as far
ROUNDS_KW = 0.01


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else the site's devices depend on, each asked whenever it matters, and who plans anew. All from memory."""

    mode: Callable[[str], ModeNow | None]
    look: Callable[[str], Look | None]
    standings: Callable[[Site, datetime, timedelta], Sequence[Standing]]
    limits: Callable[[str, datetime], Sequence[GridLimit]]
    replan: Callable[[str], None]


class Post:
    """`plan` None: this service has sent no plan here, so it commands nothing; what it left behind ends by itself."""

    def __init__(self, site: Site, units: Mapping[str, Unit], around: Surroundings) -> None:
        self.site = site
        self.units = units
        self.plan: SetPoints | None = None
        self.coming: SetPoints | None = None  # being sent to EVSEs: no battery takes back the room that it made
        self._around = around
        self._held_back: tuple[str, str] | None = None  # a plan, and why no battery charges while it is the newest

    def wish(self, unit: Unit, now: datetime) -> Wish | None:
        """What the device is to do; None: it is told nothing."""
        plan, device = self.plan, unit.device
        if self.site.mode != "optimised" or plan is None:
            return None
        until = now + timedelta(seconds=device.actuator.valid_s)
        if (why := self._why_safe(unit, plan, now)) is not None:
            return Wish(device.safe_kw, until, why)
        planned_kw = plan.at(device.device_id, now)
        if device.kind == "pv":
            if planned_kw is None and device.safe_kw is not None:  # on its own it would feed less
                planned_kw = device.max_discharge_kw
            return Wish(None if planned_kw is None else _in_watts(planned_kw), until, "planned", plan.plan_id)
        planned_kw = _in_watts(min(max(planned_kw or 0.0, -device.max_discharge_kw), device.max_charge_kw))
        until = min(until, plan.falls_at(device.device_id, now))
        reason = "planned"
        if planned_kw > 0 and self.coming is not None:
            coming_kw = self._coming_kw(self.coming, device.device_id, now)
            if coming_kw < planned_kw:
                planned_kw, reason = coming_kw, f"the plan {self.coming.plan_id} is being sent"
            elif self.coming.plans(device.device_id, now):
                until = min(until, self.coming.falls_at(device.device_id, now))
        wish = Wish(planned_kw, until, reason, plan.plan_id)
        return wish if planned_kw <= 0 else self._clipped(unit, wish, plan, now)

    def wish_under(self, plan: SetPoints, unit: Unit, now: datetime) -> Wish | None:
        """What it would be to do if `plan` were the one in force."""
        former, self.plan = self.plan, plan
        try:
            return self.wish(unit, now)
        finally:
            self.plan = former

    def _coming_kw(self, coming: SetPoints, device_id: str, now: datetime) -> float:
        """The most that it may charge with under the plan that EVSEs are being sent; nothing where that has it not."""
        planned_kw = coming.at(device_id, now) if coming.plans(device_id, now) else None
        return _in_watts(max(planned_kw or 0.0, 0.0))

    def next_change(self, now: datetime) -> datetime | None:
        """When the plan has something else to say; None: it has no more to say."""
        return None if self.plan is None or not self.plan.start <= now < self.plan.end else self.plan.next_slot(now)

    def _why_safe(self, unit: Unit, plan: SetPoints, now: datetime) -> str | None:
        mode = self._around.mode(self.site.id)
        if mode is not None and mode.mode == "failsafe":
            return f"the site is in failsafe: {mode.reason}"
        if now - plan.made_at > TOO_OLD or now >= plan.end:
            return f"the plan of {plan.made_at.isoformat()} is too old"
        if not plan.plans(unit.device.device_id, now):
            return "no plan has it"
        return unit.not_planned(now) if unit.is_reached else None  # who is not reached is told on as planned

    def _clipped(self, unit: Unit, wish: Wish, plan: SetPoints, now: datetime) -> Wish:
        """Charging, within what guard, limits and fuses leave at this moment."""
        look = self._around.look(self.site.id)
        if look is not None and look.state != "watching" and look.at >= plan.made_at:
            self._held_back = (plan.plan_id, "the fuse guard holds EVSEs below their plans")
        for limit in self._around.limits(self.site.id, now):
            if limit.received_at > plan.known_at:
                self._held_back = (plan.plan_id, f"a grid limit of {limit.max_kw:g} kW came after the plan")
        if self._held_back is not None and self._held_back[0] == plan.plan_id:
            return replace(wish, power_kw=0.0, reason=self._held_back[1])
        standings = self._around.standings(self.site, now, AHEAD)
        others = {
            other.device: other.holding.most_charge_kw(other.device, now, now + AHEAD)
            for other in self.units.values()
            if other is not unit and other.device.kind == "battery"
        }
        room_kw = charge_room_kw(self.site, unit.device, standings, plan.building_at(now), others)
        planned_kw = wish.power_kw or 0.0
        if planned_kw <= room_kw:
            return wish
        left_kw = ROUNDS_KW * int(room_kw / ROUNDS_KW)
        return replace(wish, power_kw=left_kw, reason=f"planned {planned_kw:g} kW, the fuses leave {left_kw:g}")


def _in_watts(power_kw: float) -> float:
    """Never more than it was; what is left of a watt is floating point."""
    return int(power_kw * 1000 + (1e-6 if power_kw > 0 else -1e-6)) / 1000
