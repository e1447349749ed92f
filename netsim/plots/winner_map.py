"""The winner map: which algorithm reaches the target loss first, on every network of a grid."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from netsim.errors import NetsimError
from netsim.plots.methods import labels, legend_label, styles
from netsim.plots.reading import choose, circumstances, sharing_of
from netsim.plots.style import COLUMN, PAGE, SMALL, Plot, frame, place_legend, plain_log

CLOSE = 0.02  # relative to the shortest time: a runner-up within this is hatched
_EQUAL = 1e-9  # relative: within this, times are equal to rounding
_NOBODY = "#f2f2f2"  # not reached: paler than any algorithm
_FINE = 400  # points that break-even lines are found on, each way
_RASTER = 40  # points, each way, where a region's name can be
_NAME = 0.12, 0.085  # half of a name's width and height, as shares of the axes

Box = tuple[float, float, float, float]  # left, right, low, high, as shares of the axes
_MS, _MBIT = 1e3, 1e-6  # seconds and bit/s to the axes' units


class Winners(NamedTuple):
    """The fastest experiment, over (latency, bandwidth).

    Attributes
    ----------
    first
        (L, B): number of the experiment with the least time to target, the earlier in the Dataset where times are equal; -1: none reaches it.
    near
        (E, L, B): whether an experiment's time is within 2 % of that; the first one's is.
    """

    first: np.ndarray
    near: np.ndarray


def winners(ds: xr.Dataset) -> Winners:
    """Return the experiment that reaches the target first on each network of a Dataset of one sharing.

    Parameters
    ----------
    ds
        Results over a grid of networks, without a dimension ``sharing``.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    times = _times(ds)
    least = times.min(axis=0)
    equal, near = (np.isfinite(times) & (times <= least * (1 + share)) for share in (_EQUAL, CLOSE))
    return Winners(np.where(np.isfinite(least), equal.argmax(axis=0), -1), near)


def winner_map(ds: xr.Dataset, sharing: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw the latency x bandwidth plane, coloured by the algorithm that reaches the target loss first.

    Equal times go to the algorithm that comes first in the Dataset. Where another is within 2 % of the first, the plane is hatched; one that is
    within 2 % everywhere is named in the legend beside it and hatches nothing. Where none reaches the target, "not reached" has its own
    colour. The lines are break-even by the closed forms: the shortest one changes there. Named conditions are marked.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    sharing
        "fifo", "none"; None: "fifo" where there is a choice.
    ax
        Draw here; None: a figure of its own.

    Returns
    -------
    Figure

    Raises
    ------
    NetsimError
        The results are over no grid, or hold no such sharing.
    """
    one = _on_log_axes(choose(ds, sharing))
    if ax is None:
        return _laid_out([one], columns=1)
    lines = _draw(ax, one, _twins([one]), f"sharing {sharing_of(one)}")
    ax.legend(handles=_handles([one], lines), fontsize=SMALL, loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False)
    return ax.figure.figure  # type: ignore[return-value]


def winner_maps(ds: xr.Dataset) -> Figure:
    """Draw a winner map for each way of sharing ports that the results hold, side by side.

    Parameters
    ----------
    ds
        Results over a grid of networks.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    held = [str(one) for one in ds["sharing"].values] if "sharing" in ds.dims else [None]
    return _laid_out([_on_log_axes(choose(ds, sharing)) for sharing in held], columns=len(held))


def _on_log_axes(ds: xr.Dataset) -> xr.Dataset:
    """Leave out what no logarithmic axis shows: latencies of 0 and infinite bandwidths."""
    axes = [dim for dim in ("latency", "bandwidth") if dim in ds.dims]
    shown = {dim: np.flatnonzero((ds[dim].values > 0) & np.isfinite(ds[dim].values)) for dim in axes}
    if any(len(points) < 2 for points in shown.values()):
        raise NetsimError("the winner map needs two latencies above 0 and two finite bandwidths")
    return ds.isel(shown)


def _laid_out(maps: list[xr.Dataset], columns: int) -> Figure:
    twins, wide, lines = _twins(maps), columns > 1, False
    figure = Plot(layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for number, (ax, one) in enumerate(zip(axes, maps, strict=True)):
        lines |= _draw(ax, one, twins, f"{f'({chr(97 + number)}) ' if wide else ''}sharing {sharing_of(one)}")
        if number:
            ax.set_ylabel("")
    handles = _handles(maps, lines)
    words = sum(handle.get_label().count("\n") + 1 for handle in handles)
    figure.set_size_inches(PAGE if wide else COLUMN, 2.75 + 0.15 * (-(-words // (2 if wide else 1)) + 3))
    common = maps[0].drop_vars("sharing", errors="ignore") if wide else maps[0]
    if wide:  # each panel says its own
        common.attrs.pop("sharing", None)
    place_legend(figure, handles, f"first to reach {circumstances(common)}", 2 if wide else 1)
    return figure


def _draw(ax: Axes, ds: xr.Dataset, twins: np.ndarray, title: str) -> bool:
    """Draw one map; return whether there are break-even lines on it."""
    won = winners(ds)
    drawn_styles = list(styles(ds).values())
    x, y = ds["bandwidth"].values * _MBIT, ds["latency"].values * _MS
    edges = _edges(x), _edges(y)
    colours = ListedColormap([_NOBODY, *(one.colour for one in drawn_styles)])
    ax.pcolormesh(*edges, won.first, cmap=colours, vmin=-1.5, vmax=len(drawn_styles) - 0.5, zorder=0)
    _outline(ax, *edges, won.first)
    _hatch(ax, *edges, _contested(won, twins))
    lines = _break_even(ax, ds)
    plain_log(ax, "x")
    plain_log(ax, "y")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    frame(ax, "bandwidth (Mbit/s)", "latency (ms)", title)
    _name_regions(ax, edges, won.first, list(labels(ds).values()), _mark_conditions(ax, ds))
    return lines


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return the cells' edges: halfway between neighbours, as a logarithmic axis shows it."""
    if len(centres) == 1:
        return centres * np.array([0.5, 2.0])
    between = np.sqrt(centres[:-1] * centres[1:])
    return np.array([centres[0] ** 2 / between[0], *between, centres[-1] ** 2 / between[-1]])


def _outline(ax: Axes, x: np.ndarray, y: np.ndarray, first: np.ndarray) -> None:
    """Draw the edges between cells of different winners, whose colours may be alike in greyscale."""
    rows, columns = np.nonzero(np.diff(first, axis=1))
    upright = [((x[j + 1], y[i]), (x[j + 1], y[i + 1])) for i, j in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(np.diff(first, axis=0))
    level = [((x[j], y[i + 1]), (x[j + 1], y[i + 1])) for i, j in zip(rows, columns, strict=True)]
    ax.add_collection(LineCollection(upright + level, colors="white", linewidths=0.8, zorder=1.5), autolim=False)


def _hatch(ax: Axes, x: np.ndarray, y: np.ndarray, where: np.ndarray) -> None:
    """Hatch cells: one patch for each run of cells in a row, so that the pattern has no seams inside it."""
    boxes = []
    for row, cells in enumerate(where):
        ends = np.flatnonzero(np.diff([0, *cells, 0]))
        for left, right in zip(ends[::2], ends[1::2], strict=True):
            boxes.append([(x[i], y[j]) for i, j in ((left, row), (right, row), (right, row + 1), (left, row + 1))])
    ax.add_collection(
        PolyCollection(boxes, facecolor="none", edgecolor="#ffffff90", hatch="////", linewidth=0, zorder=1),
        autolim=False,
    )


def _times(ds: xr.Dataset) -> np.ndarray:
    if not {"latency", "bandwidth"} <= set(ds["time_to_target"].dims):
        raise NetsimError("a winner map needs results over a grid of latency and bandwidth; use Network.grid")
    times = ds["time_to_target"].transpose("experiment", "latency", "bandwidth").values
    return np.where(np.isnan(times), np.inf, times)


def _twins(maps: list[xr.Dataset]) -> np.ndarray:
    """Return (E, E): whether two experiments' times are within 2 % of each other on all networks of all maps."""
    times = np.concatenate([_times(one).reshape(one.sizes["experiment"], -1) for one in maps], axis=1)
    reached = np.isfinite(times).any(axis=1)
    with np.errstate(invalid="ignore"):
        apart = np.abs(times[:, None] - times[None]) > CLOSE * np.minimum(times[:, None], times[None])
    same = ~apart.any(axis=2) & (np.isfinite(times[:, None]) == np.isfinite(times[None])).all(axis=2)
    return same & reached[:, None] & reached[None]


def _contested(won: Winners, twins: np.ndarray) -> np.ndarray:
    """Return (L, B): whether an experiment other than the first and its twins is near it."""
    rivals = won.near & ~twins[won.first].transpose(2, 0, 1)
    return rivals.any(axis=0) & (won.first >= 0)


def _break_even(ax: Axes, ds: xr.Dataset) -> bool:
    """Draw the lines where the algorithm with the least closed form changes; equal ones count as the first's, as equal times do."""
    if "closed_form" not in ds or min(ds.sizes["latency"], ds.sizes["bandwidth"]) < 2:
        return False
    latency, bandwidth = ds["latency"].values, ds["bandwidth"].values
    known = ds["closed_form"].transpose("experiment", "latency", "bandwidth").values
    finer = _finer(latency), _finer(bandwidth)
    times = [_between(one, latency, bandwidth, *finer) for one in known if np.isfinite(one).all()]
    if not times:
        return False
    first = (np.array(times) <= np.min(times, axis=0) * (1 + _EQUAL)).argmax(axis=0)
    least = np.unique(first)
    for a, b in itertools.combinations(least, 2):
        border = _both_near(first, a, b)
        if border.any():
            apart = np.ma.masked_where(~border, np.log(times[a] / times[b]) - _EQUAL)
            for width, colour in ((2.0, "white"), (0.9, "black")):
                ax.contour(
                    finer[1] * _MBIT, finer[0] * _MS, apart, levels=[0.0], colors=colour, linewidths=width, zorder=2
                )
    return len(least) > 1


def _both_near(first: np.ndarray, a: int, b: int) -> np.ndarray:
    """Return which points are corners of a cell of the grid that has both a and b at its corners."""
    corners = [(slice(i, i - 1 or None), slice(j, j - 1 or None)) for i in (0, 1) for j in (0, 1)]
    cell = np.any([first[c] == a for c in corners], axis=0) & np.any([first[c] == b for c in corners], axis=0)
    out = np.zeros(first.shape, bool)
    for corner in corners:
        out[corner] |= cell
    return out


def _finer(grid: np.ndarray) -> np.ndarray:
    return np.geomspace(grid[0], grid[-1], _FINE)


def _between(
    values: np.ndarray,
    latency: np.ndarray,
    bandwidth: np.ndarray,
    finer_latency: np.ndarray,
    finer_bandwidth: np.ndarray,
) -> np.ndarray:
    """Return a closed form between the points of the grid, (latency, bandwidth).

    It is affine in latency and 1/bandwidth, and constant where computing hides the exchange: the larger of the two is fitted, and taken if it meets
    every point. What is of another form is interpolated linearly in latency and 1/bandwidth.
    """
    terms = _terms(latency, bandwidth)
    floor = values.min()
    above = values > floor * (1 + _EQUAL)
    if above.sum() >= 3:
        weights = 1 / values[above]  # so that small times count as much as large ones
        slopes = np.linalg.lstsq(terms[above] * weights[:, None], np.ones(above.sum()), rcond=None)[0]
        if np.allclose(np.maximum(floor, terms @ slopes), values, rtol=1e-6, atol=0):
            return np.maximum(floor, _terms(finer_latency, finer_bandwidth) @ slopes)
    across = np.array([np.interp(-1 / finer_bandwidth, -1 / bandwidth, row) for row in values])
    return np.array([np.interp(finer_latency, latency, column) for column in across.T]).T


def _terms(latency: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
    """Return 1, latency and 1/bandwidth (each over its largest value), over (latency, bandwidth)."""
    alpha, beta = np.meshgrid(latency / latency[-1], bandwidth[0] / bandwidth, indexing="ij")
    return np.stack([np.ones_like(alpha), alpha, beta], axis=-1)


def _mark_conditions(ax: Axes, ds: xr.Dataset) -> list[Box]:
    """Mark the named conditions, with labels towards the middle; return the area that they cover."""
    taken: list[Box] = []
    for number, name in enumerate(ds["condition"].values if "condition" in ds.dims else []):
        point = ds.isel(condition=number)
        at = float(point["condition_bandwidth"]) * _MBIT, float(point["condition_latency"]) * _MS
        ours = bool(point["condition_ours"]) if "condition_ours" in ds.variables else False
        words = f"{name} (ours)" if ours else str(name)
        u, v = ax.transAxes.inverted().transform(ax.transData.transform(at))
        left = u > 0.5
        ax.plot(*at, "o", color="white", markeredgecolor="black", markersize=4.5, zorder=4, clip_on=False)
        ax.annotate(
            words,
            at,
            xytext=(-6 if left else 6, 3 if v < 0.08 else -3 if v > 0.92 else 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="bottom" if v < 0.08 else "top" if v > 0.92 else "center",
            **_words(),
        )
        long = 0.05 + 0.022 * len(words)
        taken.append((u - long, u + 0.03, v - 0.06, v + 0.1) if left else (u - 0.03, u + long, v - 0.06, v + 0.1))
    return taken


def _name_regions(
    ax: Axes, edges: tuple[np.ndarray, np.ndarray], first: np.ndarray, names: list[str], taken: list[Box]
) -> None:
    """Write every algorithm's name where its region is widest; not where that is too narrow."""
    at = (np.arange(_RASTER) + 0.5) / _RASTER
    u, v = (one.ravel() for one in np.meshgrid(at, at))
    across, along = ax.transData.inverted().transform(ax.transAxes.transform(np.stack([u, v], axis=1))).T
    cell = [
        np.clip(np.searchsorted(edge, where) - 1, 0, len(edge) - 2)
        for edge, where in zip(edges, (across, along), strict=True)
    ]
    who = first[cell[1], cell[0]]
    free = np.ones(len(u), bool)
    for left, right, low, high in taken:
        free &= ~((u > left) & (u < right) & (v > low) & (v < high))
    width, height = _NAME
    frame_apart = np.minimum(np.minimum(u, 1 - u) / width, np.minimum(v, 1 - v) / height)
    for number in np.unique(first):
        own = (who == number) & free
        if not own.any():
            continue
        apart = frame_apart[own]
        if not own.all():
            away = [np.abs(one[own, None] - one[None, ~own]) / size for one, size in ((u, width), (v, height))]
            apart = np.minimum(apart, np.maximum(*away).min(axis=1))
        best = int(apart.argmax())
        if apart[best] >= 1:
            words = "\n".join(names[number].split(", ")[:2]) if number >= 0 else "not reached"
            at_u, at_v = u[own][best], v[own][best]
            ax.text(at_u, at_v, words, transform=ax.transAxes, ha="center", va="center", weight="bold", **_words())


def _words() -> dict[str, Any]:
    return {"fontsize": SMALL, "zorder": 5, "path_effects": [withStroke(linewidth=2.0, foreground="white")]}


def _handles(maps: list[xr.Dataset], lines: bool) -> list[Any]:
    """Return the legend: every winner, with those that tie with it; then the hatches and lines."""
    won, twins = [winners(one) for one in maps], _twins(maps)
    called, drawn_styles = labels(maps[0]), list(styles(maps[0]).values())
    names = list(called)
    first = {int(number) for one in won for number in np.unique(one.first)}
    handles: list[Any] = []
    for number in sorted(first - {-1}):
        alike = [called[names[twin]] for twin in np.flatnonzero(twins[number]) if twin != number]
        words = [legend_label(maps[0], names[number]), *(f"and {twin}, within 2 % everywhere" for twin in alike)]
        handles.append(Patch(facecolor=drawn_styles[number].colour, label="\n".join(words)))
    if -1 in first:
        handles.append(Patch(facecolor=_NOBODY, edgecolor="black", linewidth=0.4, label="not reached by any"))
    if any(_contested(one, twins).any() for one in won):
        grey = tuple(0.6 * np.array(to_rgb("white")))
        handles.append(
            Patch(facecolor=grey, edgecolor="white", hatch="////", linewidth=0, label="another is within 2 %")
        )
    if lines:
        handles.append(Line2D([], [], color="black", linewidth=0.9, label="break-even by the closed forms"))
    return handles
