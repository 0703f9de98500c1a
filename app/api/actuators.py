"""`/v1/sites/{id}/actuators`: what batteries and inverters were told, and what they say they do."""

from datetime import datetime
from typing import Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.actuators.unit import Unit, Wish
from app.api.auth import Reader
from app.api.services import ServicesDep
from app.db.operating_records import ActuatorCommand

router = APIRouter(prefix="/v1/sites", tags=["actuators"])


class CommandOut(BaseModel):
    at: datetime
    valid_until: datetime = Field(description="from then on the device is on its own, unless it was told again")
    power_kw: float | None = Field(description="kW, positive charges; PV: the most it feeds; null: on its own")
    reason: str
    plan_id: str | None = Field(description="null: its safe value")
    state: Literal["sent", "verified", "ignored", "refused", "unknown"]
    read_back_kw: float | None
    detail: str | None

    @classmethod
    def of(cls, command: ActuatorCommand) -> Self:
        return cls(**{name: getattr(command, name) for name in cls.model_fields})


class ReadBackOut(BaseModel):
    at: datetime
    setpoint_kw: float | None = Field(description="what it holds; null: it is on its own")
    power_kw: float | None = Field(description="by its own meter; null: it has none")
    soc: float | None = Field(description="0 to 1; null: not known, or too old: never 0")


class ActuatorOut(BaseModel):
    """One battery or inverter."""

    id: str = Field(description="battery/ID or pv/ID")
    kind: Literal["battery", "pv"]
    state: Literal["none", "sent", "verified", "ignored", "refused", "unknown"] = Field(
        description="of the last command; none: nothing was sent since this service began"
    )
    reached: bool
    planned: bool = Field(description="whether plans may count on it now")
    reason: str | None = Field(description="why they may not, or why it is told what it is told")
    wanted_kw: float | None = Field(description="what it is to do now; null: on its own, or told nothing")
    reserved_charge_kw: float = Field(description="what the fuses count it with: the most it may be charging with now")
    last_command: CommandOut | None
    read_back: ReadBackOut | None

    @classmethod
    def of(cls, unit: Unit, wish: Wish | None, last: ActuatorCommand | None, now: datetime) -> Self:
        why_not, shown = unit.not_planned(now), unit.shown
        return cls(
            id=unit.device.device_id,
            kind=unit.device.kind,
            state=unit.state,
            reached=unit.is_reached,
            planned=why_not is None,
            reason=why_not or (None if wish is None else wish.reason),
            wanted_kw=None if wish is None else wish.power_kw,
            reserved_charge_kw=unit.holding.most_charge_kw(unit.device, now, now),
            last_command=None if last is None else CommandOut.of(last),
            read_back=(
                None
                if shown is None or unit.read_at is None
                else ReadBackOut(
                    at=unit.read_at, setpoint_kw=shown.setpoint_kw, power_kw=shown.power_kw, soc=unit.soc_now(now)
                )
            ),
        )


@router.get("/{site_id}/actuators")
async def list_actuators(site_id: str, services: ServicesDep, _: Reader) -> list[ActuatorOut]:
    """Batteries and inverters that have an actuator; empty where there is none."""
    await services.store.site(site_id)
    actuators, found = services.actuators, []
    if actuators is None:
        return []
    for unit in actuators.units(site_id):
        newest = await services.store.actuator_commands(site_id, device_id=unit.device.device_id, limit=1)
        wish = actuators.wish(site_id, unit)
        found.append(ActuatorOut.of(unit, wish, newest[0] if newest else None, services.clock.now()))
    return found


@router.get("/{site_id}/actuators/commands")
async def list_actuator_commands(site_id: str, services: ServicesDep, _: Reader) -> dict[str, list[CommandOut]]:
    """The newest hundred commands of each device, newest first; they are kept for 30 days."""
    await services.store.site(site_id)
    by_device: dict[str, list[CommandOut]] = {}
    devices = [] if services.actuators is None else [unit.device for unit in services.actuators.units(site_id)]
    for device in devices:
        rows = await services.store.actuator_commands(site_id, device_id=device.device_id)
        by_device[device.device_id] = [CommandOut.of(row) for row in rows]
    return by_device
