"""The figures of a run once more: printed, into `docs/performance.md`, or as the HTML report.

    python benchmarks/figures.py [build/bench.jsonl] [--docs docs/performance.md] [--page build/bench.html]

In the docs everything between the two marker comments is replaced; the text around them is written by hand.
"""

import argparse
from pathlib import Path

from benchmarks.page import write
from benchmarks.report import read
from benchmarks.tables import by_key, text

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write_into(path: Path, tables: str) -> None:
    """Replace what stands between the markers. Raises `ValueError` when they are not there."""
    document = path.read_text(encoding="utf-8")
    before, begun, rest = document.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{path} has no {BEGIN} followed by {END}")
    path.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Print the tables, or write them where they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="?", type=Path, default=ROOT / "build" / "bench.jsonl")
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    figures = by_key(read(options.figures))
    if options.docs:
        write_into(options.docs, text(figures))
    if options.page:
        write(options.page, figures)
    if not options.docs and not options.page:
        print(text(figures))


if __name__ == "__main__":
    main()
