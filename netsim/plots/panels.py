"""Panels, their curves, and the legend that they share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from netsim.plots.methods import Style, legend_label, styles
from netsim.plots.reading import circumstances
from netsim.plots.style import COLUMN, PAGE, SMALL, Plot, place_legend

Panel = Callable[[Axes, str], Any]
"""Draws into the Axes, its title starting with the string."""


def single(ds: xr.Dataset, panel: Panel, ax: Axes | None) -> Figure:
    """Draw one panel into the caller's Axes, its legend inside, or into a figure as wide as a column."""
    if ax is None:
        return laid_out([panel], handles_of(ds), circumstances(ds), columns=1, height=2.3)
    panel(ax, "")
    ax.legend(handles=handles_of(ds), fontsize=SMALL, frameon=False)
    return ax.figure.figure  # type: ignore[return-value]


def laid_out(
    panels: Sequence[Panel],
    handles: list[Line2D],
    title: str,
    columns: int,
    height: float,
    legend_in_a_cell: bool = False,
    sharey: bool = False,
) -> Figure:
    """Lay out panels, numbered (a), (b), …, and one legend: below, or in the cell after the last panel."""
    cells = len(panels) + legend_in_a_cell
    columns = 2 if cells == 4 else min(columns, cells)  # no row of one
    rows = -(-cells // columns)
    below = 0.0 if legend_in_a_cell else 0.16 * (-(-len(handles) // (2 if columns > 1 else 1)) + 2)
    figure = Plot(figsize=(PAGE if columns > 1 else COLUMN, height * rows + below), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        panel(ax, f"({chr(ord('a') + number)})" if len(panels) > 1 else "")
        if sharey and number % columns:
            ax.set_ylabel("")
    for ax in axes[cells:]:
        ax.remove()
    cell = axes[len(panels)] if legend_in_a_cell else None
    place_legend(figure, handles, title, columns if legend_in_a_cell else min(columns, 2), cell)
    return figure


def handles_of(ds: xr.Dataset) -> list[Line2D]:
    """Return the legend: a line for each experiment, in the Dataset's order."""
    shown = styles(ds)
    return [
        Line2D([], [], label=legend_label(ds, name), **_drawn(style, shifted=False)) for name, style in shown.items()
    ]


def draw_curves(ax: Axes, ds: xr.Dataset, x: xr.DataArray, y: xr.DataArray) -> None:
    """Draw y against x for every experiment, where it is finite and positive.

    Parameters
    ----------
    ax
        Where.
    ds
        Results, whose descriptions say how each experiment is drawn.
    x, y
        Over one dimension, or over it and ``experiment``.
    """
    for at, (name, style) in enumerate(styles(ds).items()):
        across, along = (one.sel(experiment=name) if "experiment" in one.dims else one for one in (x, y))
        known = np.isfinite(across.values) & np.isfinite(along.values) & (along.values > 0)
        every = max(1, round(known.sum() / 7))
        markers = (at % every, every)  # those of curves that coincide are at different points
        ax.plot(across.values[known], along.values[known], markevery=markers, **_drawn(style))


def _drawn(style: Style, shifted: bool = True) -> dict[str, Any]:
    """Return the matplotlib keywords of a method's line; in a legend its dashes are not shifted."""
    line = style.line if shifted or isinstance(style.line, str) else (0, style.line[1])
    return {
        "color": style.colour,
        "linestyle": line,
        "linewidth": 1.3,
        "marker": style.marker,
        "markersize": 4.0,
        "markerfacecolor": style.face,
        "markeredgecolor": "black" if style.face == style.colour else style.colour,
        "markeredgewidth": 0.4 if style.face == style.colour else 1.0,
    }


def plain_line(style: Style) -> dict[str, Any]:
    """Return the keyword arguments of matplotlib for a method's line without markers."""
    return {"color": style.colour, "linestyle": style.line, "linewidth": 1.3}


def marked_line(style: Style) -> dict[str, Any]:
    """Return the keyword arguments of matplotlib for a method's line with a marker at every third point."""
    return {**plain_line(style), "marker": style.marker, "markersize": 4, "markerfacecolor": style.face, "markevery": 3}
