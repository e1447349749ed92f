"""The winner map: which algorithm reaches the target loss first, on every network of a grid."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from netsim.errors import NetsimError
from netsim.plots.looks import lightness, styles, textures
from netsim.plots.map_labels import Mark, mark, name_regions, raster, short_names
from netsim.plots.methods import labels, legend_label
from netsim.plots.reading import (
    axis_label,
    choose,
    circumstances,
    is_a_point,
    is_ours,
    sharing_words,
    shown_on,
    without_plane,
)
from netsim.plots.style import (
    COLUMN,
    PAGE,
    SMALL,
    Plot,
    Width,
    fit_words,
    frame,
    inches,
    place_legend,
    plain_log,
    set_height,
)
from netsim.plots.text import as_written, clean
from netsim.plots.winners import borders, contested, twins_of, winners

_NOBODY = "#f2f2f2"  # not reached: paler than any algorithm
_BESIDE = 0.62, 0.72  # inches of a map that its labels take, each way
_HIGH = 2.75  # inches of a map and its labels
_MS, _MBIT = 1e3, 1e-6  # seconds and bit/s to the axes' units


def winner_map(
    ds: xr.Dataset,
    sharing: str | None = None,
    ax: Axes | None = None,
    width: Width = None,
    topology: str | None = None,
) -> Figure:
    """Draw the latency x bandwidth plane, coloured by the algorithm that reaches the target loss first.

    Equal times go to the algorithm that comes first in the Dataset. Where another is within 2 % of the first, the plane is hatched; one that is
    within 2 % everywhere is named in the legend beside it and hatches nothing. Where none reaches the target, "not reached" has its own
    colour. The lines are break-even by the closed forms: the shortest one changes there. Named conditions are marked. A region whose colour is as
    light as another's has a texture.

    Parameters
    ----------
    ds
        Results over a grid of networks. Latencies of 0 and infinite bandwidths are on no logarithmic axis and are left out.
    sharing
        "fifo", "none"; None: "fifo" where there is a choice.
    ax
        Draw here; None: a figure of its own.
    width
        Of a figure of its own: "column" (3.5 inches), "text" (7.16 inches) or inches; None: a column.
    topology
        Of results over several: its name; None: the first.

    Returns
    -------
    Figure

    Raises
    ------
    NetsimError
        The results are over no grid, or hold no such sharing or topology.
    """
    one = _on_log_axes(choose(ds, sharing, topology))
    if ax is None:
        return _laid_out([one], inches(width, COLUMN))
    box = ax.get_window_extent()
    dpi = ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    looks = _Looks([one])
    more = _draw(ax, one, looks, sharing_words(one), (box.width / dpi, box.height / dpi))
    handles = [*_handles([one], looks), *more.values()]
    ax.legend(handles=handles, fontsize=SMALL, loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False)
    as_written(ax)
    return ax.figure.figure  # type: ignore[return-value]


def winner_maps(ds: xr.Dataset, width: Width = None, topology: str | None = None) -> Figure:
    """Draw a winner map for each way of sharing ports that the results hold, side by side; one above the other in a column.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    width, topology
        As for :func:`winner_map`; width None: a page for several maps.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    held = [str(one) for one in ds["sharing"].values] if "sharing" in ds.dims else [None]
    maps = [_on_log_axes(choose(ds, sharing, topology)) for sharing in held]
    return _laid_out(maps, inches(width, PAGE if len(maps) > 1 else COLUMN))


def _on_log_axes(ds: xr.Dataset) -> xr.Dataset:
    """Leave out what no logarithmic axis shows: latencies of 0 and infinite bandwidths."""
    if why := without_plane(ds):
        raise NetsimError(
            f"a winner map needs two latencies above 0 and two finite bandwidths, as of Network.grid: {why}"
        )
    return ds.isel({dim: shown_on(ds, dim) for dim in ("latency", "bandwidth")})


def _laid_out(maps: list[xr.Dataset], wide: float) -> Figure:
    looks = _Looks(maps)
    columns = max(1, min(len(maps), int(wide / 2.4)))
    rows = -(-len(maps) // columns)
    figure = Plot(figsize=(wide, _HIGH * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    size = wide / columns - _BESIDE[0], _HIGH - _BESIDE[1]
    more: dict[str, Any] = {}
    for number, (ax, one) in enumerate(zip(axes, maps, strict=False)):
        letter = f"({chr(97 + number)}) " if len(maps) > 1 else ""
        more |= _draw(ax, one, looks, f"{letter}{sharing_words(one)}", size)
        fit_words(ax)
        if number % columns:
            ax.set_ylabel("")
    for ax in axes[len(maps) :]:
        ax.remove()
    common = maps[0]
    if len(maps) > 1:  # each panel says its own
        common = common.drop_vars("sharing", errors="ignore")
        common.attrs = {key: value for key, value in common.attrs.items() if key != "sharing"}
    handles = [*_handles(maps, looks), *more.values()]
    title = f"first to reach {circumstances(common, band=False) if 'target' in common.attrs else 'the target'}"
    set_height(figure, _HIGH * rows, place_legend(figure, handles, title, 2))
    return figure


class _Looks:
    """How the maps of one figure show their winners.

    Attributes
    ----------
    colours
        Of every experiment.
    textures
        {number of a winner: its hatch}; -1 is where none reaches the target.
    twins
        As :func:`netsim.plots.winners.twins_of`.
    """

    def __init__(self, maps: list[xr.Dataset]) -> None:
        self.colours = [one.colour for one in styles(maps[0]).values()]
        first = sorted({int(number) for one in maps for number in np.unique(winners(one).first)})
        self.textures = textures({-1: _NOBODY} | {number: self.colours[number] for number in first if number >= 0})
        self.twins = twins_of(maps)

    def ink(self, number: int) -> str:
        """Return the colour of a winner's hatch."""
        return "white" if lightness(self.colours[number]) < 55 else "black"


def _draw(ax: Axes, ds: xr.Dataset, looks: _Looks, title: str, size: tuple[float, float]) -> dict[str, Any]:
    """Draw one map of so many inches; return the legend's entries of its lines and numbered points."""
    won = winners(ds)
    x, y = ds["bandwidth"].values * _MBIT, ds["latency"].values * _MS
    edges = _edges(x), _edges(y)
    colours = ListedColormap([_NOBODY, *looks.colours])
    ax.pcolormesh(*edges, won.first, cmap=colours, vmin=-1.5, vmax=len(looks.colours) - 0.5, zorder=0)
    for number, texture in looks.textures.items():
        if texture:
            _hatch(ax, *edges, won.first == number, texture, to_hex((*to_rgb(looks.ink(number)), 0.7), keep_alpha=True))
    _outline(ax, *edges, won.first)
    _hatch(ax, *edges, contested(won, looks.twins), "////", "#ffffff90")
    lines = _break_even(ax, ds)
    plain_log(ax, "x")
    plain_log(ax, "y")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    frame(ax, axis_label(ds, "bandwidth"), axis_label(ds, "latency"), title)
    whose = raster(edges, won.first, ((x[0], x[-1]), (y[0], y[-1])))
    taken, numbered = mark(ax, _marks(ds), whose, size)
    called = list(labels(ds).values())
    held = {int(number): called[number] if number >= 0 else "not reached" for number in np.unique(won.first)}
    name_regions(ax, whose, short_names(held, size), taken, size)
    entries: dict[str, Any] = {f"point {number}": key for number, key in enumerate(numbered)}
    if lines:
        entries["lines"] = Line2D([], [], color="black", linewidth=0.9, label="break-even by the closed forms")
    return entries


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return the cells' edges: halfway between neighbours, as a logarithmic axis shows it."""
    if len(centres) == 1:
        return centres * np.array([0.5, 2.0])
    between = np.exp((np.log(centres[:-1]) + np.log(centres[1:])) / 2)
    ends = centres[0] * (centres[0] / between[0]), centres[-1] * (centres[-1] / between[-1])
    return np.array([ends[0], *between, ends[1]])


def _outline(ax: Axes, x: np.ndarray, y: np.ndarray, first: np.ndarray) -> None:
    """Draw the edges between cells of different winners, whose colours may be alike in greyscale."""
    rows, columns = np.nonzero(np.diff(first, axis=1))
    upright = [((x[j + 1], y[i]), (x[j + 1], y[i + 1])) for i, j in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(np.diff(first, axis=0))
    level = [((x[j], y[i + 1]), (x[j + 1], y[i + 1])) for i, j in zip(rows, columns, strict=True)]
    ax.add_collection(LineCollection(upright + level, colors="white", linewidths=0.8, zorder=1.5), autolim=False)


def _hatch(ax: Axes, x: np.ndarray, y: np.ndarray, where: np.ndarray, hatch: str, ink: str) -> None:
    """Hatch cells: one patch for each run of cells in a row, so that the pattern has no seams inside it."""
    boxes = []
    for row, cells in enumerate(where):
        ends = np.flatnonzero(np.diff([0, *cells, 0]))
        for left, right in zip(ends[::2], ends[1::2], strict=True):
            boxes.append([(x[i], y[j]) for i, j in ((left, row), (right, row), (right, row + 1), (left, row + 1))])
    ax.add_collection(
        PolyCollection(boxes, facecolor="none", edgecolor=ink, hatch=hatch, linewidth=0, zorder=1), autolim=False
    )


def _break_even(ax: Axes, ds: xr.Dataset) -> bool:
    """Draw the lines where the algorithm with the least closed form changes; return whether there are any."""
    found = borders(ds)
    for line in found:
        for width, colour in ((2.0, "white"), (0.9, "black")):
            ax.contour(
                line.bandwidth * _MBIT, line.latency * _MS, line.apart, levels=[0.0], colors=colour, linewidths=width,
                zorder=2,
            )  # fmt: skip
    return bool(found)


def _marks(ds: xr.Dataset) -> list[Mark]:
    """Return the named conditions, which are points of the grid, in shares of the axes."""
    found = []
    for name in ds["condition"].values if "condition" in ds.dims else []:
        at: list[float] = []
        for of in ("bandwidth", "latency") if is_a_point(ds, str(name)) else ():
            low, value, high = np.log(
                [ds[of].values[0], float(ds[f"condition_{of}"].sel(condition=name)), ds[of].values[-1]]
            )
            at.append(float((value - low) / (high - low)))
        if at:
            found.append(Mark(at[0], at[1], f"{clean(str(name))}{' (ours)' if is_ours(ds, str(name)) else ''}"))
    return found


def _handles(maps: list[xr.Dataset], looks: _Looks) -> list[Any]:
    """Return the legend: every winner, with those that tie with it; then the hatches."""
    won, called = [winners(one) for one in maps], labels(maps[0])
    names = list(called)
    first = {int(number) for one in won for number in np.unique(one.first)}
    handles: list[Any] = []
    for number in sorted(first - {-1}):
        alike = [called[names[twin]] for twin in np.flatnonzero(looks.twins[number]) if twin != number]
        words = [legend_label(maps[0], names[number]), *(f"and {twin}, within 2 % everywhere" for twin in alike)]
        look: dict[str, Any] = {
            "facecolor": looks.colours[number],
            "edgecolor": looks.ink(number),
            "hatch": looks.textures[number],
        }
        handles.append(Patch(linewidth=0, label="\n".join(words), **look))
    if -1 in first:
        handles.append(Patch(facecolor=_NOBODY, edgecolor="black", linewidth=0.4, label="not reached by any"))
    if any(contested(one, looks.twins).any() for one in won):
        grey = tuple(0.6 * np.array(to_rgb("white")))
        handles.append(
            Patch(facecolor=grey, edgecolor="white", hatch="////", linewidth=0, label="another is within 2 %")
        )
    return handles
