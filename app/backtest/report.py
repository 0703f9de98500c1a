"""What a back-test says: a table on the terminal, JSON for programs, and a page with pictures that needs no network."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

NOT_KNOWN = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: `key` in its rows and in the JSON, `label` for people, who are shown `percent` × 100."""

    key: str
    label: str
    digits: int = 2
    percent: bool = False

    def shown(self, value: object) -> str:
        """The value as text; a dash where it is None or NaN."""
        if isinstance(value, bool) or value is None or (isinstance(value, float) and math.isnan(value)):
            return NOT_KNOWN if not isinstance(value, bool) else ("yes" if value else "no")
        if isinstance(value, int | float) and self.percent:
            return f"{100 * value:.1f} %"
        return f"{value:,.{self.digits}f}" if isinstance(value, float) else f"{value}"


@dataclass(frozen=True, slots=True)
class Picture:
    """A plotly figure as plain data: `traces` and `layout` as plotly's JSON has them, lists and no arrays."""

    title: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scores:
    """A table of scores beside the first: `key` in the JSON, `title` for people; `rows` as in `Backtest`."""

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]

    def as_json(self) -> list[dict[str, Any]]:
        """NaN is null."""
        return [{column.key: _plain(row.get(column.key)) for column in self.columns} for row in self.rows]

    def as_table(self) -> Table:
        """For a terminal."""
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for column in self.columns:
            words = any(isinstance(row.get(column.key), str) for row in self.rows)
            table.add_column(column.label, justify="left" if words else "right")
        for row in self.rows:
            table.add_row(*(escape_markup(column.shown(_plain(row.get(column.key)))) for column in self.columns))
        return table

    def as_html(self) -> str:
        """A table element."""
        head = "".join(f"<th>{escape(column.label)}</th>" for column in self.columns)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{escape(column.shown(_plain(row.get(column.key))))}</td>" for column in self.columns)
            + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True, slots=True)
class Backtest:
    """One back-test, ready to be shown. `about` says what was scored and how; `rows` have a value for each column.

    `more` are tables of other columns, each with a key of its own in the JSON; `scores` is that of the first.
    """

    subject: str
    title: str
    about: Mapping[str, str | int | float | None]
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    more: Sequence[Scores] = ()

    @property
    def tables(self) -> list[Scores]:
        """Those that have rows, in the order in which they are shown."""
        return [table for table in (self._first, *self.more) if table.rows]

    @property
    def _first(self) -> Scores:
        return Scores("scores", self.title, self.columns, self.rows)

    def as_json(self) -> dict[str, Any]:
        """The document that `--json` prints and the API answers with: NaN is null."""
        return {
            "subject": self.subject,
            "title": self.title,
            "about": dict(self.about),
            **{table.key: table.as_json() for table in (self._first, *self.more)},
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """`as_json` on lines."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False, allow_nan=False)

    def as_page(self) -> str:
        """One HTML file with everything in it, plotly's script too."""
        script = (files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8")
        about = "".join(
            f"<dt>{escape(str(name))}</dt><dd>{escape(Column('', '').shown(value))}</dd>"
            for name, value in self.about.items()
        )
        tables = "\n".join(
            ("" if table.title == self.title else f"<h2>{escape(table.title)}</h2>") + table.as_html()
            for table in self.tables
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        drawn = "".join(_drawn(number, picture) for number, picture in enumerate(self.pictures))
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(self.title)}</title>'
            f"<style>{_STYLE}</style><script>{script}</script></head>\n<body><h1>{escape(self.title)}</h1>"
            f"<dl>{about}</dl>\n{tables}{notes}\n{drawn}"
            "</body></html>\n"
        )

    def write_page(self, path: Path) -> None:
        """Make the folder too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.as_page(), "utf-8")


def escape_markup(text: str) -> str:
    """Text that rich shows as it is."""
    return text.replace("[", "\\[")


def _drawn(number: int, picture: Picture) -> str:
    layout = {"template": "none", "margin": {"t": 10, "r": 10}, "legend": {"orientation": "h"}, **picture.layout}
    # "</" would end the script in the middle of a text
    data = json.dumps([list(picture.traces), layout], allow_nan=False).replace("</", "<\\/")
    return (
        f'<h2>{escape(picture.title)}</h2><div id="picture-{number}" class="picture"></div>\n'
        f"<script>Plotly.newPlot('picture-{number}', ...{data}, {{responsive: true}});</script>\n"
    )


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's, NaN and infinities as None."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .8rem;text-align:right;"
    "border-bottom:1px solid #ddd}th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}"
    "dl{display:grid;grid-template-columns:max-content auto;gap:0 1rem}dt{color:#666}dd{margin:0}"
    ".picture{height:26rem}"
)
