"""Style of figures: sizes, frames, axes, legends, and saving."""

import io
import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from netsim.errors import NetsimError

COLUMN, PAGE = 3.3, 7.0  # inches: one column of a paper, and both
TEXT, SMALL = 8.0, 7.0  # points
MUTED = "#555555"
_SVG = threading.Lock()  # the salt of SVG identifiers can only be set globally


class Plot(Figure):
    """A figure that notebooks display, independent of pyplot's list of open figures."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=150)
        return out.getvalue()


def frame(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> None:
    """Label and style a panel, with text sized for a column of a paper."""
    ax.set_xlabel(xlabel, fontsize=TEXT)
    ax.set_ylabel(ylabel, fontsize=TEXT)
    ax.set_title(title, fontsize=TEXT, loc="left")
    ax.tick_params(which="both", labelsize=SMALL, width=0.6)
    for spine in ax.spines.values():
        spine.set_linewidth(0.6)


def plain_log(ax: Axes, which: str) -> None:
    """Make the axis "x" or "y" logarithmic, with plain numbers for ticks: 0.1, 1, 10, …, 10,000; 2 and 5 too where it spans little."""
    if which == "x":
        ax.set_xscale("log")
    else:
        ax.set_yscale("log")
    axis = getattr(ax, f"{which}axis")
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def place_legend(figure: Figure, handles: Iterable[Any], title: str, columns: int, ax: Axes | None = None) -> None:
    """Put the legend below a figure, where it covers nothing; with ``ax``, into that empty panel. Its text is wrapped to fit."""
    handles = list(handles)
    width = 36 if ax is not None else 54
    for handle in handles:
        handle.set_label("\n".join(wrapped(line, width) for line in handle.get_label().splitlines()))
    room = 36 if ax is not None else width * columns
    title = "\n".join(wrapped(line, room) for line in title.splitlines())
    options: dict[str, Any] = {
        "fontsize": SMALL,
        "title_fontsize": SMALL,
        "frameon": False,
        "handlelength": 2.8 if ax is None else 2.3,
    }
    if ax is None:
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, title=title, columnspacing=1.2, **options
        )
    else:
        ax.set_axis_off()
        legend = ax.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(-0.06 if columns > 2 else 0.06, 0.5),
            borderaxespad=0,
            title=title,
            labelspacing=0.8,
            **options,
        )
        legend.set_in_layout(False)  # it may be a little wider than the panel
    legend.set_alignment("left")


def wrapped(text: str, width: int) -> str:
    """Return the text with new lines after commas where it would be wider than so many characters."""
    lines = [""]
    for part in text.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines[-1] += ","
            lines.append(part)
    return "\n".join(lines)


def save(figure: Figure, path_stem: str | Path) -> tuple[Path, Path]:
    """Write a figure as PNG (200 dpi) and SVG, each whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        What to write.
    path_stem
        The files' path without ``.png`` and ``.svg``; folders are made.

    Returns
    -------
    tuple of Path
        The PNG and the SVG.

    Raises
    ------
    NetsimError
        The files cannot be written.
    """
    stem = Path(path_stem)
    png, svg = (stem.with_name(stem.name + suffix) for suffix in (".png", ".svg"))
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{stem.name}.", dir=stem.parent) as aside:
            figure.savefig(Path(aside) / png.name, dpi=200)
            with _SVG, mpl.rc_context({"svg.hashsalt": "netsim"}):
                figure.savefig(Path(aside) / svg.name, metadata={"Date": None})
            for path in (png, svg):
                os.replace(Path(aside) / path.name, path)
    except OSError as error:
        raise NetsimError(f"{stem}: figures cannot be written ({error.strerror or error})") from None
    return png, svg
