"""What the store takes and gives: frozen rows, times aware UTC, units in their names."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Station:
    """A charging station: what it said of itself and when it last spoke."""

    station_id: str
    site_id: str
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    ocpp_version: str | None = None
    connected: bool = False
    last_seen_at: datetime | None = None
    booted_at: datetime | None = None
    has_password: bool = False
    passport: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvseStatus:
    """Last StatusNotification of an EVSE; `evse_id` 0 is the station itself."""

    station_id: str
    evse_id: int
    status: str
    error_code: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Transaction:
    """OCPP's record of a charging process. `transaction_id` is ours, and what a 1.6 station is told.

    `ocpp_transaction_id` is the station's or the imported log's own name, unique within the station.
    """

    transaction_id: int
    site_id: str
    station_id: str
    evse_id: int
    id_tag: str
    started_at: datetime
    meter_start_wh: float
    ocpp_transaction_id: str | None = None
    stopped_at: datetime | None = None
    meter_stop_wh: float | None = None
    stop_reason: str | None = None

    @property
    def is_running(self) -> bool:
        return self.stopped_at is None


@dataclass(frozen=True, slots=True)
class TransactionEvent:
    """One TransactionEvent of OCPP 2.x. Natural key: station, the station's transaction id, sequence number.

    The registers are the first and the last total of the active import energy among its meter values.
    """

    station_id: str
    ocpp_transaction_id: str
    seq_no: int
    event_type: Literal["Started", "Updated", "Ended"]
    at: datetime
    received_at: datetime
    offline: bool = False
    trigger_reason: str | None = None
    evse_id: int | None = None
    id_tag: str | None = None
    charging_state: str | None = None
    stop_reason: str | None = None
    first_register_wh: float | None = None
    last_register_wh: float | None = None


@dataclass(frozen=True, slots=True)
class ChargingLimit:
    """A limit that somebody other than this service has set at a station. Natural key: station, EVSE, source.

    `evse_id` 0 is the whole station. `schedules` are OCPP's own, as reported; empty where the station did not say how
    much is left.
    """

    station_id: str
    evse_id: int
    source: str  # EMS, SO, CSO, Other; in 2.1 also others
    at: datetime
    schedules: list[Json] = field(default_factory=list)
    is_grid_critical: bool = False
    is_local_generation: bool = False  # what is generated behind the station: it adds, and limits nothing


@dataclass(frozen=True, slots=True)
class StationVariable:
    """One attribute of one variable of a station's device model (OCPP 2.x). `value` None: write-only, or unset."""

    station_id: str
    component: str
    variable: str
    at: datetime
    value: str | None = None
    component_instance: str = ""
    evse_id: int = 0
    connector_id: int = 0
    variable_instance: str = ""
    attribute: str = "Actual"
    mutability: str | None = None
    data_type: str | None = None
    unit: str | None = None
    min_limit: float | None = None
    max_limit: float | None = None
    values_list: str | None = None


@dataclass(frozen=True, slots=True)
class StationNotice:
    """Something a station told of itself, as it came: an event, an alarm, the state of an update."""

    station_id: str
    at: datetime
    action: str
    payload: Json


@dataclass(frozen=True, slots=True)
class MeterValue:
    """One sampled value, in W, Wh, A, V or %.

    Natural key: station, EVSE, transaction, time, measurand, phase, context.
    """

    station_id: str
    evse_id: int
    at: datetime
    measurand: str
    value: float
    unit: str
    transaction_id: int | None = None
    phase: str = ""  # "" is the total
    context: str = "Sample.Periodic"
    received_at: datetime | None = None


class Quantity(NamedTuple):
    """What a meter value is a value of, as `MeterValue` names it."""

    measurand: str
    phase: str
    context: str
    unit: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Mean power of a site meter over an interval that starts at `at`. Natural key: site, meter, at."""

    site_id: str
    meter_id: str
    at: datetime
    kw: float


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A signal with its provenance: who issued it and when. `values[i]` holds from start + i × resolution."""

    site_id: str
    kind: str  # import_price, export_price, carbon, base_load, base_load_high, base_load_low, pv, ...
    source: str
    issued_at: datetime
    start: datetime
    resolution_minutes: int
    unit: str
    values: tuple[float, ...]
    estimated: bool = False
    series_id: int | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a driver or fleet asks for: energy by departure. Meets a transaction by EVSE, id tag, or both."""

    wish_id: str
    site_id: str
    departure: datetime
    required_energy_kwh: float
    created_at: datetime
    station_id: str | None = None
    evse_id: int | None = None
    id_tag: str | None = None
    arrival: datetime | None = None  # of a vehicle that is not there yet
    max_power_kw: float | None = None
    vehicle_phases: int | None = None
    priority: int = 1
    transaction_id: int | None = None  # set once it has met its transaction


PlanKind = Literal["request", "nightly", "replan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A problem and its answer, as JSON version 1, with what made it."""

    plan_id: str
    site_id: str
    kind: PlanKind
    created_at: datetime
    start: datetime
    end: datetime
    status: str
    reason: str | None
    problem: Json
    schedule: Json
    provenance: Json = field(default_factory=dict)  # of each input series: source, issued_at, age, estimated


DeliveryState = Literal[
    "planned",  # nothing was sent yet
    "withheld",  # it would raise the limit while others have not verifiably lowered theirs, or too often a day
    "sent",
    "accepted",  # the station said so; it would or could not be asked again
    "applied",  # what it reports of itself agrees
    "verified",  # what its meter shows does too
    "contradicted",  # it reports something else than what it accepted
    "ignored",  # it draws more than it accepted
    "rejected",
    "offline",
    "unknown",
]
HELD: tuple[DeliveryState, ...] = ("accepted", "applied", "verified")  # nothing speaks against it
REACHED: tuple[DeliveryState, ...] = (*HELD, "contradicted", "ignored", "unknown")  # the station may execute it


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one EVSE's part of a plan. `profile` is what was sent, as JSON."""

    plan_id: str
    site_id: str
    station_id: str
    evse_id: int
    state: DeliveryState
    at: datetime
    profile: Json | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Cdr:
    """Charge detail record of a completed transaction. Parking: present while the power was under 50 W."""

    transaction_id: int
    site_id: str
    station_id: str
    evse_id: int
    id_tag: str
    start: datetime
    stop: datetime
    energy_kwh: float  # by the station's register
    total_time_h: float
    parking_time_h: float
    integrated_energy_kwh: float | None = None  # by integrating the total power
    peak_power_kw: float | None = None
    flags: tuple[str, ...] = ()
    charging_time_h: float | None = None  # the power held was at least 50 W; None: no power was sent
    cost: float | None = None  # of the energy, at the import price of each slot; None: a price is missing
    currency: str | None = None
    uncontrolled_cost: float | None = None  # of the same energy, drawn at full power from the start on
    co2_kg: float | None = None  # None: no carbon series covers the stay
    pv_share: float | None = None  # of the energy, 0 to 1: what was not imported; None: nothing measures it


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something that was measured or sent and is not believed, or not without saying so. Nothing of it is lost.

    `reason` is one of the words of docs/data.md. `suspect_id` is made of all the rest: found again, it is the same.
    """

    suspect_id: str
    site_id: str
    reason: str
    detail: str  # what is wrong, in words, with the value as it came
    at: datetime | None = None  # what it is about; None: the row carries no readable time
    noted_at: datetime | None = None
    station_id: str | None = None
    evse_id: int | None = None
    transaction_id: int | None = None
    meter_id: str | None = None
    source: str = ""  # file and place, or transaction and measurand


@dataclass(frozen=True, slots=True)
class TariffInForce:
    """A site's tariff, as its document had it, from `since` on until the next one."""

    site_id: str
    since: datetime
    tariff: Json


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key's public part; the secret is only kept as a hash."""

    key_id: str
    name: str
    secret_hash: str
    scopes: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
