"""Tables and paragraphs on stdout whose labels stay beside their values at any width.

A table that is wider than the terminal is printed row by row, a line for each value. Where stdout is no terminal the width is always the same.
"""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netsim.commands.streams import printable, put

ELSEWHERE = 120  # columns, where stdout is no terminal
NARROW = 24  # columns to which the first column may shrink, folding its names
INDENT = "  "


@dataclass
class TextTable:
    """A table as data.

    Parameters
    ----------
    headings
        Of the columns. That of a column of labels, whose lines name the lines of the cells to its right, is "".
    rows
        Cells by row; a cell may have several lines, which stand beside those of its neighbours.
    left
        Number of columns, from the left, that are flush left.
    ruled
        Whether a rule stands between rows.
    sections
        Numbers of the rows before which a rule stands.
    """

    headings: Sequence[str]
    rows: list[Any] = field(default_factory=list)
    left: int = 1
    ruled: bool = False
    sections: Sequence[int] = ()


def width() -> int:
    """Return the columns of stdout."""
    return Console().width if sys.stdout.isatty() else ELSEWHERE


def lines(*texts: str, hanging: str = "") -> None:
    """Print paragraphs on stdout, one a line; on a terminal they are wrapped between words, later lines after ``hanging``."""
    columns = width() if sys.stdout.isatty() else 0
    shown = [printable(text) for text in texts]
    put("\n".join(wrapped(text, columns, hanging) if 0 < columns < len(text) else text for text in shown))


def heading(text: str) -> None:
    """Print a title on stdout, bold on a terminal that knows colours."""
    shown = printable(text)
    put(_drawn(Text(wrapped(shown, width()) if sys.stdout.isatty() else shown, style="bold"), max(width(), len(shown))))


def wrapped(text: str, columns: int, hanging: str = "") -> str:
    """Return a paragraph in lines of at most so many columns; only a word that is longer is cut."""
    before = text[: len(text) - len(text.lstrip())]
    found = textwrap.wrap(
        text.strip(), max(columns, 8), initial_indent=before, subsequent_indent=before + hanging, break_on_hyphens=False
    )
    return "\n".join(found)


def print_table(table: TextTable) -> None:
    """Print a table on stdout: drawn where it fits, else stacked."""
    put(as_text(table, width()))


def as_text(table: TextTable, columns: int) -> str:
    """Return a table as text of at most so many columns: drawn where it fits, with the first column folded if that suffices, else stacked."""
    cells = [[_printable_lines(cell) for cell in row] for row in (table.headings, *table.rows)]
    widths = [max(cell_len(line) for row in cells for line in row[at]) for at in range(len(table.headings))]
    frame = 3 * len(widths) + 1
    spare = columns - frame - sum(widths[1:])
    if spare < min(widths[0], NARROW):
        return _stacked(cells, columns)
    drawn = Table(show_lines=table.ruled, box=box.HEAVY_HEAD)
    for at, (own, head) in enumerate(zip(widths, cells[0], strict=True)):
        columns_of_it = min(own, spare) if at == 0 else own
        justify: Literal["left", "right"] = "left" if at < table.left else "right"
        drawn.add_column(_text(head), justify=justify, width=columns_of_it, overflow="fold", no_wrap=at > 0)
    for number, row in enumerate(cells[1:]):
        if number in table.sections and number:
            drawn.add_section()
        drawn.add_row(*map(_text, row))
    return _drawn(drawn, columns)


def _stacked(cells: list[list[list[str]]], columns: int) -> str:
    """Return the rows one below the other: the first cell, then a line for each value, after its label."""
    heads = [", ".join(filter(None, head)) for head in cells[0]]
    found, last = [], ""
    for first, *others in cells[1:]:
        name = " ".join(first)
        if name and name != last:
            found.append(wrapped(name, columns, INDENT))
        last = name or last
        labels: list[str] = []
        for head, own in zip(heads[1:], others, strict=True):
            if not head:
                labels = own
                continue
            if len(own) > 1 and labels:
                found.append(wrapped(f"{INDENT}{head}", columns, INDENT))
                pairs = zip_longest(labels, own, fillvalue="")
                found += [
                    wrapped(f"{INDENT * 2}{': '.join(filter(None, pair))}", columns, INDENT)
                    for pair in pairs
                    if pair[1]
                ]
            elif any(own):
                found.append(wrapped(f"{INDENT}{head}: {' '.join(own)}", columns, INDENT))
    return "\n".join(found)


def _printable_lines(cell: str) -> list[str]:
    return [printable(line) for line in str(cell).split("\n")]


def _text(cell: list[str]) -> Text:
    return Text("\n".join(cell))


def _drawn(what: Table | Text, columns: int) -> str:
    """Return what rich makes of a table or a text: with colours only where stdout is a terminal that knows them."""
    console = Console(width=columns, highlight=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get().rstrip("\n")
