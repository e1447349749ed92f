"""Style of figures: sizes, frames, axes and legends."""

import io
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from netsim.errors import NetsimError
from netsim.plots.text import any_glyph, as_written, fitted, width_of

COLUMN, PAGE = 3.5, 7.16  # inches: a column of a two-column paper, and its text
NAMED = {"column": COLUMN, "text": PAGE}
NARROWEST, WIDEST = 2.0, 40.0  # inches
TEXT, SMALL = 8.0, 7.0  # points; nothing is smaller
MUTED = "#555555"
LEAST, MOST = 1e-100, 1e100  # what is beyond them is not drawn: matplotlib's axes overflow
_ASIDE = 0.45  # inches of a panel's share of the width that its axes do not have
_ASIDE_TICKS = 0.35  # inches of it that the vertical axis takes beside its ticks' labels
_DIGIT = 0.75 * SMALL / 72  # inches, height of a digit
_BETWEEN = 0.07  # inches between two ticks' labels
_LINE = 3.4  # length of a line in a legend, in units of its type
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Width = float | str | None
"""Of a figure: "column" (3.5 inches), "text" (7.16 inches), inches, or None, which leaves it to the figure."""


class Plot(Figure):
    """A figure that notebooks display, independent of pyplot's list of open figures."""

    _saving = False

    def savefig(self, *args: Any, **options: Any) -> None:
        """Write the figure as matplotlib does, but find its layout without drawing it for that."""
        self._saving = True
        try:
            super().savefig(*args, **options)
        finally:
            self._saving = False

    def draw(self, renderer: Any) -> None:
        """Draw the figure, its text as it is written."""
        engine = self.get_layout_engine()
        laid_out = self._saving and isinstance(engine, PlaceHolderLayoutEngine)  # matplotlib's second call
        if not laid_out:
            as_written(self)
        with any_glyph():
            if self._saving and self.axes and engine is not None and not laid_out:
                self._get_draw_artists(renderer)  # type: ignore[attr-defined]  # axes of a given aspect take their places
                engine.execute(self)
            else:
                super().draw(renderer)

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=150)
        return out.getvalue()


def inches(width: Width, otherwise: float) -> float:
    """Return a width in inches.

    Parameters
    ----------
    width
        "column", "text", or a number of inches; None: ``otherwise``.
    otherwise
        Inches.

    Raises
    ------
    NetsimError
        It is something else, or no figure can be so wide.
    """
    if width is None:
        return otherwise
    try:
        value = NAMED[width] if width in NAMED else float(width)
    except (TypeError, ValueError):
        value = math.nan
    if not NARROWEST <= value <= WIDEST:
        raise NetsimError(
            f"width = {width}: write column ({COLUMN:g} inches), text ({PAGE:g} inches), "
            f"or a number of inches from {NARROWEST:g} to {WIDEST:g}"
        )
    return value


def frame(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> None:
    """Label and style a panel, with text sized for a column of a paper."""
    ax.set_xlabel(xlabel, fontsize=TEXT)
    ax.set_ylabel(ylabel, fontsize=TEXT)
    ax.set_title(title, fontsize=TEXT, loc="left")
    ax.tick_params(which="both", labelsize=SMALL, width=0.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize(SMALL)
    for spine in ax.spines.values():
        spine.set_linewidth(0.6)


def drawable(values: np.ndarray) -> np.ndarray:
    """Return which values a logarithmic axis can show: positive, and not so small or large that axes overflow."""
    return (values >= LEAST) & (values <= MOST)


class _PlainTicks(LogLocator):
    """Ticks whose labels have room: at 1, 2 and 5 of every decade; at 1, or at every second, third, … decade; else at what else is round."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        low, high = max(min(vmin, vmax), LEAST), min(max(vmin, vmax), MOST)
        if not low < high:
            return np.array([low])
        known = [np.array(one) for one in self._choices(low, high) if len(one)]
        fit = [one for one in known if self._fits(one, low, high)]
        return max(fit or known, key=lambda one: min(len(one), 2))  # the first of them with two ticks

    def _choices(self, low: float, high: float) -> Iterator[list[float]]:
        """Yield ticks from low to high, the best first."""
        decades = np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)

        def within(ticks: Iterable[float]) -> list[float]:
            return [float(one) for one in ticks if low * (1 - 1e-9) <= one <= high * (1 + 1e-9)]

        yield within(digit * 10.0**decade for decade in decades for digit in (1, 2, 5))
        for every in range(1, len(decades) + 1):
            yield within(10.0 ** decades[decades % every == 0])
        chosen: list[float] = []
        for digit in (1, 5, 2):  # decades first, and of the others those that have room beside them
            for one in within(digit * 10.0**decades):
                if self._fits(np.array(more := sorted([*chosen, one])), low, high):
                    chosen = more
        yield chosen
        for count in (4, 3, 2, 1):
            others = within(MaxNLocator(count, steps=[1, 2, 5, 10], min_n_ticks=2).tick_values(low, high))
            yield others
        yield others[len(others) // 2 :][:1]

    def _fits(self, ticks: np.ndarray, low: float, high: float) -> bool:
        """Return whether the labels of ticks have room side by side."""
        axis: Any = self.axis
        box = axis.axes.get_window_extent().transformed(axis.get_figure(root=True).dpi_scale_trans.inverted())
        across = axis.axis_name == "x"
        places = np.log(ticks / low) / np.log(high / low) * (box.width if across else box.height)
        sizes = np.array([width_of(plain_number(one), SMALL) if across else _DIGIT for one in ticks])
        return bool(np.all(np.diff(places) >= (sizes[1:] + sizes[:-1]) / 2 + _BETWEEN))


def plain_log(ax: Axes, which: str) -> None:
    """Make the axis "x" or "y" logarithmic, with plain numbers for ticks: 0.1, 1, 10, …, 10,000; 2 and 5 too where they have room."""
    if which == "x":
        ax.set_xscale("log")
    else:
        ax.set_yscale("log")
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(_PlainTicks())
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axis.set_minor_formatter(NullFormatter())


def plain_number(value: float) -> str:
    """Return the label of a tick: 0.001, 1, 10,000, 10⁶, 2·10⁻⁹."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:,g}"
    digits, power = f"{value:.3e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    raised = f"10{str(int(power)).translate(_SUPERSCRIPT)}"
    return raised if digits == "1" else f"{digits}·{raised}"


def place_legend(figure: Figure, handles: Iterable[Any], title: str, columns: int, ax: Axes | None = None) -> Legend:
    """Put the legend below a figure, where it covers nothing; with ``ax``, into that empty panel. Its text is wrapped to fit.

    Parameters
    ----------
    figure
        Whose width is known.
    handles
        Artists with their labels.
    title
        Above them.
    columns
        At most; fewer where labels are too long for them.
    ax
        An empty panel, as wide as its share of the figure.
    """
    handles = list(handles)
    room = figure.get_figwidth() - 0.3 if ax is None else cell_width(ax) - _ASIDE
    columns = 1 if ax is not None else columns_for(handles, room, columns)
    for handle in handles:
        handle.set_label(fitted(handle.get_label(), room / columns - _key_width(), SMALL))
    options: dict[str, Any] = {
        "handles": handles,
        "title": fitted(title, room, SMALL, lines=6),
        "ncols": columns,
        "fontsize": SMALL,
        "title_fontsize": SMALL,
        "frameon": False,
        "handlelength": _LINE,
        "columnspacing": 1.2,
        "borderaxespad": 0.2,
    }
    if ax is None:
        legend = figure.legend(loc="outside lower center", **options)
    else:
        ax.set_axis_off()
        legend = ax.legend(loc="center left", bbox_to_anchor=(0, 0.5), labelspacing=0.7, **options)
        legend.set_in_layout(False)
    legend.set_alignment("left")
    return legend


def has_room(handles: list[Any], title: str, wide: float, high: float) -> bool:
    """Return whether a legend has room in an empty panel of so many inches."""
    room = wide - _ASIDE
    labels = [fitted(handle.get_label(), room - _key_width(), SMALL) for handle in handles]
    lines = "\n".join([*labels, fitted(title, room, SMALL, lines=6)]).count("\n") + 1
    return lines * 1.3 * SMALL / 72 + len(handles) * 0.7 * SMALL / 72 < high - 0.2


def cell_width(ax: Axes) -> float:
    """Return the inches of an Axes' cell of its grid: its share of the figure."""
    grid: Any = ax.get_subplotspec()
    return ax.get_figure(root=True).get_figwidth() / grid.get_gridspec().ncols  # type: ignore[union-attr]


def columns_for(handles: list[Any], room: float, most: int) -> int:
    """Return the columns of a legend: as many as let every label do with two lines, at most so many."""
    for columns in range(most, 1, -1):
        wide = room / columns - _key_width()
        lines = [fitted(handle.get_label(), wide, SMALL, lines=99).count("\n") for handle in handles]
        own = [handle.get_label().count("\n") for handle in handles]
        if wide > 0.8 and all(a - b <= 1 for a, b in zip(lines, own, strict=True)):
            return columns
    return 1


def _key_width() -> float:
    return (_LINE + 0.8 + 1.2) * SMALL / 72


def set_height(figure: Figure, panels: float, legend: Legend | None = None) -> None:
    """Set a figure's height: that of its panels with their labels, and what the legend below needs, so that it takes nothing from them."""
    if legend is not None:
        as_written(legend)
    with any_glyph():
        below = legend.get_window_extent().height / figure.dpi + 0.05 if legend is not None else 0.0
    figure.set_size_inches(figure.get_figwidth(), panels + below)


def fit_words(ax: Axes) -> None:
    """Break a panel's title, and the label of its horizontal axis, where they would be wider than the panel."""
    widest = max((width_of(label.get_text(), SMALL) for label in ax.get_yticklabels()), default=0.0)
    room = max(cell_width(ax) - max(_ASIDE_TICKS + widest, 0.5), 0.8)
    ax.set_title(fitted(ax.get_title(loc="left"), room, TEXT, lines=3), fontsize=TEXT, loc="left")
    ax.set_xlabel(fitted(ax.get_xlabel(), room, TEXT), fontsize=TEXT)
