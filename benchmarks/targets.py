"""What the optimiser is to reach, and whether the figures of a run reach it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import Figure, shown

Key = tuple[str, str, str]
Figures = Mapping[Key, Figure]
Verdict = Literal["reached", "missed", "not measured"]

MEDIUM_TO_XL, LARGE = ("M", "L", "XL"), ("L", "XL")
EVSES_54 = ("54 EVSEs",)


@dataclass(frozen=True)
class Target:
    """`measure` of each case is at most, or at least, `limit`; or `instead`, when it is given, at most its own."""

    text: str
    benchmark: str
    cases: tuple[str, ...]
    measure: str
    limit: float
    unit: str
    at_most: bool = True
    instead: tuple[str, float] | None = None

    @property
    def wanted(self) -> str:
        sign = "≤" if self.at_most else "≥"
        other = f", or {self.instead[0]} ≤ {self.instead[1]:g}" if self.instead else ""
        return f"{sign} {self.limit:g} {self.unit}{other}".replace(" ×", "×")

    def measured(self, figures: Figures) -> str:
        """The figures case by case."""
        return " · ".join(
            f"{case}: {shown(self._value(figures, case, self.measure))}"
            + (f" ({shown(self._value(figures, case, self.instead[0]))})" if self.instead else "")
            for case in self.cases
        )

    def verdict(self, figures: Figures) -> Verdict:
        """The worst of the cases counts; one that was not measured leaves it open."""
        values = [self._value(figures, case, self.measure) for case in self.cases]
        if any(value is None for value in values):
            return "not measured"
        return "reached" if all(self._reached(figures, case) for case in self.cases) else "missed"

    def _reached(self, figures: Figures, case: str) -> bool:
        value = self._value(figures, case, self.measure)
        if value is None:
            return False
        if self.instead is not None:
            other = self._value(figures, case, self.instead[0])
            if other is not None and other <= self.instead[1]:
                return True
        return value <= self.limit if self.at_most else value >= self.limit

    def _value(self, figures: Figures, case: str, measure: str) -> float | None:
        figure = figures.get((self.benchmark, case, measure))
        return None if figure is None else figure.value


TARGETS = (
    Target("LP alone against the bare solver", "optimizer_lp", MEDIUM_TO_XL, "ours / bare", 1.10, "×"),
    Target("whole plan against the bare LP", "optimizer_lp", MEDIUM_TO_XL, "whole / bare", 2.5, "×"),
    Target("PuLP + CBC against our LP path", "optimizer_lp", LARGE, "PuLP+CBC / ours", 3.5, "×", at_most=False),
    Target(
        "re-plan, all prices: cold / warm", "optimizer_replan", LARGE, "all prices, noise 0.5 %", 10, "×", at_most=False
    ),
    Target(
        "re-plan, needs and limits: cold / warm",
        "optimizer_replan",
        LARGE,
        "needs (5 %) and limit",
        5,
        "×",
        at_most=False,
    ),
    Target("re-plan, one arrival: cold / warm", "optimizer_replan", LARGE, "one arrival", 4, "×", at_most=False),
    Target(
        "repair above the LP bound",
        "optimizer_best_known",
        ("S", "M", "L", "XL"),
        "gap to LP bound",
        0.3,
        "%",
        instead=("above best known", 0.1),
    ),
    Target("time of the repair", "optimizer_best_known", ("XL",), "repair", 300, "ms"),
    Target(
        "FlexMeasures' highspy core against our whole plan",
        "optimizer_peers",
        EVSES_54,
        "FlexMeasures highspy, soft / whole",
        20,
        "×",
        at_most=False,
    ),
    Target(
        "EMHASS's second call against our whole plan",
        "optimizer_peers",
        EVSES_54,
        "EMHASS second call / whole",
        8,
        "×",
        at_most=False,
    ),
    Target("time a session, XL against L", "optimizer_scale", ("L to XL",), "growth of time a session", 2, "×"),
    Target("XXL, the whole plan", "optimizer_scale", ("XXL",), "seconds", 90, "s"),
    Target("a night of 500 sites of ten EVSEs", "night_run", ("500 sites",), "seconds", 60, "s"),
    Target("CPU time a site, most against fewest", "night_run", ("fewest to most",), "growth of CPU a site", 1.2, "×"),
    Target("XXL, memory above rest", "optimizer_scale", ("XXL",), "memory", 1000, "MB"),
)
