"""Figure 2: training loss against epochs, and against simulated time on each named network."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netsim.plots.panels import Panel, bands_of, draw_curves, handles_of, laid_out, single
from netsim.plots.reading import (
    MOST_PANELS,
    choose,
    circumstances,
    conditions,
    epoch_label,
    epochs_of,
    networks,
    times_on,
)
from netsim.plots.style import LEAST, MOST, MUTED, SMALL, Width, drawable, frame, plain_log
from netsim.plots.text import write

_DIVERGED = 10.0  # times the initial loss: where a run counts as diverged, and where the axis ends
_BEYOND = 10.0  # times the highest or lowest loss: a target beyond is not drawn to scale


def loss_against_epochs(
    ds: xr.Dataset, ax: Axes | None = None, width: Width = None, topology: str | None = None
) -> Figure:
    """Figure 2(a): training loss of the average model against epochs (steps, where the task knows no epochs), with the target.

    Parameters
    ----------
    ds
        Results.
    ax
        Draw here; None: a figure of its own.
    width
        Of a figure of its own: "column" (3.5 inches), "text" (7.16 inches) or inches; None: a column.
    topology
        Of results over several: its name; None: the first.
    """
    one = choose(ds, None, topology)
    said = circumstances(one, timed=False)
    return single(one, lambda at, title: draw_loss(at, one, epochs_of(one), epoch_label(one), title), ax, width, said)


def loss_against_time(
    ds: xr.Dataset,
    condition: str | tuple[float, float],
    ax: Axes | None = None,
    sharing: str | None = None,
    width: Width = None,
    topology: str | None = None,
) -> Figure:
    """Figures 2(b) to 2(d): training loss against simulated time on one network.

    Parameters
    ----------
    ds
        Results.
    condition
        A named condition of the results, or a network's name where they are over ``network``, or (latency in s, bandwidth in bit/s) on the grid.
        Where results reproduce a paper, a condition that is ours and not the paper's is labelled so.
    ax
        Draw here; None: a figure of its own.
    sharing
        "fifo", "none"; None: "fifo" where there is a choice.
    width, topology
        As for :func:`loss_against_epochs`.

    Raises
    ------
    NetsimError
        The results hold no such condition, grid point, sharing or topology.
    """
    one = choose(ds, sharing, topology)
    return single(one, lambda at, title: draw_loss_on(at, one, condition, title), ax, width)


def figure2(ds: xr.Dataset, sharing: str | None = None, width: Width = None, topology: str | None = None) -> Figure:
    """Figure 2: loss against epochs, then against simulated time on every named network, at most the first 12.

    Parameters
    ----------
    ds
        Results with named conditions (preset ``tang2018``), or over a list of networks.
    sharing
        As for :func:`loss_against_time`.
    width, topology
        As for :func:`loss_against_epochs`; None: a page.
    """
    one = choose(ds, sharing, topology)
    named = networks(one)
    second = "\n" if conditions(one) else ""  # the titles of named conditions have a second line

    def on(condition: str) -> Panel:
        return lambda at, title: draw_loss_on(at, one, condition, title)

    panels: list[Panel] = [
        lambda at, title: draw_loss(
            at, one, epochs_of(one), epoch_label(one), f"{title} per {epoch_label(one)[:-1]}{second}"
        ),
        *(on(condition) for condition in named[:MOST_PANELS]),
    ]
    title = circumstances(one, timed=bool(named))
    if len(named) > MOST_PANELS:
        title += f", the first {MOST_PANELS} of {len(named)} networks"
    return laid_out(
        panels, handles_of(one), title, columns=3, height=2.1, legend_in_a_cell=True, sharey=True, width=width
    )


def draw_loss(ax: Axes, ds: xr.Dataset, x: xr.DataArray, xlabel: str, title: str) -> None:
    """Draw loss against x (experiment, step), with the target; where a run diverged, a cross. Negative losses have a linear axis."""
    losses = ds["loss"]
    initial = losses.isel(step=0).values
    initial = initial[np.isfinite(initial)]
    log = not bool((losses < 0).any())
    highest = _DIVERGED * float(initial.max()) if len(initial) and initial.max() > 0 else MOST
    shown = losses.clip(max=highest)  # a huge last value would set the axis limits
    bands = bands_of(ds, "loss")
    clipped = None if bands is None else (bands[0].clip(max=highest), bands[1].clip(max=highest))
    draw_curves(ax, ds, x, shown, clipped, log)
    if "diverged_at" in ds:
        for name in ds["experiment"].values[ds["diverged_at"].values >= 0]:
            across = x.sel(experiment=name) if "experiment" in x.dims else x
            _draw_cross(ax, across.values, shown.sel(experiment=name).values, log)
    drawn = [values for line in ax.lines if len(values := np.asarray(line.get_ydata(), dtype=float))]
    if log and drawn:
        plain_log(ax, "y")
    _from_zero(ax)
    if "target" in ds.attrs and drawn:
        _draw_target(ax, float(ds.attrs["target"]), np.concatenate(drawn), log)
    frame(ax, xlabel, "training loss", title)


def _from_zero(ax: Axes) -> None:
    """Start the horizontal axis at 0, where there is anything to its right."""
    ax.autoscale_view()
    if ax.get_xlim()[1] > 0:
        ax.set_xlim(left=0)


def _draw_cross(ax: Axes, x: np.ndarray, loss: np.ndarray, log: bool) -> None:
    """Mark the last finite point of a run that diverged."""
    known = np.flatnonzero((drawable(loss) if log else np.abs(loss) <= MOST) & (np.abs(x) <= MOST))
    if len(known):
        cross: dict[str, Any] = {
            "color": "black",
            "markersize": 8,
            "markeredgewidth": 1.8,
            "zorder": 4,
            "clip_on": False,
        }
        ax.plot(x[known[-1]], loss[known[-1]], "x", **cross)


def _draw_target(ax: Axes, target: float, losses: np.ndarray, log: bool) -> None:
    """Draw the target loss as a line behind the curves, with its name; far from them, only the name, at that end of the axis."""
    least, most = float(losses.min()), float(losses.max())
    reach = _BEYOND * max(abs(least), abs(most))
    low, high = (max(least / _BEYOND, LEAST), most * _BEYOND) if log else (-reach, reach)
    far = not low <= target <= high
    if not far:
        ax.axhline(target, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        ax.autoscale_view()
    at, above = (1.0, True) if far else _emptiest(ax, target)
    write(
        ax,
        0.02 + 0.96 * at,
        (0.02 if target < low else 0.9) if far else target,
        "target, beyond the axis" if far else "target",  # the legend says its number
        transform=ax.transAxes if far else ax.get_yaxis_transform(),
        ha={0.0: "left", 0.5: "center", 1.0: "right"}[at],
        va="bottom" if above else "top",
        fontsize=SMALL,
        color=MUTED,
        zorder=1,  # behind the curves
    )


def _emptiest(ax: Axes, target: float) -> tuple[float, bool]:
    """Return where about the target's line the fewest points are: 0, 0.5 or 1 along it, and whether above it."""
    to_axes = ax.transData + ax.transAxes.inverted()
    points = [
        to_axes.transform(np.column_stack([_fine(line.get_xdata()), _fine(line.get_ydata())])) for line in ax.lines
    ]
    u, v = np.concatenate(points).T
    height = float(to_axes.transform((1.0, target))[1])
    wide, high = 0.3, 0.13

    def crowded(place: tuple[float, bool]) -> float:
        left, low = place[0] * (1 - wide), height if place[1] else height - high
        if low < 0 or low + high > 1:
            return np.inf
        return float(np.sum((u > left) & (u < left + wide) & (v > low) & (v < low + high)))

    return min(((at, above) for above in (True, False) for at in (1.0, 0.0, 0.5)), key=crowded)


def _fine(values: Any) -> np.ndarray:
    """Return the coordinates of a line with points between its own; none of one that crosses the axes."""
    values = np.asarray(values, dtype=float)
    at = np.linspace(0, len(values) - 1, 200)
    return np.interp(at, np.arange(len(values)), values) if len(values) > 2 else np.repeat(values[:1], 200)


def draw_loss_on(ax: Axes, ds: xr.Dataset, condition: str | tuple[float, float], title: str) -> None:
    """Draw loss against simulated time on one network."""
    time, said = times_on(ds, condition)
    draw_loss(ax, ds, time, "simulated time (s)", f"{title} {said}".strip())
