"""EMHASS's optimisation core on a problem that all peers can express; runs with the peers' Python.

    python emhass_core.py PROBLEM.json

One deferrable load a session, of variable power, inside its window; PV, base load, two prices, limits of the connection
and the capacity charge. Without a minimum current, which would make it a mixed-integer program. The first call builds
the problem; the second and later ones change its parameters in place. Prints one JSON object.
"""

import json
import logging
import os
import sys
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
from emhass.optimization import Optimization

REPEAT = 3
clock_s = process_time if os.environ.get("SMARTCHARGE_BENCH_CLOCK") == "cpu" else perf_counter


def configured(problem: dict[str, Any]) -> Optimization:
    sessions = problem["sessions"]
    count = len(sessions)
    step_h = problem["step_h"]
    hass = {
        "optimization_time_step": timedelta(hours=step_h),
        "time_zone": "UTC",
        "sensor_power_photovoltaics": "pv",
        "sensor_power_load_no_var_loads": "load",
    }
    optim = {
        "delta_forecast_daily": timedelta(hours=step_h * problem["slots"]),
        "lp_solver": "Highs",
        "num_threads": 1,
        "number_of_deferrable_loads": count,
        "nominal_power_of_deferrable_loads": [1000.0 * one["max_kw"] for one in sessions],
        "minimum_power_of_deferrable_loads": [0.0] * count,
        "operating_hours_of_each_deferrable_load": [one["energy_kwh"] / one["max_kw"] for one in sessions],
        "start_timesteps_of_each_deferrable_load": [one["first"] for one in sessions],
        "end_timesteps_of_each_deferrable_load": [one["end"] for one in sessions],
        "treat_deferrable_load_as_semi_cont": [False] * count,
        "set_deferrable_load_single_constant": [False] * count,
        "set_deferrable_startup_penalty": [0.0] * count,
        "set_use_battery": False,
        "set_total_pv_sell": False,
        "capacity_cost_per_kw": problem["peak_price_per_kw"],
    }
    plant = {
        "maximum_power_from_grid": 1000.0 * problem["max_import_kw"],
        "maximum_power_to_grid": 1000.0 * problem["max_export_kw"],
        "inverter_is_hybrid": False,
        "compute_curtailment": False,
        "number_of_batteries": 1,
    }
    logger = logging.getLogger("emhass")
    logger.setLevel(logging.ERROR)
    paths = {"root_path": Path(), "data_path": Path()}
    return Optimization(hass, optim, plant, "buy", "sell", "profit", paths, logger, num_timesteps=problem["slots"])


def timed(core: Optimization, problem: dict[str, Any], prices: np.ndarray) -> tuple[float, pd.DataFrame]:
    index = pd.date_range(
        "2026-03-02T11:00", periods=problem["slots"], freq=timedelta(hours=problem["step_h"]), tz="UTC"
    )
    inputs = pd.DataFrame({"buy": prices, "sell": problem["sell"]}, index=index)
    pv_w = pd.Series(1000.0 * np.array(problem["pv_kw"]), index=index)
    load_w = pd.Series(1000.0 * np.array(problem["base_kw"]), index=index)
    started = clock_s()
    answer = core.perform_dayahead_forecast_optim(
        inputs, pv_w, load_w, current_period_peak=1000.0 * problem["free_peak_kw"]
    )
    return (clock_s() - started) * 1000, answer


def main() -> None:
    problem = json.loads(Path(sys.argv[1]).read_text())
    buy = np.array(problem["buy"])
    started = clock_s()
    core = configured(problem)
    configure_ms = (clock_s() - started) * 1000
    first_ms, answer = timed(core, problem, buy)
    status = str(core.optim_status)
    imported_kw = np.maximum(answer["P_grid"].to_numpy(), 0) / 1000
    exported_kw = np.maximum(-answer["P_grid"].to_numpy(), 0) / 1000
    peak_kw = max(float(imported_kw.max()), problem["free_peak_kw"])
    money = float(problem["step_h"] * (imported_kw @ buy - exported_kw @ np.array(problem["sell"])))
    cost = money + problem["peak_price_per_kw"] * (peak_kw - problem["free_peak_kw"])
    loads = [name for name in answer if name.startswith("P_deferrable")]
    again_ms = [timed(core, problem, buy * (1 + 0.001 * turn))[0] for turn in range(1, REPEAT + 1)]
    print(
        json.dumps(
            {
                "first_ms": configure_ms + first_ms,
                "second_ms": median(again_ms),
                "cost": cost,
                "energy_kwh": float(answer[loads].to_numpy().sum()) / 1000 * problem["step_h"],
                "status": status,
            }
        )
    )


if __name__ == "__main__":
    main()
