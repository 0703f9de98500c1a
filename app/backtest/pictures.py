"""Rows and pictures of a back-test of power: a week of it, the skill by horizon, and whether quantiles hold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from app.backtest.report import Picture
from forecasts.backtest import REFERENCE, Backtested

SHOWN_DAYS = 10
_BAND, _TRUTH, _MIDDLE = "rgba(31,119,180,0.25)", "#222222", "#1f77b4"


def rows_of(result: Backtested) -> list[Mapping[str, Any]]:
    """A row for each horizon and model, in the order in which they were given."""
    rows = result.table.astype({"slots": "int64", "refused": "int64"}).reset_index().to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def pictures_of(result: Backtested, about: str = "") -> list[Picture]:
    """What is drawn of a back-test in kW: the last model's last days, and all models beside each other."""
    horizons, models = (list(dict.fromkeys(names)) for names in zip(*result.table.index, strict=True))
    drawn = [week_picture(result, str(models[-1]), str(horizons[0])), *skill_pictures(result, models, "kW")]
    return [replace(picture, title=f"{about}{picture.title}") for picture in drawn]


def week_picture(result: Backtested, model: str, horizon: str) -> Picture:
    """The last days of one model's forecasts, its bands, and what then happened."""
    shown = result.forecasts[horizon, model]
    if len(shown):
        shown = shown[shown.index > shown.index[-1] - pd.Timedelta(days=SHOWN_DAYS)]
    levels = _levels(shown)
    times = [moment.isoformat() for moment in shown.index]
    traces: list[dict[str, Any]] = []
    for low in levels[: len(levels) // 2]:
        high = round(1 - low, 6)
        edge = {"x": times, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append({**edge, "y": _plain(shown[low]), "showlegend": False})
        name = f"{100 * (high - low):.0f} % band"
        traces.append({**edge, "y": _plain(shown[high]), "fill": "tonexty", "fillcolor": _BAND, "name": name})
    traces.append({"x": times, "y": _plain(shown[0.5]), "name": model, "line": {"color": _MIDDLE}})
    traces.append({"x": times, "y": _plain(shown["truth"]), "name": "measured", "line": {"color": _TRUTH, "width": 1}})
    return Picture(f"{model}, {horizon}: the last days", traces, {"yaxis": {"title": {"text": "kW"}}})


def skill_pictures(result: Backtested, models: Sequence[str], unit: str) -> list[Picture]:
    """Pinball by horizon of each model, and how often the truth lay below each quantile."""
    horizons = list(dict.fromkeys(horizon for horizon, _ in result.table.index))
    table = result.table["pinball"]
    bars = [
        {"type": "bar", "name": model, "x": horizons, "y": _plain(table[[(horizon, model) for horizon in horizons]])}
        for model in models
    ]
    lines: list[dict[str, Any]] = [
        {"x": [0, 100], "y": [0, 100], "mode": "lines", "line": {"dash": "dot", "color": "#999"}, "name": "as claimed"}
    ]
    for model in models:
        forecast = result.forecasts[horizons[0], model].dropna()
        levels = _levels(forecast)
        if len(levels) < 2 or forecast.empty:
            continue
        held = [100 * float((forecast["truth"] <= forecast[level]).mean()) for level in levels]
        lines.append({"x": [100 * level for level in levels], "y": held, "name": model, "mode": "lines+markers"})
    return [
        Picture(
            f"Pinball loss by horizon; {REFERENCE} is the one to beat",
            bars,
            {"barmode": "group", "yaxis": {"title": {"text": unit}}},
        ),
        Picture(
            f"How often the truth lay below each quantile, {horizons[0]}",
            lines,
            {"xaxis": {"title": {"text": "claimed, %"}}, "yaxis": {"title": {"text": "held, %"}}},
        ),
    ]


def _levels(forecast: pd.DataFrame) -> list[float]:
    return sorted(float(column) for column in forecast.columns if column != "truth")


def _plain(values: pd.Series) -> list[float | None]:
    """Numbers for JSON: NaN is null."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values.to_numpy(dtype="float64")]
