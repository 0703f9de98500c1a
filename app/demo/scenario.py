"""The demo's site and day: fixed, seeded, and built from real sessions and real prices (see data/ATTRIBUTION.md)."""

import csv
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files

import numpy as np

from app.demo.car import Car, Vehicle
from app.demo.profiles_held import Capability
from app.demo.station import StationSpec
from app.demo.world import World, make_world
from app.site import ChargingStationDocument, EvseDocument, Site, evse_key
from optimizer.domain import Phase

DAY = date(2025, 9, 30)  # a Tuesday, and the day of the prices
HISTORY_DAYS = 28
SEED = 7
QUARTER = timedelta(minutes=15)

ROTATIONS: tuple[tuple[Phase, Phase, Phase], ...] = (("L1", "L2", "L3"), ("L2", "L3", "L1"), ("L3", "L1", "L2"))
CAPABILITIES = (
    Capability(units=("A", "W"), max_periods=24),
    Capability(units=("A",), max_periods=6, max_stack_level=2, max_profiles=4),
    Capability(units=("W",), max_periods=48, max_profiles=10),
    Capability(units=("A", "W"), max_periods=10),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One car's stay: what its driver said (`stated_departure`, `asked_kwh`) and what happens (the rest)."""

    session_id: str
    station_id: str
    evse_id: int
    id_tag: str
    vehicle: Vehicle
    arrival: datetime
    departure: datetime
    stated_departure: datetime
    asked_kwh: float
    room_kwh: float  # what the battery really takes
    vehicle_told: bool  # whether the driver names phases and power

    @property
    def outlet(self) -> str:
        return evse_key(self.station_id, self.evse_id)

    def car(self) -> Car:
        return Car(self.vehicle, self.room_kwh)


@dataclass(frozen=True, slots=True)
class Prices:
    """Day-ahead prices of one local day, EUR/MWh per quarter of an hour from `start` (aware UTC) on."""

    start: datetime
    eur_per_mwh: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that happens. `start` and `end` are local midnights, aware UTC."""

    site: Site
    stations: tuple[StationSpec, ...]
    visits: tuple[Visit, ...]
    prices: tuple[Prices, ...]  # of the day and of the next, which is published at 13:00
    world: World
    start: datetime
    end: datetime

    def import_price_per_kwh(self) -> tuple[float, ...]:
        """EUR/kWh per quarter of an hour from `start` to `end`, surcharge included."""
        surcharge = self.site.tariff.surcharge_per_kwh if self.site.tariff.kind == "series" else 0.0
        quarters = int((self.end - self.start) / QUARTER)
        return tuple(price / 1000 + surcharge for price in self.prices[0].eur_per_mwh[:quarters])

    def cut(self, hours: float) -> "Scenario":
        """Only the first hours of the day (whole quarters), and the cars that have left by then."""
        end = self.start + QUARTER * int(hours * 4)
        return replace(self, end=end, visits=tuple(visit for visit in self.visits if visit.departure <= end))


def build_scenario(seed: int = SEED, day: date = DAY, *, days: int = 1) -> Scenario:
    """The same day for the same seed; `days` more or fewer only change how far the world reaches."""
    site = demo_site()
    start, end = _midnight(site, day), _midnight(site, day + timedelta(days=1))
    return Scenario(
        site=site,
        stations=tuple(
            _station_spec(number, station.id, seed) for number, station in enumerate(site.charging_stations)
        ),
        visits=_visits(site, day),
        prices=(prices_of(site, day, 0), prices_of(site, day + timedelta(days=1), 1)),
        world=make_world(site, day - timedelta(days=HISTORY_DAYS), HISTORY_DAYS + days, seed),
        start=start,
        end=end,
    )


def moved(visits: tuple[Visit, ...], by: timedelta) -> tuple[Visit, ...]:
    return tuple(
        replace(
            visit,
            arrival=visit.arrival + by,
            departure=visit.departure + by,
            stated_departure=visit.stated_departure + by,
        )
        for visit in visits
    )


def demo_site() -> Site:
    """Twelve EVSEs in two rows of 80 A and 63 A under one connection, an office and its roof."""
    return Site.model_validate(
        {
            "id": "demo",
            "name": "Demo office, Freiburg",
            "time_zone": "Europe/Berlin",
            "latitude": 47.99,
            "longitude": 7.85,
            "country": "DE",
            "currency": "EUR",
            "connection": {"max_import_kw": 125, "max_current_a": 200},
            "circuits": [{"id": "row-a", "max_current_a": 80}, {"id": "row-b", "max_current_a": 63}],
            "charging_stations": [_station(number) for number in range(12)],
            "pv_arrays": [
                {"id": "roof-south", "peak_kw": 38, "tilt_deg": 20, "azimuth_deg": 170, "inverter_kw": 33},
                {"id": "roof-west", "peak_kw": 22, "tilt_deg": 12, "azimuth_deg": 255, "inverter_kw": 20},
            ],
            "meters": [{"id": "building", "measures": "base_load"}, {"id": "pv", "measures": "pv"}],
            "tariff": {"kind": "series", "surcharge_per_kwh": 0.08, "export_price_per_kwh": 0.05},
            "base_load": {"annual_energy_kwh": 220_000, "max_kw": 65},
            "session_defaults": {"wishes_bind": False},  # its drivers leave hours before they said, as real ones do
        }
    )


def _station(number: int) -> ChargingStationDocument:
    evse = EvseDocument.model_validate(
        {"id": 1, "circuit": "row-a" if number < 6 else "row-b", "phases": ROTATIONS[number % 3], "max_current_a": 32}
    )
    return ChargingStationDocument(id=f"cs{number + 1:02d}", evses=(evse,), max_profile_periods=None)


def _station_spec(number: int, station_id: str, seed: int) -> StationSpec:
    offset_s = float(np.random.default_rng((seed, number)).uniform(-5, 5))
    return StationSpec(
        station_id=station_id,
        password=f"{station_id}-demo-password",
        vendor=("Rhein", "Elbe", "Donau", "Isar")[number % 4],
        capability=CAPABILITIES[number % 4],
        clock_offset_s=round(offset_s, 1),
        seed=seed,
    )


def _visits(site: Site, day: date) -> tuple[Visit, ...]:
    visits = []
    for row in _rows("sessions.csv"):

        def local(column: str, row: dict[str, str] = row) -> datetime:
            return datetime.combine(day, time.fromisoformat(row[column]), site.zone).astimezone(UTC)

        phases, current_a = int(row["vehicle_phases"]), float(row["vehicle_max_current_a"])
        visits.append(
            Visit(
                session_id=row["session_id"],
                station_id=row["station_id"],
                evse_id=1,
                id_tag=f"demo-{row['session_id']}",
                vehicle=Vehicle(f"{phases}×{current_a:.0f} A", phases, current_a, float(row["vehicle_capacity_kwh"])),
                arrival=local("arrival"),
                departure=local("departure"),
                stated_departure=local("stated_departure"),
                asked_kwh=float(row["requested_kwh"]),
                room_kwh=float(row["energy_kwh"]),
                vehicle_told=row["vehicle_told"] == "yes",
            )
        )
    return tuple(visits)


def prices_of(site: Site, day: date, which: int) -> Prices:
    """The `which`-th of the two published days, laid on `day` by its local clock.

    A day of 23 or 25 hours has its own length.
    """
    published: dict[str, dict[time, float]] = {}
    for row in _rows("day_ahead_prices.csv"):
        published.setdefault(row["day"], {})[time.fromisoformat(row["local_start"])] = float(row["eur_per_mwh"])
    table = list(published.values())[which]
    start, end = _midnight(site, day), _midnight(site, day + timedelta(days=1))
    quarters = [
        (start + QUARTER * number).astimezone(site.zone).time() for number in range(int((end - start) / QUARTER))
    ]
    return Prices(start, tuple(table.get(quarter, table[quarter.replace(minute=0)]) for quarter in quarters))


def _midnight(site: Site, day: date) -> datetime:
    return datetime.combine(day, time(), site.zone).astimezone(UTC)


def _rows(name: str) -> list[dict[str, str]]:
    with files("app.demo").joinpath("data", name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
