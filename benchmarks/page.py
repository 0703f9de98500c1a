"""The figures of a run as one HTML file with plots that needs nothing else: no network, no server."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from benchmarks.tables import TABLES, machines, replan_rows
from benchmarks.targets import TARGETS, Figures

SIZES = ("S", "M", "L", "XL", "XXL")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
td, th { padding: .3rem .7rem; border-bottom: 1px solid #d7dde4; text-align: right; }
td:first-child, th:first-child { text-align: left; }
.reached { color: #17693a; } .missed { color: #a8261b; } .not { color: #6b7683; }
"""


def write(path: Path, figures: Figures) -> None:
    """Write the page."""
    machine = " ".join(machines(figures))
    parts = [f"<h1>Benchmarks</h1><p>{escape(machine)} Medians; ratios are of one run.</p>", _targets(figures)]
    library: bool | str = True  # once, in the page itself
    for title, plot in plots(figures).items():
        parts.append(f"<h2>{escape(title)}</h2>" + plot.to_html(full_html=False, include_plotlyjs=library))
        library = False
    tables = [(one.title, ("", *(name for name, *_ in one.columns)), one.rows(figures)) for one in TABLES]
    parts.extend(f"<h2>{escape(title)}</h2>" + _table(heading, rows) for title, heading, rows in tables if rows)
    if rows := replan_rows(figures):
        heading = ("", "change", "warm ms", "cold ms", "cold / warm")
        parts.append("<h2>Planning again with a live program</h2>" + _table(heading, rows))
    page = "\n".join(parts)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>smartcharge: benchmarks</title>'
        f"<style>{STYLE}</style>\n{page}\n</html>\n",
        encoding="utf-8",
    )


def plots(figures: Figures) -> Mapping[str, go.Figure]:
    """What was measured, as plots; one without figures is left out."""

    def series(benchmark: str, cases: Sequence[str], measure: str) -> tuple[list[str], list[float]]:
        found = [(case, figures.get((benchmark, case, measure))) for case in cases]
        known = [(case, one.value) for case, one in found if one is not None and one.value is not None]
        return [case for case, _ in known], [value for _, value in known]

    def bars(
        benchmark: str, cases: Sequence[str], measures: Sequence[str], axis: str, *, log: bool = False
    ) -> go.Figure:
        plot = go.Figure()
        for measure in measures:
            names, values = series(benchmark, cases, measure)
            if values:
                plot.add_bar(name=measure, x=names, y=values)
        plot.update_layout(template="plotly_white", height=380, margin={"t": 20}, yaxis_title=axis)
        if log:
            plot.update_yaxes(type="log")
        return plot

    kinds = dict.fromkeys(
        measure.removesuffix(": warm")
        for name, _, measure in figures
        if name == "optimizer_replan" and measure.endswith(": warm")
    )
    replanned = tuple(dict.fromkeys(case for name, case, _ in figures if name == "optimizer_replan"))
    lp = ("bare", "ours", "whole", "PuLP+HiGHS", "PuLP+CBC", "linopy")
    peers = (
        "bare",
        "whole",
        "EMHASS first call",
        "EMHASS second call",
        "FlexMeasures highspy",
        "FlexMeasures highspy, soft",
    )
    parts = ("validation", "solve", "answer", "rest")
    gaps = ("best known", "gap to LP bound")
    request = bars("service_optimize", SIZES, parts, "ms")
    request.update_layout(barmode="stack")
    drawn = {
        "The canonical LP": bars("optimizer_lp", SIZES, lp, "ms", log=True),
        "Peers on the same work": bars("optimizer_peers", ("10 EVSEs", "54 EVSEs"), peers, "ms", log=True),
        "Time a session": bars("optimizer_scale", SIZES, ("ms a session",), "ms"),
        "Memory above rest": bars("optimizer_scale", SIZES, ("memory",), "MB"),
        "Above the LP bound": bars("optimizer_best_known", SIZES, gaps, "% of gross EV money"),
        "The request POST /v1/optimize": request,
        "Planning again: cold / warm": bars("optimizer_replan", replanned, tuple(kinds), "times"),
    }
    return {title: plot for title, plot in drawn.items() if plot.data}


def _targets(figures: Figures) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.text)}</td><td>{escape(one.wanted)}</td><td>{escape(one.measured(figures))}</td>"
        f'<td class="{one.verdict(figures).split()[0]}">{one.verdict(figures)}</td></tr>'
        for one in TARGETS
    )
    return f"<table><tr><th>target</th><th>wanted</th><th>measured</th><th></th></tr>{rows}</table>"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
