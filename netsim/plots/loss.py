"""Figure 2: training loss against epochs, and against simulated time on each named network."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from netsim.plots.panels import Panel, draw_curves, handles_of, laid_out, single
from netsim.plots.reading import choose, circumstances, conditions, epoch_label, epochs_of, times_on
from netsim.plots.style import MUTED, SMALL, frame, plain_log

_DIVERGED = 10.0  # times the initial loss: where a run counts as diverged, and where the axis ends
_IN_A_CELL = 6  # lines of a legend that has the room of one panel


def loss_against_epochs(ds: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Figure 2(a): training loss of the average model against epochs (steps, where the task knows no epochs), with the target.

    Parameters
    ----------
    ds
        Results.
    ax
        Draw here; None: a figure of its own.
    """
    one = choose(ds, None)
    return single(one, lambda at, title: draw_loss(at, one, epochs_of(one), epoch_label(one), title), ax)


def loss_against_time(
    ds: xr.Dataset, condition: str | tuple[float, float], ax: Axes | None = None, sharing: str | None = None
) -> Figure:
    """Figures 2(b) to 2(d): training loss against simulated time on one network.

    Parameters
    ----------
    ds
        Results.
    condition
        A named condition of the results, or a network's name where they are over ``network``, or (latency in s, bandwidth in bit/s) on the grid. A
        condition that is ours and not the paper's is labelled so.
    ax
        Draw here; None: a figure of its own.
    sharing
        "fifo", "none"; None: "fifo" where there is a choice.

    Raises
    ------
    NetsimError
        The results hold no such condition, grid point or sharing.
    """
    one = choose(ds, sharing)
    return single(one, lambda at, title: draw_loss_on(at, one, condition, title), ax)


def figure2(ds: xr.Dataset, sharing: str | None = None) -> Figure:
    """Figure 2: loss against epochs, then against simulated time on every named network.

    Parameters
    ----------
    ds
        Results with named conditions (preset ``tang2018``).
    sharing
        As for :func:`loss_against_time`.
    """
    one = choose(ds, sharing)

    def on(condition: str) -> Panel:
        return lambda at, title: draw_loss_on(at, one, condition, title)

    panels: list[Panel] = [
        lambda at, title: draw_loss(at, one, epochs_of(one), epoch_label(one), f"{title} per epoch\n"),
        *(on(condition) for condition in conditions(one)),
    ]
    handles = handles_of(one)
    fits = len(handles) <= _IN_A_CELL
    return laid_out(panels, handles, circumstances(one), columns=3, height=2.2, legend_in_a_cell=fits, sharey=True)


def draw_loss(ax: Axes, ds: xr.Dataset, x: xr.DataArray, xlabel: str, title: str) -> None:
    """Draw loss against x (experiment, step), with the target; where a run diverged, a cross."""
    losses = ds["loss"]
    highest = _DIVERGED * float(losses.isel(step=0).max())
    shown = losses.clip(max=highest)  # a huge last value would set the axis limits
    draw_curves(ax, ds, x, shown)
    if "diverged_at" in ds:
        for name in ds["experiment"].values[ds["diverged_at"].values >= 0]:
            _draw_cross(ax, x.sel(experiment=name).values, shown.sel(experiment=name).values)
    if "target" in ds.attrs:
        _draw_target(ax, float(ds.attrs["target"]))
    ax.autoscale_view()
    plain_log(ax, "y")
    ax.set_xlim(left=0)
    frame(ax, xlabel, "training loss", title)


def _draw_cross(ax: Axes, x: np.ndarray, loss: np.ndarray) -> None:
    """Mark the last finite point of a run that diverged."""
    known = np.flatnonzero(np.isfinite(loss) & np.isfinite(x))
    if len(known):
        cross: dict[str, Any] = {
            "color": "black",
            "markersize": 8,
            "markeredgewidth": 1.8,
            "zorder": 4,
            "clip_on": False,
        }
        ax.plot(x[known[-1]], loss[known[-1]], "x", **cross)


def _draw_target(ax: Axes, target: float) -> None:
    """Draw the target loss as a line behind the curves, with its number."""
    ax.axhline(target, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    ax.annotate(
        f"target loss {target:.3g}",
        (0.98, target),
        xycoords=("axes fraction", "data"),
        xytext=(0, 1),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=SMALL,
        color=MUTED,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
        zorder=1,  # behind the curves
    )


def draw_loss_on(ax: Axes, ds: xr.Dataset, condition: str | tuple[float, float], title: str) -> None:
    """Draw loss against simulated time on one network."""
    time, said = times_on(ds, condition)
    draw_loss(ax, ds, time, "simulated time (s)", f"{title} {said}".strip())
