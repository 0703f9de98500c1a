"""Builders of small problems: every argument has a default, so that a test names only what it is about.

``a_problem(prices=[0.30, 0.10], sessions=[a_session(required_energy_kwh=11, hours=2)])`` is a site with one EVSE
("evse-1", 16 A, three phases, so 11.04 kW) on an unlimited connection and hourly slots from `START`.
`problems()` draws whole sites for property tests.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from optimizer.domain import (
    PHASES,
    Battery,
    Circuit,
    Connection,
    DemandCharge,
    Evse,
    Horizon,
    InForce,
    Phase,
    Problem,
    Reservation,
    Scenario,
    Series,
    Session,
    Settings,
    SharedPower,
    Taper,
    VehicleToGrid,
)

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday, midnight, no clock change near
ROTATIONS: tuple[tuple[Phase, ...], ...] = (
    PHASES,
    ("L2", "L3", "L1"),
    ("L3", "L1", "L2"),
    ("L2",),
    ("L3", "L1"),
)


def a_series(value: float | Sequence[float], slots: int) -> Series:
    """One value in every slot, or the values as they are."""
    if isinstance(value, int | float):
        return (float(value),) * slots
    return tuple(float(item) for item in value)


def an_evse(
    evse_id: str = "evse-1",
    *,
    circuit_id: str = "connection",
    max_current_a: float | None = 16,
    **more: Any,
) -> Evse:
    """16 A on three phases by default. For DC: ``max_current_a=None, max_power_kw=50``."""
    return Evse(evse_id=evse_id, circuit_id=circuit_id, max_current_a=max_current_a, **more)


def a_session(
    session_id: str = "tx-1",
    *,
    evse_id: str = "evse-1",
    after_hours: float = 0,
    hours: float = 3,
    required_energy_kwh: float = 11.04,
    vehicle_phases: int | None = 3,
    start: datetime = START,
    **more: Any,
) -> Session:
    """Arrives `after_hours` after `start` and stays for `hours`; a three-phase vehicle by default."""
    arrival = more.pop("arrival", start + timedelta(hours=after_hours))
    departure = more.pop("departure", arrival + timedelta(hours=hours))
    return Session(
        session_id=session_id,
        evse_id=evse_id,
        arrival=arrival,
        departure=departure,
        required_energy_kwh=required_energy_kwh,
        vehicle_phases=vehicle_phases,
        **more,
    )


def a_battery(battery_id: str = "battery-1", **more: Any) -> Battery:
    """10 kWh, half full, 5 kW each way, without losses or wear."""
    default: dict[str, Any] = {"capacity_kwh": 10, "energy_kwh": 5, "max_charge_kw": 5, "max_discharge_kw": 5}
    return Battery(battery_id=battery_id, **(default | more))


def a_problem(
    *,
    prices: float | Sequence[float] = (0.30, 0.10, 0.40),
    export_prices: float | Sequence[float] = 0.0,
    slots: int | None = None,
    slot_minutes: int = 60,
    start: datetime = START,
    now: datetime | None = None,
    connection: Connection | None = None,
    circuits: Sequence[Circuit] = (),
    evses: Sequence[Evse] | None = None,
    sessions: Sequence[Session] = (),
    base_load_kw: float | Sequence[float] = 0.0,
    pv_kw: float | Sequence[float] = 0.0,
    batteries: Sequence[Battery] = (),
    demand_charges: Sequence[DemandCharge] = (),
    reservations: Sequence[Reservation] = (),
    settings: Settings | None = None,
    **more: Any,
) -> Problem:
    """As many slots as `prices` has values unless `slots` is given; a number stands for every slot.

    `evses` defaults to one EVSE of 16 A for each id that the sessions name, else "evse-1".
    Without quantiles the base load is certain here: `base_load_high_kw` and `base_load_low_kw` equal `base_load_kw`.
    """
    if slots is None:
        slots = 24 if isinstance(prices, int | float) else len(prices)
    if evses is None:
        evses = [an_evse(evse_id) for evse_id in dict.fromkeys(session.evse_id for session in sessions)] or [an_evse()]
    base_load = a_series(base_load_kw, slots)
    optional: dict[str, Any] = {"base_load_high_kw": base_load, "base_load_low_kw": base_load} | more
    for name in ("base_load_high_kw", "base_load_low_kw", "pv_low_kw", "pv_high_kw", "carbon_kg_per_kwh"):
        if optional.get(name) is not None:
            optional[name] = a_series(optional[name], slots)
    return Problem(
        horizon=Horizon(start=start, slot_minutes=slot_minutes, slots=slots, now=now),
        connection=connection or Connection(),
        circuits=tuple(circuits),
        evses=tuple(evses),
        sessions=tuple(sessions),
        base_load_kw=base_load,
        import_price_per_kwh=a_series(prices, slots),
        export_price_per_kwh=a_series(export_prices, slots),
        pv_kw=a_series(pv_kw, slots),
        batteries=tuple(batteries),
        demand_charges=tuple(demand_charges),
        reservations=tuple(reservations),
        settings=settings or Settings(),
        **optional,
    )


def series(slots: int, low: float, high: float) -> st.SearchStrategy[Series]:
    """A series of `slots` values in [low, high] with at most three decimals, so that a failing example can be read."""
    value = st.integers(round(low * 1000), round(high * 1000)).map(lambda thousandths: thousandths / 1000)
    return st.lists(value, min_size=slots, max_size=slots).map(tuple)


@st.composite
def problems(draw: st.DrawFn, *, max_slots: int = 16, max_evses: int = 4) -> Problem:
    """Small sites with everything that issue A knows: nested fuses, rotations, unknown vehicles, partial slots, ...

    Base load may lie above the fuse and needs may be out of reach: such problems have an answer too.
    """
    slot_minutes = draw(st.sampled_from((5, 15, 30, 60)))
    slots = draw(st.integers(2, max_slots))
    span = timedelta(minutes=slot_minutes) * slots
    start = START + timedelta(minutes=5) * draw(st.integers(0, 11))
    now = (
        None if draw(st.booleans()) else start + timedelta(seconds=draw(st.integers(0, int(span.total_seconds()) - 1)))
    )
    circuits = _circuits(draw)
    homes = ("connection", *(circuit.circuit_id for circuit in circuits))
    evses = tuple(_evse(draw, number, homes) for number in range(draw(st.integers(1, max_evses))))
    sessions = tuple(session for evse in evses for session in _sessions(draw, evse, start, span))
    base_load = draw(series(slots, 0, 30))
    limit_kw = st.none() | st.integers(0, 60)
    price = draw(st.sampled_from(("spot", "flat", "export pays more")))
    import_price = draw(series(slots, -0.2, 0.5)) if price != "flat" else (0.3,) * slots
    return Problem(
        horizon=Horizon(start=start, slot_minutes=slot_minutes, slots=slots, now=now),
        connection=Connection(
            max_import_kw=draw(limit_kw),
            max_export_kw=draw(limit_kw),
            max_current_a=draw(st.none() | st.integers(20, 100)),
        ),
        circuits=circuits,
        evses=evses,
        sessions=sessions,
        base_load_kw=base_load,
        base_load_high_kw=draw(st.none() | st.just(tuple(value * 1.3 for value in base_load))),
        base_load_low_kw=draw(st.none() | st.just(tuple(value * 0.5 for value in base_load))),
        base_load_phase_share=draw(st.sampled_from(((1 / 3, 1 / 3, 1 / 3), (0.5, 0.25, 0.25)))),
        import_price_per_kwh=import_price,
        export_price_per_kwh=tuple(value + (0.05 if price == "export pays more" else -0.05) for value in import_price),
        pv_kw=draw(st.just((0.0,) * slots) | series(slots, 0, 40)),
        pv_curtailable=draw(st.booleans()),
        batteries=_batteries(draw, homes),
        demand_charges=_demand_charges(draw, slots, slot_minutes),
        reservations=_reservations(draw, evses, homes),
        time_zone=draw(st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kolkata"))),
    )


@st.composite
def rich_problems(draw: st.DrawFn, *, max_slots: int = 12, max_evses: int = 3) -> Problem:
    """Sites of `problems()` with what a vehicle, a belief and a station can say on top."""
    problem = draw(problems(max_slots=max_slots, max_evses=max_evses))
    shared = draw(st.none() | st.sampled_from((10.0, 20.0)).map(lambda limit_a: SharedPower("station", limit_a)))
    evses = tuple(_richer_evse(draw, evse, shared) for evse in problem.evses)
    by_id = {evse.evse_id: evse for evse in evses}
    sessions = tuple(_richer_session(draw, session, by_id[session.evse_id]) for session in problem.sessions)
    cap_kw = draw(st.none() | st.sampled_from((0.0, 5.0, 15.0)))
    if cap_kw is not None and problem.circuits:
        hours = tuple(cap_kw if slot % 3 else 60.0 for slot in range(problem.horizon.slots))
        first, *others = problem.circuits
        problem = replace(problem, circuits=(replace(first, power_cap_kw=hours), *others))
    return replace(problem, evses=evses, sessions=sessions, unmet_price_per_kwh=draw(st.sampled_from((0.2, 1.0))))


def _richer_evse(draw: st.DrawFn, evse: Evse, shared: SharedPower | None) -> Evse:
    limit_a = draw(st.none() | st.sampled_from((0.0, 7.0, 32.0)))
    return replace(
        evse,
        efficiency=draw(st.sampled_from((1.0, 0.9))),
        shared_power=draw(st.sampled_from((None, shared))),
        in_force=None if limit_a is None else InForce(limit_a, verified=draw(st.booleans())),
    )


def _richer_session(draw: st.DrawFn, session: Session, evse: Evse) -> Session:
    kind = draw(st.sampled_from(("plain", "belief", "floor", "more", "expected")))
    span = session.departure - session.arrival
    if kind == "belief":
        early = Scenario(0.25, session.arrival + span / 3, session.required_energy_kwh / 2)
        session = replace(session, scenarios=(early, Scenario(0.75, session.departure, session.required_energy_kwh)))
    elif kind == "floor":
        by = session.arrival + span * draw(st.sampled_from((0.3, 0.7, 1.0)))
        session = replace(session, floor_energy_kwh=session.required_energy_kwh / 2, floor_by=by)
    elif kind == "more":
        session = replace(session, max_energy_kwh=session.required_energy_kwh + 5)
    elif kind == "expected":
        session = replace(session, probability=0.4)
    vehicle = draw(st.sampled_from(("unknown", "unknown", "taper", "v2g", "both")))
    if vehicle == "unknown":
        return session
    soc = draw(st.sampled_from((0.2, 0.6, 0.85)))
    fits_kwh = session.max_energy_kwh or session.required_energy_kwh
    return replace(
        session,
        soc=soc,
        capacity_kwh=max(fits_kwh * evse.efficiency / (1 - soc) * draw(st.sampled_from((1.0, 3.0))), 5.0),
        taper=Taper(0.7, draw(st.sampled_from((0.95, 1.0)))) if vehicle in ("taper", "both") else None,
        v2g=VehicleToGrid(6.0, draw(st.sampled_from((0.0, 10.0))), 0.02) if vehicle in ("v2g", "both") else None,
    )


def _circuits(draw: st.DrawFn) -> tuple[Circuit, ...]:
    circuits: list[Circuit] = []
    for number in range(draw(st.integers(0, 3))):
        above = [None, *(circuit.circuit_id for circuit in circuits)]
        circuits.append(
            Circuit(
                circuit_id=f"circuit-{number + 1}",
                parent=draw(st.sampled_from(above)),
                max_power_kw=draw(st.none() | st.integers(2, 40)),
                max_current_a=draw(st.none() | st.integers(4, 80)),
                base_load_a=draw(st.sampled_from(((0.0, 0.0, 0.0), (3.0, 0.0, 1.5)))),
            )
        )
    return tuple(circuits)


def _evse(draw: st.DrawFn, number: int, homes: Sequence[str]) -> Evse:
    evse_id, circuit_id = f"evse-{number + 1}", draw(st.sampled_from(homes))
    if draw(st.integers(0, 4)) == 0:
        return Evse(evse_id=evse_id, circuit_id=circuit_id, max_power_kw=draw(st.sampled_from((22.5, 50.0))))
    return Evse(
        evse_id=evse_id,
        circuit_id=circuit_id,
        phases=draw(st.sampled_from(ROTATIONS)),
        max_current_a=draw(st.sampled_from((10.0, 16.0, 32.0))),
        max_power_kw=draw(st.sampled_from((None, None, 9.0))),
        min_current_a=draw(st.sampled_from((6.0, 6.0, 8.0, 0.0))),
        current_step_a=draw(st.sampled_from((0.1, 0.1, 1.0))),
    )


def _sessions(draw: st.DrawFn, evse: Evse, start: datetime, span: timedelta) -> list[Session]:
    """Up to two stays, one after the other, that may begin before the horizon and end after it."""
    seconds = int(span.total_seconds())
    moments = sorted(draw(st.lists(st.integers(-seconds // 4, seconds * 5 // 4), max_size=4, unique=True)))
    return [
        Session(
            session_id=f"{evse.evse_id}-tx-{number + 1}",
            evse_id=evse.evse_id,
            arrival=start + timedelta(seconds=arrival),
            departure=start + timedelta(seconds=departure),
            required_energy_kwh=draw(st.integers(0, 400)) / 10,
            max_power_kw=draw(st.sampled_from((None, 3.7, 7.36, 11.0))),
            vehicle_phases=draw(st.sampled_from((None, 1, 2, 3))),
            priority=draw(st.integers(1, 2)),
            min_current_a=draw(st.sampled_from((None, None, 7.0))),
        )
        for number, (arrival, departure) in enumerate(zip(moments[::2], moments[1::2], strict=False))
    ]


def _batteries(draw: st.DrawFn, homes: Sequence[str]) -> tuple[Battery, ...]:
    if not draw(st.booleans()):
        return ()
    return (
        Battery(
            battery_id="battery-1",
            capacity_kwh=20,
            energy_kwh=draw(st.integers(0, 20)),
            min_energy_kwh=draw(st.sampled_from((0.0, 4.0))),
            final_energy_kwh=draw(st.sampled_from((None, 4.0, 20.0))),
            max_charge_kw=10,
            max_discharge_kw=8,
            charge_efficiency=0.95,
            discharge_efficiency=0.9,
            wear_price_per_kwh=draw(st.sampled_from((0.0, 0.02))),
            circuit_id=draw(st.none() | st.sampled_from(homes)),
            controllable=draw(st.integers(0, 4)) > 0,
        ),
    )


def _demand_charges(draw: st.DrawFn, slots: int, slot_minutes: int) -> tuple[DemandCharge, ...]:
    if not draw(st.booleans()):
        return ()
    charge = DemandCharge(
        charge_id="month",
        price_per_kw=draw(st.sampled_from((0.5, 4.5))),
        interval_minutes=draw(st.sampled_from([minutes for minutes in (15, 30, 60) if minutes >= slot_minutes])),
        peak_so_far_kw=draw(st.integers(0, 30)),
        expected_peak_kw=draw(st.sampled_from((0.0, 15.0))),
        interval_energy_so_far_kwh=draw(st.sampled_from((0.0, 2.0))),
    )
    active = draw(st.none() | st.lists(st.booleans(), min_size=slots, max_size=slots).map(tuple))
    return (replace(charge, active=active),)


def _reservations(draw: st.DrawFn, evses: Sequence[Evse], homes: Sequence[str]) -> tuple[Reservation, ...]:
    where = draw(st.sampled_from(("nowhere", "nowhere", "evse", "circuit")))
    if where == "evse":
        return (Reservation(current_a=(6.0, 6.0, 6.0), evse_id=draw(st.sampled_from(evses)).evse_id),)
    if where == "circuit":
        return (Reservation(current_a=(0.0, 10.0, 0.0), circuit_id=draw(st.sampled_from(homes))),)
    return ()
