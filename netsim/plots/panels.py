"""What the figures are laid out of: panels, drawn into an Axes from the results of one sharing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds
from netsim.plots.style import (
    COLUMN,
    FULL_PRECISION,
    MUTED,
    PAGE,
    SMALL,
    Plot,
    bits,
    circumstances,
    frame,
    legend_label,
    place_legend,
    plain_log,
    style,
)

Panel = Callable[[Axes, str], Any]  # draws into the Axes, its title starting with the string

_DIVERGED = 10.0  # times the initial loss: where a run counts as diverged, and where the axis ends
_AXES = {"latency": "latency (ms)", "bandwidth": "bandwidth (Mbit/s)"}


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
    names = [str(name) for name in ds["experiment"].values]
    return [Line2D([], [], label=legend_label(ds, name), **_drawn(name, shifted=False)) for name in names]


def _drawn(name: str, shifted: bool = True) -> dict[str, Any]:
    """Return matplotlib's words for how the line of an algorithm looks; its dashes not shifted in a legend, where they stand alone."""
    look = style(name)
    line = look.line if shifted or isinstance(look.line, str) else (0, look.line[1])
    return {
        "color": look.colour,
        "linestyle": line,
        "linewidth": 1.3,
        "marker": look.marker,
        "markersize": 4.0,
        "markerfacecolor": look.face,
        "markeredgecolor": "black" if look.face == look.colour else look.colour,
        "markeredgewidth": 0.4 if look.face == look.colour else 1.0,
    }


def _curve(ax: Axes, name: str, at: int, x: np.ndarray, y: np.ndarray) -> None:
    """Draw what of a curve is finite and positive; markers of curves that coincide are at different points."""
    known = np.isfinite(x) & np.isfinite(y) & (y > 0)
    every = max(1, round(known.sum() / 7))
    ax.plot(x[known], y[known], markevery=(at % every, every), **_drawn(name))


def draw_loss(ax: Axes, ds: xr.Dataset, x: xr.DataArray, xlabel: str, title: str) -> None:
    """Draw loss against x (experiment, step), with the target; where a run diverged, a cross."""
    names, losses = [str(name) for name in ds["experiment"].values], ds["loss"]
    highest = _DIVERGED * float(losses.isel(step=0).max())
    for at, name in enumerate(names):
        across, loss = x.sel(experiment=name).values, losses.sel(experiment=name).values
        loss = np.minimum(loss, highest)  # a last value out of all bounds would leave the others no room
        _curve(ax, name, at, across, loss)
        known = np.flatnonzero(np.isfinite(loss) & np.isfinite(across))
        if "diverged_at" in ds and int(ds["diverged_at"].sel(experiment=name)) >= 0 and len(known):
            ax.plot(
                across[known[-1]],
                loss[known[-1]],
                "x",
                color="black",
                markersize=8,
                markeredgewidth=1.8,
                zorder=4,
                clip_on=False,
            )
    if "target" in ds.attrs:
        target = float(ds.attrs["target"])
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
    ax.autoscale_view()
    plain_log(ax, "y")
    ax.set_xlim(left=0)
    frame(ax, xlabel, "training loss", title)


def draw_loss_on(ax: Axes, ds: xr.Dataset, condition: str | tuple[float, float], title: str) -> None:
    """Draw loss against simulated time on one network."""
    time, said = _times(ds, condition)
    draw_loss(ax, ds, time, "simulated time (s)", f"{title} {said}".strip())


def draw_consensus(ax: Axes, ds: xr.Dataset, title: str) -> None:
    """Draw the mean squared distance of the models from their average against epochs."""
    epochs = epochs_of(ds)
    for at, name in enumerate(str(name) for name in ds["experiment"].values):
        later = slice(1, None)  # at the start all models are equal
        across, apart = (values.sel(experiment=name).values[later] for values in (epochs, ds["consensus"]))
        _curve(ax, name, at, across, apart)
    plain_log(ax, "y")
    ax.set_xlim(left=0)
    frame(ax, epoch_label(ds), "mean ‖xᵢ − x̄‖²", f"{title} consensus distance".strip())


def draw_epoch_time(ax: Axes, ds: xr.Dataset, fixed: str, value: float, title: str) -> None:
    """Draw the epoch time against the other dimension of the grid."""
    of = "bandwidth" if fixed == "latency" else "latency"
    point = ds["seconds_per_epoch"].sel({fixed: _on_grid(ds, fixed, value)})
    x = grid_of(ds, of).values * (1e-6 if of == "bandwidth" else 1e3)
    for at, name in enumerate(str(name) for name in ds["experiment"].values):
        _curve(ax, name, at, x, point.sel(experiment=name).values)
    plain_log(ax, "x")
    plain_log(ax, "y")
    what = "time per epoch (s)" if _has_epochs(ds) else "time per 1,000 steps (s)"
    said = format_seconds(value) if fixed == "latency" else format_bandwidth(value)
    frame(ax, _AXES[of], what, f"{title} {said}" if title else f"{fixed} {said}")


def _times(ds: xr.Dataset, condition: str | tuple[float, float]) -> tuple[xr.DataArray, str]:
    """Return the time of every step on one network, and what the network is called."""
    if isinstance(condition, str) and "network" in ds.dims:
        _known(condition, _names(ds, "network"), "network")
        return ds["time"].sel(network=condition), condition
    said, ours = "", False
    if isinstance(condition, str):
        _known(condition, conditions(ds), "condition")
        one = ds.sel(condition=condition)
        latency, bandwidth = float(one["condition_latency"]), float(one["condition_bandwidth"])
        ours = bool(one["condition_ours"]) if "condition_ours" in ds.variables else False
        said = f"{condition}{' (ours, not in the paper)' if ours else ''}\n"
    else:
        latency, bandwidth = condition
    time = ds["time"].sel(latency=_on_grid(ds, "latency", latency), bandwidth=_on_grid(ds, "bandwidth", bandwidth))
    return time, f"{said}{format_seconds(latency)}, {format_bandwidth(bandwidth)}"


def _known(name: str, names: list[str], what: str) -> None:
    if name not in names:
        raise NetsimError(f"{what} = {name!r}: these results hold {', '.join(map(repr, names)) or 'none'}")


def grid_of(ds: xr.Dataset, of: str) -> xr.DataArray:
    """Return the latencies (s) or the bandwidths (bit/s); raise NetsimError where the results are over no grid."""
    if of not in ds.dims:
        raise NetsimError(
            f"these results are over no grid of latency and bandwidth (no dimension {of!r}); use Network.grid"
        )
    return ds[of]


def _on_grid(ds: xr.Dataset, of: str, value: float) -> float:
    """Return the grid's value for what was written, which may be rounded."""
    values = grid_of(ds, of).values
    if value in values:  # an infinite one too
        return value
    nearest = float(values[np.abs(values - value).argmin()])
    if abs(nearest - value) > 0.01 * abs(value):
        show = format_seconds if of == "latency" else format_bandwidth
        raise NetsimError(f"{of} {show(value)} is not on the grid; it holds {', '.join(map(show, values))}")
    return nearest


def _names(ds: xr.Dataset, dim: str) -> list[str]:
    return [str(name) for name in ds[dim].values] if dim in ds.dims else []


def conditions(ds: xr.Dataset) -> list[str]:
    """Return the names of the named conditions."""
    return _names(ds, "condition")


def compressed_bits(ds: xr.Dataset) -> list[int]:
    """Return the numbers of bits that messages are compressed to, most first."""
    held = {bits(name) for name in _names(ds, "experiment")}
    return sorted((count for count in held if count is not None and count < FULL_PRECISION), reverse=True)


def _has_epochs(ds: xr.Dataset) -> bool:
    return "steps_per_epoch" in ds and bool((ds["steps_per_epoch"] > 0).all())


def epochs_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the epochs of (experiment, step); the steps where the tasks know no epochs."""
    per_epoch = ds["steps_per_epoch"] if _has_epochs(ds) else xr.ones_like(ds["experiment"], dtype=int)
    return ds["step"] / per_epoch


def epoch_label(ds: xr.Dataset) -> str:
    """Return what :func:`epochs_of` counts."""
    return "epochs" if _has_epochs(ds) else "steps"


def learning_rates(ds: xr.Dataset) -> str:
    """Return the learning rates of these runs as words."""
    rates = {str(rate) for rate in ds["learning_rate"].values} if "learning_rate" in ds else set()
    return f"learning rate {' or '.join(sorted(rates))}" if rates else ""
