"""An oracle for one kind of problem: a mixed-integer program written from the JSON alone, with nothing of `optimizer`.

``python -m tests.app.oracle FILE SECONDS`` prints the bound and the best plan that a long search finds. It knows what
`example_problem.json` uses: one AC stay per EVSE, batteries at the connection, one demand charge on slots of its own
interval, no sessions that are expected, no beliefs.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

PHASES = ("L1", "L2", "L3")


def solve(document: dict[str, Any], seconds: float) -> tuple[float, float]:
    """(bound, cost of the best plan found), currency over the horizon; current is 0 or at least the minimum.

    Steps of current are left out, which can only make the bound lower; energy may exceed a need by one step.
    """
    import pulp

    d, slots, hours = document, range(document["slots"]), document["slot_minutes"] / 60
    volt = d["connection"]["voltage_v"] / 1000
    base, high, pv = d["base_load_kw"], d["base_load_high_kw"], d["pv_kw"]
    low = [0.8 * kw for kw in base]
    model = pulp.LpProblem("oracle", pulp.LpMinimize)

    def var(name: str, upper: float | None = None, cat: str = "Continuous") -> Any:
        return model.add_variable(name, 0, upper, cat)

    bought = [var(f"import_{t}", d["connection"]["max_import_kw"]) for t in slots]
    sold = [var(f"export_{t}", d["connection"]["max_export_kw"]) for t in slots]
    curtailed = [var(f"curtail_{t}", pv[t] if d["pv_curtailable"] else 0) for t in slots]
    peak = var("peak")
    start, circuits = datetime.fromisoformat(d["start"]), {one["id"]: one for one in d["circuits"]}
    amps: dict[tuple[str, str, int], list[Any]] = {}  # circuit, phase, slot
    drawn_kw: list[list[Any]] = [[] for _ in slots]  # while present
    mean_kw: list[list[Any]] = [[] for _ in slots]
    for number, session in enumerate(d["sessions"]):
        evse = next(one for one in d["evses"] if one["id"] == session["evse"])
        wires = evse["phases"][: session["vehicle_phases"]]
        kw_per_a = len(wires) * volt
        most_a = min(evse["max_current_a"], session["max_power_kw"] / kw_per_a)
        begin, end = (
            (datetime.fromisoformat(session[key]) - start).total_seconds() / 3600 for key in ("arrival", "departure")
        )
        energy = []
        for t in slots:
            present_h = min(end, (t + 1) * hours) - max(begin, t * hours)
            if present_h <= 0:
                continue
            current, on = var(f"a_{number}_{t}", most_a), var(f"on_{number}_{t}", 1, "Binary")
            model += current <= most_a * on
            model += current >= evse["min_current_a"] * on
            energy.append(current * kw_per_a * present_h)
            drawn_kw[t].append(current * kw_per_a)
            mean_kw[t].append(current * kw_per_a * present_h / hours)
            circuit: str | None = evse["circuit"]
            while circuit is not None:
                for phase in wires:
                    amps.setdefault((circuit, phase, t), []).append(current)
                circuit = circuits[circuit]["parent"] if circuit in circuits else None
            for phase in wires:
                amps.setdefault(("connection", phase, t), []).append(current)
        model += pulp.lpSum(energy) >= session["required_energy_kwh"]
        model += pulp.lpSum(energy) <= session["required_energy_kwh"] + evse["current_step_a"] * kw_per_a * hours
    wear = []
    charged, given = [[] for _ in slots], [[] for _ in slots]  # type: list[list[Any]], list[list[Any]]
    for number, battery in enumerate(d["batteries"]):
        held: Any = battery["energy_kwh"]
        for t in slots:
            into = var(f"into_{number}_{t}", battery["max_charge_kw"])
            out = var(f"out_{number}_{t}", battery["max_discharge_kw"])
            store = var(f"store_{number}_{t}", 1, "Binary")
            model += into <= battery["max_charge_kw"] * store
            model += out <= battery["max_discharge_kw"] * (1 - store)
            after = var(f"held_{number}_{t}", battery["capacity_kwh"])
            model += after >= battery["min_energy_kwh"]
            gained = battery["charge_efficiency"] * into - out / battery["discharge_efficiency"]
            model += after == held + hours * gained
            held = after
            charged[t].append(into)
            given[t].append(out)
            wear.append(battery["wear_price_per_kwh"] * hours * into)
        model += held >= battery["final_energy_kwh"]
    for t in slots:
        vehicles, into, out = pulp.lpSum(mean_kw[t]), pulp.lpSum(charged[t]), pulp.lpSum(given[t])
        model += bought[t] - sold[t] == base[t] - pv[t] + curtailed[t] + vehicles + into - out
        model += bought[t] <= peak
        model += pulp.lpSum(drawn_kw[t]) + into + high[t] <= d["connection"]["max_import_kw"]
        model += out + pv[t] - curtailed[t] - low[t] <= d["connection"]["max_export_kw"]
        for phase in PHASES:
            on_phase = pulp.lpSum(amps.get(("connection", phase, t), [])) + (into + high[t]) * (1 / (3 * volt))
            model += on_phase <= d["connection"]["max_current_a"]
            for name, circuit_ in circuits.items():
                model += pulp.lpSum(amps.get((name, phase, t), [])) <= circuit_["max_current_a"]
    [charge] = d["demand_charges"]
    over = var("over")
    model += over >= peak - charge["peak_so_far_kw"]
    energy_money = [
        hours * (d["import_price_per_kwh"][t] * bought[t] - d["export_price_per_kwh"][t] * sold[t]) for t in slots
    ]
    model += pulp.lpSum(energy_money) + charge["price_per_kw"] * over + pulp.lpSum(wear)
    model.solve(pulp.HiGHS(msg=False, timeLimit=seconds, gapRel=0.0, threads=1))
    return model.solverModel.getInfo().mip_dual_bound, float(pulp.value(model.objective))


if __name__ == "__main__":
    print(*solve(json.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2])))  # noqa: T201 - what it is for
