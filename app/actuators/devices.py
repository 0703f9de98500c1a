"""The commanded devices of a site, as one noun: a battery or a PV array with its limits and its actuator."""

from dataclasses import dataclass

from app.actuators.actuator import Kind
from app.actuators.documents import ActuatorDocument, BatteryActuator, PvActuator, SocSource
from app.site import BatteryDocument, PvArrayDocument, Site

LEAST_TOLERANCE_KW, TOLERANCE = 0.2, 0.02  # of its largest power


@dataclass(frozen=True, slots=True)
class Device:
    """Everything that a command of it needs. `device_id` is ``battery/ID`` or ``pv/ID``; kW on the AC side.

    `safe_kw` is commanded where no plan says anything: as in `Command`, None gives the device back to itself.
    `alone_charge_kw` is the most that it may charge with once no command holds.
    """

    site_id: str
    device_id: str
    kind: Kind
    actuator: ActuatorDocument
    circuit_id: str | None
    max_charge_kw: float
    max_discharge_kw: float
    safe_kw: float | None
    alone_charge_kw: float
    soc: SocSource | None = None
    soc_max_age_s: float = 600.0

    @property
    def tolerance_kw(self) -> float:
        """Devices count in steps of a percent, some of them."""
        said_kw = self.actuator.tolerance_kw
        most_kw = max(self.max_charge_kw, self.max_discharge_kw)
        return max(LEAST_TOLERANCE_KW, TOLERANCE * most_kw) if said_kw is None else said_kw

    @classmethod
    def of_battery(cls, site_id: str, document: BatteryDocument, actuator: BatteryActuator) -> "Device":
        is_idle = actuator.on_loss == "idle"
        return cls(
            site_id,
            battery_key(document.id),
            "battery",
            actuator,
            document.circuit,
            document.max_charge_kw,
            document.max_discharge_kw,
            safe_kw=0.0 if is_idle else None,
            alone_charge_kw=0.0 if is_idle else document.max_charge_kw,
            soc=document.soc,
            soc_max_age_s=document.soc_max_age_s,
        )

    @classmethod
    def of_pv(cls, site_id: str, document: PvArrayDocument, actuator: PvActuator) -> "Device":
        return cls(
            site_id,
            pv_key(document.id),
            "pv",
            actuator,
            None,
            max_charge_kw=0.0,
            max_discharge_kw=document.most_kw,
            safe_kw=actuator.safe_limit_kw,
            alone_charge_kw=0.0,
        )


def battery_key(battery_id: str) -> str:
    return f"battery/{battery_id}"


def pv_key(array_id: str) -> str:
    return f"pv/{array_id}"


def is_planned(battery: BatteryDocument) -> bool:
    """Whether plans may command it, as far as its document says."""
    return battery.actuator is not None and battery.controllable is not False


def devices_of(site: Site) -> list[Device]:
    batteries = [
        Device.of_battery(site.id, one, one.actuator) for one in site.batteries if one.actuator and is_planned(one)
    ]
    return batteries + [Device.of_pv(site.id, one, one.actuator) for one in site.pv_arrays if one.actuator]
