"""FlexMeasures' device scheduler on a problem that all peers can express; runs with the peers' Python.

    python flexmeasures_core.py PROBLEM.json [soft]

One storage device a session, whose stock must hold the session's energy when it leaves; base load less PV is one device
of fixed flow, and the connection the limit of the whole. Both prices are a commitment, the demand charge is another, on
the peak. With `soft` a session's energy is a commitment too, at a price, as FlexMeasures' storage scheduler relaxes it
and as our linear program always has it. The direct HiGHS backend, its default. No database: of its application the
function needs only the configuration. Prints one JSON object.
"""

import json
import logging
import os
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
from flask import Flask
from flexmeasures.data.models.planning import FlowCommitment, StockCommitment
from flexmeasures.data.models.planning.linear_optimization import device_scheduler

COLUMNS = [
    "equals",
    "max",
    "min",
    "efficiency",
    "derivative equals",
    "derivative max",
    "derivative min",
    "derivative down efficiency",
    "derivative up efficiency",
]


REPEAT = 3
clock_s = process_time if os.environ.get("SMARTCHARGE_BENCH_CLOCK") == "cpu" else perf_counter


def arguments(problem: dict[str, Any], *, soft: bool) -> dict[str, Any]:
    slots, step_h = problem["slots"], problem["step_h"]
    index = pd.date_range("2026-03-02T11:00", periods=slots, freq=pd.Timedelta(hours=step_h), tz="UTC")
    devices, wishes = [], []
    for number, session in enumerate(problem["sessions"]):
        frame = pd.DataFrame(np.nan, index=index, columns=COLUMNS)
        power_kw, least = np.zeros(slots), np.zeros(slots)
        power_kw[session["first"] : session["end"]] = session["max_kw"]
        least[session["end"] - 1 :] = session["energy_kwh"] / step_h  # stock counts kW-slots
        frame["min"], frame["max"] = (0.0 if soft else least), session["energy_kwh"] / step_h
        frame["derivative min"], frame["derivative max"] = 0.0, power_kw
        devices.append(frame)
        if soft:
            wishes.append(
                StockCommitment(
                    name="energy by departure",
                    index=index,
                    _type="any",
                    quantity=pd.Series(least, index=index),
                    downwards_deviation_price=-problem["unmet_price_per_kwh"] * step_h,
                    device=pd.Series(number, index=index),
                )
            )
    rest = pd.DataFrame(np.nan, index=index, columns=COLUMNS)
    net_kw = np.array(problem["base_kw"]) - np.array(problem["pv_kw"])
    rest["derivative equals"] = net_kw
    rest["derivative min"] = rest["derivative max"] = net_kw
    site = pd.DataFrame(np.nan, index=index, columns=COLUMNS)
    site["derivative max"], site["derivative min"] = problem["max_import_kw"], -problem["max_export_kw"]
    energy = FlowCommitment(
        name="energy",
        index=index,
        quantity=pd.Series(0.0, index=index),
        upwards_deviation_price=pd.Series(problem["buy"], index=index) * step_h,
        downwards_deviation_price=pd.Series(problem["sell"], index=index) * step_h,
    )
    peak = FlowCommitment(
        name="peak",
        index=index,
        _type="any",
        quantity=pd.Series(problem["free_peak_kw"], index=index),
        upwards_deviation_price=pd.Series(problem["peak_price_per_kw"], index=index),
    )
    return {
        "device_constraints": [*devices, rest],
        "ems_constraints": site,
        "commitments": [energy, peak, *wishes],
        "initial_stock": 0,
    }


def main() -> None:
    problem = json.loads(Path(sys.argv[1]).read_text())
    soft = "soft" in sys.argv[2:]
    app = Flask("benchmark")
    app.config.update(FLEXMEASURES_LP_SOLVER="highspy", FLEXMEASURES_LP_SOLVER_OPTIONS={}, LOGGING_LEVEL="INFO")
    app.logger.setLevel(logging.ERROR)
    took_ms = []
    with app.app_context():
        for _ in range(REPEAT + 1):
            started = clock_s()
            powers, cost, results, _ = device_scheduler(**arguments(problem, soft=soft))
            took_ms.append((clock_s() - started) * 1000)
    print(
        json.dumps(
            {
                "ms": median(took_ms[1:]),
                "cost": float(cost),
                "energy_kwh": float(sum(power.sum() for power in powers[:-1])) * problem["step_h"],
                "status": str(results.solver.termination_condition),
            }
        )
    )


if __name__ == "__main__":
    main()
