"""From figures to a report: what was measured is shown, what was not is said, and a target knows its verdict."""

import json
from pathlib import Path

import pytest

from benchmarks.figures import BEGIN, END, write_into
from benchmarks.page import write
from benchmarks.report import Figure, Report, interleaved, read, shown
from benchmarks.tables import by_key, machines, text
from benchmarks.targets import Target

GROWTH = Target("time", "scale", ("L", "XL"), "seconds", 90, "s")
REPAIR = Target("repair", "known", ("S",), "gap", 0.3, "%", instead=("above", 0.1))


def figure(benchmark: str, case: str, measure: str, value: float | None, note: str = "") -> Figure:
    return Figure(benchmark, case, measure, value, "", note)


def test_figures_are_written_as_they_come_and_read_back(tmp_path: Path) -> None:
    report = Report("one", tmp_path / "figures.jsonl")

    report.add("S", "ours", 12.0, "ms")
    report.add("S", "bare", 10.0, "ms")
    report.ratio("S", "ours / bare", "ours", "bare")
    report.add("S", "peer", float("nan"), "ms")

    assert read(tmp_path / "figures.jsonl") == report.figures
    assert report.value("S", "ours / bare") == pytest.approx(1.2)
    assert report.figures[-1].value is None
    assert "NaN" not in (tmp_path / "figures.jsonl").read_text()


def test_a_ratio_to_what_was_not_measured_is_no_figure() -> None:
    report = Report("one")

    report.add("S", "ours", 12.0, "ms")
    report.ratio("S", "ours / bare", "ours", "bare")

    assert report.figures[-1].value is None


def test_each_of_interleaved_works_runs_as_often_as_asked_and_once_to_warm() -> None:
    ran: list[str] = []

    took_ms = interleaved(3, (lambda: ran.append("a"), lambda: ran.append("b")))

    assert ran == ["a", "b"] * 4
    assert len(took_ms) == 2


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [({"L": 2.0, "XL": 20.0}, "reached"), ({"L": 2.0, "XL": 91.0}, "missed"), ({"L": 2.0}, "not measured")],
)
def test_the_worst_case_decides_about_a_target(seconds: dict[str, float], verdict: str) -> None:
    figures = by_key(figure("scale", case, "seconds", value) for case, value in seconds.items())

    assert GROWTH.verdict(figures) == verdict


@pytest.mark.parametrize(
    ("gap", "above", "verdict"), [(0.2, 0.2, "reached"), (0.4, 0.05, "reached"), (0.4, 0.2, "missed")]
)
def test_a_repair_may_be_near_the_bound_or_near_the_best_known(gap: float, above: float, verdict: str) -> None:
    figures = by_key([figure("known", "S", "gap", gap), figure("known", "S", "above", above)])

    assert REPAIR.verdict(figures) == verdict


def test_what_was_not_measured_is_named_with_its_reason() -> None:
    figures = by_key(
        [figure("optimizer_lp", "S", "bare", 4.0), figure("optimizer_lp", "S", "linopy", None, "not here")]
    )

    tables = text(figures)

    assert "- optimizer_lp, S, linopy: not here" in tables
    assert "| S | 4.00 |" in tables


def test_two_clocks_are_told_apart_by_the_benchmarks_that_used_them() -> None:
    one = by_key([figure("machine", "a", "", None, "Wall."), figure("machine", "b", "", None, "Wall.")])
    two = by_key([figure("machine", "a", "", None, "Wall."), figure("machine", "b", "", None, "CPU.")])

    assert machines(one) == ["Wall."]
    assert machines(two) == ["a: Wall.", "b: CPU."]


def test_the_docs_keep_what_is_written_by_hand(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    write_into(page, "new")
    write_into(page, "newer")

    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"


def test_docs_without_markers_are_not_touched(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("by hand")

    with pytest.raises(ValueError, match="no <!-- figures: begin -->"):
        write_into(page, "new")
    assert page.read_text() == "by hand"


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    figures = by_key(
        [
            figure("machine", "", "", None, "2 × <CPU>"),
            figure("optimizer_lp", "S", "bare", 4.0),
            figure("optimizer_lp", "S", "ours", 5.0),
        ]
    )

    write(tmp_path / "bench.html", figures)
    page = (tmp_path / "bench.html").read_text()

    assert "2 × &lt;CPU&gt;" in page
    assert "The canonical LP" in page
    assert "Peers on the same work" not in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("value", "unit", "seen"),
    [(1234.5, "", "1,234"), (12.34, "×", "12.3×"), (None, "ms", "–"), (0.004, " %", "0.004 %")],
)
def test_figures_are_shown_to_three_digits(value: float | None, unit: str, seen: str) -> None:
    assert shown(value, unit) == seen


def test_the_docs_page_has_room_for_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()

    assert page.index(BEGIN) < page.index(END)


def test_lines_that_are_stored_are_plain_json(tmp_path: Path) -> None:
    Report("one", tmp_path / "figures.jsonl").add("S", "ours", 1.0, "ms", "× ≥ –")

    assert json.loads((tmp_path / "figures.jsonl").read_text())["note"] == "× ≥ –"
