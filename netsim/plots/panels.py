"""Panels, their curves, and the legend that they share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from netsim.plots.looks import Style, dashes, styles
from netsim.plots.methods import legend_label
from netsim.plots.reading import circumstances
from netsim.plots.style import (
    COLUMN,
    MOST,
    MUTED,
    PAGE,
    SMALL,
    TEXT,
    Plot,
    Width,
    drawable,
    fit_words,
    has_room,
    inches,
    place_legend,
    set_height,
)
from netsim.plots.text import as_written

Panel = Callable[[Axes, str], Any]
"""Draws into the Axes, its title starting with the string."""

_SAME = 1e-2  # of the panel's height and width: curves that are nowhere further apart look like one
_NARROW = 2.3  # inches: a panel narrower than this is lower too
_LEAST = 1.6  # inches: no panel is narrower
_DASH = 3.0  # of a curve that coincides with others, in line widths


def single(ds: xr.Dataset, panel: Panel, ax: Axes | None, width: Width = None, subtitle: str | None = None) -> Figure:
    """Draw one panel into the caller's Axes, its legend inside, or into a figure as wide as a column."""
    if ax is None:
        said = circumstances(ds) if subtitle is None else subtitle
        return laid_out([panel], handles_of(ds), said, columns=1, height=2.3, width=width)
    panel(ax, "")
    ax.legend(handles=handles_of(ds), fontsize=SMALL, frameon=False)
    as_written(ax)
    return ax.figure.figure  # type: ignore[return-value]


def laid_out(
    panels: Sequence[Panel],
    handles: list[Line2D],
    title: str,
    columns: int,
    height: float,
    legend_in_a_cell: bool = False,
    sharey: bool = False,
    width: Width = None,
) -> Figure:
    """Lay out panels, numbered (a), (b), …, and one legend: below, or in the cell after the last panel.

    Parameters
    ----------
    panels
        In their order.
    handles
        Of the legend.
    title
        Of the legend.
    columns
        Panels side by side, where a page is as wide; two in a column.
    height
        Inches of a panel with its labels.
    legend_in_a_cell
        Whether it may stand there, if it has room.
    sharey
        Whether panels have one vertical axis.
    width
        None: a page for several columns, a column for one.
    """
    wide = inches(width, PAGE if columns > 1 else COLUMN)
    share = wide / columns
    in_a_cell = legend_in_a_cell and share >= _NARROW and has_room(handles, title, share, height)
    cells = len(panels) + in_a_cell
    columns = 2 if cells == 4 else min(columns, cells)  # no row of one
    if wide / columns < _LEAST:
        columns = max(1, int(wide / _LEAST))
    rows = -(-cells // columns)
    height *= min(1.0, max(wide / columns / _NARROW, 0.78))
    figure = Plot(figsize=(wide, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        panel(ax, f"({_letters(number)})" if len(panels) > 1 else "")
        fit_words(ax)
        if sharey and number % columns:
            ax.set_ylabel("")
    for ax in axes[cells:]:
        ax.remove()
    cell = axes[len(panels)] if in_a_cell else None
    total = height * rows + sum(_beyond_one_line(axes[row * columns : (row + 1) * columns]) for row in range(rows))
    figure.set_figheight(total)
    legend = place_legend(figure, handles, title, 2, cell)
    set_height(figure, total, None if in_a_cell else legend)
    return figure


def _beyond_one_line(row: Sequence[Axes]) -> float:
    """Return the inches that the titles and labels of a row of panels need for their second and further lines."""
    lines = max(ax.get_title(loc="left").count("\n") for ax in row) + max(ax.get_xlabel().count("\n") for ax in row)
    return lines * TEXT * 1.25 / 72


def _letters(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else str(number + 1)


def bands_of(ds: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Return the least and the largest of the seeds of a quantity; None where there is one seed."""
    return (ds[f"{name}_least"], ds[f"{name}_most"]) if f"{name}_least" in ds else None


def handles_of(ds: xr.Dataset) -> list[Line2D]:
    """Return the legend: a line for each experiment, in the Dataset's order."""
    return [
        Line2D([], [], label=legend_label(ds, name), **_drawn(style, shifted=False))
        for name, style in styles(ds).items()
    ]


class _Curve(NamedTuple):
    """What is drawn of an experiment: its points, and those of the band about them."""

    x: np.ndarray
    y: np.ndarray
    least: np.ndarray
    most: np.ndarray


def draw_curves(
    ax: Axes,
    ds: xr.Dataset,
    x: xr.DataArray,
    y: xr.DataArray,
    bands: tuple[xr.DataArray, xr.DataArray] | None = None,
    log: bool = True,
) -> None:
    """Draw y against x for every experiment, where it is finite, and positive on a logarithmic axis.

    Curves that coincide are drawn as one line whose pieces and markers are each one's in turn.

    Parameters
    ----------
    ax
        Where.
    ds
        Results, whose descriptions say how each experiment is drawn.
    x, y
        Over one dimension, or over it and ``experiment``.
    bands
        The least and the largest y of several seeds; None: there is one.
    log
        Whether the vertical axis is to be logarithmic.
    """
    curves = {name: _curve(name, x, y, bands, log) for name in styles(ds)}
    places = _coinciding(curves, log)
    for at, (name, style) in enumerate(styles(ds).items()):
        curve, (place, count) = curves[name], places[name]
        every = max(1, round(len(curve.x) / 7))
        drawn = _drawn(style)
        if count > 1:
            every = -(-every // count) * count
            drawn["linestyle"] = (_DASH * place, (_DASH, _DASH * (count - 1)))
        if len(curve.x) < count:  # the markers are at one point: one around the other
            drawn["markersize"] += 2.5 * (count - 1 - place)
        start = place * every // count
        if count == 1:
            start = at * every // len(curves) if every >= len(curves) else at % every
        ax.plot(curve.x, curve.y, markevery=(min(start, max(len(curve.x) - 1, 0)), every), **drawn)
        if bands is not None and len(curve.x):
            ax.fill_between(curve.x, curve.least, curve.most, color=style.colour, alpha=0.18, linewidth=0, zorder=1.2)
    if not any(len(curve.x) for curve in curves.values()):
        ax.text(0.5, 0.5, "nothing finite to draw", transform=ax.transAxes, ha="center", fontsize=SMALL, color=MUTED)


def _curve(
    name: str, x: xr.DataArray, y: xr.DataArray, bands: tuple[xr.DataArray, xr.DataArray] | None, log: bool
) -> _Curve:
    across, along, *ends = (
        np.asarray(one.sel(experiment=name).values if "experiment" in one.dims else one.values, dtype=float)
        for one in (x, y, *(bands or ()))
    )
    known = np.isfinite(across) & (np.abs(across) <= MOST) & (np.abs(along) <= MOST)
    known &= drawable(along) if log else np.isfinite(along)
    least, most = ends or (along, along)
    if log:
        least = np.maximum(least, np.nanmin(along[known]) / 10 if known.any() else 1.0)
    return _Curve(across[known], along[known], least[known], np.minimum(most, MOST)[known])


def _coinciding(curves: dict[str, _Curve], log: bool) -> dict[str, tuple[int, int]]:
    """Return for every curve its place among those that coincide with it, and their number."""
    heights = {name: np.log(one.y) if log else one.y for name, one in curves.items()}
    span = [_span([one.x for one in curves.values()]), _span(list(heights.values()))]
    groups: list[list[str]] = []
    for name, one in curves.items():

        def alike(other: str, name: str = name, one: _Curve = one) -> bool:
            same = len(one.x) == len(curves[other].x) > 0
            pairs = ((one.x, curves[other].x), (heights[name], heights[other])) if same else ()
            return same and all(np.all(np.abs(a - b) <= _SAME * s) for (a, b), s in zip(pairs, span, strict=True))

        group = next((group for group in groups if alike(group[0])), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return {name: (place, len(group)) for group in groups for place, name in enumerate(group)}


def _span(values: list[np.ndarray]) -> float:
    held = [part for part in values if len(part)]
    return float(max(part.max() for part in held) - min(part.min() for part in held)) if held else 0.0


def _drawn(style: Style, shifted: bool = True) -> dict[str, Any]:
    """Return the matplotlib keywords of a method's line; in a legend its dashes are not shifted."""
    return {
        "color": style.colour,
        "linestyle": style.line if shifted or not dashes(style.line) else (0, dashes(style.line)),
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
