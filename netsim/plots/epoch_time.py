"""Figure 3: simulated seconds per epoch against bandwidth and against latency."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netsim.files.units import format_bandwidth, format_seconds
from netsim.plots.panels import Panel, draw_curves, handles_of, laid_out, single
from netsim.plots.reading import choose, circumstances, grid_of, has_epochs, on_grid
from netsim.plots.style import frame, plain_log

_AXES = {"latency": "latency (ms)", "bandwidth": "bandwidth (Mbit/s)"}


def epoch_time_against_bandwidth(
    ds: xr.Dataset, latency: float, ax: Axes | None = None, sharing: str | None = None
) -> Figure:
    """Figures 3(a) and 3(b): simulated seconds per epoch against bandwidth, at one latency.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    latency
        Seconds; within 1 % of a value of the grid.
    ax
        Draw here; None: a figure of its own.
    sharing
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The latency is not on the grid, or the results are over no grid.
    """
    one = choose(ds, sharing)
    return single(one, lambda at, title: draw_epoch_time(at, one, "latency", latency, title), ax)


def epoch_time_against_latency(
    ds: xr.Dataset, bandwidth: float, ax: Axes | None = None, sharing: str | None = None
) -> Figure:
    """Figures 3(c) and 3(d): simulated seconds per epoch against latency, at one bandwidth.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    bandwidth
        bit/s; within 1 % of a value of the grid.
    ax
        Draw here; None: a figure of its own.
    sharing
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The bandwidth is not on the grid, or the results are over no grid.
    """
    one = choose(ds, sharing)
    return single(one, lambda at, title: draw_epoch_time(at, one, "bandwidth", bandwidth, title), ax)


def figure3(ds: xr.Dataset, sharing: str | None = None) -> Figure:
    """Figure 3: epoch time against bandwidth at low (a) and high (b) latency, against latency at high (c) and low (d) bandwidth.

    Low and high are the least and the largest of the named conditions, or of the grid where none is named.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    sharing
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    one = choose(ds, sharing)
    named = "condition_latency" in one.variables and one.sizes.get("condition", 0) > 0
    latency, bandwidth = (one[f"condition_{of}"] if named else grid_of(one, of) for of in ("latency", "bandwidth"))

    def fixed(of: str, at: xr.DataArray, word: str) -> Panel:
        return lambda ax, title: draw_epoch_time(ax, one, of, float(at), f"{title} {word} {of}:")

    panels = [
        fixed("latency", latency.min(), "low"),
        fixed("latency", latency.max(), "high"),
        fixed("bandwidth", bandwidth.max(), "high"),
        fixed("bandwidth", bandwidth.min(), "low"),
    ]
    return laid_out(panels, handles_of(one), circumstances(one), columns=2, height=2.1)


def draw_epoch_time(ax: Axes, ds: xr.Dataset, fixed: str, value: float, title: str) -> None:
    """Draw the epoch time against the other dimension of the grid."""
    of = "bandwidth" if fixed == "latency" else "latency"
    point = ds["seconds_per_epoch"].sel({fixed: on_grid(ds, fixed, value)})
    x = grid_of(ds, of) * (1e-6 if of == "bandwidth" else 1e3)
    draw_curves(ax, ds, x, point)
    plain_log(ax, "x")
    plain_log(ax, "y")
    what = "time per epoch (s)" if has_epochs(ds) else "time per 1,000 steps (s)"
    said = format_seconds(value) if fixed == "latency" else format_bandwidth(value)
    frame(ax, _AXES[of], what, f"{title} {said}" if title else f"{fixed} {said}")
