"""linopy on the arrays of the canonical LP; runs with the peers' Python.

    python linopy_lp.py PROGRAM.npz [REPEAT]

All columns are one labelled variable, each block of rows one labelled constraint, handed over as linopy stores them
(variables and coefficients, padded to the longest row of the block): no Python loop over rows, which is kinder than
most models are. Solved by HiGHS through linopy's direct interface. Prints one JSON object.
"""

import json
import logging
import os
import sys
import warnings
from statistics import median
from time import perf_counter, process_time

import linopy
import numpy as np
import pandas as pd
import xarray as xr

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
clock_s = process_time if os.environ.get("SMARTCHARGE_BENCH_CLOCK") == "cpu" else perf_counter


def padded(start: np.ndarray, index: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one block as two dense arrays (row, term); -1 and 0 where a row has fewer terms."""
    count = np.diff(start)
    row = np.repeat(np.arange(count.size), count)
    term = np.arange(index.size) - np.repeat(start[:-1] - start[0], count)
    columns, coefficients = np.full((count.size, count.max()), -1), np.zeros((count.size, count.max()))
    columns[row, term], coefficients[row, term] = index, value
    return columns, coefficients


def solved(program: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    start, index, value = program["start"], program["index"], program["value"]
    model = linopy.Model()
    column = pd.RangeIndex(program["cost"].size, name="column")
    x = model.add_variables(program["lower"], program["upper"], coords=[column], name="x")
    label = x.labels.to_numpy()
    for number, (first, end) in enumerate(zip(program["block_first"], program["block_end"], strict=True)):
        entries = slice(start[first], start[end])
        columns, coefficients = padded(start[first : end + 1], index[entries], value[entries])
        row = pd.RangeIndex(end - first, name=f"row{number}")
        terms = xr.Dataset(
            {
                "vars": ((row.name, "_term"), np.where(columns >= 0, label[columns], -1)),
                "coeffs": ((row.name, "_term"), coefficients),
            },
            coords={row.name: row},
        )
        rows = linopy.LinearExpression(terms, model)
        low, high = program["row_lower"][first:end], program["row_upper"][first:end]
        equal = low == high
        for name, kept, sign, bound in (
            ("equal", equal, "=", high),
            ("upper", ~equal & np.isfinite(high), "<=", high),
            ("lower", ~equal & np.isfinite(low), ">=", low),
        ):
            if kept.any():
                chosen = rows if kept.all() else rows.isel({row.name: np.flatnonzero(kept)})
                limit = xr.DataArray(bound[kept], coords={row.name: row[kept]}, dims=row.name)
                model.add_constraints(chosen, sign, limit, name=f"{name}{number}")
    model.add_objective((x * xr.DataArray(program["cost"], coords={"column": column})).sum())
    model.solve(
        "highs", io_api="direct", progress=False, output_flag=False, threads=1, presolve=str(program["presolve"])
    )
    return float(model.objective.value), x.solution.to_numpy()


def main() -> None:
    with np.load(sys.argv[1]) as stored:
        program = dict(stored)
    repeat = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    objective, took_ms = 0.0, []
    for turn in range(repeat + 1):
        started = clock_s()
        objective, _ = solved(program)
        if turn:
            took_ms.append((clock_s() - started) * 1000)
    print(json.dumps({"ms": median(took_ms), "objective": objective, "version": linopy.__version__}))


if __name__ == "__main__":
    main()
