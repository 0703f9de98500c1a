"""The figures of a run as tables: cells, and Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.report import Figure, shown
from benchmarks.targets import TARGETS, Figures

SIZES = ("S", "M", "L", "XL", "XXL")


@dataclass(frozen=True)
class Table:
    """One row a case, one column a measure: (heading, measure, unit that the cell shows)."""

    title: str
    benchmark: str
    cases: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]

    def rows(self, figures: Figures) -> list[list[str]]:
        """The cells, without the cases that were not measured at all."""
        return [
            [case, *(self._cell(figures, case, measure, unit) for _, measure, unit in self.columns)]
            for case in self.cases
            if any((self.benchmark, case, measure) in figures for _, measure, _ in self.columns)
        ]

    def _cell(self, figures: Figures, case: str, measure: str, unit: str) -> str:
        figure = figures.get((self.benchmark, case, measure))
        return "–" if figure is None else shown(figure.value, unit)


TABLES = (
    Table(
        "The canonical LP, ms; ratios to the bare solver and to our path",
        "optimizer_lp",
        SIZES,
        (
            ("bare HiGHS", "bare", ""),
            ("our LP path", "ours", ""),
            ("our whole plan", "whole", ""),
            ("PuLP + HiGHS", "PuLP+HiGHS", ""),
            ("PuLP + CBC", "PuLP+CBC", ""),
            ("linopy", "linopy", ""),
            ("ours / bare", "ours / bare", "×"),
            ("whole / bare", "whole / bare", "×"),
            ("CBC / ours", "PuLP+CBC / ours", "×"),
            ("linopy / ours", "linopy / ours", "×"),
        ),
    ),
    Table(
        "Peers on the same work, ms; ratios to our whole plan and to the bare solver",
        "optimizer_peers",
        ("10 EVSEs", "54 EVSEs"),
        (
            ("bare HiGHS", "bare", ""),
            ("our whole plan", "whole", ""),
            ("EMHASS first", "EMHASS first call", ""),
            ("EMHASS second", "EMHASS second call", ""),
            ("FlexMeasures", "FlexMeasures highspy", ""),
            ("FlexMeasures, soft", "FlexMeasures highspy, soft", ""),
            ("EMHASS second / whole", "EMHASS second call / whole", "×"),
            ("/ bare", "EMHASS second call / bare", "×"),
            ("FlexMeasures soft / whole", "FlexMeasures highspy, soft / whole", "×"),
            ("/ bare", "FlexMeasures highspy, soft / bare", "×"),
        ),
    ),
    Table(
        "Growth of the whole plan, each size in a process of its own",
        "optimizer_scale",
        SIZES,
        (
            ("s", "seconds", ""),
            ("ms a session", "ms a session", ""),
            ("MB above rest", "memory", ""),
            ("gap", "gap", " %"),
        ),
    ),
    Table(
        "Repair: above the LP bound, in percent of the gross EV money",
        "optimizer_best_known",
        SIZES,
        (
            ("our gap", "gap to LP bound", " %"),
            ("best known", "best known", " %"),
            ("above it, points", "above best known", ""),
            ("unmet", "unmet", " kWh"),
            ("repair", "repair", " ms"),
        ),
    ),
    Table(
        "`POST /v1/optimize` over loopback, ms",
        "service_optimize",
        SIZES,
        (
            ("request", "request", ""),
            ("validation", "validation", ""),
            ("solve", "solve", ""),
            ("answer", "answer", ""),
            ("rest", "rest", ""),
            ("share of solve", "share of solve", " %"),
            ("in, kB", "body", ""),
            ("out, kB", "reply", ""),
        ),
    ),
    Table(
        "The night run: sites of ten EVSEs, from store to saved plan, on two processes",
        "night_run",
        ("125 sites", "250 sites", "500 sites", "1000 sites"),
        (
            ("wall", "seconds", " s"),
            ("CPU", "CPU", " s"),
            ("of it gathering and saving", "CPU of gathering and saving", " s"),
            ("CPU a site", "CPU a site", " ms"),
        ),
    ),
)


def by_key(figures: Iterable[Figure]) -> Figures:
    """The last figure of each name: a benchmark that ran again has the last word."""
    return {(figure.benchmark, figure.case, figure.measure): figure for figure in figures}


def markdown(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def replan_rows(figures: Figures) -> list[list[str]]:
    """Warm, cold and ratio of each kind of change, in the order they were measured."""
    return [
        [
            case,
            measure.removesuffix(": warm"),
            shown(figure.value),
            shown(_value(figures, case, f"{kind}: cold")),
            shown(_value(figures, case, kind), "×"),
        ]
        for (benchmark, case, measure), figure in figures.items()
        if benchmark == "optimizer_replan" and measure.endswith(": warm")
        for kind in [measure.removesuffix(": warm")]
    ]


def _value(figures: Figures, case: str, measure: str) -> float | None:
    figure = figures.get(("optimizer_replan", case, measure))
    return None if figure is None else figure.value


def machines(figures: Figures) -> list[str]:
    """On what and by which clock; with the names of the benchmarks where that is not the same for all."""
    by_note: dict[str, list[str]] = {}
    for (benchmark, case, _), figure in figures.items():
        if benchmark == "machine":
            by_note.setdefault(figure.note, []).append(case)
    if len(by_note) <= 1:
        return list(by_note)
    return [f"{', '.join(names)}: {note}" for note, names in by_note.items()]


def text(figures: Figures) -> str:
    """All tables, the targets first."""
    parts = machines(figures)
    targets = [[one.text, one.wanted, one.measured(figures), one.verdict(figures)] for one in TARGETS]
    parts.append(markdown(("target", "wanted", "measured", ""), targets))
    for table in TABLES:
        if rows := table.rows(figures):
            heading = ("", *(name for name, _, _ in table.columns))
            parts.append(f"### {table.title}\n\n{markdown(heading, rows)}")
    if rows := replan_rows(figures):
        heading = ("", "change", "warm ms", "cold ms", "cold / warm")
        parts.append(f"### Planning again with a live program\n\n{markdown(heading, rows)}")
    missing = dict.fromkeys(
        f"- {one.benchmark}, {one.case}, {one.measure}: {one.note}"
        for one in figures.values()
        if one.value is None and one.note and one.benchmark != "machine"
    )
    if missing:
        parts.append("Not measured:\n\n" + "\n".join(missing))
    return "\n\n".join(parts)
