"""The problem as JSON, version 1: what a caller may write, and what becomes of it in the optimizer's words.

Everything is checked here or by the domain, and every error names the path and the value. A key that version 1
does not know is an error: a limit that is silently ignored is worse than a refusal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, ValidationError, model_validator

from app.problem_json.fields import (
    MAX_ITEMS,
    MAX_SLOTS,
    CarbonSeries,
    CostRate,
    Edge,
    KilowattSeries,
    Moment,
    NotNull,
    PriceSeries,
    Share,
    drop_null_defaults,
    path_of,
)
from app.problem_json.site import (
    BatteryIn,
    CircuitIn,
    ConnectionIn,
    DemandChargeIn,
    EvseIn,
    ReservationIn,
    SessionIn,
    SettingsIn,
)
from optimizer.domain import PHASES, Horizon, PhaseCurrents, Problem, Session
from optimizer.errors import InvalidProblemError

__all__ = ["SERIES", "BatteryIn", "ProblemIn", "SessionIn", "problem_from_json", "problem_to_json"]

T = TypeVar("T")


SERIES = (
    "base_load_kw",
    "base_load_high_kw",
    "base_load_low_kw",
    "pv_kw",
    "pv_low_kw",
    "pv_high_kw",
    "import_price_per_kwh",
    "export_price_per_kwh",
    "carbon_kg_per_kwh",
)
EVSE_SERIES = ("planned_kw",)
CIRCUIT_SERIES = ("power_cap_kw",)
EXAMPLE: dict[str, Any] = {
    "version": 1,
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "start": "2026-04-26T00:00:00+02:00",
    "slot_minutes": 60,
    "slots": 4,
    "connection": {"max_import_kw": 40, "max_current_a": 63},
    "circuits": [{"id": "garage", "max_current_a": 32}],
    "evses": [{"id": "cs01/1", "circuit": "garage", "max_current_a": 32}],
    "sessions": [
        {
            "id": "tx-1",
            "evse": "cs01/1",
            "arrival": "2026-04-26T00:10:00+02:00",
            "departure": "2026-04-26T04:00:00+02:00",
            "required_energy_kwh": 15,
            "max_power_kw": 11,
            "vehicle_phases": 3,
        }
    ],
    "base_load_kw": 5,
    "import_price_per_kwh": [0.31, 0.28, 0.25, 0.27],
    "export_price_per_kwh": 0.08,
}


def _describe(schema: dict[str, Any]) -> None:
    drop_null_defaults(schema)
    schema["examples"] = [EXAMPLE]


class ProblemIn(Edge):
    """One site's optimisation problem, version 1.

    Powers are kW, energies kWh, currents A per phase, prices `currency` per kWh. A series is one number for every
    slot or exactly `slots` numbers.
    """

    model_config = ConfigDict(title="Problem", json_schema_extra=_describe)

    version: Literal[1] = Field(description="of this format")
    currency: str = Field(default="EUR", min_length=1, max_length=12, description="only repeated in the answer")
    time_zone: str = Field(default="UTC", max_length=64, description="IANA name: demand charges follow its clock")
    start: Moment = Field(description="start of the first slot, with any UTC offset")
    now: Annotated[Moment | None, NotNull()] = Field(
        default=None, description="nothing is planned before it; within [start, end); left out: start"
    )
    slot_minutes: Literal[5, 10, 15, 30, 60] = Field(description="minutes")
    slots: int = Field(ge=1, le=MAX_SLOTS, description="number of slots; at most seven days")
    connection: ConnectionIn = Field(description="the root of the circuit tree")
    circuits: list[CircuitIn] = Field(
        max_length=MAX_ITEMS, description="fuses and feeders below the connection; may be empty"
    )
    evses: list[EvseIn] = Field(max_length=MAX_ITEMS, description="may be empty")
    sessions: list[SessionIn] = Field(
        max_length=MAX_ITEMS, description="vehicles that are there or expected; may be empty"
    )
    batteries: list[BatteryIn] = Field(default=[], max_length=MAX_ITEMS, description="stationary batteries")
    demand_charges: list[DemandChargeIn] = Field(
        default=[], max_length=MAX_ITEMS, description="money per kW of peak import"
    )
    reservations: list[ReservationIn] = Field(
        default=[], max_length=MAX_ITEMS, description="current that is spoken for"
    )
    base_load_kw: KilowattSeries = Field(description="kW, the site without EVs; PV not subtracted; expected value")
    base_load_high_kw: Annotated[KilowattSeries | None, NotNull()] = Field(
        default=None, description="kW, high quantile for import safety; left out: expected plus 20 %"
    )
    base_load_low_kw: Annotated[KilowattSeries | None, NotNull()] = Field(
        default=None, description="kW, low quantile for export safety; left out: expected less 20 %"
    )
    base_load_phase_share: Annotated[list[Share], Field(min_length=3, max_length=3)] = Field(
        default=[1 / 3, 1 / 3, 1 / 3], description="shares of L1, L2, L3 in the base load; they add up to 1"
    )
    pv_kw: KilowattSeries = Field(default=[], description="kW, expected", json_schema_extra={"default": 0})
    pv_low_kw: Annotated[KilowattSeries | None, NotNull()] = Field(default=None, description="kW, low quantile")
    pv_high_kw: Annotated[KilowattSeries | None, NotNull()] = Field(
        default=None, description="kW, high quantile for export safety; left out: expected"
    )
    pv_curtailable: bool = Field(default=False, description="may the plan curtail PV?")
    import_price_per_kwh: PriceSeries = Field(description="currency per kWh; may be negative")
    export_price_per_kwh: PriceSeries = Field(description="currency per kWh; may be negative")
    carbon_kg_per_kwh: Annotated[CarbonSeries | None, NotNull()] = Field(
        default=None, description="kg per kWh imported"
    )
    carbon_price_per_kg: CostRate = Field(default=0.0, description="currency per kg")
    unmet_price_per_kwh: Annotated[CostRate | None, NotNull()] = Field(
        default=None, description="currency per kWh that a belief is expected to miss; scenarios need it"
    )
    settings: SettingsIn = Field(default=SettingsIn(), description="how to solve")

    @model_validator(mode="before")
    @classmethod
    def _spread_numbers(cls, document: Any) -> Any:
        """A number in place of a series stands for every slot."""
        if not isinstance(document, Mapping):
            return document
        slots = document.get("slots")
        if not isinstance(slots, int) or not 1 <= slots <= MAX_SLOTS:
            return document  # the error about `slots` comes from its own field
        document = {"pv_kw": 0.0, **document}
        if isinstance(document.get("evses"), list):
            document["evses"] = [_spread(evse, EVSE_SERIES, slots) for evse in document["evses"]]
        if isinstance(document.get("circuits"), list):
            document["circuits"] = [_spread(circuit, CIRCUIT_SERIES, slots) for circuit in document["circuits"]]
        return _spread(document, SERIES, slots)

    def to_domain(self) -> Problem:
        """The problem in the optimizer's words, in UTC. Raises `InvalidProblemError` where it contradicts itself."""
        _check_time_zone(self.time_zone)
        efficiency = {evse.id: evse.efficiency for evse in self.evses}
        return Problem(
            horizon=Horizon(self.start, self.slot_minutes, self.slots, self.now),
            connection=self.connection.to_domain(),
            circuits=tuple(circuit.to_domain() for circuit in self.circuits),
            evses=tuple(evse.to_domain() for evse in self.evses),
            sessions=tuple(session.to_domain(efficiency.get(session.evse, 1.0)) for session in self.sessions),
            batteries=tuple(battery.to_domain() for battery in self.batteries),
            demand_charges=tuple(charge.to_domain() for charge in self.demand_charges),
            reservations=tuple(reservation.to_domain() for reservation in self.reservations),
            base_load_kw=tuple(self.base_load_kw),
            base_load_high_kw=_tuple(self.base_load_high_kw),
            base_load_low_kw=_tuple(self.base_load_low_kw),
            base_load_phase_share=(
                self.base_load_phase_share[0],
                self.base_load_phase_share[1],
                self.base_load_phase_share[2],
            ),
            pv_kw=tuple(self.pv_kw),
            pv_low_kw=_tuple(self.pv_low_kw),
            pv_high_kw=_tuple(self.pv_high_kw),
            pv_curtailable=self.pv_curtailable,
            import_price_per_kwh=tuple(self.import_price_per_kwh),
            export_price_per_kwh=tuple(self.export_price_per_kwh),
            carbon_kg_per_kwh=_tuple(self.carbon_kg_per_kwh),
            carbon_price_per_kg=self.carbon_price_per_kg,
            currency=self.currency,
            time_zone=self.time_zone,
            unmet_price_per_kwh=self.unmet_price_per_kwh,
            settings=self.settings.to_domain(),
        )


def problem_from_json(document: object) -> Problem:
    """The problem that a decoded JSON document states.

    Raises `InvalidProblemError` whose `field` is the path of the first error, e.g. ``sessions[2].arrival``.
    """
    try:
        return ProblemIn.model_validate(document).to_domain()
    except ValidationError as refused:
        first = refused.errors(include_url=False)[0]
        field = path_of(first["loc"]) or "problem"
        if first["type"] == "missing":
            raise InvalidProblemError(field, "is missing") from refused
        if first["type"] == "extra_forbidden":
            raise InvalidProblemError(field, "is not a key of version 1") from refused
        shown = repr(first["input"])
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise InvalidProblemError(field, f"{shown}: {first['msg']}") from refused


def problem_to_json(problem: Problem) -> dict[str, Any]:
    """The inverse of `problem_from_json`: moments in UTC, every series spelled out, what is absent left out."""
    horizon = problem.horizon
    document: dict[str, Any] = {
        "version": 1,
        "currency": problem.currency,
        "time_zone": problem.time_zone,
        "start": _text(horizon.start),
        "now": None if horizon.now is None else _text(horizon.now),
        "slot_minutes": horizon.slot_minutes,
        "slots": horizon.slots,
        "connection": _written(problem.connection),
        "circuits": [
            _written(circuit, circuit_id="id") | {"base_load_a": _by_phase(circuit.base_load_a)}
            for circuit in problem.circuits
        ],
        "evses": [_written(evse, evse_id="id", circuit_id="circuit") for evse in problem.evses],
        "sessions": [_session(session) for session in problem.sessions],
        "batteries": [_written(battery, battery_id="id", circuit_id="circuit") for battery in problem.batteries],
        "demand_charges": [_written(charge, charge_id="id") for charge in problem.demand_charges],
        "reservations": [
            _written(reservation, evse_id="evse", circuit_id="circuit")
            | {"current_a": _by_phase(reservation.current_a)}
            for reservation in problem.reservations
        ],
        "base_load_phase_share": list(problem.base_load_phase_share),
        "pv_curtailable": problem.pv_curtailable,
        "carbon_price_per_kg": problem.carbon_price_per_kg,
        "unmet_price_per_kwh": problem.unmet_price_per_kwh,
        "settings": _written(problem.settings),
    }
    document |= {name: _list(getattr(problem, name)) for name in SERIES}
    return {key: value for key, value in document.items() if value is not None}


def _spread(document: Any, series: Sequence[str], slots: int) -> Any:
    """A number in place of one of these series becomes as many as there are slots."""
    if not isinstance(document, Mapping):
        return document
    numbers = {name: document[name] for name in series if type(document.get(name)) in (int, float)}
    return {**document, **{name: [number] * slots for name, number in numbers.items()}}


def _check_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as unknown:
        raise InvalidProblemError("time_zone", f"{name!r} is not a name of the IANA time zone database") from unknown


def _written(item: Any, **renamed: str) -> dict[str, Any]:
    """A dataclass with its fields' names at the edge, without what is None; tuples as lists, as JSON has them."""
    values = {renamed.get(field.name, field.name): getattr(item, field.name) for field in fields(item)}
    return {key: _plain(value) for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return _text(value)
    return _written(value) if is_dataclass(value) else value


def _session(session: Session) -> dict[str, Any]:
    """A belief says its departure and energy in its scenarios alone."""
    written = _written(session, session_id="id", evse_id="evse")
    if session.scenarios:
        del written["departure"], written["required_energy_kwh"]
    return written


def _by_phase(current_a: PhaseCurrents) -> dict[str, float]:
    return dict(zip(PHASES, current_a, strict=True))


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _list(series: tuple[float, ...] | None) -> list[float] | None:
    return None if series is None else list(series)


def _tuple(values: list[T] | None) -> tuple[T, ...] | None:
    return None if values is None else tuple(values)
