"""A plan as what its devices are to do, slot by slot. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.actuators.devices import battery_key, pv_key
from app.site import Site
from optimizer.domain import Problem, Schedule

CURTAILS_FROM_KW = 0.05  # less is a solver's noise, and no reason to hold an inverter below a forecast
LITTLE_KW = 1e-6

PowerSeries = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SetPoints:
    """What one plan says: by device kW per slot, as in `Command`. A device that is not there is not planned.

    `known_at` is the moment of what it was made from, `made_at` when it was sent: a solve lies between.
    """

    plan_id: str
    made_at: datetime
    start: datetime
    slot: timedelta
    by_device: Mapping[str, PowerSeries]
    building_kw: tuple[float, ...]
    phase_share: tuple[float, float, float]
    known_at: datetime

    @property
    def end(self) -> datetime:
        return self.start + len(self.building_kw) * self.slot

    def at(self, device_id: str, moment: datetime) -> float | None:
        """Raises `KeyError` for a device that the plan does not have, and for a moment that it does not know."""
        return self.by_device[device_id][self._slot(moment)]

    def plans(self, device_id: str, moment: datetime) -> bool:
        return device_id in self.by_device and self.start <= moment < self.end

    def falls_at(self, device_id: str, moment: datetime) -> datetime:
        """Until when what is planned at `moment` may be held on: the plan never has less in its direction before.

        A command that ended later would hold on, should the link be lost, where the fuse was given to somebody else.
        """
        series, first = self.by_device[device_id], self._slot(moment)
        now_kw = series[first] or 0.0
        direction = 0 if abs(now_kw) <= LITTLE_KW else 1 if now_kw > 0 else -1
        for slot in range(first + 1, len(series)):
            if direction * ((series[slot] or 0.0) - now_kw) < -LITTLE_KW:
                return self.start + slot * self.slot
        return self.end

    def next_slot(self, moment: datetime) -> datetime:
        return self.start + (self._slot(moment) + 1) * self.slot

    def building_at(self, moment: datetime) -> tuple[float, tuple[float, float, float]]:
        """kW that the plan counts the building with, and how the phases share it."""
        return self.building_kw[self._slot(moment)], self.phase_share

    def _slot(self, moment: datetime) -> int:
        if not self.start <= moment < self.end:
            raise KeyError(f"{moment.isoformat()} is not in the plan {self.plan_id}")
        return int((moment - self.start) / self.slot)


def set_points(site: Site, plan_id: str, made_at: datetime, problem: Problem, schedule: Schedule) -> SetPoints:
    """Of batteries that the plan has and of arrays with an actuator: they share a limit by what they can feed."""
    by_device: dict[str, PowerSeries] = {
        battery_key(battery_id): tuple(float(kw) for kw in result.power_kw)
        for battery_id, result in schedule.batteries.items()
    }
    arrays = [array for array in site.pv_arrays if array.actuator is not None]
    total_kw = sum(array.most_kw for array in site.pv_arrays)
    for array in arrays if problem.pv_curtailable else ():
        share = array.most_kw / total_kw
        by_device[pv_key(array.id)] = tuple(
            max(0.0, pv_kw - curtailed_kw) * share if curtailed_kw > CURTAILS_FROM_KW else None
            for pv_kw, curtailed_kw in zip(problem.pv_kw, schedule.curtail_kw, strict=True)
        )
    return SetPoints(
        plan_id,
        made_at,
        problem.horizon.start,
        timedelta(minutes=problem.horizon.slot_minutes),
        by_device,
        tuple(problem.safe_base_load_kw),
        problem.base_load_phase_share,
        known_at=min(problem.horizon.first_moment, made_at),
    )
