"""A site as its operator describes it: the one document that the API, the YAML import and the store share.

pydantic, because it is an edge: everything in it was typed by a person. Wrong input is refused with the path of
the field; nothing is guessed. `Site.tariff` and the other parts are plain values that `gather` turns into a Problem.
"""

from datetime import date, time
from functools import cache, cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, ValidationInfo, field_validator, model_validator

from app.actuators.documents import BatteryActuator, PvActuator, SocSource
from app.csms.corrections import Corrections
from app.meters.sources import MeterSource
from app.sources.document import Source
from app.tariff import Document, LocalTime, Tariff
from optimizer.domain import CONNECTION, Phase

StationId = Annotated[str, Field(pattern=r"^[A-Za-z0-9*_=+|@.\-]{1,48}$")]  # no colon: it is a Basic-auth user name
SlugId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class GridConnection(Document):
    max_import_kw: NotNegative | None = Field(default=None, description="kW; absent: unlimited.")
    max_export_kw: NotNegative | None = Field(default=None, description="kW; absent: unlimited.")
    max_current_a: NotNegative | None = Field(default=None, description="A per phase; absent: unlimited.")
    voltage_v: Positive = Field(default=230.0, description="Line to neutral, V.")


class CircuitDocument(Document):
    id: SlugId
    parent: SlugId | None = Field(default=None, description="The circuit above; absent: the grid connection.")
    max_power_kw: NotNegative | None = None
    max_current_a: NotNegative | None = Field(default=None, description="A per phase: the fuse.")


class EvseDocument(Document):
    id: int = Field(ge=1, description="EVSE number; the connectorId of OCPP 1.6.")
    circuit: SlugId | None = Field(default=None, description="Absent: straight on the grid connection.")
    phases: tuple[Phase, ...] = Field(default=("L1", "L2", "L3"), min_length=1, max_length=3, description="Rotation.")
    max_current_a: Positive | None = Field(default=32.0, description="A per phase; null for DC.")
    max_power_kw: Positive | None = Field(default=None, description="kW; for DC.")
    min_current_a: NotNegative = Field(default=6.0, description="A; a vehicle gets this or 0.")
    current_step_a: Positive = Field(default=0.1, description="A; the grid of limits that the station takes.")
    efficiency: Fraction = Field(
        default=1.0, description="kWh that reach a vehicle's battery per kWh metered: a state of charge needs it."
    )

    @model_validator(mode="after")
    def _is_limited(self) -> "EvseDocument":
        if self.max_current_a is None and self.max_power_kw is None:
            raise ValueError("needs max_current_a or max_power_kw")
        if len(set(self.phases)) != len(self.phases):
            raise ValueError(f"phases {list(self.phases)} repeat")
        if self.max_current_a is not None and self.min_current_a > self.max_current_a:
            raise ValueError(f"min_current_a {self.min_current_a} is above max_current_a {self.max_current_a}")
        return self


class ChargingStationDocument(Document):
    id: StationId = Field(description="OCPP identity.")
    evses: tuple[EvseDocument, ...] = Field(min_length=1)
    isolated: bool = Field(
        default=False,
        description="An operator vouches that it draws nothing here while it is not connected: nothing is reserved.",
    )
    ocpp_version: Literal["1.6", "2.0.1", "2.1"] | None = Field(
        default=None, description="What it speaks when its connection does not say; absent: 1.6."
    )
    security_profile: Literal[1, 2, 3] | None = Field(
        default=None, description="The least it must do: 1 password, 2 TLS and password, 3 TLS and its certificate."
    )
    max_profile_periods: int | None = Field(default=None, ge=1, description="The older word for profile.max_periods.")
    profile: Corrections = Field(
        default=Corrections(), description="Overrides what is known of the charging profiles that it takes."
    )


class PvArrayDocument(Document):
    id: SlugId
    peak_kw: Positive
    tilt_deg: float = Field(default=30.0, ge=0, le=90)
    azimuth_deg: float = Field(default=180.0, ge=0, lt=360, description="Clockwise from north; 180 is south.")
    inverter_kw: Positive | None = None
    actuator: PvActuator | None = Field(default=None, description="Who curtails it; absent: nobody can.")

    @property
    def most_kw(self) -> float:
        """What it can feed at most."""
        return self.peak_kw if self.inverter_kw is None else min(self.peak_kw, self.inverter_kw)


class BatteryDocument(Document):
    id: SlugId
    circuit: SlugId | None = None
    capacity_kwh: Positive
    min_energy_kwh: NotNegative = 0.0
    min_soc: float = Field(default=0.0, ge=0, le=1, description="Never planned below; with min_energy_kwh the higher.")
    max_soc: float = Field(default=1.0, gt=0, le=1, description="Never planned above.")
    max_charge_kw: NotNegative
    max_discharge_kw: NotNegative
    charge_efficiency: Fraction = 0.95
    discharge_efficiency: Fraction = 0.95
    wear_price_per_kwh: NotNegative = 0.0
    controllable: bool | None = Field(
        default=None, description="False: it is only forecast, never planned, though it has an actuator."
    )
    actuator: BatteryActuator | None = Field(
        default=None, description="Who commands it; absent: nobody can, so it is a forecast and no plan counts on it."
    )
    soc: SocSource | None = Field(
        default=None, description="Where its state of charge is read; absent: its actuator says it."
    )
    soc_max_age_s: float = Field(
        default=600.0, ge=10, le=3600, description="An older state of charge is none: then it is not planned."
    )

    @model_validator(mode="after")
    def _holds_its_minimum(self) -> "BatteryDocument":
        if self.min_energy_kwh > self.capacity_kwh:
            raise ValueError(f"min_energy_kwh {self.min_energy_kwh} is above capacity_kwh {self.capacity_kwh}")
        if self.least_kwh >= self.max_soc * self.capacity_kwh:
            raise ValueError(f"max_soc {self.max_soc} leaves nothing above {self.least_kwh:g} kWh")
        return self

    @model_validator(mode="after")
    def _can_be_commanded(self) -> "BatteryDocument":
        if self.controllable and self.actuator is None:
            raise ValueError(f"batteries[{self.id}].actuator is missing: controllable is true, and nobody commands it")
        return self

    @property
    def least_kwh(self) -> float:
        return max(self.min_energy_kwh, self.min_soc * self.capacity_kwh)


class MeterDocument(Document):
    id: SlugId
    measures: Literal["base_load", "grid", "pv", "battery", "circuit"] = Field(
        description="base_load: everything without EVs and PV. grid: net import, positive is import. pv: production. "
        "battery: positive is charging. "
        "circuit: all that flows through one circuit, for the fuse guard alone."
    )
    circuit: SlugId | None = Field(default=None, description="Which circuit, where it measures one.")
    interval_s: Annotated[float, Field(ge=0.5, le=900)] | None = Field(
        default=None,
        description="How often it reports, in s. Set, the fuse guard goes by its readings, and after three intervals "
        "of silence by the most that the building can draw. Absent: it writes history only.",
    )

    source: MeterSource | None = Field(
        default=None, description="Where this service reads it; absent: its readings are sent to the API."
    )

    @model_validator(mode="after")
    def _is_read_often_enough(self) -> "MeterDocument":
        if self.source is not None and self.interval_s is None:
            raise ValueError(f"meters[{self.id}].interval_s is missing: how often is it to be read?")
        return self

    @model_validator(mode="after")
    def _says_which_circuit(self) -> "MeterDocument":
        if (self.measures == "circuit") != (self.circuit is not None):
            raise ValueError(f"meters[{self.id}].circuit goes with measures: circuit, and with nothing else")
        return self


class BaseLoadDocument(Document):
    annual_energy_kwh: Positive | None = Field(
        default=None, description="For the first two weeks, until history is there."
    )
    profile: Literal["g25", "h25", "l25", "p25", "s25"] = "g25"
    max_kw: Positive | None = Field(default=None, description="The most the building can draw; for fail-safe limits.")
    safety_quantile: float = Field(default=0.9, ge=0.5, lt=1, description="Of the base load, in the limits of a plan.")
    safety_margin: NotNegative = Field(default=0.05, description="Share added to that quantile.")


class SessionDefaults(Document):
    """What is believed of a vehicle whose driver said nothing. A missing state of charge is never 0 %."""

    stay_h: Positive = 8.0
    required_energy_kwh: Positive = 20.0
    ready_before_h: NotNegative = Field(
        default=1.5,
        description="How long before its stated departure a car should be ready, where that is possible. In the "
        "ACN-Data sample of a workplace 15 % of the drivers leave at least 1.6 h before the time they state.",
    )
    wishes_bind: bool = Field(
        default=True,
        description="True: what a driver states is a promise. False: it is a hint, and the plan weighs how such stays "
        "went before: see docs/forecasts.md.",
    )
    unmet_price_per_kwh: Positive = Field(
        default=4.0,
        description="Where wishes do not bind: what a kWh is worth that a car is expected to leave without, in the "
        "site's currency.",
    )


class AlarmDocument(Document):
    """When an operator is told; who is told, and how, is in the settings of the service."""

    not_ready_kwh: Positive = Field(
        default=1.5, description="A car that will leave with so much less than its driver asked for; kWh."
    )
    stale_after_minutes: Positive = Field(default=60.0, description="A meter that was not heard of for so long.")


class Site(Document):
    """One site, whole: grid connection, circuit tree, charging stations, PV, batteries, meters, tariff."""

    id: SlugId
    name: str = Field(min_length=1, max_length=200)
    time_zone: str
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$", description="ISO 3166, for holidays.")
    subdivision: str | None = Field(
        default=None,
        min_length=1,
        max_length=40,
        description="The part of the country whose holidays hold, such as BY in DE or CA in US.",
    )
    carbon_price_per_kg: NotNegative = Field(
        default=0.0, description="What a kg of CO2 from the grid weighs in a plan, in the site's currency; 0: nothing."
    )
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    mode: Literal["optimised", "shadow"] = Field(
        default="optimised", description="shadow plans and shows, and sends nothing."
    )
    connection: GridConnection
    circuits: tuple[CircuitDocument, ...] = ()
    charging_stations: tuple[ChargingStationDocument, ...] = ()
    pv_arrays: tuple[PvArrayDocument, ...] = ()
    pv_curtailable: bool = Field(
        default=False, description="Plans may curtail PV, as long as every array has an actuator that obeys."
    )
    batteries: tuple[BatteryDocument, ...] = ()
    meters: tuple[MeterDocument, ...] = ()
    tariff: Tariff
    sources: tuple[Source, ...] = Field(
        default=(),
        max_length=20,
        description="Who is asked for prices, weather and the like, the preferred ones first.",
    )
    base_load: BaseLoadDocument = BaseLoadDocument.model_validate({})
    session_defaults: SessionDefaults = SessionDefaults.model_validate({})
    alarms: AlarmDocument = AlarmDocument.model_validate({})
    slot_minutes: Literal[5, 10, 15, 30, 60] = 15
    nightly_at: LocalTime = Field(default=time(22, 0), description="Local hour at which the coming day is planned.")
    fallback_current_a: NotNegative = Field(
        default=6.0,
        description="A per phase that every EVSE may draw when nobody tells it otherwise: 0, or at least 6.",
    )
    on_disobedience: Literal["reserve", "stop"] = Field(
        default="reserve",
        description="What the fuse guard does where one EVSE that takes no limit overloads a circuit on its own. "
        "reserve: every other EVSE makes room, and the breaker is left to protect the rest. stop: its transaction is "
        "stopped remotely, once.",
    )
    holidays: tuple[date, ...] = Field(default=(), description="Days off beside the country's own.")

    @field_validator("time_zone")
    @classmethod
    def _time_zone_exists(cls, name: str) -> str:
        if name not in _time_zones():
            raise ValueError(f"{name!r} is no IANA time zone")
        return name

    @field_validator("subdivision")
    @classmethod
    def _subdivision_exists(cls, code: str | None, info: ValidationInfo) -> str | None:
        if code is None or "country" not in info.data:  # the country's own error is enough
            return code
        country = info.data["country"]
        if country is None:
            raise ValueError(f"{code!r} needs the site's country")
        from forecasts.local_days import not_a_part_of, subdivisions_of  # brings pandas: only where one is named

        if code not in subdivisions_of(country):
            raise ValueError(not_a_part_of(country, code))
        return code

    @model_validator(mode="after")
    def _hangs_together(self) -> "Site":
        _require_unique("circuits", [circuit.id for circuit in self.circuits])
        _require_unique("charging_stations", [station.id for station in self.charging_stations])
        _require_unique("pv_arrays", [array.id for array in self.pv_arrays])
        _require_unique("batteries", [battery.id for battery in self.batteries])
        _require_unique("meters", [meter.id for meter in self.meters])
        _require_unique("sources", [source.name for source in self.sources])
        _require_tree({circuit.id: circuit.parent for circuit in self.circuits})
        for station in self.charging_stations:
            _require_unique(f"charging_stations[{station.id}].evses", [evse.id for evse in station.evses])
            for evse in station.evses:
                self._require_circuit(f"charging_stations[{station.id}].evses[{evse.id}]", evse.circuit)
        for meter in self.meters:
            self._require_circuit(f"meters[{meter.id}]", meter.circuit)
        for battery in self.batteries:
            self._require_circuit(f"batteries[{battery.id}]", battery.circuit)
        return self

    @model_validator(mode="after")
    def _can_be_planned(self) -> "Site":
        """What would only be found out by the first plan, at night."""
        if self.pv_arrays and (self.latitude is None or self.longitude is None):
            raise ValueError("pv_arrays need the site's latitude and longitude")
        if 0 < self.fallback_current_a < 6:
            raise ValueError(f"fallback_current_a {self.fallback_current_a} is neither 0 nor at least 6")
        for charge in self.tariff.demand_charges:
            if self.slot_minutes > charge.interval_minutes:
                raise ValueError(
                    f"slot_minutes {self.slot_minutes} is longer than the {charge.interval_minutes} minutes of "
                    f"tariff.demand_charges[{charge.id}]"
                )
        return self

    def _require_circuit(self, where: str, circuit_id: str | None) -> None:
        if circuit_id is not None and circuit_id not in {circuit.id for circuit in self.circuits}:
            raise ValueError(f"{where}.circuit {circuit_id!r} does not exist")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def station(self, station_id: str) -> ChargingStationDocument | None:
        stations, by_id = self.stations_by_id
        if stations is not self.charging_stations:  # a copy with others
            del self.__dict__["stations_by_id"]
            _, by_id = self.stations_by_id
        return by_id.get(station_id)

    @cached_property
    def stations_by_id(self) -> tuple[tuple[ChargingStationDocument, ...], dict[str, ChargingStationDocument]]:
        """With the stations that it was made from: `model_copy` copies it, whatever it changes."""
        return self.charging_stations, {station.id: station for station in self.charging_stations}


def evse_key(station_id: str, evse_id: int) -> str:
    """The optimizer's name of an EVSE: ``cs01/1``."""
    return f"{station_id}/{evse_id}"


def split_evse_key(key: str) -> tuple[str, int]:
    station_id, _, evse_id = key.rpartition("/")
    return station_id, int(evse_id)


def _require_tree(parents: dict[str, str | None]) -> None:
    if CONNECTION in parents:
        raise ValueError(f"circuits[{CONNECTION}] has the name of the grid connection itself")
    for circuit_id, parent in parents.items():
        if parent is not None and parent not in parents:
            raise ValueError(f"circuits[{circuit_id}].parent {parent!r} does not exist")
    for circuit_id, parent in parents.items():
        seen, above = {circuit_id}, parent
        while above is not None:
            if above in seen:
                raise ValueError(f"circuits[{circuit_id}].parent: {above!r} closes a loop")
            seen.add(above)
            above = parents[above]


@cache
def _time_zones() -> set[str]:
    """They are read from hundreds of files: once is enough."""
    return available_timezones()


def _require_unique(where: str, ids: list[str] | list[int]) -> None:
    for position, identifier in enumerate(ids):
        if identifier in ids[:position]:
            raise ValueError(f"{where} holds {identifier!r} more than once")
