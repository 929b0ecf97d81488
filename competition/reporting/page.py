"""The report as a page: sections of figures, written as one HTML file that needs no network, and a CSV per figure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from competition.files import whole_folder

PAGE = "report.html"
TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Figure:
    """A picture, chart or table with the sentence that explains it.

    Attributes:
        name: Of its anchor and its CSV file, letters and dashes, unique in the report.
        title: A few words.
        sentence: What it shows, and what to do about it.
        body: Made by ``charts``, ``pictures`` or ``html_table``; text that is not ``Markup`` is escaped.
        table: The same as numbers, written as ``name``.csv; None for pictures without any.
    """

    name: str
    title: str
    sentence: str
    body: Markup
    table: pd.DataFrame | None = None


@dataclass(frozen=True)
class Section:
    """A part of the report; ``missing`` says why a part has no figures, and the command that would give it some."""

    name: str
    title: str
    figures: Sequence[Figure] = ()
    missing: str = ""


@dataclass(frozen=True)
class Report:
    """All that is shown.

    Attributes:
        title: Of the page.
        subtitle: What it is made from.
        facts: Label and value of the figures that count most, shown at the top.
        sections: In reading order.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = field(default_factory=list)


def write_report(folder: Path, report: Report) -> Path:
    """Write report.html and the CSV files into a folder, whole or not at all; return the page.

    Raises:
        CompetitionError: The folder can't be written, or holds something else than an earlier report.
        ValueError: Two figures have one name, so that one's CSV would replace the other's.
    """
    page = render_page(report)
    with whole_folder(folder, PAGE) as part:
        (part / PAGE).write_text(page, encoding="utf-8")
        for section in report.sections:
            for figure in section.figures:
                if figure.table is not None:
                    figure.table.to_csv(part / f"{figure.name}.csv", index=False)
    return folder / PAGE


def render_page(report: Report) -> str:
    """Return the HTML of a report.

    Raises:
        ValueError: Two figures have one name.
    """
    names = Counter(figure.name for section in report.sections for figure in section.figures)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"figures of one name: {', '.join(twice)}")
    return _template().render(report=report)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def html_table(frame: pd.DataFrame, digits: int = 4, highlight: str | None = None) -> Markup:
    """Return a table with a header row; numbers are right-aligned and rounded, missing values are dashes.

    Args:
        frame: One row per line; the first column is the row's name.
        digits: Of floats.
        highlight: A boolean column that is not shown: its rows are emphasised.
    """
    shown = frame.drop(columns=[highlight] if highlight else [])
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(_NUMERIC if _is_numeric(shown[name]) else "", name)
        for name in shown.columns
    )
    marked = frame[highlight].tolist() if highlight else [False] * len(frame)
    lines = []
    for cells, strong in zip(shown.itertuples(index=False), marked, strict=True):
        first = Markup('<th scope="row">{}</th>').format(_text(cells[0], digits))
        rest = Markup("").join(Markup("<td{}>{}</td>").format(_kind(cell), _text(cell, digits)) for cell in cells[1:])
        lines.append(Markup("<tr{}>{}{}</tr>").format(Markup(' class="strong"') if strong else "", first, rest))
    body = Markup("").join(lines)
    return Markup(
        '<div class="scroll" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(head, body)


_NUMERIC, _LONG = Markup(' class="n"'), Markup(' class="long"')
LONGEST_LINE = 40
"""Characters of a cell that is not broken into lines."""


def _kind(cell: object) -> Markup:
    """Return the class of a cell: numbers are right-aligned, long texts are broken into lines."""
    if isinstance(cell, str) and len(cell) > LONGEST_LINE:
        return _LONG
    return _NUMERIC if _is_number(cell) else Markup("")


def _is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _is_number(cell: object) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _text(cell: object, digits: int) -> str:
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and cell != cell):
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:z.{digits}f}"  # z: no minus sign before 0.0000
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
