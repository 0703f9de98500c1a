"""A problem that uses every part of version 1, and the ways in which it can be wrong."""

import copy
import math
from collections.abc import Callable
from typing import Any

Change = Callable[[dict[str, Any]], object]


def rich() -> dict[str, Any]:
    """Four hours of a site with every kind of item; it can be planned."""
    return copy.deepcopy(_RICH)


def put(path: str, value: object) -> Change:
    """Put `value` at a path such as ``sessions.0.arrival``; keys that are not there are made."""

    def change(document: dict[str, Any]) -> None:
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = document
        for part in above:
            place = place[part]
        place[last] = value

    return change


def drop(path: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = document
        for part in above:
            place = place[part]
        del place[last]

    return change


def twice(name: str) -> Change:
    return lambda document: document[name].append(copy.deepcopy(document[name][0]))


def both(*changes: Change) -> Change:
    def change(document: dict[str, Any]) -> None:
        for one in changes:
            one(document)

    return change


_HOURS = [f"2026-06-01T{hour:02}:00:00+02:00" for hour in range(24)]
_RICH: dict[str, Any] = {
    "version": 1,
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "start": _HOURS[18],
    "now": "2026-06-01T18:05:00+02:00",
    "slot_minutes": 60,
    "slots": 4,
    "connection": {"max_import_kw": 60, "max_export_kw": 30, "max_current_a": 100, "voltage_v": 230},
    "circuits": [
        {"id": "garage", "max_current_a": 63, "base_load_a": {"L1": 2}},
        {"id": "row", "parent": "garage", "max_power_kw": 30},
    ],
    "evses": [
        {"id": "ac1", "circuit": "row", "max_current_a": 16, "efficiency": 0.9, "in_force": {"limit_a": 10}},
        {"id": "ac2", "circuit": "row", "max_current_a": 16, "shared_power": {"group": "twin", "max_current_a": 20}},
        {"id": "ac3", "circuit": "garage", "max_current_a": 16, "shared_power": {"group": "twin", "max_current_a": 20}},
        {"id": "dc", "circuit": "connection", "max_power_kw": 50},
    ],
    "sessions": [
        {
            "id": "van",
            "evse": "ac1",
            "arrival": _HOURS[18],
            "departure": _HOURS[22],
            "soc": 0.4,
            "target_soc": 0.7,
            "capacity_kwh": 40,
            "max_power_kw": 11,
            "vehicle_phases": 3,
            "taper": {"from_soc": 0.8, "zero_at_soc": 1},
            "v2g": {"max_discharge_kw": 5, "floor_energy_kwh": 8, "wear_price_per_kwh": 0.05},
        },
        {
            "id": "guest",
            "evse": "ac2",
            "arrival": _HOURS[18],
            "scenarios": [
                {"probability": 0.5, "departure": _HOURS[20], "required_energy_kwh": 4},
                {"probability": 0.5, "departure": _HOURS[22], "required_energy_kwh": 8},
            ],
        },
        {
            "id": "taxi",
            "evse": "dc",
            "arrival": _HOURS[19],
            "departure": _HOURS[22],
            "required_energy_kwh": 30,
            "floor_energy_kwh": 10,
            "floor_by": _HOURS[20],
            "max_energy_kwh": 40,
            "probability": 0.8,
            "priority": 2,
        },
    ],
    "batteries": [
        {
            "id": "bat",
            "circuit": "garage",
            "capacity_kwh": 20,
            "energy_kwh": 10,
            "min_energy_kwh": 2,
            "final_energy_kwh": 10,
            "max_charge_kw": 5,
            "max_discharge_kw": 5,
            "charge_efficiency": 0.95,
            "discharge_efficiency": 0.95,
            "wear_price_per_kwh": 0.02,
        }
    ],
    "demand_charges": [
        {"id": "month", "price_per_kw": 5, "interval_minutes": 60, "active": [True] * 4, "peak_so_far_kw": 20}
    ],
    "reservations": [{"evse": "ac3", "current_a": {"L1": 6}}],
    "base_load_kw": [8, 7, 6, 6],
    "base_load_high_kw": [10, 9, 8, 8],
    "base_load_low_kw": 5,
    "base_load_phase_share": [0.4, 0.3, 0.3],
    "pv_kw": [3, 2, 1, 0],
    "pv_low_kw": 0,
    "pv_high_kw": 4,
    "pv_curtailable": True,
    "import_price_per_kwh": [0.34, 0.29, 0.21, 0.24],
    "export_price_per_kwh": 0.08,
    "carbon_kg_per_kwh": 0.3,
    "carbon_price_per_kg": 0.05,
    "unmet_price_per_kwh": 1,
    "settings": {"time_limit_s": 20, "preference_budget": 0.001, "skew_s": 60},
}

# what is wrong, how it comes about, the field that is named, a part of the text that names the value
WRONG: list[tuple[str, Change, str, str]] = [
    # kinds of value
    ("text for a number", put("connection.max_import_kw", "60"), "connection.max_import_kw", "60"),
    ("true for a number", put("sessions.2.required_energy_kwh", True), "sessions[2].required_energy_kwh", "true"),
    ("a list for a number", put("batteries.0.capacity_kwh", [20]), "batteries[0].capacity_kwh", "[20]"),
    ("an object for a series", put("import_price_per_kwh", {"all": 1}), "import_price_per_kwh", '"all'),
    ("text for a series", put("pv_kw", "sunny"), "pv_kw", "sunny"),
    ("true for a series", put("base_load_kw", True), "base_load_kw", "true"),
    ("text in a series", put("base_load_kw.2", "6"), "base_load_kw[2]", "6"),
    ("a number for an id", put("evses.0.id", 1), "evses[0].id", "1"),
    ("an empty id", put("circuits.0.id", ""), "circuits[0].id", ""),
    ("an id without end", put("evses.0.id", "x" * 256), "evses[0].id", "xxxx"),
    ("an object for a list", put("sessions", {"van": {}}), "sessions", "van"),
    ("a list for an object", put("connection", []), "connection", "[]"),
    ("text for an item", put("evses.1", "ac2"), "evses[1]", "ac2"),
    ("a whole number for a switch", put("pv_curtailable", 1), "pv_curtailable", "1"),
    ("half a phase", put("sessions.0.vehicle_phases", 1.5), "sessions[0].vehicle_phases", "1.5"),
    ("half a priority", put("sessions.0.priority", 1.5), "sessions[0].priority", "1.5"),
    ("half a slot", put("slots", 4.5), "slots", "4.5"),
    ("another version", put("version", 2), "version", "2"),
    ("a switch that is a number", put("demand_charges.0.active.1", 1), "demand_charges[0].active[1]", "1"),
    # null
    ("null for a limit", put("connection.max_import_kw", None), "connection.max_import_kw", "null"),
    ("null for a series", put("base_load_kw", None), "base_load_kw", "null"),
    ("null in a series", put("import_price_per_kwh.1", None), "import_price_per_kwh[1]", "null"),
    ("null for an energy", put("sessions.2.required_energy_kwh", None), "sessions[2].required_energy_kwh", "null"),
    ("null for now", put("now", None), "now", "null"),
    ("null for a departure", put("sessions.2.departure", None), "sessions[2].departure", "null"),
    ("null for a state of charge", put("sessions.0.soc", None), "sessions[0].soc", "null"),
    ("null for all sessions", put("sessions", None), "sessions", "null"),
    # not a number
    ("NaN for a limit", put("circuits.0.max_current_a", math.nan), "circuits[0].max_current_a", "NaN"),
    ("infinity for a limit", put("connection.max_export_kw", math.inf), "connection.max_export_kw", "Infinity"),
    ("minus infinity for a price", put("export_price_per_kwh", -math.inf), "export_price_per_kwh[0]", "-Infinity"),
    ("NaN in a series", put("base_load_high_kw.3", math.nan), "base_load_high_kw[3]", "NaN"),
    ("a number that solvers take for infinity", put("evses.3.max_power_kw", 1e30), "evses[3].max_power_kw", "1e+30"),
    ("an integer without a float", put("connection.max_import_kw", 10**400), "connection.max_import_kw", "53 bits"),
    # missing and unknown
    ("no prices", drop("import_price_per_kwh"), "import_price_per_kwh", "missing"),
    ("no arrival", drop("sessions.2.arrival"), "sessions[2].arrival", "missing"),
    ("no departure and no belief", drop("sessions.2.departure"), "sessions[taxi].departure", "missing"),
    ("no need at all", drop("sessions.2.required_energy_kwh"), "sessions[taxi].required_energy_kwh", "missing"),
    ("an unknown key", put("colour", "blue"), "colour", "blue"),
    ("an unknown key of an EVSE", put("evses.0.power", 11), "evses[0].power", "11"),
    ("an unknown setting", put("settings.threads", 2), "settings.threads", "2"),
    ("an unknown phase of a current", put("reservations.0.current_a.N", 6), "reservations[0].current_a.N", "6"),
    ("an EVSE without any limit", drop("evses.3.max_power_kw"), "evses[dc]", "neither max_current_a nor max_power_kw"),
    ("a target without a state of charge", drop("sessions.0.soc"), "sessions[van].", "needs soc and capacity_kwh"),
    ("beliefs without a price", drop("unmet_price_per_kwh"), "unmet_price_per_kwh", "sessions[guest] has scenarios"),
    # lengths
    ("a series that is too short", put("pv_kw", [1, 2]), "pv_kw", "2 values, the horizon has 4"),
    ("a series that is too long", put("base_load_kw", [1] * 5), "base_load_kw", "5 values, the horizon has 4"),
    ("an empty series", put("carbon_kg_per_kwh", []), "carbon_kg_per_kwh", "0 values, the horizon has 4"),
    ("a demand charge with too few switches", put("demand_charges.0.active", [True]),
     "demand_charges[month].active", "1 values, the horizon has 4"),
    ("two phase shares", put("base_load_phase_share", [0.5, 0.5]), "base_load_phase_share", "0.5"),
    ("no slots", put("slots", 0), "slots", "0"),
    ("more than a week", put("slots", 2029), "slots", "2029"),
    ("slots of seven minutes", put("slot_minutes", 7), "slot_minutes", "7"),
    # times
    ("a time without an offset", put("start", "2026-06-01T18:00:00"), "start", "2026-06-01T18:00:00"),
    ("a time as a number", put("sessions.0.arrival", 1780333200), "sessions[0].arrival", "1780333200"),
    ("a day that does not exist", put("sessions.0.departure", "2026-06-31T00:00:00Z"), "sessions[0].departure",
     "2026-06-31"),
    ("a year without end", put("start", "9999-12-31T23:59:59-14:00"), "start", "9999"),
    ("a departure before the arrival", put("sessions.2.departure", _HOURS[18]), "sessions[taxi].departure",
     "2026-06-01T16:00:00"),
    ("a departure at the arrival", put("sessions.2.departure", _HOURS[19]), "sessions[taxi].departure",
     "2026-06-01T17:00:00"),
    ("a belief that leaves before it comes", put("sessions.1.scenarios.0.departure", _HOURS[17]),
     "sessions[guest].scenarios[0].departure", "2026-06-01T15:00:00"),
    ("a floor before the arrival", put("sessions.2.floor_by", _HOURS[18]), "sessions[taxi].floor_by",
     "2026-06-01T16:00:00"),
    ("now after the horizon", put("now", _HOURS[23]), "now", "2026-06-01T21:00:00"),
    ("no such time zone", put("time_zone", "Europe/Atlantis"), "time_zone", "Europe/Atlantis"),
    ("a time zone that is a path", put("time_zone", "../etc/passwd"), "time_zone", "../etc/passwd"),
    # signs and ranges
    ("a negative limit", put("connection.max_current_a", -1), "connection.max_current_a", "-1"),
    ("a negative load", put("base_load_kw.0", -0.5), "base_load_kw[0]", "-0.5"),
    ("negative PV", put("pv_kw.0", -3), "pv_kw[0]", "-3"),
    ("a negative need", put("sessions.2.required_energy_kwh", -30), "sessions[2].required_energy_kwh", "-30"),
    ("a negative time limit", put("settings.time_limit_s", -1), "settings.time_limit_s", "-1"),
    ("no voltage", put("connection.voltage_v", 0), "connection.voltage_v", "0"),
    ("steps of nothing", put("evses.0.current_step_a", 0), "evses[0].current_step_a", "0"),
    ("an efficiency above 1", put("evses.0.efficiency", 1.1), "evses[0].efficiency", "1.1"),
    ("a battery without losses upside down", put("batteries.0.charge_efficiency", 0), "batteries[0].charge_efficiency",
     "0"),
    ("a battery that holds too much", put("batteries.0.energy_kwh", 21), "batteries[bat].energy_kwh", "21"),
    ("a battery that ends above its capacity", put("batteries.0.final_energy_kwh", 25),
     "batteries[bat].final_energy_kwh", "25"),
    ("a state of charge above 1", put("sessions.0.soc", 40), "sessions[0].soc", "40"),
    ("a target below 0", put("sessions.0.target_soc", -0.1), "sessions[0].target_soc", "-0.1"),
    ("a probability of 0", put("sessions.2.probability", 0), "sessions[2].probability", "0"),
    ("a probability above 1", put("sessions.1.scenarios.0.probability", 1.5), "sessions[1].scenarios[0].probability",
     "1.5"),
    ("probabilities that do not add up", put("sessions.1.scenarios.0.probability", 0.4), "sessions[guest].scenarios",
     "0.9"),
    ("a taper that runs backwards", put("sessions.0.taper", {"from_soc": 0.9, "zero_at_soc": 0.5}),
     "sessions[van].taper", "0.9"),
    ("a floor above the need", put("sessions.2.floor_energy_kwh", 31), "sessions[taxi].floor_energy_kwh", "31"),
    ("a floor without a time", drop("sessions.2.floor_by"), "sessions[taxi].floor_by", "missing"),
    ("more room than energy", put("sessions.2.max_energy_kwh", 29), "sessions[taxi].max_energy_kwh", "29"),
    ("a need that does not fit into the vehicle",
     both(drop("sessions.0.target_soc"), put("sessions.0.required_energy_kwh", 30)),
     "sessions[van].required_energy_kwh", "30"),
    ("priority 0", put("sessions.0.priority", 0), "sessions[0].priority", "0"),
    ("a fourth phase", put("evses.0.phases", ["L1", "L4"]), "evses[0].phases[1]", "L4"),
    ("a phase twice", put("evses.0.phases", ["L1", "L1"]), "evses[ac1].phases", "L1"),
    ("no phase", put("evses.0.phases", []), "evses[0].phases", "[]"),
    ("phase shares that do not add up", put("base_load_phase_share", [0.5, 0.5, 0.5]), "base_load_phase_share", "0.5"),
    ("an interval of 20 minutes", put("demand_charges.0.interval_minutes", 20), "demand_charges[0].interval_minutes",
     "20"),
    ("an interval shorter than a slot", put("demand_charges.0.interval_minutes", 15),
     "demand_charges[month].interval_minutes", "15"),
    ("a shared supply of two sizes", put("evses.2.shared_power.max_current_a", 25),
     "evses[ac3].shared_power.max_current_a", "25"),
    # what refers to something
    ("a cap of the wrong length", put("circuits.0.power_cap_kw", [1.0]), "circuits[garage].power_cap_kw", "1 values"),
    ("a cap below 0", put("circuits.0.power_cap_kw", -1), "circuits[0].power_cap_kw[0]", "-1"),
    ("a circuit that is its own parent", put("circuits.0.parent", "garage"), "circuits[garage].parent", "garage"),
    ("circuits in a loop", put("circuits.0.parent", "row"), "circuits[garage].parent", "loop"),
    ("an unknown parent", put("circuits.1.parent", "attic"), "circuits[row].parent", "attic"),
    ("an EVSE on an unknown circuit", put("evses.0.circuit", "attic"), "evses[ac1].circuit", "attic"),
    ("a session at an unknown EVSE", put("sessions.0.evse", "ac9"), "sessions[van].evse", "ac9"),
    ("a battery on an unknown circuit", put("batteries.0.circuit", "attic"), "batteries[bat].circuit", "attic"),
    ("a reservation of an unknown EVSE", put("reservations.0.evse", "ac9"), "reservations[].evse", "ac9"),
    ("a reservation of two things", put("reservations.0.circuit", "row"), "reservations[]", "either evse or circuit"),
    ("a circuit called connection", put("circuits.1.id", "connection"), "circuits[connection]", "connection"),
    ("a circuit twice", twice("circuits"), "circuits", "garage"),
    ("an EVSE twice", twice("evses"), "evses", "ac1"),
    ("a session twice", twice("sessions"), "sessions", "van"),
    ("a battery twice", twice("batteries"), "batteries", "bat"),
    ("a demand charge twice", twice("demand_charges"), "demand_charges", "month"),
    # what contradicts itself
    ("a need said in two ways", put("sessions.0.required_energy_kwh", 5), "sessions[van].target_soc",
     "one of them"),
    ("a departure beside a belief", put("sessions.1.departure", _HOURS[22]), "sessions[guest].departure", "scenarios"),
    ("two stays at once", put("sessions.1.evse", "ac1"), "sessions[", "ac1"),
]  # fmt: skip
