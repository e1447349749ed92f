"""Figure 3: simulated seconds per epoch against bandwidth and against latency."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds
from netsim.plots.panels import Panel, bands_of, draw_curves, handles_of, laid_out, single
from netsim.plots.reading import axis_label, choose, circumstances, grid_of, has_epochs, on_grid, shown_on
from netsim.plots.style import Width, frame, plain_log
from netsim.plots.text import NO_BREAK


def epoch_time_against_bandwidth(
    ds: xr.Dataset,
    latency: float,
    ax: Axes | None = None,
    sharing: str | None = None,
    width: Width = None,
    topology: str | None = None,
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
    sharing, width, topology
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The latency is not on the grid, or the results are over no grid.
    """
    return _single(choose(ds, sharing, topology), "latency", latency, ax, width)


def epoch_time_against_latency(
    ds: xr.Dataset,
    bandwidth: float,
    ax: Axes | None = None,
    sharing: str | None = None,
    width: Width = None,
    topology: str | None = None,
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
    sharing, width, topology
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The bandwidth is not on the grid, or the results are over no grid.
    """
    return _single(choose(ds, sharing, topology), "bandwidth", bandwidth, ax, width)


def _single(ds: xr.Dataset, fixed: str, value: float, ax: Axes | None, width: Width) -> Figure:
    said = circumstances(ds, target=False)
    return single(ds, lambda at, title: draw_epoch_time(at, ds, fixed, value, title), ax, width, said)


def figure3(ds: xr.Dataset, sharing: str | None = None, width: Width = None, topology: str | None = None) -> Figure:
    """Figure 3: epoch time against bandwidth at low (a) and high (b) latency, against latency at high (c) and low (d) bandwidth.

    Low and high are the least and the largest of the named conditions, or of the grid where none is named. A grid with one latency, or one
    bandwidth, has one panel.

    Parameters
    ----------
    ds
        Results over a grid of networks.
    sharing, width, topology
        As for :func:`loss_against_time`.

    Raises
    ------
    NetsimError
        The results are over no grid, or over one without two points on an axis.
    """
    one = choose(ds, sharing, topology)
    for of in ("latency", "bandwidth"):
        grid_of(one, of)
    if why := without_axis(one):
        raise NetsimError(f"no epoch times to draw: {why}")

    def fixed(of: str, at: float, word: str) -> Panel:
        return lambda ax, title: draw_epoch_time(ax, one, of, at, f"{title} {word} {of}:".strip())

    panels = []
    for of, against, words in (("latency", "bandwidth", ("low", "high")), ("bandwidth", "latency", ("high", "low"))):
        if len(shown_on(one, against)) > 1:
            held = _least_and_largest(one, of)
            if held[0] == held[1]:
                panels.append(fixed(of, held[0], "one"))
            else:
                panels += [fixed(of, held[word == "high"], word) for word in words]
    return laid_out(panels, handles_of(one), circumstances(one, target=False), columns=2, height=2.1, width=width)


def without_axis(ds: xr.Dataset) -> str:
    """Return why there are no epoch times to draw against latency or bandwidth; "": there are."""
    if not {"latency", "bandwidth"} <= set(ds.dims):
        return "the results are over no grid of latency and bandwidth"
    if all(len(shown_on(ds, dim)) < 2 for dim in ("latency", "bandwidth")):
        return "the grid has fewer than two latencies and fewer than two bandwidths that a logarithmic axis shows"
    return ""


def _least_and_largest(ds: xr.Dataset, of: str) -> tuple[float, float]:
    """Return the least and the largest latency or bandwidth of the named conditions that are on the grid; of the grid where they have one."""
    values = list(grid_of(ds, of).values)
    if f"condition_{of}" in ds.variables:
        named = {value for value in ds[f"condition_{of}"].values.flat if value in values}
        values = list(named) if len(named) > 1 else values
    return float(min(values)), float(max(values))


def draw_epoch_time(ax: Axes, ds: xr.Dataset, fixed: str, value: float, title: str) -> None:
    """Draw the epoch time against the other dimension of the grid."""
    of = "bandwidth" if fixed == "latency" else "latency"
    at = {fixed: on_grid(ds, fixed, value)}
    shown = {of: shown_on(ds, of)}
    bands = bands_of(ds, "seconds_per_epoch")
    point, *ends = (one.sel(at).isel(shown) for one in (ds["seconds_per_epoch"], *(bands or ())))
    x = grid_of(ds, of).isel(shown) * (1e-6 if of == "bandwidth" else 1e3)
    draw_curves(ax, ds, x, point, (ends[0], ends[1]) if ends else None)
    if any(len(line.get_xdata()) for line in ax.lines):  # type: ignore[arg-type]
        plain_log(ax, "x")
        plain_log(ax, "y")
    what = "time per epoch (s)" if has_epochs(ds) else "time per 1,000 steps (s)"
    said = (format_seconds(value) if fixed == "latency" else format_bandwidth(value)).replace(" ", NO_BREAK)
    frame(ax, axis_label(ds, of), what, f"{title} {said}" if title else f"{fixed} {said}")
