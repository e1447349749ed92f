"""The winner map: which algorithm reaches the target loss first, on every network of a grid."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from netsim.errors import NetsimError
from netsim.look import (
    COLUMN,
    PAGE,
    SMALL,
    Plot,
    choose,
    circumstances,
    frame,
    label,
    legend_label,
    place_legend,
    plain_log,
    sharing_of,
    style,
)

CLOSE = 0.02  # of the winner's time: a runner-up as near as this is hatched
_EQUAL = 1e-9  # of the time: nearer than this, who is first is rounding
_NOBODY = "#f2f2f2"  # not reached: paler than any algorithm
_FINE = 8  # points of a break-even line for each step of the grid
_MS, _MBIT = 1e3, 1e-6  # seconds and bit/s to the axes' units


class Winners(NamedTuple):
    """Who is first, over (latency, bandwidth).

    Attributes
    ----------
    first
        Number of the experiment with the least time to target, the earlier in the Dataset where times are equal; -1: nobody reaches the target.
    close
        Whether another experiment's time is within 2 % of it.
    """

    first: np.ndarray
    close: np.ndarray


def winners(ds: xr.Dataset) -> Winners:
    """Return who reaches the target first on each network of a Dataset of one sharing.

    Parameters
    ----------
    ds
        Results over a grid of networks, without a dimension ``sharing``.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    if not {"latency", "bandwidth"} <= set(ds["time_to_target"].dims):
        raise NetsimError("a winner map needs results over a grid of latency and bandwidth; use Network.grid")
    times = ds["time_to_target"].transpose("experiment", "latency", "bandwidth").values
    times = np.where(np.isnan(times), np.inf, times)
    least = times.min(axis=0)
    reached = np.isfinite(least)
    within = [np.isfinite(times) & (times <= least * (1 + share)) for share in (_EQUAL, CLOSE)]
    return Winners(np.where(reached, within[0].argmax(axis=0), -1), within[1].sum(axis=0) > 1)


def winner_map(ds: xr.Dataset, sharing: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw the latency x bandwidth plane, coloured by the algorithm that reaches the target loss first.

    Where another algorithm is within 2 % of the first the plane is hatched; equal times go to the algorithm that comes first in the Dataset. Where nobody
    reaches the target, "not reached" is a colour of its own. The lines are break-even by the closed forms: on each side another algorithm's is the least.
    Named conditions are marked.

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
    one = choose(ds, sharing)
    if ax is None:
        return _laid_out([one], columns=1)
    _draw(ax, one, f"sharing {sharing_of(one)}")
    ax.legend(handles=_handles([one]), fontsize=SMALL, loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False)
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
    return _laid_out([choose(ds, sharing) for sharing in held], columns=len(held))


def _laid_out(maps: list[xr.Dataset], columns: int) -> Figure:
    handles = _handles(maps)
    wide = columns > 1
    below = 0.17 * (-(-len(handles) // (2 if wide else 1)) + 1)
    figure = Plot(figsize=(PAGE if wide else COLUMN, 2.75 + below), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for number, (ax, one) in enumerate(zip(axes, maps, strict=True)):
        _draw(ax, one, f"{f'({chr(97 + number)}) ' if wide else ''}sharing {sharing_of(one)}")
        if number:
            ax.set_ylabel("")
    common = maps[0].drop_vars("sharing", errors="ignore") if wide else maps[0]
    place_legend(figure, handles, "first to reach the target: " + circumstances(common), 2 if wide else 1)
    return figure


def _draw(ax: Axes, ds: xr.Dataset, title: str) -> None:
    won = winners(ds)
    names = [str(name) for name in ds["experiment"].values]
    x, y = ds["bandwidth"].values * _MBIT, ds["latency"].values * _MS
    edges = _edges(x), _edges(y)
    colours = ListedColormap([_NOBODY, *(style(name).colour for name in names)])
    ax.pcolormesh(*edges, won.first, cmap=colours, vmin=-1.5, vmax=len(names) - 0.5, rasterized=False, zorder=0)
    _hatch(ax, *edges, won.close)
    _break_even(ax, ds)
    plain_log(ax, "x")
    plain_log(ax, "y")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    frame(ax, "bandwidth (Mbit/s)", "latency (ms)", title)
    marked = _mark_conditions(ax, ds)
    for number in range(-1, len(names)):
        _name_region(ax, x, y, won.first == number, names[number] if number >= 0 else "", marked)


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return the cells' edges: halfway between neighbours, as a logarithmic axis shows it."""
    if len(centres) == 1:
        return centres * np.array([0.5, 2.0])
    between = np.sqrt(centres[:-1] * centres[1:])
    return np.array([centres[0] ** 2 / between[0], *between, centres[-1] ** 2 / between[-1]])


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


def _break_even(ax: Axes, ds: xr.Dataset) -> None:
    """Draw where the least closed form passes from one algorithm to another.

    A closed form is affine in latency and 1/bandwidth, but for the kink where computing hides the exchange, so between the points of the grid it is
    interpolated in these. Equal closed forms count as the first one's, as equal times do.
    """
    if "closed_form" not in ds or min(ds.sizes["latency"], ds.sizes["bandwidth"]) < 2:
        return
    exact = ds["closed_form"].transpose("experiment", "latency", "bandwidth").values
    exact = exact[[bool(np.isfinite(one).all()) for one in exact]]
    latency, bandwidth = _finer(ds["latency"].values), _finer(ds["bandwidth"].values)
    times = np.array(
        [_interpolated(one, ds["latency"].values, ds["bandwidth"].values, latency, bandwidth) for one in exact]
    )
    for number, own in enumerate(times):
        others = np.delete(times, number, axis=0)
        if not len(others):
            return
        later = (np.arange(len(times)) > number)[np.arange(len(times)) != number]  # those lose a tie
        ratio = np.log(own / others) - np.where(later, 1e-6, -1e-6)[:, None, None]
        worst = ratio.max(axis=0)
        if worst.min() < 0 < worst.max():
            for width, colour in ((2.2, "white"), (0.9, "black")):
                ax.contour(
                    bandwidth * _MBIT, latency * _MS, worst, levels=[0.0], colors=colour, linewidths=width, zorder=2
                )


def _finer(grid: np.ndarray) -> np.ndarray:
    at = np.arange(len(grid))
    return np.exp(np.interp(np.linspace(0, at[-1], _FINE * at[-1] + 1), at, np.log(grid)))


def _interpolated(
    values: np.ndarray,
    latency: np.ndarray,
    bandwidth: np.ndarray,
    finer_latency: np.ndarray,
    finer_bandwidth: np.ndarray,
) -> np.ndarray:
    """Interpolate (latency, bandwidth) values linearly in latency and in 1/bandwidth."""
    across = np.array([np.interp(-1 / finer_bandwidth, -1 / bandwidth, row) for row in values])
    return np.array([np.interp(finer_latency, latency, column) for column in across.T]).T


def _mark_conditions(ax: Axes, ds: xr.Dataset) -> list[tuple[float, float]]:
    """Mark the named conditions, their words towards the middle; return where they are, as shares of the axes."""
    if "condition" not in ds.dims:
        return []
    marked = []
    for number, name in enumerate(ds["condition"].values):
        point = ds.isel(condition=number)
        at = float(point["condition_bandwidth"]) * _MBIT, float(point["condition_latency"]) * _MS
        ours = bool(point["condition_ours"]) if "condition_ours" in ds.variables else False
        share = ax.transAxes.inverted().transform(ax.transData.transform(at))
        right = share[0] > 0.5
        ax.plot(*at, "o", color="white", markeredgecolor="black", markersize=4.5, zorder=4, clip_on=False)
        ax.annotate(
            f"{name} (ours)" if ours else str(name),
            at,
            xytext=(-6 if right else 6, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="bottom" if share[1] < 0.08 else "top" if share[1] > 0.92 else "center",
            **_words(),
        )
        marked.append((float(share[0]), float(share[1])))
    return marked


def _name_region(
    ax: Axes, x: np.ndarray, y: np.ndarray, where: np.ndarray, name: str, marked: list[tuple[float, float]]
) -> None:
    """Write an algorithm's name where its region is widest; nowhere if that is too narrow for words."""
    if not where.any():
        return
    to_share = ax.transAxes.inverted().transform
    points = np.array([[to_share(ax.transData.transform((a, b))) for a in x] for b in y])
    inside = points[where]
    foreign = np.concatenate([points[~where].reshape(-1, 2), np.array(marked).reshape(-1, 2)])
    stretch = np.array([0.55, 1.5])  # words are wide and low
    apart = np.full(len(inside), np.inf)
    if len(foreign):
        apart = np.linalg.norm((inside[:, None] - foreign[None]) * stretch, axis=2).min(axis=1)
    from_frame = np.minimum(inside, 1 - inside) * stretch
    apart = np.minimum(apart, from_frame.min(axis=1))
    best = int(apart.argmax())
    if apart[best] > 0.08:
        words = label(name).replace(", ", "\n", 1) if name else "not reached"
        ax.text(*inside[best], words, transform=ax.transAxes, ha="center", va="center", weight="bold", **_words())


def _words() -> dict[str, Any]:
    return {"fontsize": SMALL, "zorder": 5, "path_effects": [withStroke(linewidth=2.0, foreground="white")]}


def _handles(maps: list[xr.Dataset]) -> list[Any]:
    """Return the legend: who wins somewhere, and with whom they share it; then what hatches and lines mean."""
    won = [winners(one) for one in maps]
    names = [str(name) for name in maps[0]["experiment"].values]
    first = {int(number) for one in won for number in np.unique(one.first)}
    handles: list[Any] = [
        Patch(facecolor=style(name).colour, label=legend_label(maps[0], name))
        for number, name in enumerate(names)
        if number in first
    ]
    if -1 in first:
        handles.append(Patch(facecolor=_NOBODY, edgecolor="black", linewidth=0.4, label="not reached by any"))
    if any(one.close.any() for one in won):
        grey = tuple(0.6 * np.array(to_rgb("white")))
        handles.append(
            Patch(
                facecolor=grey, edgecolor="white", hatch="////", linewidth=0, label="hatched: the second is within 2 %"
            )
        )
    if any("closed_form" in one and bool(np.isfinite(one["closed_form"]).any()) for one in maps):
        handles.append(Line2D([], [], color="black", linewidth=0.9, label="break-even by the closed forms"))
    return handles
